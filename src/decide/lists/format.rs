//! The kinds of lists, with their names.

/// A kind of list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain text, one selector a line, or a table.
    Text,
    /// A shell script.
    Shell,
    /// TOML with `artifacts`.
    Toml,
    /// Kubernetes resources.
    Kubernetes,
    /// Values of a chart.
    Values,
    /// Chart.yaml, Chart.lock.
    Chart,
    /// A kustomization.
    Kustomize,
    /// A compose file.
    Compose,
    /// Hauler's manifests.
    Hauler,
    /// oc-mirror's ImageSetConfiguration.
    OcMirror,
    /// A list of `skopeo sync`.
    Skopeo,
    /// regsync's configuration.
    Regsync,
    /// zarf.yaml.
    Zarf,
    /// Locks of imgpkg.
    Imgpkg,
}

impl Format {
    /// Every kind with its name.
    pub const ALL: [(&'static str, Self); 14] = [
        ("text", Self::Text),
        ("shell", Self::Shell),
        ("toml", Self::Toml),
        ("kubernetes", Self::Kubernetes),
        ("values", Self::Values),
        ("chart", Self::Chart),
        ("kustomize", Self::Kustomize),
        ("compose", Self::Compose),
        ("hauler", Self::Hauler),
        ("oc-mirror", Self::OcMirror),
        ("skopeo", Self::Skopeo),
        ("regsync", Self::Regsync),
        ("zarf", Self::Zarf),
        ("imgpkg", Self::Imgpkg),
    ];
}
