//! `pipeline check`: tries everything that a run of a pipeline would reach, and lists all that is
//! missing.
//!
//! Stores nothing at registries and containers: the right to write a container is tried by a write
//! under a condition that cannot hold, the right to delete by deleting an object that is not there, the
//! right to push by opening an upload and cancelling it.

use std::path::Path;

use serde_json::{Value, json};

use super::find::{How, Pipeline};
use super::import::believed;
use super::{export, place, record, secrets};
use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::Name;
use crate::cli::Session;
use crate::cli::args::bundle::open_place;
use crate::cli::args::carry::destination::{Names, names};
use crate::cli::args::place::Destination;
use crate::cli::network::Network;
use crate::cli::network::config::pipelines::{Export, Import, Place};
use crate::cli::output::Outcome;
use crate::cli::writing::newfile::Draft;
use crate::content::Kind;
use crate::decide::route;
use crate::flow::each;
use crate::oci::Repository;
use crate::operate::freshness::Side;
use crate::operate::transfer::list;
use crate::storage::{Condition, Container, Needs};

/// Name of the object that rights are tried with. It is never made.
const PROBE: &str = "packmule-check";

/// Everything that was tried.
#[derive(Default)]
struct Tried {
    text: String,
    list: Vec<Value>,
    faults: Vec<Fault>,
}

impl Tried {
    /// Notes the result of a step, and returns its value.
    fn step<T>(&mut self, step: &str, subject: &str, result: Result<T, Fault>) -> Option<T> {
        let word = if result.is_ok() { "ok" } else { "MISSING" };
        self.text.push_str(&format!("{word:10} {step}: {}\n", escape(subject)));
        let mut entry = json!({ "step": step, "subject": subject, "ok": result.is_ok() });
        match result {
            Ok(value) => {
                self.list.push(entry);
                Some(value)
            }
            Err(mut fault) => {
                entry["error"] = json!(fault.what);
                self.list.push(entry);
                let others = std::mem::take(&mut fault.others);
                for mut fault in std::iter::once(fault).chain(others) {
                    fault.what = format!("{step}: {}", fault.what);
                    fault.parts = None;
                    self.faults.push(fault);
                }
                None
            }
        }
    }

    /// Notes something that is no fault.
    fn note(&mut self, step: &str, text: &str) {
        self.text.push_str(&format!("note       {step}: {text}\n"));
        self.list.push(json!({ "step": step, "note": text, "ok": true }));
    }
}

/// Tries everything that a pipeline reaches.
///
/// # Errors
/// Class usage for a configuration that cannot be read; everything else is in the outcome.
pub fn check(pipeline: Pipeline<'_>, network: &Network, session: &mut Session<'_>) -> Result<Outcome, Fault> {
    let mut tried = Tried::default();
    match pipeline {
        Pipeline::Export(export) => of_export(export, network, session, &mut tried),
        Pipeline::Import(import) => of_import(import, network, session, &mut tried),
    }
    let name = pipeline.full_name();
    let missing = tried.faults.len();
    let end = if missing == 0 { format!("good       {name}\n") } else { format!("missing    {missing} for {name}\n") };
    let outcome = Outcome::new(tried.text + &end, json!({ "pipeline": name, "steps": tried.list }));
    Ok(match Fault::from_list(tried.faults) {
        Some(fault) => outcome.failed(fault),
        None => outcome,
    })
}

fn of_export(export: &Export, network: &Network, session: &mut Session<'_>, tried: &mut Tried) {
    state(session, tried);
    if let (Ok(store), Some(channel)) = (record::store(session), &export.channel) {
        match store.last_export(channel) {
            Ok(Some(_)) => {}
            Ok(None) => {
                tried.note("channel", &format!("{channel}: no export yet, so the first run needs --init-state"));
            }
            Err(fault) => drop(tried.step::<()>("channel", channel, Err(fault))),
        }
    }
    passphrase_and_keys((&export.sign, export.passphrase.as_ref()), network, session, tried);
    if let Some(stage) = &export.stage {
        let stage = session.path(stage);
        tried.step("stage", &stage.display().to_string(), writable(&stage));
    }
    let needs = Needs { read: true, list: true, write: true, ..Needs::default() };
    reach(&export.place, needs, network, session, tried);
    // The keys were tried; a request without them needs no passphrase.
    let keyless = Export { sign: Vec::new(), passphrase: None, ..export.clone() };
    let request = export::request(&keyless, &How { dry_run: true, ..How::default() }, network, session);
    let Some(request) = tried.step("artifacts", &export.name, request) else { return };
    let selected =
        request.options.source(&request.selectors, Vec::new(), false, session, |session| network.source(session));
    let Some(selected) = tried.step("sources", &format!("{} selectors", request.selectors.len()), selected) else {
        return;
    };
    let resolved = each(&session.flow, &selected.wanted, |wanted| selected.source.resolve(&wanted.reference));
    for (wanted, found) in selected.wanted.iter().zip(resolved.unwrap_or_default()) {
        let found = found.map(drop).map_err(|error| error.into_fault(Class::Source));
        tried.step("artifact", &wanted.reference.to_string(), found);
    }
}

