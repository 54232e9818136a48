//! Differences between the configs of single images that one name has on two sides, for people.
//!
//! Configs are read only for names that differ, and only a bounded number of them. A config that
//! cannot be read is unknown, never a fault.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::Arc;

use serde::Serialize;

use super::{Change, Contents, Difference, Naming, of_assumed};
use crate::base::fault::Fault;
use crate::bundle::Untrusted;
use crate::content::Source;
use crate::content::checked::Checked;
use crate::flow::Flow;
use crate::oci::image::{MAX_CONFIG, is_image_config};
use crate::oci::{Artifact, Descriptor, Digest, ImageFacts, Repository};

/// Maximum number of changed names whose configs are read.
const MOST: usize = 500;

/// The manifests of one side, and where they and their configs are read.
#[derive(Clone, Default)]
pub struct Images {
    source: Option<Arc<dyn Source>>,
    manifests: HashMap<Digest, (Repository, Descriptor)>,
}

/// A member of a config on both sides; absent where the config does not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Value on the old side.
    pub old: Option<String>,
    /// Value on the new side.
    pub new: Option<String>,
}

/// Steps of the history that only one side has, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// Steps that only the old side has.
    pub gone: Vec<String>,
    /// Steps that only the new side has.
    pub new: Vec<String>,
}

/// Difference between two configs; equal members are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageChange {
    /// `os/architecture[/variant]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Turn>,
    /// Creation time, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Turn>,
    /// Labels, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Turn>,
    /// History.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Steps>,
}

/// Changes of configs, by the digests of the old and the new manifest.
pub type ImageChanges = HashMap<(Digest, Digest), ImageChange>;

impl Images {
    /// Returns the images among `artifacts` of a side, which are read from `source`.
    pub fn new(source: Arc<dyn Source>, artifacts: &[Artifact]) -> Self {
        let manifest = |one: &Artifact| Descriptor::new(&one.media_type, one.digest, one.size);
        let manifests = artifacts.iter().map(|one| (one.digest, (one.repository.clone(), manifest(one)))).collect();
        Self { source: Some(source), manifests }
    }

    /// Returns the statements of the config of a single image, if it can be read.
    fn read(&self, manifest: &Digest) -> Option<ImageFacts> {
        let source = self.source.as_ref()?;
        let (repository, descriptor) = self.manifests.get(manifest)?;
        let document = source.document(repository, descriptor).ok()?;
        let config = document.config().filter(|one| is_image_config(&one.media_type) && one.size <= MAX_CONFIG)?;
        let mut bytes = Vec::new();
        let content = source.blob(repository, config).ok()?;
        Checked::new(content, config.clone()).read_to_end(&mut bytes).ok()?;
        ImageFacts::read(&bytes)
    }
}

/// Like [`super::of_bundle`], with the bundle's images.
///
/// # Errors
/// Those of [`super::of_bundle`].
pub fn of_bundle(flow: &Flow, bundle: Untrusted, name: &Naming) -> Result<(Contents, Images), Fault> {
    let bundle = Arc::new(bundle.assume()?);
    let contents = of_assumed(flow, &bundle, name)?;
    let artifacts = &bundle.manifest().artifacts;
    Ok((contents, Images::new(Arc::clone(&bundle) as Arc<dyn Source>, artifacts)))
}

/// Reads the configs of the first names that are another image on the new side, and compares them.
/// Names whose configs are unknown on one side are left out.
///
/// # Errors
/// [`crate::flow::Cancelled`].
pub fn compare_images(
    flow: &Flow,
    found: &Difference,
    old: &Images,
    new: &Images,
) -> Result<ImageChanges, crate::flow::Cancelled> {
    let mut changes = ImageChanges::new();
    let pairs = found.changes.iter().filter_map(|(_, change)| match change {
        Change::Changed { old, new } => Some((**old, **new)),
        Change::New(_) | Change::Gone(_) => None,
    });
    for (before, after) in pairs.take(MOST) {
        flow.check()?;
        if !changes.contains_key(&(before, after))
            && let (Some(old), Some(new)) = (old.read(&before), new.read(&after))
        {
            changes.insert((before, after), ImageChange::between(&old, &new));
        }
    }
    Ok(changes)
}

impl ImageChange {
    fn between(old: &ImageFacts, new: &ImageFacts) -> Self {
        let turn = |old: Option<&String>, new: Option<&String>| {
            (old != new).then(|| Turn { old: old.cloned(), new: new.cloned() })
        };
        let names = old.labels.keys().chain(new.labels.keys());
        let labels = names.filter_map(|name| Some((name.clone(), turn(old.labels.get(name), new.labels.get(name))?)));
        let steps = Steps { gone: only(&old.history, &new.history), new: only(&new.history, &old.history) };
        Self {
            platform: turn(old.platform.as_ref(), new.platform.as_ref()),
            created: turn(old.created.as_ref(), new.created.as_ref()),
            labels: labels.collect(),
            history: (steps != Steps::default()).then_some(steps),
        }
    }
}

/// Returns the steps of `one` that `other` does not have, a repeated step as often as it has more
/// of it.
fn only(one: &[String], other: &[String]) -> Vec<String> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    other.iter().for_each(|step| *left.entry(step).or_default() += 1);
    let is_own = |step: &&String| match left.get_mut(step.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    one.iter().filter(is_own).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(created: &str, labels: &[(&str, &str)], history: &[&str]) -> ImageFacts {
        ImageFacts {
            platform: Some("linux/amd64".to_owned()),
            created: Some(created.to_owned()),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            history: history.iter().map(|step| (*step).to_owned()).collect(),
        }
    }

    #[test]
    fn only_members_that_differ_are_named() {
        let old = facts("2026-11-01", &[("a", "1"), ("b", "2"), ("c", "3")], &["FROM x", "RUN y", "RUN y", "CMD old"]);
        let new = facts("2026-11-02", &[("a", "1"), ("b", "4"), ("d", "5")], &["FROM x", "RUN y", "ADD z", "CMD new"]);
        let change = ImageChange::between(&old, &new);
        let turn = |old: Option<&str>, new: Option<&str>| Turn { old: old.map(Into::into), new: new.map(Into::into) };
        assert_eq!(change.platform, None);
        assert_eq!(change.created, Some(turn(Some("2026-11-01"), Some("2026-11-02"))));
        let labels = [("b", Some("2"), Some("4")), ("c", Some("3"), None), ("d", None, Some("5"))];
        let labels = labels.map(|(name, old, new)| (name.to_owned(), turn(old, new)));
        assert_eq!(change.labels, BTreeMap::from(labels));
        let steps = change.history.unwrap();
        assert_eq!(
            (steps.gone, steps.new),
            (vec!["RUN y".into(), "CMD old".into()], vec!["ADD z".into(), "CMD new".into()])
        );
        assert_eq!(ImageChange::between(&old, &old), ImageChange::default());
    }
}
