//! `emit`: files that tell a cluster where the imported content is, from receipts.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use crate::base::fault::{Class, Fault, differs, escape};
use crate::cli::args::place::Destination;
use crate::cli::detect::{self, Paper};
use crate::cli::output::Outcome;
use crate::cli::receipt;
use crate::cli::session::Session;
use crate::cli::writing::emitted::put;
use crate::decide::route::Place;
use crate::operate::emit::names::Ambiguous;
use crate::operate::emit::scheme::PlainHttp;
use crate::operate::emit::{Emitted, Kind, Options, Unmapped, write};
use crate::receipt::Receipt;

/// Number of names that a message lists.
const FEW: usize = 5;

/// `emit KIND RECEIPT... [--to PLACE] [-o DIR]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Consumer to write for
    #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    kind: String,
    /// Receipts of imports; of several, later imports win
    #[arg(value_name = "RECEIPT", required = true)]
    receipts: Vec<PathBuf>,
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Registry to name instead of the receipts' destination, if the cluster knows it under another
    /// name: HOST[:PORT][/PREFIX]
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Directory for the files; without it, they are printed, each after a line "# PATH"
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The cluster reaches this registry over plain HTTP; repeatable
    #[arg(long, value_name = "HOST[:PORT]")]
    plain_http: Vec<String>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Class usage, format and io for receipts and the directory; those of [`write()`].
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let Some(kind) = Kind::of(&self.kind) else {
            return Err(Fault::usage(format!("kind {}: expected another", self.kind), "see `packmule emit --help`"));
        };
        let to = self.to.as_deref().map(place).transpose()?;
        let receipts = self.receipts.iter().map(|path| load(path, session)).collect::<Result<Vec<_>, _>>()?;
        let options = Options { to, plain_http: PlainHttp { hosts: self.plain_http } };
        let emitted = write(&receipts, kind, &options)?;
        warn(&emitted, session);
        let mut result = told(&emitted);
        let mut text = String::new();
        if let Some(dir) = &self.output {
            let put = put(dir, &emitted, session)?;
            for (path, change) in &put.files {
                text.push_str(&format!("{:10} {path}\n", change.word()));
            }
            let Value::Object(members) = put.json() else { return Ok(Outcome::new(text, result)) };
            members.into_iter().for_each(|(name, value)| result[name] = value);
        } else {
            for file in &emitted.files {
                text.push_str(&format!("# {}\n{}", file.path, file.text));
            }
        }
        let outcome = Outcome::new(text, result);
        Ok(match unmapped(&emitted) {
            Some(fault) => outcome.failed(fault),
            None => outcome,
        })
    }
}

/// Parses the registry of `--to`.
fn place(text: &str) -> Result<Place, Fault> {
    match Destination::parse(text)? {
        Destination::Registry { host, prefix } => Ok(Place::Registry { host, prefix }),
        Destination::Layout(_) => {
            let what = differs(format_args!("--to {}", escape(text)), "a registry", "a layout");
            Err(Fault::usage(what, "name the registry that nodes pull from: HOST[:PORT][/PREFIX]"))
        }
    }
}

/// Reads a receipt. It is not authenticated here.
fn load(path: &PathBuf, session: &Session<'_>) -> Result<Receipt, Fault> {
    match detect::find(path, session) {
        Some(Paper::Receipt(path, file)) => receipt::load(&path, file),
        _ => {
            let shown = escape(&path.to_string_lossy());
            let exists = session.path(path).exists();
            let class = if exists { Class::Format } else { Class::Io };
            let found = if exists { "something else" } else { "no file" };
            let what = differs(format_args!("receipt {shown}"), "the receipt of an import", found);
            Err(Fault::new(class, what).help("name a file that `packmule import --receipt` wrote"))
        }
    }
}

/// Returns the first names of a list, and the number of the others.
fn few(names: impl ExactSizeIterator<Item = String>) -> String {
    let rest = names.len().saturating_sub(FEW);
    let mut text = names.take(FEW).collect::<Vec<_>>().join(", ");
    if rest > 0 {
        text.push_str(&format!(" and {rest} more"));
    }
    text
}

fn warn(emitted: &Emitted, session: &Session<'_>) {
    for Ambiguous { name, repositories } in emitted.ambiguous.iter().take(FEW) {
        let all = few(repositories.iter().map(ToString::to_string));
        session.flow.warn(format!(
            "name {name} without a host: ambiguous, these repositories have it: {all}; Kubernetes takes docker.io's, \
             podman and CRI-O search their registries"
        ));
    }
    if let Some(rest) = emitted.ambiguous.len().checked_sub(FEW).filter(|rest| *rest > 0) {
        session.flow.warn(format!("{rest} more names without a host are ambiguous; --json lists them"));
    }
    if !emitted.unarrived.is_empty() {
        let all = few(emitted.unarrived.iter().map(|(repository, digest)| format!("{repository}@{digest}")));
        let count = emitted.unarrived.len();
        session.flow.warn(format!("left out, since the receipts do not say that they arrived ({count}): {all}"));
    }
    if !emitted.elsewhere.is_empty() {
        let at = |one: &crate::operate::emit::names::Elsewhere| {
            format!("{}@{} (in {})", one.source, one.digest, one.destination)
        };
        let (count, all) = (emitted.elsewhere.len(), few(emitted.elsewhere.iter().map(at)));
        session
            .flow
            .warn(format!("left out, since a later import has another place for their repository ({count}): {all}"));
    }
}

/// Returns the fault for the names that the files do not map.
fn unmapped(emitted: &Emitted) -> Option<Fault> {
    let mut reasons: Vec<(&str, Vec<&Unmapped>)> = Vec::new();
    for one in &emitted.unmapped {
        match reasons.iter_mut().find(|(reason, _)| *reason == one.reason) {
            Some((_, list)) => list.push(one),
            None => reasons.push((one.reason, vec![one])),
        }
    }
    let kind = emitted.kind.name();
    let fault = |(reason, list): (&str, Vec<&Unmapped>)| {
        let all = few(list.iter().map(|one| format!("{} → {}", one.source, one.destination)));
        let (count, noun) = (list.len(), if list.len() == 1 { "name" } else { "names" });
        Fault::new(Class::Partial, format!("{kind}: cannot map {count} {noun}: {reason}: {all}"))
            .help("use another kind for these, such as kustomize, or import them without --map")
    };
    Fault::from_list(reasons.into_iter().map(fault).collect())
}

/// Returns the result for programs.
fn told(emitted: &Emitted) -> Value {
    let files: Vec<Value> =
        emitted.files.iter().map(|file| json!({ "path": file.path, "content": file.text })).collect();
    let ambiguous: Vec<Value> =
        emitted.ambiguous.iter().map(|one| json!({ "name": one.name, "repositories": one.repositories })).collect();
    let unmapped: Vec<Value> = emitted
        .unmapped
        .iter()
        .map(|one| json!({ "repository": one.source, "destination": one.destination, "reason": one.reason }))
        .collect();
    let unarrived: Vec<Value> = emitted
        .unarrived
        .iter()
        .map(|(repository, digest)| json!({ "repository": repository, "digest": digest }))
        .collect();
    let elsewhere: Vec<Value> = emitted
        .elsewhere
        .iter()
        .map(|one| json!({ "repository": one.source, "destination": one.destination, "digest": one.digest }))
        .collect();
    json!({
        "kind": emitted.kind.name(), "repositories": emitted.repositories, "files": files, "ambiguous": ambiguous,
        "unmapped": unmapped, "unarrived": unarrived, "elsewhere": elsewhere,
    })
}
