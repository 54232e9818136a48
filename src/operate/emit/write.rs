//! Makes the files of one kind from receipts.

use super::emitted::Emitted;
use super::kind::Kind;
use super::scheme::PlainHttp;
use super::{containerd, helm_values, images, k3s, kustomize, names, openshift, registries_conf};
use crate::base::fault::{Class, Fault, differs};
use crate::decide::route::Place;
use crate::receipt::Receipt;

/// Facts that are not in receipts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Registry to name instead of the receipts' destination.
    pub to: Option<Place>,
    /// Registries that speak plain HTTP.
    pub plain_http: PlainHttp,
}

/// Makes the files of `kind` from the receipts of imports. Writes nothing.
///
/// # Errors
/// Those of [`names::of`]; [`Class::Source`] if nothing arrived.
pub fn write(receipts: &[Receipt], kind: Kind, options: &Options) -> Result<Emitted, Fault> {
    let names = names::of(receipts, options.to.as_ref())?;
    if names.all.is_empty() {
        let what = differs("receipts", "an artifact that arrived", "none");
        return Err(Fault::new(Class::Source, what).help("run the import again, and use its receipt"));
    }
    let (plain, mut unmapped) = (&options.plain_http, Vec::new());
    let files = match kind {
        Kind::Containerd => containerd::files(&names, plain, &mut unmapped),
        Kind::K3s => vec![k3s::file(&names, plain, &mut unmapped)],
        Kind::RegistriesConf => vec![registries_conf::file(&names, plain, &mut unmapped)],
        Kind::Idms => vec![openshift::digests(&names, &mut unmapped)],
        Kind::Itms => vec![openshift::tags(&names, &mut unmapped)],
        Kind::Kustomize => vec![kustomize::file(&names, &mut unmapped)],
        Kind::Images => vec![images::file(&names)],
        Kind::HelmValues => vec![helm_values::file(&names)],
    };
    unmapped.sort_by(|a, b| a.source.cmp(&b.source));
    let ambiguous = names.ambiguous();
    let repositories = names.all.len();
    let names::Names { unarrived, elsewhere, .. } = names;
    Ok(Emitted { kind, files, repositories, unmapped, ambiguous, unarrived, elsewhere })
}
