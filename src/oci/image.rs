//! Statements of an image's config about itself, for people: platform, creation time, labels and
//! history.
//!
//! Never for decisions, and never sent on. The texts come from whoever made the image; whoever
//! shows them escapes them.

use std::collections::BTreeMap;

use oci_spec::image::ImageConfiguration;
use serde::Serialize;

use super::media_type::OCI_CONFIG;

/// Config media type of Docker images.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Maximum size in bytes of a config that is read.
pub const MAX_CONFIG: u64 = 64 << 10;
/// Maximum number of labels, and of steps of the history, that are kept.
const MOST: usize = 64;
/// Maximum length of one text that is kept, in characters.
const LONGEST: usize = 400;

/// Statements of a config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// `os/architecture[/variant]`.
    pub platform: Option<String>,
    /// Creation time, as written.
    pub created: Option<String>,
    /// The first labels, by name.
    pub labels: BTreeMap<String, String>,
    /// The last steps of its history, in order: the commands that made it.
    pub history: Vec<String>,
}

/// Returns whether a config of this media type is that of an image.
pub fn is_image_config(media_type: &str) -> bool {
    media_type == OCI_CONFIG || media_type == DOCKER_CONFIG
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

impl ImageFacts {
    /// Reads a config. Returns `None` if it is too large or not an image's config.
    pub fn read(config: &[u8]) -> Option<Self> {
        if config.len() as u64 > MAX_CONFIG {
            return None;
        }
        let config = ImageConfiguration::from_reader(config).ok()?;
        let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
        let variant = config.variant().as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        let is_stated = !os.is_empty() && !architecture.is_empty();
        let labels = config.config().as_ref().and_then(|run| run.labels().as_ref());
        let labels: BTreeMap<&String, &String> = labels.into_iter().flatten().collect();
        let steps = config.history().as_deref().unwrap_or_default();
        let step = |step: &oci_spec::image::History| {
            step.created_by().as_deref().or(step.comment().as_deref()).map(cut).unwrap_or_default()
        };
        Some(Self {
            platform: is_stated.then(|| cut(&format!("{os}/{architecture}{variant}"))),
            created: config.created().as_deref().map(cut),
            labels: labels.into_iter().take(MOST).map(|(name, value)| (cut(name), cut(value))).collect(),
            history: steps[steps.len().saturating_sub(MOST)..].iter().map(step).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(more: Value) -> Vec<u8> {
        let mut config = json!({
            "architecture": "arm64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
        });
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        config.to_string().into_bytes()
    }

    #[test]
    fn a_config_says_what_it_is() {
        let more = json!({
            "variant": "v8", "created": "2026-11-21T12:00:00Z",
            "config": { "Labels": { "b": "2", "a": "1" } },
            "history": [{ "created_by": "FROM scratch" }, { "comment": "imported" }, {}],
        });
        let facts = ImageFacts::read(&config(more)).unwrap();
        assert_eq!(facts.platform.as_deref(), Some("linux/arm64/v8"));
        assert_eq!(facts.created.as_deref(), Some("2026-11-21T12:00:00Z"));
        assert_eq!(facts.labels.into_iter().collect::<Vec<_>>(), [("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(facts.history, ["FROM scratch", "imported", ""]);
        let bare = ImageFacts::read(&config(json!({}))).unwrap();
        assert_eq!(bare.platform.as_deref(), Some("linux/arm64"));
        assert!(bare.created.is_none() && bare.labels.is_empty() && bare.history.is_empty());
        // Systems and architectures that nobody knows are shown as they are.
        let other = ImageFacts::read(&config(json!({ "os": "plan9", "architecture": "pdp11" }))).unwrap();
        assert_eq!(other.platform.as_deref(), Some("plan9/pdp11"));
    }

    #[test]
    fn a_config_that_cannot_be_read_says_nothing() {
        for unreadable in [&b""[..], b"{}", b"null", b"[]", b"\xff", br#"{"os":"linux"}"#, br#"{"os":1}"#] {
            assert_eq!(ImageFacts::read(unreadable), None, "{}", String::from_utf8_lossy(unreadable));
        }
    }

    #[test]
    fn m12_what_a_config_says_is_bounded() {
        let many: Value =
            (0..100).map(|n| (format!("label {n:04}"), json!("x".repeat(5)))).collect::<serde_json::Map<_, _>>().into();
        let steps: Vec<Value> = (0..100).map(|n| json!({ "created_by": format!("{n} {}", "y".repeat(150)) })).collect();
        let more = json!({ "created": "z".repeat(10_000), "config": { "Labels": many }, "history": steps });
        let facts = ImageFacts::read(&config(more)).unwrap();
        assert_eq!((facts.labels.len(), facts.history.len()), (MOST, MOST));
        assert!(facts.history[MOST - 1].starts_with("99 "));
        assert_eq!(facts.created.unwrap().len(), LONGEST);
        let large = json!({ "created": "z".repeat(usize::try_from(MAX_CONFIG).unwrap()) });
        assert_eq!(ImageFacts::read(&config(large)), None);
    }
}
