//! `import`: a bundle's artifacts into a registry or a layout, under their names there.

use std::path::PathBuf;

use serde_json::json;

use super::Session;
use super::bundle::{BundleGate, authenticated};
use super::place::Destination as Typed;
use super::progress::size as show;
use super::report::Outcome;
use super::trust::Trust;
use crate::content::Destination;
use crate::fault::{Class, Fault};
use crate::import::{Landed, Request, Sides, TagConflict};
use crate::layout::Layout;
use crate::route::{Map, Place, Route};

/// `import BUNDLE TRUST --to PLACE`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// DIR/NAME, NAME.json, or a directory with one bundle
    bundle: String,
    #[command(flatten)]
    trust: Trust,
    /// HOST[:PORT][/PREFIX] or oci:DIR
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// Another name below PLACE: FROM=TO, FROM/*=TO/*, or @FILE with one a line; repeat it for more
    #[arg(long = "map", value_name = "FROM=TO|@FILE")]
    maps: Vec<String>,
    /// Keep the source's host as the first part of the name
    #[arg(long)]
    keep_host: bool,
    /// What becomes of a tag that names something else there
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    tag_conflict: Conflict,
    /// Record the destination's failures and go on with the other artifacts
    #[arg(long)]
    keep_going: bool,
    /// Look only, and say what would be done
    #[arg(long)]
    dry_run: bool,
    #[cfg(feature = "online")]
    #[command(flatten)]
    network: super::network::Network,
}

/// `--tag-conflict`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Conflict {
    /// Push nothing and list all conflicts
    Fail,
    /// The destination's tag stays
    Keep,
    /// The tag moves
    Move,
}

impl Args {
    /// # Errors
    /// As `verify` for the bundle; class policy for what stands in the way; class destination.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let maps = self.maps(session)?;
        let typed = Typed::parse(&self.to)?;
        let bundle = authenticated(&self.bundle, &self.trust, session)?;
        let gate = BundleGate::open(&bundle, &session.flow)?;
        let (destination, place, side): (Box<dyn Destination>, Place, Class) = match typed {
            Typed::Layout(dir) => (Box::new(Layout::create(&session.path(&dir))?), Place::Layout, Class::Io),
            #[cfg(feature = "online")]
            Typed::Registry { host, prefix } => {
                let registries = super::registries::open(&self.network, session)?;
                (Box::new(registries), Place::Registry { host, prefix }, Class::Destination)
            }
            #[cfg(not(feature = "online"))]
            Typed::Registry { .. } => {
                return Err(Fault::new(Class::Usage, "--to: this build has no network").help("name oci:DIR"));
            }
        };
        let manifest = bundle.manifest();
        let route = Route::new(place, self.keep_host, maps);
        let request = Request {
            artifacts: &manifest.artifacts,
            absent: &manifest.absent,
            route: &route,
            tag_conflict: match self.tag_conflict {
                Conflict::Fail => TagConflict::Fail,
                Conflict::Keep => TagConflict::Keep,
                Conflict::Move => TagConflict::Move,
            },
            keep_going: self.keep_going,
            dry_run: self.dry_run,
            sides: Sides { destination: side, ..Sides::BUNDLE },
            wanted: None,
        };
        let done = crate::import::run(&session.flow, &bundle, &*destination, &gate, &request)?;
        Ok(self.told(bundle.id(), &done))
    }

    fn maps(&self, session: &Session<'_>) -> Result<Vec<Map>, Fault> {
        let wrong = |text: &str, problem: &dyn std::fmt::Display| {
            Fault::new(Class::Usage, format!("--map {text}: {problem}")).help("write FROM=TO or FROM/*=TO/*")
        };
        let mut maps = Vec::new();
        for text in &self.maps {
            match text.strip_prefix('@') {
                None => maps.push(text.parse().map_err(|error: crate::route::MapError| wrong(text, &error))?),
                Some(file) => {
                    let path: PathBuf = session.path(file.as_ref());
                    let list = std::fs::read_to_string(&path).map_err(|error| wrong(text, &error))?;
                    maps.extend(Map::list(&list).map_err(|error| wrong(text, &error))?);
                }
            }
        }
        Ok(maps)
    }

    fn told(&self, id: crate::oci::Digest, done: &crate::import::Outcome) -> Outcome {
        let word = if self.dry_run { "would import" } else { "imported" };
        let mut text = String::new();
        for one in &done.artifacts {
            let state = match (&one.landed, self.dry_run) {
                (Landed::Pushed, true) => "to push",
                (Landed::Pushed, false) => "pushed",
                (Landed::Present, _) => "present",
                (Landed::Failed(_), _) => "FAILED",
            };
            let tags: String = one.tags.iter().map(|tag| format!(":{tag}")).collect();
            text.push_str(&format!("{state:8} {}{tags}@{}\n", one.destination, one.digest));
            for tag in &one.kept {
                text.push_str(&format!("kept     {}:{tag}, which names something else\n", one.destination));
            }
        }
        text.push_str(&format!(
            "{word}  {} artifacts to {}: {} blobs sent ({}), {} mounted, {} there already\nbundle id  {id}\n",
            done.artifacts.len(),
            self.to,
            done.pushed,
            show(done.bytes),
            done.mounted,
            done.present
        ));
        let artifacts: Vec<_> = (done.artifacts.iter())
            .map(|one| {
                let state = match one.landed {
                    Landed::Pushed => "pushed",
                    Landed::Present => "present",
                    Landed::Failed(_) => "failed",
                };
                json!({
                    "source": one.repository, "repository": one.destination.to_string(), "digest": one.digest,
                    "tags": one.tags, "kept": one.kept, "outcome": state,
                })
            })
            .collect();
        let result = json!({
            "id": id, "to": self.to, "dry_run": self.dry_run, "artifacts": artifacts,
            "blobs": { "pushed": done.pushed, "mounted": done.mounted, "present": done.present }, "bytes": done.bytes,
        });
        let outcome = Outcome::new(text, result);
        match done.fault() {
            Some(fault) => outcome.failed(fault),
            None => outcome,
        }
    }
}
