//! `import --receipt FILE [--sign KEY]`: the receipt of one import. Its keys and its name are
//! checked before any work; it is written atomically and durably, however the import ends.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::earlier;
use super::newfile::{Draft, name};
use super::signers::load_signers;
use crate::base::fault::{Class, Fault, differs, escape, expects};
use crate::base::time::Moment;
use crate::cli::audit::now;
use crate::cli::receipt::signature_path;
use crate::cli::session::Session;
use crate::oci::Digest;
use crate::operate::import::receipt_data::{Facts, Times, compose};
use crate::outfile::{Place, Refusal, check_name, look, unmounted};
use crate::receipt::{BEGINS, Line, MAX_RECEIPT, MEDIA_TYPE};
use crate::signing::envelope::MAX_FILE;
use crate::signing::{self, Envelope, statement};
use crate::system::{self, Access};

/// Options for a receipt.
#[derive(clap::Args, Debug)]
pub struct Receipting {
    /// Write a receipt of what arrived, read back from the destination, to FILE.json, however the
    /// import ends
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    receipt: Option<PathBuf>,
    /// Private key, a PEM file or pkcs11:…, that signs the receipt in FILE.sig.json; repeatable
    #[arg(long, value_name = "KEY", requires = "receipt")]
    sign: Vec<PathBuf>,
    /// File with the passphrase of a key, or systemd:NAME; repeat once per key, in the order of the
    /// keys [default: ask]
    #[arg(long, value_name = "FILE", requires = "sign")]
    passphrase_file: Vec<PathBuf>,
}

/// A receipt to be written. Its file already exists under a temporary name, locked by this run.
pub struct Slip {
    path: PathBuf,
    shown: String,
    out: Out,
    keys: Vec<Box<dyn signing::private::signer::Signer>>,
    started: Moment,
}

enum Out {
    File { partial: PathBuf, file: File },
    Stream(File),
}

/// A receipt that was written.
pub struct Written {
    /// Path of its file.
    pub path: PathBuf,
    /// The receipt.
    pub receipt: crate::receipt::Receipt,
    /// Text for people.
    pub line: String,
    /// Value for programs.
    pub json: Value,
}

impl Receipting {
    /// Loads the keys, checks the name and starts the file; `None` if no receipt was requested.
    ///
    /// # Errors
    /// Class usage for keys, names and existing files; class io if it cannot be written; class
    /// lock.
    pub fn open(&self, session: &mut Session<'_>) -> Result<Option<Slip>, Fault> {
        let Some(typed) = &self.receipt else { return Ok(None) };
        let keys = load_signers(&self.sign, &self.passphrase_file, session.world)?;
        Slip::open(typed, keys, session).map(Some)
    }
}

/// Returns the device or pipe to write the receipt to, if it is one.
fn stream(path: &Path, shown: &str, signs: bool) -> Result<Option<File>, Fault> {
    // Any other file is checked together with the names.
    let Ok(Place::Stream(stream)) = look(path, |_| Ok(true)) else { return Ok(None) };
    if !signs {
        return Ok(Some(stream));
    }
    let what = differs(
        format_args!("--receipt {shown}"),
        "a file",
        "a device or pipe, which cannot have a signature file next to it",
    );
    Err(Fault::usage(what, "name a file, or leave out --sign"))
}

/// Creates and locks the receipt's partial file.
fn claim(path: &Path, shown: &str) -> Result<(PathBuf, File), Fault> {
    let subject = format!("--receipt {shown}");
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.strip_suffix(".json").is_none_or(|stem| stem.is_empty() || name.ends_with(".sig.json")) {
        let what = expects(&subject, "a name that ends in .json but not in .sig.json");
        return Err(Fault::usage(what, "name it for example received/apps-7.json"));
    }
    let refused = |refusal: Refusal| refusal.into_fault(&subject, "receipt");
    check_name(path).map_err(refused)?;
    let mut partial = path.to_owned().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // A run that was killed between the two renames left only the signatures.
    let is_left = partial.symlink_metadata().is_ok();
    let signatures = signature_path(path);
    let is_free = || {
        if earlier::is_failed(path) {
            return Ok(());
        }
        let there = [path, &*signatures].into_iter().find(|path| path.symlink_metadata().is_ok());
        match there {
            None => Ok(()),
            Some(there) if is_left && there == signatures && is_receipts(there) => Ok(()),
            Some(there) => {
                let there = escape(&there.to_string_lossy());
                let what = expects(&subject, format_args!("no file {there}, or the receipt of a failed import"));
                Err(Fault::usage(what, "choose another name; only the receipt of a failed import is moved away"))
            }
        }
    };
    is_free()?;
    let io = |error: io::Error| refused(Refusal::Io(error));
    let (file, is_new) =
        system::open_or_create(&partial, Access::Write, 0o644).map_err(|unopened| refused(unopened.into()))?;
    let held = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // The previous holder may have renamed or removed the file.
        Ok(()) => {
            let own = file.metadata().map_err(io)?.ino();
            partial.symlink_metadata().is_ok_and(|there| there.ino() == own)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => false,
        Err(error) => return Err(io(error.into())),
    };
    if !held {
        let what = format!("{subject}: another import writes it");
        return Err(Fault::new(Class::Lock, what).help("wait for it, or choose another name"));
    }
    if !is_new && !is_unfinished(&file).map_err(io)? {
        let what = format!("{subject}: {} is not an unfinished receipt", escape(&partial.to_string_lossy()));
        return Err(Fault::usage(what, "choose another name, or move that file away"));
    }
    is_free()?;
    Ok((partial, file))
}

