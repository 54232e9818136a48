//! BUNDLE and TRUST on the command line: finds, opens and authenticates a bundle.

use std::path::PathBuf;

use super::Session;
use super::place::Bundle;
use super::trust::Trust;
use crate::bundle::{Trusted, Untrusted};
use crate::fault::{Class, Fault};

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

/// The directories that hold the files of the bundle that `text` names: what a confined command may read. None
/// where `text` names no bundle, which [`open`] then says.
pub fn directories(text: &str, session: &Session<'_>) -> Vec<PathBuf> {
    match Bundle::parse(text, |path| session.path(path)) {
        Ok(Bundle::Named { dir, .. } | Bundle::In(dir)) => vec![session.path(&dir)],
        Ok(Bundle::Stream(path)) => vec![session.path(&path)],
        Ok(Bundle::Stdin) | Err(_) => Vec::new(),
    }
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
    let mut trust = trust.clone();
    let keeper = trust.standing(session);
    let policy = trust.policy(session, || found_keyids(&bundle))?;
    let bundle = bundle?.authenticate(&policy)?;
    keeper.told().warnings.iter().for_each(|text| session.flow.warn(text.as_str()));
    Ok(bundle)
}
