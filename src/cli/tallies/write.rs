//! The tally of a shard as a file, and its signatures next to it: opened and locked before the work, and
//! written at the end through the open handles, so that a confined process needs no other right.
//!
//! Until the shard has passed the files are empty, and an empty file is no tally. Files that are not
//! tallies are never touched.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::keys::Keys;
use crate::base::fault::{Class, Fault, differs, escape, expects};
use crate::bundle::check::seen::{BEGINS, MEDIA_TYPE, Seen};
use crate::cli::receipt::signature_path;
use crate::oci::Digest;
use crate::operate::tallies::statement_of;
use crate::outfile::{Place, Refusal, look};
use crate::signing::Envelope;
use crate::signing::envelope::MAX_FILE;
use crate::system::{self, Claim};

/// A tally to be written.
pub struct TallyFile {
    shown: String,
    out: Out,
    signatures: Option<Claim>,
    keys: Keys,
}

enum Out {
    File(Claim),
    // A device or a pipe.
    Stream(File),
}

/// A tally that was written.
pub struct Written {
    /// Text for people.
    pub line: String,
    /// Value for programs.
    pub json: Value,
}

impl TallyFile {
    /// Opens a new file or an earlier tally at `path`, and with keys its signature file, and empties them.
    ///
    /// # Errors
    /// Class usage for another name or another file; class io if it cannot be written; class lock if
    /// another run writes it.
    pub fn open(path: &Path, keys: Keys) -> Result<Self, Fault> {
        let shown = escape(&path.to_string_lossy());
        let subject = format!("-o {shown}");
        let refused = |refusal: Refusal| refusal.into_fault(&subject, "tally");
        if let Place::Stream(stream) = look(path, |_| Ok(true)).map_err(refused)? {
            if !keys.is_empty() {
                let what =
                    differs(&subject, "a file", "a device or pipe, which cannot have a signature file next to it");
                return Err(Fault::usage(what, "name a file, or leave out --sign"));
            }
            return Ok(Self { shown, out: Out::Stream(stream), signatures: None, keys });
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.strip_suffix(".json").is_none_or(|stem| stem.is_empty() || name.ends_with(".sig.json")) {
            let what = expects(&subject, "a directory, or a name that ends in .json but not in .sig.json");
            return Err(Fault::usage(what, "name it for example tallies/apps-7.2-of-4.json"));
        }
        let file = claimed(path, &subject, is_tally)?;
        let signed = signature_path(path);
        // Signatures of an earlier tally must not stay next to a new one.
        let is_signed = !keys.is_empty() || signed.symlink_metadata().is_ok();
        let signatures = is_signed.then(|| claimed(&signed, &subject, is_signatures)).transpose()?;
        Ok(Self { shown, out: Out::File(file), signatures, keys })
    }

    /// Writes the tally; the signatures come first, so that it never exists without them.
    ///
    /// # Errors
    /// Class io.
    pub fn write(&self, seen: &Seen) -> Result<Written, Fault> {
        let failed = |error: io::Error| {
            Fault::new(Class::Io, format!("-o {}: {error}", self.shown)).help("make room, and run the shard again")
        };
        let bytes = seen.to_bytes();
        let mut keyids = Vec::new();
        if let Some(file) = self.signatures.as_ref().filter(|_| !self.keys.is_empty()) {
            let envelope = self.keys.sign(statement_of(&bytes))?;
            keyids = envelope.keyids().map(ToOwned::to_owned).collect();
            fill(file.file(), &envelope.to_bytes()).map_err(failed)?;
        }
        match &self.out {
            Out::File(claim) => fill(claim.file(), &bytes),
            Out::Stream(stream) => { stream }.write_all(&bytes),
        }
        .map_err(failed)?;
        let by =
            if keyids.is_empty() { "signed by nobody".to_owned() } else { format!("signed by {}", keyids.join(", ")) };
        let line = format!("tally      {}, {by}\n", self.shown);
        let json = json!({ "file": self.shown, "digest": Digest::sha256(&bytes), "keyids": keyids });
        Ok(Written { line, json })
    }
}

/// Opens a file that is `own`, empty or new for this run alone, and empties it.
fn claimed(path: &Path, subject: &str, own: fn(&File) -> io::Result<bool>) -> Result<Claim, Fault> {
    let refused = |refusal: Refusal| refusal.into_fault(subject, "tally");
    look(path, own).map_err(refused)?;
    let Some(claim) = system::claim(path).map_err(|unopened| refused(unopened.into()))? else {
        let what = differs(subject, "a file for this run alone", "another run writing it");
        return Err(Fault::new(Class::Lock, what).help("wait for it, or name another file"));
    };
    let io = |error: io::Error| refused(Refusal::Io(error));
    // It may have been exchanged since it was looked at.
    if !claim.is_new() && !is_empty(claim.file()).map_err(io)? && !own(claim.file()).map_err(io)? {
        return Err(refused(Refusal::Other));
    }
    claim.file().set_len(0).and_then(|()| claim.file().sync_all()).map_err(io)?;
    Ok(claim)
}

fn is_empty(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.len() == 0)
}

fn first(mut file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut found = Vec::new();
    file.rewind()?;
    file.take(most as u64).read_to_end(&mut found)?;
    Ok(found)
}

/// Returns whether a file is a tally, or what a killed run may have left of one.
fn is_tally(file: &File) -> io::Result<bool> {
    Ok(BEGINS.starts_with(&first(file, BEGINS.len())?))
}

/// Returns whether a file holds signatures of a tally.
fn is_signatures(file: &File) -> io::Result<bool> {
    let names = |payload: &[u8]| payload.windows(MEDIA_TYPE.len()).any(|window| window == MEDIA_TYPE.as_bytes());
    Ok(Envelope::parse(&first(file, MAX_FILE + 1)?).is_ok_and(|envelope| names(&envelope.payload)))
}

fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(bytes)?;
    file.sync_all()
}