/// Returns whether a file is what a killed run may have left of a receipt.
fn is_unfinished(mut file: &File) -> io::Result<bool> {
    let mut found = Vec::new();
    file.take(BEGINS.len() as u64).read_to_end(&mut found)?;
    file.rewind()?;
    Ok(BEGINS.starts_with(&found))
}

/// Returns whether a file holds signatures of a receipt.
fn is_receipts(path: &Path) -> bool {
    let bytes = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        system::open_file(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let envelope = bytes().ok().and_then(|bytes| Envelope::parse(&bytes).ok());
    let names = |payload: &[u8]| payload.windows(MEDIA_TYPE.len()).any(|window| window == MEDIA_TYPE.as_bytes());
    envelope.is_some_and(|envelope| names(&envelope.payload))
}

impl Slip {
    /// Checks the name and starts the file `typed`, which `keys` will sign.
    ///
    /// # Errors
    /// Class usage for names and existing files; class io if it cannot be written; class lock.
    pub fn open(
        typed: &Path,
        keys: Vec<Box<dyn signing::private::signer::Signer>>,
        session: &Session<'_>,
    ) -> Result<Self, Fault> {
        let (path, shown) = (session.path(typed), escape(&typed.to_string_lossy()));
        let started = now(session.flow.clock())?;
        if let Some(stream) = stream(&path, &shown, !keys.is_empty())? {
            return Ok(Self { path, shown, out: Out::Stream(stream), keys, started });
        }
        let (partial, file) = claim(&path, &shown)?;
        unmounted(&path).into_iter().for_each(|warning| session.flow.warn(warning));
        Ok(Self { path, shown, out: Out::File { partial, file }, keys, started })
    }

    /// Writes the receipt; the signatures come first, so that it never exists without them.
    ///
    /// # Errors
    /// Class io; class usage for a file that has appeared meanwhile.
    pub fn write(self, facts: Facts<'_>, session: &Session<'_>) -> Result<Written, Fault> {
        let audit = match session.audit.as_ref().map(|audit| audit.newest()) {
            Some(Ok(newest)) => newest.map(|newest| Line { digest: newest.digest, number: newest.number }),
            // The run itself ends with this fault.
            Some(Err(fault)) => {
                session.flow.warn(fault.what);
                None
            }
            None => None,
        };
        let times = Times { started: self.started, ended: now(session.flow.clock())? };
        let mut receipt = compose(facts, times, audit);
        receipt.check().map_err(|fault| Fault { class: Class::Bug, ..fault })?;
        let mut bytes = receipt.to_bytes();
        if bytes.len() as u64 > MAX_RECEIPT {
            let left = receipt.fit(MAX_RECEIPT);
            session.flow.warn(format!("--receipt {}: {left} small blobs did not fit", self.shown));
            bytes = receipt.to_bytes();
        }
        if bytes.len() as u64 > MAX_RECEIPT {
            let what = differs(
                format_args!("--receipt {}", self.shown),
                format_args!("at most {MAX_RECEIPT} bytes"),
                bytes.len(),
            );
            return Err(Fault::new(Class::Policy, what).help("import fewer artifacts at once"));
        }
        let digest = Digest::sha256(&bytes);
        let mut envelope = Envelope::new(statement(MEDIA_TYPE, digest, bytes.len() as u64));
        self.keys.iter().try_for_each(|key| envelope.sign_with(&**key))?;
        let keyids: Vec<String> = envelope.keyids().map(ToOwned::to_owned).collect();
        let signatures = (!keyids.is_empty()).then(|| envelope.to_bytes());
        let moved = self.publish(&bytes, signatures.as_deref()).map_err(|error| {
            let what = format!("--receipt {}: {error}", self.shown);
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Fault::usage(what, "choose another name; a receipt is never overwritten");
            }
            Fault::new(Class::Io, what).help("make room and import again; content that has arrived is not sent again")
        })?;
        let by = match keyids.len() {
            0 => "signed by nobody".to_owned(),
            _ => format!("signed by {}", keyids.join(", ")),
        };
        let moved = moved.map(|path| escape(&path.to_string_lossy()));
        let earlier =
            moved.as_ref().map(|moved| format!("earlier    the receipt of the failed import is now {moved}\n"));
        let line = format!("receipt    {}, {by}\n{}", self.shown, earlier.unwrap_or_default());
        let arrived = receipt.arrived();
        let mut json = json!({ "file": self.shown, "digest": digest, "keyids": keyids, "arrived": arrived });
        if let Some(moved) = moved {
            json["earlier"] = json!(moved);
        }
        Ok(Written { path: self.path.clone(), receipt, line, json })
    }

    /// Renames the new receipt to its final name; returns where an earlier one was moved.
    fn publish(&self, bytes: &[u8], signatures: Option<&[u8]>) -> io::Result<Option<PathBuf>> {
        let (partial, mut file) = match &self.out {
            Out::File { partial, file } => (partial, file),
            Out::Stream(stream) => return { stream }.write_all(bytes).map(|()| None),
        };
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // The new receipt is complete, so the earlier one can make room for it.
        let moved = earlier::make_room(&self.path)?;
        let target = signature_path(&self.path);
        match signatures {
            Some(signatures) => {
                let draft = Draft::beside(&target, 0o644)?;
                draft.fill(signatures)?;
                // Left by a killed run; this run has its lock.
                if is_receipts(&target) { draft.replace()? } else { draft.settle()? }
            }
            None if is_receipts(&target) => std::fs::remove_file(&target)?,
            None => {}
        }
        name(partial, &self.path)?;
        system::sync_name(&self.path)?;
        Ok(moved)
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        // Fails if the receipt already has its final name. Best effort: the next run takes up a
        // file left here.
        if let Out::File { partial, .. } = &self.out {
            let _ = std::fs::remove_file(partial);
        }
    }
}