fn of_import(import: &Import, network: &Network, session: &mut Session<'_>, tried: &mut Tried) {
    state(session, tried);
    if let Some(receipt) = &import.receipt {
        let dir = session.path(&receipt.dir);
        tried.step("receipts", &dir.display().to_string(), writable(&dir));
        passphrase_and_keys((&receipt.sign, receipt.passphrase.as_ref()), network, session, tried);
        for (kind, dir) in &receipt.emit {
            let dir = session.path(dir);
            // It is made if it is missing.
            let above = if dir.is_dir() { Some(&*dir) } else { dir.parent() };
            tried.step("emit", &format!("{} {}", kind.name(), dir.display()), writable(above.unwrap_or(&dir)));
        }
    }
    let policy = import.policy.as_ref().map_or_else(|| "the usual one".to_owned(), |path| path.display().to_string());
    let trust = believed(import, &How { init_state: true, ..How::default() }, Side::Look, session);
    let trust = tried.step("policy", &policy, trust);
    let needs = Needs { read: true, list: true, write: false, remove: import.delete_source, ..Needs::default() };
    let container = reach(&import.place, needs, network, session, tried);
    let newest = container.and_then(|container| newest(&*container, session));
    let mut repositories: Vec<Repository> = Vec::new();
    if let Some(name) = &newest {
        let opened = open_place(place::bundle(&import.place, name), &[], None, session);
        repositories = opened
            .as_ref()
            .ok()
            .and_then(|opened| opened.head.claimed().ok())
            .map_or_else(Vec::new, |stated| names(&stated).cloned().collect());
        repositories.sort();
        repositories.dedup();
        if let Some(trust) = trust {
            let admitted = trust.authenticate(opened, session).map(drop);
            tried.step("admission", &format!("{}/{name}", import.place), admitted);
        }
    } else {
        tried.note("admission", "no bundle is there, so the policy was not tried on one");
    }
    destination(import, &repositories, network, session, tried);
}

/// Tries a directory for states.
fn state(session: &Session<'_>, tried: &mut Tried) {
    let made = record::store(session).and_then(|store| {
        let dir = store.dir().to_owned();
        crate::system::make_private_folders(&dir).map_err(|error| unwritable(&dir, &error))?;
        writable(&dir).map(|()| dir)
    });
    let subject = session.store().map_or_else(|| "none".to_owned(), |store| store.dir().display().to_string());
    tried.step("state", &subject, made);
}

/// Tries keys with their passphrase. If the passphrase cannot be read, the keys are not tried.
fn passphrase_and_keys(
    (keys, passphrase): (&[std::path::PathBuf], Option<&crate::secret::Secret>),
    network: &Network,
    session: &mut Session<'_>,
    tried: &mut Tried,
) {
    if let Some(secret) = passphrase {
        let read = secrets::read(secret, network, session).map(drop);
        if tried.step("secret", &format!("passphrase, {}", secret.source), read).is_none() {
            return;
        }
    }
    for key in keys {
        let loaded = secrets::signers(std::slice::from_ref(key), passphrase, network, session).map(drop);
        tried.step("key", &key.display().to_string(), loaded);
    }
}

/// Tries to create a file in a directory. None is left.
fn writable(dir: &Path) -> Result<(), Fault> {
    Draft::beside(&dir.join(PROBE), 0o600).map(drop).map_err(|error| unwritable(dir, &error))
}

