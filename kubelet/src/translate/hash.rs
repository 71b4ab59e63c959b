//! The hash by which the kubelet sees that a container's definition changed.

use api_k8s::v1::Container;

/// FNV-1a (32 bits) of the container's name and image, fed the way the stock kubelet does since 1.31, so that
/// either kubelet takes over the other's containers without restarting them.
pub fn container_hash(container: &Container) -> u32 {
    let image = container.image.as_deref().unwrap_or_default();
    let json = serde_json::json!({ "image": image, "name": container.name }).to_string();
    // The stock kubelet hashes how Go prints the bytes, not the bytes.
    let bytes: Vec<_> = json.bytes().map(|byte| byte.to_string()).collect();
    let printed = format!("([]uint8)[{}]", bytes.join(" "));
    printed.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_stock_kubelets() {
        let of = |name: &str, image: &str| {
            container_hash(&Container {
                name: name.to_owned(),
                image: Some(image.to_owned()),
                ..Container::default()
            })
        };
        assert_eq!(format!("{:x}", of("c", "docker.io/library/busybox:latest")), "8468e76c");
        assert_eq!(format!("{:x}", of("a", "docker.io/library/busybox:latest")), "a71d1be");
        assert_eq!(format!("{:x}", of("c", "docker.io/library/nginx:latest")), "728c961");
    }
}
