//! Names of images as tables show them.

use swarm_types::validate::ImageReference;

/// Name and tag, without the digest. What is no image name, or has no tag, is shown as it is.
pub(crate) fn shown(text: &str) -> String {
    match ImageReference::parse(text) {
        Ok(image) if image.tag.is_some() => ImageReference { digest: None, ..image }.familiar(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn tables_show_no_digest() {
        assert_eq!(shown(&format!("nginx:latest@{DIGEST}")), "nginx:latest");
        assert_eq!(shown(&format!("nginx@{DIGEST}")), format!("nginx@{DIGEST}"));
        assert_eq!(shown("docker.io/library/redis:7"), "redis:7");
        assert_eq!(shown("Nginx"), "Nginx");
    }
}
