//! `import --receipt FILE [--sign KEY]`: the receipt of one import, its keys and its name looked at before any work,
//! written whole and durably however the import ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, OFlags, flock};
use serde_json::{Value, json};

use super::args::trust::Trust;
use super::audit::{TOOL, now};
use super::commands::carry::key::load_signers;
use super::freshness::Told;
use super::newfile::name;
use super::receipt::signature_path;
use super::{Session, exit};
use crate::base::fault::{Class, Fault, escape};
use crate::base::time::Moment;
use crate::bundle::Trusted;
use crate::decide::route::Route;
use crate::oci::Digest;
use crate::operate::import::Account;
use crate::receipt::{
    Arrival, Bundle, FORMAT, Line, MAX_RECEIPT, MEDIA_TYPE, Named, Order, Outcome, Reason, Receipt, Scan, Signer, State,
};
use crate::scan::Summary;
use crate::signing::{self, Envelope, statement};
use crate::system;

/// The options.
#[derive(clap::Args, Debug)]
pub struct Receipting {
    /// Write what arrived, read back from the destination, into FILE.json, however the import ends
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    receipt: Option<PathBuf>,
    /// A private key, a PEM file or pkcs11:…, that signs the receipt in FILE.sig.json; repeat it for more
    #[arg(long, value_name = "KEY", requires = "receipt")]
    sign: Vec<PathBuf>,
    /// The passphrase of a key, one file a key, in order, or systemd:NAME; else it is asked for
    #[arg(long, value_name = "FILE", requires = "sign")]
    passphrase_file: Vec<PathBuf>,
}

/// A receipt to be written: its file is there under another name, and this run's alone.
pub struct Slip {
    path: PathBuf,
    shown: String,
    partial: PathBuf,
    file: File,
    keys: Vec<Box<dyn signing::Signer>>,
    started: Moment,
}

/// What an import has to say.
pub struct Report<'a> {
    /// The bundle.
    pub bundle: &'a Trusted,
    /// Its order.
    pub order: &'a Told,
    /// What was allowed.
    pub trust: &'a Trust,
    /// The destination as typed.
    pub to: &'a str,
    /// The names there.
    pub route: Option<&'a Route>,
    /// What was done.
    pub account: Account,
    /// Why not all of it.
    pub fault: Option<&'a Fault>,
    /// What a scanner said.
    pub scan: Option<&'a Summary>,
}

/// A receipt that was written.
pub struct Written {
    /// For people: a line.
    pub line: String,
    /// For programs.
    pub json: Value,
}

impl Receipting {
    /// Looks at keys and name, and begins the file; `None` where no receipt is asked for.
    ///
    /// # Errors
    /// Class usage for keys, names and files that are there; class io where it cannot be written; class lock.
    pub fn open(&self, session: &mut Session<'_>) -> Result<Option<Slip>, Fault> {
        let Some(typed) = &self.receipt else { return Ok(None) };
        let keys = load_signers(&self.sign, &self.passphrase_file, session.world)?;
        let (path, shown) = (session.path(typed), escape(&typed.to_string_lossy()));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.strip_suffix(".json").is_none_or(|stem| stem.is_empty() || name.ends_with(".sig.json")) {
            let what = format!("--receipt {shown}: expected a name that ends in .json, and not in .sig.json");
            return Err(Fault::usage(what, "name it for example received/apps-7.json"));
        }
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        // A run that was killed between the two names left the signatures alone.
        let is_left = partial.symlink_metadata().is_ok();
        let others = if is_left { vec![path.clone()] } else { vec![path.clone(), signature_path(&path)] };
        let is_free = || match others.iter().find(|path| path.symlink_metadata().is_ok()) {
            None => Ok(()),
            Some(there) => {
                let there = escape(&there.to_string_lossy());
                let what = format!("--receipt {shown}: expected no file {there}, found one");
                Err(Fault::usage(what, "choose another name; a receipt is never overwritten"))
            }
        };
        is_free()?;
        let io = |error: io::Error| {
            Fault::new(Class::Io, format!("--receipt {shown}: {error}"))
                .help("name a file in a folder that is there and that you can write to")
        };
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o644).custom_flags(flags);
        let file = options.open(&partial).map_err(io)?;
        let held = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Whoever had it may have given it its name, or taken it away.
            Ok(()) => {
                let own = file.metadata().map_err(io)?.ino();
                partial.symlink_metadata().is_ok_and(|there| there.ino() == own)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => false,
            Err(error) => return Err(io(error.into())),
        };
        if !held {
            let what = format!("--receipt {shown}: another import writes it");
            return Err(Fault::new(Class::Lock, what).help("wait for it, or choose another name"));
        }
        is_free()?;
        Ok(Some(Slip { path, shown, partial, file, keys, started: now(session.flow.clock())? }))
    }
}

