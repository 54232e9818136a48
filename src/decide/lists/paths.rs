//! Places of images in custom resources: built-in ones, and ones that the user names.

use crate::base::fault::Fault;
use crate::yaml::Node;

/// A path of keys to images, in resources of one kind or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePath {
    kind: Option<String>,
    keys: Vec<String>,
}

/// Places outside `image:` where well-known resources name images or artifacts.
const KNOWN: [(&str, &str); 5] = [
    ("Cluster", "spec.imageName"),
    ("Provider", "spec.package"),
    ("Configuration", "spec.package"),
    ("Function", "spec.package"),
    ("WasmPlugin", "spec.url"),
];

impl ImagePath {
    /// Parses `[KIND:]PATH`, such as `Cluster:.spec.imageName` or `{.spec.parts[*].image}`.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let plain = text.trim_start_matches('{').trim_end_matches('}');
        let (kind, path) = plain.split_once(':').map_or((None, plain), |(kind, path)| (Some(kind), path));
        let keys: Vec<String> =
            path.replace("[*]", "").split('.').filter(|key| !key.is_empty()).map(ToOwned::to_owned).collect();
        let is_good = |key: &String| key.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c));
        if keys.is_empty() || !keys.iter().all(is_good) || kind.is_some_and(str::is_empty) {
            let what = format!("--image-path {text:?}: expected [KIND:]PATH");
            return Err(Fault::usage(what, "write for example Cluster:.spec.imageName"));
        }
        Ok(Self { kind: kind.map(ToOwned::to_owned), keys })
    }

    fn in_resource<'n>(&self, kind: &str, resource: &'n Node) -> Vec<&'n Node> {
        if self.kind.as_ref().is_some_and(|own| own != kind) {
            return Vec::new();
        }
        walk(resource, &self.keys)
    }
}

fn walk<'n>(node: &'n Node, keys: &[String]) -> Vec<&'n Node> {
    if !node.items().is_empty() {
        return node.items().iter().flat_map(|item| walk(item, keys)).collect();
    }
    match keys.split_first() {
        None => vec![node],
        Some((key, rest)) => node.get(key).map(|node| walk(node, rest)).unwrap_or_default(),
    }
}

/// Returns the nodes of a resource that hold images by a built-in path or one of `own`.
pub fn images<'n>(kind: &str, resource: &'n Node, own: &[ImagePath]) -> Vec<&'n Node> {
    let known = KNOWN.iter().filter(|(of, _)| *of == kind).map(|(of, path)| ImagePath {
        kind: Some((*of).to_owned()),
        keys: path.split('.').map(ToOwned::to_owned).collect(),
    });
    let found = known.chain(own.iter().cloned());
    found.flat_map(|path| path.in_resource(kind, resource)).filter(|node| node.text().is_some()).collect()
}
