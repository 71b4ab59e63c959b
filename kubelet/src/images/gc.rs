//! Image garbage collection: when the image file system fills up, what no container uses goes, least recently
//! used first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use api_cri::v1 as cri;
use tokio_util::sync::CancellationToken;

use crate::cri::Client;

const EVERY: Duration = Duration::from_secs(300);

/// An image that could go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    id: String,
    bytes: u64,
    first_seen: Duration,
    last_used: Duration,
}

/// Which of the candidates go so that `wanted` bytes become free; those younger than `minimum_age` stay.
fn choose(mut all: Vec<Candidate>, wanted: u64, now: Duration, minimum_age: Duration) -> Vec<String> {
    all.retain(|image| now.saturating_sub(image.first_seen) >= minimum_age);
    all.sort_by_key(|image| (image.last_used, image.first_seen));
    let mut freed = 0;
    let enough = |image: &Candidate| {
        let more = freed < wanted;
        freed += image.bytes;
        more
    };
    let mut enough = enough;
    all.into_iter().take_while(|image| enough(image)).map(|image| image.id).collect()
}

/// How many bytes have to go; none below the high mark.
fn excess(total: u64, available: u64, high: u8, low: u8) -> u64 {
    let used = total.saturating_sub(available);
    if total == 0 || high >= 100 || used * 100 < total * u64::from(high) {
        return 0;
    }
    used.saturating_sub(total / 100 * u64::from(low))
}

/// Looks at the image file system every five minutes.
pub(crate) struct Collector {
    client: Client,
    high: u8,
    low: u8,
    minimum_age: Duration,
    epoch: Instant,
    /// First seen, last used.
    ages: BTreeMap<String, (Duration, Duration)>,
}

impl Collector {
    pub(crate) fn new(client: Client, config: &crate::Config) -> Self {
        Self {
            client,
            high: config.image_gc_high_percent,
            low: config.image_gc_low_percent,
            minimum_age: config.image_minimum_gc_age,
            epoch: Instant::now(),
            ages: BTreeMap::new(),
        }
    }

    /// Collects until cancelled.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = shutdown.cancelled() => return,
            }
            if let Err(status) = self.collect().await {
                tracing::warn!(error = status.message(), "image garbage collection");
            }
        }
    }

    async fn collect(&mut self) -> Result<(), tonic::Status> {
        let now = self.epoch.elapsed();
        let mut runtime = self.client.runtime.clone();
        let mut service = self.client.images.clone();
        let images = service.list_images(cri::ListImagesRequest { filter: None }).await?.into_inner().images;
        let containers = runtime.list_containers(cri::ListContainersRequest { filter: None }).await?;
        let mut used = BTreeSet::new();
        for container in containers.into_inner().containers {
            used.extend([container.image_ref, container.image_id]);
            used.extend(container.image.map(|image| image.image));
        }
        let in_use = |image: &cri::Image| {
            let names = image.repo_tags.iter().chain(&image.repo_digests);
            std::iter::once(&image.id).chain(names).any(|name| used.contains(name))
        };
        self.ages.retain(|id, _| images.iter().any(|image| &image.id == id));
        for image in &images {
            let age = self.ages.entry(image.id.clone()).or_insert((now, Duration::ZERO));
            if in_use(image) {
                age.1 = now;
            }
        }
        let wanted = self.excess().await?;
        if wanted == 0 {
            return Ok(());
        }
        let candidates = images.iter().filter(|image| !image.pinned && !in_use(image)).filter_map(|image| {
            let (first_seen, last_used) = *self.ages.get(&image.id)?;
            Some(Candidate { id: image.id.clone(), bytes: image.size, first_seen, last_used })
        });
        for id in choose(candidates.collect(), wanted, now, self.minimum_age) {
            tracing::info!(image = id, "removing an unused image");
            let image = Some(cri::ImageSpec { image: id.clone(), ..Default::default() });
            if let Err(status) = service.remove_image(cri::RemoveImageRequest { image }).await {
                tracing::warn!(image = id, error = status.message(), "removing an image");
            }
        }
        Ok(())
    }

    /// The most that any image file system has too much.
    async fn excess(&self) -> Result<u64, tonic::Status> {
        let answer = self.client.images.clone().image_fs_info(cri::ImageFsInfoRequest {}).await?.into_inner();
        let mut most = 0;
        for system in answer.image_filesystems {
            let Some(at) = system.fs_id.map(|id| id.mountpoint) else { continue };
            match rustix::fs::statvfs(&at) {
                Ok(fs) => {
                    let (total, available) = (fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize);
                    most = most.max(excess(total, available, self.high, self.low));
                }
                Err(error) => tracing::warn!(path = at, %error, "asking for free space"),
            }
        }
        Ok(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_below_the_high_mark_and_then_down_to_the_low_one() {
        assert_eq!(excess(1000, 200, 85, 80), 0);
        assert_eq!(excess(1000, 150, 85, 80), 50);
        assert_eq!(excess(1000, 0, 100, 80), 0, "100 switches it off");
    }

    #[test]
    fn the_least_recently_used_go_first_and_the_young_stay() {
        let image = |id: &str, seen, used| Candidate {
            id: id.into(),
            bytes: 10,
            first_seen: Duration::from_secs(seen),
            last_used: Duration::from_secs(used),
        };
        let all = vec![image("new", 95, 0), image("used", 1, 50), image("never", 2, 0), image("old", 0, 10)];
        let now = Duration::from_secs(100);
        assert_eq!(choose(all.clone(), 15, now, Duration::from_secs(20)), ["never", "old"]);
        assert_eq!(choose(all, 1000, now, Duration::from_secs(20)), ["never", "old", "used"]);
    }
}
