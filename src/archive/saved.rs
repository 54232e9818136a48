//! `manifest.json` of an archive, and the parts of an image's config that its manifest is made from.
//!
//! Bytes in, values out. Members that are not used here are ignored; the config travels as it is.

use serde::Deserialize;

use super::refusal::{Refusal, shown};
use crate::oci::{Digest, Reference};

/// Maximum size of `manifest.json`, in bytes.
pub(super) const MAX_LIST: u64 = 16 << 20;
/// Maximum size of a config, in bytes; that of other programs.
pub(super) const MAX_CONFIG: u64 = 4 << 20;

/// One image of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SavedImage {
    /// Name of the member with its config.
    pub config: String,
    /// Its names; null if it has none.
    pub repo_tags: Option<Vec<String>>,
    /// Names of the members with its layers, lowest first; null if it has none.
    pub layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<Digest>>,
}

/// Parses `manifest.json`.
///
/// # Errors
/// [`Refusal`].
pub(super) fn images(bytes: &[u8]) -> Result<Vec<SavedImage>, Refusal> {
    let images: Vec<SavedImage> = serde_json::from_slice(bytes)
        .map_err(|error| Refusal::new(format!("member manifest.json: {}", shown(&error.to_string()))))?;
    if images.is_empty() {
        return Err(Refusal::new("member manifest.json: expected at least one image, found none"));
    }
    Ok(images)
}

/// Returns the digests of the uncompressed layers that a config states. `name` is its member.
///
/// # Errors
/// [`Refusal`].
pub(super) fn diff_ids(name: &str, config: &[u8]) -> Result<Vec<Digest>, Refusal> {
    let config: Config = serde_json::from_slice(config)
        .map_err(|error| Refusal::new(format!("member {}: {}", shown(name), shown(&error.to_string()))))?;
    let root = config.rootfs.ok_or_else(|| {
        Refusal::new(format!("member {}: expected an image's config, found one without rootfs", shown(name)))
    })?;
    Ok(root.diff_ids.unwrap_or_default())
}

/// Returns the digest that the name of a member states: `HEX.json`, `sha256:HEX` or
/// `blobs/sha256/HEX`.
pub(super) fn stated(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next().unwrap_or_default();
    let hex = last.strip_suffix(".json").unwrap_or(last);
    format!("sha256:{}", hex.strip_prefix("sha256:").unwrap_or(hex)).parse().ok()
}

/// Returns the name that a text of `RepoTags` is: a reference with a tag.
pub(super) fn name(text: &str) -> Option<Reference> {
    text.parse::<Reference>().ok().filter(|name| name.digest.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_may_lack_names_and_layers_only() {
        let list = br#"[{"Config":"c.json","RepoTags":null,"Layers":null},
            {"Config":"d.json","RepoTags":["a:1"],"Layers":["x/layer.tar"],"LayerSources":{},"Parent":"sha256:00"}]"#;
        let found = images(list).unwrap();
        assert!(found[0].repo_tags.is_none() && found[0].layers.is_none());
        assert_eq!(
            (&*found[1].config, found[1].layers.as_deref().unwrap()),
            ("d.json", &["x/layer.tar".to_owned()][..])
        );
        for wrong in [
            &b""[..],
            b"[]",
            b"{}",
            br#"[{"Layers":[]}]"#,
            br#"[{"Config":"a","Config":"b"}]"#,
            br#"[{"Config":"a","Layers":"x"}]"#,
            br#"[{"Config":"a"}] x"#,
        ] {
            assert!(images(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_config_states_its_layers() {
        let digest = Digest::sha256(b"x");
        let config = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
        assert_eq!(diff_ids("c", config.as_bytes()).unwrap(), [digest]);
        assert!(diff_ids("c", br#"{"rootfs":{"type":"layers","diff_ids":null}}"#).unwrap().is_empty());
        for wrong in [&b"{}"[..], b"null", br#"{"rootfs":{"diff_ids":["md5:00"]}}"#, br#"{"rootfs":[]}"#] {
            assert!(diff_ids("c", wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn names_may_state_digests_and_tags() {
        let digest = Digest::sha256(b"x");
        let hex = digest.hex();
        for name in [format!("{hex}.json"), format!("sha256:{hex}"), format!("blobs/sha256/{hex}"), hex.clone()] {
            assert_eq!(stated(&name), Some(digest), "{name}");
        }
        for other in ["config.json", "a/layer.tar", "", &hex[1..]] {
            assert_eq!(stated(other), None, "{other}");
        }
        assert_eq!(name("alpine:3").unwrap().to_string(), "docker.io/library/alpine:3");
        for wrong in ["<none>:<none>", "", "A:1", &format!("a@{digest}")] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }
}
