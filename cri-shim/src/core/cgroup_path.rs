//! Cgroup parents come in two spellings: a path, or a systemd slice.

use crate::core::failure::Failure;

/// The path of a parent below each hierarchy's root, without slashes at its ends.
///
/// `a-b.slice` is systemd's name for the slice `b` inside of the slice `a` (systemd.slice(5)), so it stands for
/// `a.slice/a-b.slice`; `-.slice` is the root.
pub(crate) fn parent(spelled: &str, default: &str) -> Result<String, Failure> {
    let spelled = if spelled.is_empty() { default } else { spelled };
    let mut path = Vec::new();
    for part in spelled.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(Failure::invalid(format!("cgroup parent {spelled:?} contains \"..\"")));
        }
        path.push(part.to_owned());
    }
    // Only the last name is expanded: a kubelet with the systemd driver passes the slice alone or its whole path.
    if let Some(last) = path.last().cloned()
        && let Some(stem) = last.strip_suffix(".slice")
        && path.len() == 1
    {
        path = slices(stem)
            .ok_or_else(|| Failure::invalid(format!("cgroup parent {spelled:?} is no slice's name")))?;
    }
    Ok(path.join("/"))
}

fn slices(stem: &str) -> Option<Vec<String>> {
    if stem == "-" {
        return Some(Vec::new());
    }
    let mut names = Vec::new();
    let mut name = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            return None;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        names.push(format!("{name}.slice"));
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_the_same_folders() {
        for (spelled, path) in [
            ("/kubepods/burstable/podx", "kubepods/burstable/podx"),
            ("kubepods//podx/", "kubepods/podx"),
            ("", "orlop"),
            (
                "kubepods-burstable-podx.slice",
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice",
            ),
            ("/kubepods.slice/kubepods-podx.slice", "kubepods.slice/kubepods-podx.slice"),
            ("-.slice", ""),
        ] {
            assert_eq!(parent(spelled, "/orlop").unwrap(), path, "{spelled}");
        }
    }

    #[test]
    fn a_parent_cannot_climb() {
        for spelled in ["/a/../../b", "a--b.slice", "-a.slice"] {
            assert!(parent(spelled, "/orlop").is_err(), "{spelled}");
        }
    }
}
