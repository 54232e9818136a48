//! The kinds of files, and the first line of each.

/// A consumer's kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tree of `hosts.toml` for containerd's `config_path`.
    Containerd,
    /// `registries.yaml` of K3s and RKE2.
    K3s,
    /// A drop-in for `/etc/containers/registries.conf.d`: podman, buildah, skopeo, CRI-O.
    RegistriesConf,
    /// An ImageDigestMirrorSet of OpenShift.
    Idms,
    /// An ImageTagMirrorSet of OpenShift.
    Itms,
    /// A component of kustomize with `images`.
    Kustomize,
    /// A list of old and new names.
    Images,
    /// Values for Helm charts.
    HelmValues,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Containerd,
        Self::K3s,
        Self::RegistriesConf,
        Self::Idms,
        Self::Itms,
        Self::Kustomize,
        Self::Images,
        Self::HelmValues,
    ];

    /// Returns the name of the kind on the command line and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::K3s => "k3s",
            Self::RegistriesConf => "registries-conf",
            Self::Idms => "idms",
            Self::Itms => "itms",
            Self::Kustomize => "kustomize",
            Self::Images => "images",
            Self::HelmValues => "helm-values",
        }
    }

    /// Returns the kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the first line of every file of this kind, by which an earlier one is recognized.
    pub fn mark(self) -> String {
        format!("# Written by packmule emit {}, which replaces this file.\n", self.name())
    }
}
