//! BUNDLE and TRUST on the command line: finds, opens and authenticates a bundle.

use super::Session;
use super::place::Bundle;
use super::trust::Trust;
use crate::bundle::check::check_computed;
use crate::bundle::{Trusted, Untrusted};
use crate::fault::{Class, Fault};
use crate::flow::Flow;
use crate::import::Gate;

/// Opens the bundle that `text` names.
///
/// # Errors
/// As [`crate::bundle::open`]; class usage for the forms that come later.
pub fn open(text: &str, session: &Session<'_>) -> Result<Untrusted, Fault> {
    let place = Bundle::parse(text, |path| session.path(path))?;
    let path = match place {
        Bundle::Named { dir, name } => session.path(&dir).join(format!("{name}.json")),
        Bundle::In(dir) => session.path(&dir),
        Bundle::Stream(path) => session.path(&path),
        Bundle::Stdin => {
            return Err(Fault::new(Class::Usage, "bundle -: streams are not in this version")
                .help("name the bundle as DIR/NAME"));
        }
    };
    Ok(crate::bundle::open(&path)?)
}

/// The ids that signed, as far as the signature file can be read: for the message that asks for trust.
pub fn found_keyids(bundle: &Result<Untrusted, Fault>) -> Vec<String> {
    let envelope = bundle.as_ref().ok().and_then(|bundle| bundle.envelope().ok());
    envelope.map(|envelope| envelope.keyids().map(ToOwned::to_owned).collect()).unwrap_or_default()
}

/// Opens and authenticates.
///
/// # Errors
/// Class usage without trust, before all else; those of [`Untrusted::authenticate`].
pub fn authenticated(text: &str, trust: &Trust, session: &Session<'_>) -> Result<Trusted, Fault> {
    let bundle = open(text, session);
    let policy = trust.policy(session, || found_keyids(&bundle))?;
    bundle?.authenticate(&policy)
}

/// The gate of an import: the medium's files and the documents were checked before the first push, and
/// what no artifact asks for (headers, index, end) is checked before the first tag. Each blob that was
/// pushed came through a checked reader; one that the destination has was not read.
pub struct BundleGate<'a> {
    bundle: &'a Trusted,
    flow: &'a Flow,
}

impl<'a> BundleGate<'a> {
    /// Checks files, documents and closure of `bundle`.
    ///
    /// # Errors
    /// Class format, integrity, io: everything that is wrong with the files.
    pub fn open(bundle: &'a Trusted, flow: &'a Flow) -> Result<Self, Fault> {
        let faults = bundle.survey().into_iter().map(Fault::from).collect();
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        bundle.closure(flow)?;
        Ok(Self { bundle, flow })
    }
}

impl Gate for BundleGate<'_> {
    fn pass(&self) -> Result<(), Fault> {
        Ok(check_computed(self.bundle, self.flow)?)
    }
}
