//! Selected artifacts, with the place that each is read from. Opens nothing.

use crate::decide::select::Wanted;
use crate::decide::selector::Source as Typed;

/// Source of a selected artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The layout with this index.
    Layout(usize),
    /// The bundle with this index.
    Bundle(usize),
    /// The archive, file or directory with this index.
    Local(usize),
    /// The registries.
    Registries,
}

/// One selected artifact.
pub struct Taken {
    /// Where it is read.
    pub at: At,
    /// Text before its name in a selector: empty for registries.
    pub from: String,
    /// The artifact.
    pub wanted: Wanted,
}

/// Returns the text before names of a source in a selector.
pub fn from(source: &Typed) -> String {
    match source {
        Typed::Layout { dir, .. } => format!("oci:{}:", dir.display()),
        Typed::Bundle { bundle, .. } => format!("bundle:{bundle}:"),
        Typed::Archive { file, .. } => format!("docker-archive:{}:", file.display()),
        Typed::File(path) => format!("file:{}", path.display()),
        Typed::Registry(_) | Typed::Tags { .. } | Typed::Repositories { .. } => String::new(),
    }
}
