//! ImageDigestMirrorSet and ImageTagMirrorSet of OpenShift, whose operator makes `registries.conf`
//! of them.
//!
//! A digest set serves pulls by digest, a tag set pulls by tag; a cluster may have both.

use super::emitted::{File, Unmapped};
use super::kind::Kind;
use super::names::{Name, Names};
use super::registries_conf::unchained;
use crate::oci::Repository;

/// Reason why a name is not valid in a set.
const FORM: &str = "OpenShift's form of names does not allow this host";

/// Returns the set of digests.
pub fn digests(names: &Names, unmapped: &mut Vec<Unmapped>) -> File {
    let text = set(Kind::Idms, "ImageDigestMirrorSet", "imageDigestMirrors", led(names, unmapped));
    File { path: "idms.yaml".to_owned(), text }
}

/// Returns the set of tags, of the repositories that have any.
pub fn tags(names: &Names, unmapped: &mut Vec<Unmapped>) -> File {
    let tagged = led(names, unmapped).into_iter().filter(|name| !name.tags.is_empty()).collect();
    let text = set(Kind::Itms, "ImageTagMirrorSet", "imageTagMirrors", tagged);
    File { path: "itms.yaml".to_owned(), text }
}

fn led<'a>(names: &'a Names, unmapped: &mut Vec<Unmapped>) -> Vec<&'a Name> {
    let (good, bad): (Vec<&Name>, Vec<&Name>) = unchained(names, unmapped)
        .into_iter()
        .partition(|name| host_is_valid(&name.source) && host_is_valid(&name.destination));
    unmapped.extend(bad.into_iter().map(|name| {
        let (source, destination) = (name.source.clone(), name.destination.clone());
        Unmapped { source, destination, reason: FORM }
    }));
    good
}

/// Whether the definitions' pattern allows the host: no brackets, and no label that ends with a dash.
fn host_is_valid(name: &Repository) -> bool {
    let labels = name.host().split(':').next().unwrap_or_default();
    !name.host().starts_with('[') && labels.split('.').all(|label| !label.ends_with('-'))
}

fn set(kind: Kind, object: &str, list: &str, names: Vec<&Name>) -> String {
    let mut text = format!(
        "{}apiVersion: config.openshift.io/v1\nkind: {object}\nmetadata:\n  name: packmule\nspec:\n",
        kind.mark()
    );
    text.push_str(&if names.is_empty() { format!("  {list}: []\n") } else { format!("  {list}:\n") });
    for name in names {
        text.push_str(&format!(
            "    - source: \"{}\"\n      mirrors:\n        - \"{}\"\n      mirrorSourcePolicy: NeverContactSource\n",
            name.source, name.destination
        ));
    }
    text
}
