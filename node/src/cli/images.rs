//! `orlop images`.

use std::process::ExitCode;

use api_cri::v1 as cri;
use clap::Args;
use serde::Serialize;

use super::cri::{images, refused};
use super::table::Table;
use super::{Output, block_on, output};
use crate::{Error, Global};

/// How they are shown.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    output: Output,
}

/// One image of `-o json`.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    tags: Vec<String>,
    digests: Vec<String>,
    size: u64,
    pinned: bool,
}

impl Row {
    fn new(image: cri::Image) -> Self {
        let cri::Image { id, repo_tags, repo_digests, size, pinned, .. } = image;
        Self { id, tags: repo_tags, digests: repo_digests, size, pinned }
    }
}

/// Lists the images that are there.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    let answer = block_on(async {
        let mut client = images(global).await?;
        client.list_images(cri::ListImagesRequest::default()).await.map_err(refused)
    })?;
    let mut rows: Vec<Row> = answer.into_inner().images.into_iter().map(Row::new).collect();
    rows.sort_by(|a, b| (&a.tags, &a.id).cmp(&(&b.tags, &b.id)));
    output::show(flags.output.output, &rows, |wide| table(&rows, wide))?;
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[Row], wide: bool) -> String {
    let mut header = vec!["IMAGE", "ID", "SIZE"];
    if wide {
        header.extend(["PINNED", "DIGEST"]);
    }
    let mut table = Table::new(&header);
    for row in rows {
        // An image whose tags moved on has a digest only.
        let names = if row.tags.is_empty() { &row.digests } else { &row.tags };
        let none = ["<none>".to_owned()];
        for (index, name) in (if names.is_empty() { &none[..] } else { names }).iter().enumerate() {
            let id = row.id.rsplit(':').next().unwrap_or_default().chars().take(12).collect();
            let mut cells = vec![name.clone(), id, bytes(row.size)];
            if wide {
                let digest = row.digests.get(index).or(row.digests.first());
                let digest = digest.and_then(|digest| digest.rsplit('@').next()).unwrap_or_default();
                cells.extend([if row.pinned { "yes" } else { "no" }.to_owned(), digest.to_owned()]);
            }
            table.row(cells);
        }
    }
    table.render()
}

/// A size with three digits at least, in binary units.
pub(super) fn bytes(size: u64) -> String {
    let mut value = size as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let decimals = usize::from(unit != "B" && value < 100.0);
            return format!("{value:.decimals$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_tag() {
        let image = cri::Image {
            id: "sha256:0123456789abcdef".into(),
            repo_tags: vec![
                "docker.io/library/busybox:1.35".into(),
                "docker.io/library/busybox:latest".into(),
            ],
            repo_digests: vec!["docker.io/library/busybox@sha256:77".into()],
            size: 4_500_000,
            ..cri::Image::default()
        };
        let untagged = cri::Image { id: "sha256:ff".into(), ..cri::Image::default() };
        let rows: Vec<Row> = [image, untagged].into_iter().map(Row::new).collect();
        assert_eq!(
            table(&rows, false),
            "\
IMAGE                              ID             SIZE
docker.io/library/busybox:1.35     0123456789ab   4.3 MiB
docker.io/library/busybox:latest   0123456789ab   4.3 MiB
<none>                             ff             0 B
"
        );
        assert!(table(&rows, true).contains("no       sha256:77"), "{}", table(&rows, true));
    }

    #[test]
    fn sizes_have_binary_units() {
        for (size, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 20, "200 MiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(bytes(size), text);
        }
    }
}