fn unwritable(dir: &Path, error: &std::io::Error) -> Fault {
    let what = differs(dir.display(), "a directory that can be written", error);
    Fault::new(Class::Io, what).help("make the directory, or give this user the right to write it")
}

/// Tries the rights at a place of bundles.
fn reach(
    place: &Place,
    needs: Needs,
    network: &Network,
    session: &Session<'_>,
    tried: &mut Tried,
) -> Option<std::sync::Arc<dyn Container>> {
    let subject = place.to_string();
    let class = if needs.write { Class::Destination } else { Class::Source };
    let container = tried.step("place", &subject, place::container(place, network, session))?;
    let stated = container.check_rights(needs, &session.flow).map_err(|error| error.into_fault(class));
    tried.step("rights stated", &subject, stated);
    let listed = container.list("", &mut |_| {}).map_err(|error| error.into_fault(class));
    tried.step("right to list", &subject, listed)?;
    let read = container.head(PROBE).map(drop).map_err(|error| error.into_fault(class));
    tried.step("right to read", &subject, read);
    if needs.write {
        let written = match place {
            Place::Directory(dir) => writable(&session.path(dir)),
            Place::Storage(_) => may_write(&*container),
        };
        tried.step("right to write", &subject, written);
    }
    if needs.remove {
        let removed = match place {
            Place::Directory(dir) => writable(&session.path(dir)),
            Place::Storage(_) => container.remove(PROBE).map_err(|error| error.into_fault(Class::Destination)),
        };
        tried.step("right to delete", &subject, removed);
    }
    Some(container)
}

/// Tries to write an object that must have been there before, and is not.
fn may_write(container: &dyn Container) -> Result<(), Fault> {
    match container.put(PROBE, b"", &Condition::Unchanged("\"0\"".to_owned())) {
        Err(error) if matches!(error.class, Kind::Refused | Kind::Absent | Kind::Mismatch) => Ok(()),
        Err(error) => Err(error.into_fault(Class::Destination)),
        // A store that knows no conditions has written it.
        Ok(_) => {
            let _ = container.remove(PROBE);
            Ok(())
        }
    }
}

/// Returns the newest whole bundle.
fn newest(container: &dyn Container, session: &Session<'_>) -> Option<Name> {
    let listed = list::run(&session.flow, container, "").ok()?.bundles;
    let whole = listed.into_iter().filter_map(|listed| match listed.state {
        list::State::Complete(stated) => Name::new(&listed.name).ok().map(|name| (stated.created, name)),
        _ => None,
    });
    whole.max_by_key(|(created, _)| *created).map(|(_, name)| name)
}

/// Tries the destination: the right to push to each repository that the newest bundle goes to, or to
/// one below the prefix.
fn destination(import: &Import, bundle: &[Repository], network: &Network, session: &Session<'_>, tried: &mut Tried) {
    let (host, prefix) = match &import.destination {
        Destination::Registry { host, prefix } => (host, prefix),
        Destination::Layout(dir) => {
            let dir = session.path(dir);
            let above = if dir.is_dir() { dir.clone() } else { dir.parent().unwrap_or(Path::new("/")).to_owned() };
            tried.step("destination", &import.to, writable(&above));
            return;
        }
    };
    let at = |file: &Path| session.path(&import.dir.join(file));
    let maps = Names::parse("map", &import.maps, import.keep_host, at).and_then(|names| {
        if names.by_rules { network.rules(session)?.with_maps(names.maps, bundle) } else { Ok(names.maps) }
    });
    let Some(maps) = tried.step("map", &import.to, maps) else { return };
    let to = route::Place::Registry { host: host.clone(), prefix: prefix.clone() };
    let route = route::Route::new(to, import.keep_host, maps);
    let mut all: Vec<Repository> = bundle.iter().filter_map(|name| route.destination(name).ok()).collect();
    if all.is_empty() {
        let below = if prefix.is_empty() { PROBE.to_owned() } else { format!("{prefix}/{PROBE}") };
        all.extend(Repository::new(host, &below).ok());
    }
    let Some(opened) = tried.step("destination", &import.to, network.destination(session)) else { return };
    let Some(rights) = opened.rights() else { return };
    for repository in all {
        let pushed = rights.may_push(&repository).map_err(|error| error.into_fault(Class::Destination));
        tried.step("right to push", &repository.to_string(), pushed);
    }
    rights.release();
}