impl Slip {
    /// Writes the receipt: signatures first, so that it is never without them.
    ///
    /// # Errors
    /// Class io, usage for a file that came in between.
    pub fn write(self, told: Report<'_>, session: &Session<'_>) -> Result<Written, Fault> {
        let audit = match session.audit.as_ref().map(|audit| audit.newest()) {
            Some(Ok(newest)) => newest.map(|newest| Line { digest: newest.digest, number: newest.number }),
            // The run itself ends in this fault.
            Some(Err(fault)) => {
                session.flow.warn(fault.what);
                None
            }
            None => None,
        };
        let mut receipt = compose(told, self.started, now(session.flow.clock())?, audit);
        receipt.check().map_err(|fault| Fault { class: Class::Bug, ..fault })?;
        let mut bytes = receipt.to_bytes();
        if bytes.len() as u64 > MAX_RECEIPT {
            let left = receipt.fit(MAX_RECEIPT);
            session.flow.warn(format!("--receipt {}: {left} small blobs had no room in it", self.shown));
            bytes = receipt.to_bytes();
        }
        if bytes.len() as u64 > MAX_RECEIPT {
            let what = format!("--receipt {}: expected at most {MAX_RECEIPT} bytes, found {}", self.shown, bytes.len());
            return Err(Fault::new(Class::Policy, what).help("import fewer artifacts at once"));
        }
        let digest = Digest::sha256(&bytes);
        let mut envelope = Envelope::new(statement(MEDIA_TYPE, digest, bytes.len() as u64));
        self.keys.iter().try_for_each(|key| envelope.sign_with(&**key))?;
        let keyids: Vec<String> = envelope.keyids().map(ToOwned::to_owned).collect();
        let signatures = (!keyids.is_empty()).then(|| envelope.to_bytes());
        self.publish(&bytes, signatures.as_deref()).map_err(|error| {
            let what = format!("--receipt {}: {error}", self.shown);
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Fault::usage(what, "choose another name; a receipt is never overwritten");
            }
            Fault::new(Class::Io, what).help("make room, and import again: what is there is not sent again")
        })?;
        let by = match keyids.len() {
            0 => "signed by nobody".to_owned(),
            _ => format!("signed by {}", keyids.join(", ")),
        };
        let line = format!("receipt    {}, {by}\n", self.shown);
        let arrived = receipt.arrived();
        let json = json!({ "file": self.shown, "digest": digest, "keyids": keyids, "arrived": arrived });
        Ok(Written { line, json })
    }

    fn publish(&self, bytes: &[u8], signatures: Option<&[u8]>) -> io::Result<()> {
        let mut file = &self.file;
        self.file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let target = signature_path(&self.path);
        match signatures {
            Some(signatures) => {
                let mut partial = target.clone().into_os_string();
                partial.push(".partial");
                let mut file = system::create_anew(partial.as_ref(), 0o644)?;
                file.write_all(signatures)?;
                file.sync_all()?;
                // It was not there, or a killed run left it, whose place this run has.
                std::fs::rename(&partial, &target)?;
            }
            None => match std::fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        name(&self.partial, &self.path)?;
        system::sync_name(&self.path)
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        // Gone already where the receipt has its name. Best effort: what stays is taken up by the next run.
        let _ = std::fs::remove_file(&self.partial);
    }
}

fn compose(told: Report<'_>, started: Moment, ended: Moment, audit: Option<Line>) -> Receipt {
    let Report { bundle, order, trust, to, route, account, fault, scan } = told;
    let manifest = bundle.manifest();
    let artifacts = if account.artifacts.is_empty() { nothing(bundle, route, fault) } else { account.artifacts };
    let counted = &bundle.admission().counted;
    let signers = bundle.judgement().good.iter().map(|keyid| {
        let entry = counted.iter().find(|entry| entry.keyids.contains(keyid));
        let (holder, role) = (entry.map(|entry| escape(&entry.holder)), entry.map(|entry| escape(&entry.role)));
        Signer { holder, keyid: keyid.clone(), role }
    });
    Receipt {
        artifacts,
        audit,
        blobs: account.blobs,
        bundle: Bundle {
            channel: manifest.channel.clone(),
            created: manifest.created,
            epoch: manifest.epoch,
            id: bundle.id(),
            name: manifest.name.to_string(),
            sequence: manifest.sequence,
        },
        counts: account.counts,
        destination: escape(to),
        ended,
        fault: fault.map(|fault| Reason { class: exit::name(fault.class).to_owned(), text: escape(&fault.what) }),
        format: FORMAT.to_owned(),
        order: turn(order, trust),
        scan: scan.map(|scan| Scan {
            clean: scan.clean,
            scanner: escape(&scan.scanner),
            version: scan.version.as_deref().map(escape),
        }),
        signers: signers.collect(),
        started,
        tool: TOOL.to_owned(),
    }
}

/// The artifacts of an import that ended before it had looked at the destination.
fn nothing(bundle: &Trusted, route: Option<&Route>, fault: Option<&Fault>) -> Vec<Arrival> {
    let why = fault.map_or("it did nothing", |fault| fault.what.as_str());
    let one = |artifact: &crate::oci::Artifact| Arrival {
        destination: route.and_then(|route| route.destination(&artifact.repository).ok()).map(|name| name.to_string()),
        digest: artifact.digest,
        outcome: Outcome::Failed,
        read_back: None,
        reason: Some(escape(&format!("the import ended before it: {why}"))),
        repository: artifact.repository.clone(),
        tags: artifact
            .tags
            .iter()
            .map(|tag| Named { name: tag.clone(), outcome: State::Failed, read_back: None })
            .collect(),
    };
    bundle.manifest().artifacts.iter().map(one).collect()
}

fn turn(order: &Told, trust: &Trust) -> Option<Order> {
    let options = [("allow-stale", trust.allow_stale), ("init-state", trust.init_state)];
    let allowed: Vec<String> =
        options.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect();
    if order.json.is_null() && allowed.is_empty() {
        return None;
    }
    let overlooked = order.json["overlooked"].as_array().into_iter().flatten();
    let overlooked = overlooked.filter_map(|text| text.as_str().map(escape)).collect();
    let state = order.json["state"].as_str().unwrap_or("unchecked").to_owned();
    Some(Order { allowed, overlooked, state })
}
