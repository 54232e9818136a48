//! The destination and the names there: the options that `import` and `copy` share, and their
//! outcome.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault};
use crate::bundle::Manifest;
use crate::cli::Session;
use crate::cli::args::place::Destination as Typed;
use crate::cli::import_plan;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::content::Destination;
use crate::decide::maps::{self, Map, MapError};
use crate::decide::route::{Place, Route};
use crate::decide::rules::Rules;
use crate::layout::{Layout, Nothing};
use crate::oci::Repository;
use crate::operate::freshness;
use crate::operate::import::{Landed, TagConflict};
use crate::outfile;
use crate::system;

/// Word for the maps that the configuration's rules give.
const RULES: &str = "rules";
/// Maximum size of a file of maps, in bytes.
const MAX_MAPS: u64 = 64 << 20;

/// Destination, and what to do with conflicts there.
#[derive(clap::Args, Debug)]
pub struct Arrival {
    #[allow(rustdoc::broken_intra_doc_links, reason = "brackets are the syntax that the help shows")]
    /// Destination: HOST[:PORT][/PREFIX] or oci:DIR
    #[arg(long, value_name = "PLACE")]
    to: String,
    #[command(flatten)]
    naming: Naming,
    /// Action for a tag that already names something else at the destination
    #[arg(long, value_enum, default_value_t = Conflict::Fail)]
    tag_conflict: Conflict,
    /// Record failures of the destination and continue with the other artifacts
    #[arg(long)]
    keep_going: bool,
    /// Only check, and show what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Naming of repositories below a place.
#[derive(clap::Args, Debug)]
pub struct Naming {
    /// Use another name below PLACE: FROM=TO, FROM/*=TO/*, @FILE with one of these per line, or rules
    /// for the targets of the configuration's rules; FROM without a host matches any host; repeatable
    #[arg(long = "map", value_name = "FROM=TO|@FILE|rules")]
    maps: Vec<String>,
    /// Keep the source's host as the first part of the name; a layout always keeps it
    #[arg(long)]
    keep_host: bool,
}

impl Naming {
    /// Returns the route for names below `place`.
    pub fn route(&self, place: Place, maps: Vec<Map>) -> Route {
        Route::new(place, self.keep_host, maps)
    }

    /// Parses the maps.
    ///
    /// # Errors
    /// Class usage.
    pub fn maps(&self, session: &Session<'_>) -> Result<Vec<Map>, Fault> {
        Ok(self.names(session)?.maps)
    }

    /// Parses the options.
    ///
    /// # Errors
    /// Those of [`Names::parse`].
    pub fn names(&self, session: &Session<'_>) -> Result<Names, Fault> {
        Names::parse("--map", &self.maps, self.keep_host, |file| session.path(file))
    }

    /// Parses the maps, none of which may be `rules`.
    ///
    /// # Errors
    /// Class usage.
    pub fn maps_only(&self, session: &Session<'_>) -> Result<Vec<Map>, Fault> {
        if self.maps.iter().any(|text| text == RULES) {
            return Err(Fault::usage(
                "--map rules: expected FROM=TO here, found rules",
                "write FROM=TO or FROM/*=TO/*",
            ));
        }
        self.maps(session)
    }

    /// Returns the maps with those of the configuration's rules that are for `names`, if that was asked
    /// for. `rules` reads them.
    ///
    /// # Errors
    /// Those of `rules` and of [`Rules::with_maps`].
    pub fn with_rules<'a>(
        &self,
        maps: Vec<Map>,
        names: impl IntoIterator<Item = &'a Repository>,
        rules: impl FnOnce() -> Result<Rules, Fault>,
    ) -> Result<Vec<Map>, Fault> {
        if self.maps.iter().any(|text| text == RULES) { rules()?.with_maps(maps, names) } else { Ok(maps) }
    }
}

/// Names below a place, parsed.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The maps.
    pub maps: Vec<Map>,
    /// Whether the configuration's rules give further maps.
    pub by_rules: bool,
    /// Whether the source's host stays in the names.
    pub keep_host: bool,
}

impl Names {
    /// Parses maps: FROM=TO, `@FILE`, or `rules`. `subject` names the option or key in messages; `at`
    /// resolves the path of a file.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(
        subject: &str,
        texts: &[String],
        keep_host: bool,
        at: impl Fn(&Path) -> PathBuf,
    ) -> Result<Self, Fault> {
        let wrong = |text: &str, problem: &dyn std::fmt::Display| {
            Fault::new(Class::Usage, format!("{subject} {text}: {problem}")).help("write FROM=TO or FROM/*=TO/*")
        };
        let mut maps = Vec::new();
        for text in texts.iter().filter(|text| *text != RULES) {
            match text.strip_prefix('@') {
                None => maps.push(text.parse().map_err(|error: MapError| wrong(text, &error))?),
                Some(file) => {
                    let list = capped(&at(file.as_ref())).map_err(|error| wrong(text, &error))?;
                    maps.extend(Map::list(&list).map_err(|error| wrong(text, &error))?);
                }
            }
        }
        Ok(Self { maps, by_rules: texts.iter().any(|text| text == RULES), keep_host })
    }
}

/// Checks that the maps fit the names of the source, and shows warnings for those in a file that do
/// not.
///
/// # Errors
/// Class usage.
pub fn check_maps<'a>(
    maps: &[Map],
    names: impl IntoIterator<Item = &'a Repository>,
    session: &Session<'_>,
) -> Result<(), Fault> {
    if !maps.is_empty() {
        maps::check(maps, &names.into_iter().collect())?.into_iter().for_each(|warning| session.flow.warn(warning));
    }
    Ok(())
}

/// Returns the names in a bundle that maps are for: those of its artifacts, and those that base
/// content was delivered to.
pub fn names(manifest: &Manifest) -> impl Iterator<Item = &Repository> {
    let bases = manifest.absent.iter().filter_map(|absent| absent.repository.as_ref());
    manifest.artifacts.iter().map(|artifact| &artifact.repository).chain(bases)
}

/// Reads a text file of at most [`MAX_MAPS`] bytes.
fn capped(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    system::open_file(path)?.take(MAX_MAPS + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_MAPS {
        return Err(io::Error::other(format!("expected at most {MAX_MAPS} bytes, found more")));
    }
    Ok(text)
}

/// Checks that `dir` can hold a layout; `typed` names it in messages.
///
/// # Errors
/// Class usage, class io.
pub fn fit_for_layout(dir: &Path, typed: &str, session: &Session<'_>) -> Result<(), Fault> {
    outfile::check_folder(dir, typed)?;
    outfile::unmounted(dir).into_iter().for_each(|warning| session.flow.warn(warning));
    Ok(())
}

/// `--tag-conflict`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Conflict {
    /// Push nothing and list all conflicts
    Fail,
    /// Keep the destination's tag
    Keep,
    /// Move the tag to the new artifact
    Move,
    /// Move the tag if it still names what imports of the bundle's channel set it to
    Advance,
}

/// An open destination.
pub struct Opened {
    /// The destination itself.
    pub destination: Box<dyn Destination>,
    /// Place, for naming.
    pub place: Place,
    /// Class of the destination's faults.
    pub side: Class,
}

/// A destination, and what to do there.
#[derive(Clone, Debug)]
pub struct DestinationRequest {
    /// The destination as typed or configured, for messages and receipts.
    pub shown: String,
    /// The destination.
    pub place: Typed,
    /// Names there.
    pub names: Names,
    /// Treatment of tags that name something else.
    pub tag_conflict: TagConflict,
    /// Whether failures of the destination are recorded, and the other artifacts go on.
    pub keep_going: bool,
    /// Whether to change nothing.
    pub dry_run: bool,
}

impl Arrival {
    /// Parses the destination and the maps, before any work.
    ///
    /// # Errors
    /// Class usage.
    pub fn resolve(&self, session: &Session<'_>) -> Result<DestinationRequest, Fault> {
        Ok(DestinationRequest {
            shown: self.to.clone(),
            place: Typed::parse(&self.to)?,
            names: self.naming.names(session)?,
            tag_conflict: self.tag_conflict.meaning(),
            keep_going: self.keep_going,
            dry_run: self.dry_run,
        })
    }
}

impl Conflict {
    /// Returns what the word means.
    pub const fn meaning(self) -> TagConflict {
        match self {
            Self::Fail => TagConflict::Fail,
            Self::Keep => TagConflict::Keep,
            Self::Move => TagConflict::Move,
            Self::Advance => TagConflict::Advance,
        }
    }
}

impl DestinationRequest {
    /// Returns the maps, with those of the configuration's rules that are for `names` if that was asked
    /// for. `rules` reads them.
    ///
    /// # Errors
    /// Those of `rules` and of [`Rules::with_maps`].
    pub fn maps<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Repository>,
        rules: impl FnOnce() -> Result<Rules, Fault>,
    ) -> Result<Vec<Map>, Fault> {
        let maps = self.names.maps.clone();
        if self.names.by_rules { rules()?.with_maps(maps, names) } else { Ok(maps) }
    }

    /// Returns the name of the destination in states.
    pub fn state_name(&self, session: &Session<'_>) -> String {
        match &self.place {
            Typed::Registry { host, prefix } => freshness::registry(host, prefix),
            Typed::Layout(dir) => freshness::layout(&session.full_path(dir)),
        }
    }

    /// Opens the destination, for a dry run without creating anything. `registries` opens the
    /// registries.
    ///
    /// # Errors
    /// Class io for a layout that cannot be written; those of `registries`.
    pub fn open(
        &self,
        session: &Session<'_>,
        registries: impl FnOnce(&Session<'_>) -> Result<Box<dyn Destination>, Fault>,
    ) -> Result<Opened, Fault> {
        Ok(match &self.place {
            Typed::Layout(dir) => {
                let dir = session.path(dir);
                fit_for_layout(&dir, &self.shown, session)?;
                let destination: Box<dyn Destination> = if !self.dry_run {
                    Box::new(Layout::create(&dir)?.in_flow(&session.flow))
                } else if let Some(layout) = Layout::look(&dir)? {
                    Box::new(layout.in_flow(&session.flow))
                } else {
                    Box::new(Nothing::at(&dir)?)
                };
                Opened { destination, place: Place::Layout, side: Class::Io }
            }
            Typed::Registry { host, prefix } => Opened {
                destination: registries(session)?,
                place: Place::Registry { host: host.clone(), prefix: prefix.clone() },
                side: Class::Destination,
            },
        })
    }

    /// Returns the route for names below `place`.
    pub fn route(&self, place: Place, maps: Vec<Map>) -> Route {
        Route::new(place, self.names.keep_host, maps)
    }

    /// Returns the outcome for people and programs. `word` is what was done to the artifacts
    /// (`imported`), `verb` what a dry run would do; `more` is added to the JSON, `last` to the
    /// text.
    pub fn told(
        &self,
        done: &crate::operate::import::Imported,
        (verb, word): (&str, &str),
        more: Value,
        last: &str,
    ) -> Outcome {
        let word = if self.dry_run { format!("would {verb}") } else { word.to_owned() };
        let mut text = String::new();
        for one in &done.artifacts {
            let state = match (&one.landed, self.dry_run) {
                (Landed::Pushed, true) => "to push",
                (Landed::Pushed, false) => "pushed",
                (Landed::Present, _) => "present",
                (Landed::Unread(_), _) => "UNREAD",
                (Landed::LeftOut, _) => "left out",
                (Landed::Left(_), _) => "left",
                (Landed::Failed(_), _) => "FAILED",
            };
            let tags: String = one.tags.iter().map(|tag| format!(":{tag}")).collect();
            text.push_str(&format!("{state:8} {}{tags}@{}\n", one.destination, one.digest));
            if self.dry_run {
                text.push_str(&import_plan::line(&one.plan));
            }
            for tag in &one.kept {
                text.push_str(&format!("kept     {}:{tag}, which names something else\n", one.destination));
            }
        }
        let left_out = done.artifacts.iter().filter(|one| one.landed == Landed::LeftOut).count();
        if left_out > 0 {
            text.push_str(&format!("left out   {left_out} referrers, as requested\n"));
        }
        if self.dry_run {
            text.push_str(&import_plan::sum_line(&done.plan.sum));
        }
        text.push_str(&format!(
            "{word}  {} artifacts to {}: {} blobs sent ({}), {} mounted, {} there already\n{last}",
            done.artifacts.len() - left_out,
            self.shown,
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
                    Landed::Unread(_) => "unread",
                    Landed::LeftOut => "left-out",
                    Landed::Left(_) => "left",
                    Landed::Failed(_) => "failed",
                };
                json!({
                    "source": one.repository, "repository": one.destination.to_string(), "digest": one.digest,
                    "tags": one.tags, "kept": one.kept, "outcome": state, "plan": import_plan::as_json(&one.plan),
                })
            })
            .collect();
        let mut result = json!({
            "to": self.shown, "dry_run": self.dry_run, "artifacts": artifacts,
            "blobs": { "pushed": done.pushed, "mounted": done.mounted, "present": done.present }, "bytes": done.bytes,
            "plan": import_plan::sum_as_json(&done.plan.sum),
        });
        if let (Value::Object(result), Value::Object(more)) = (&mut result, more) {
            result.extend(more);
        }
        let outcome = Outcome::new(text, result);
        match done.fault() {
            Some(fault) => outcome.failed(fault),
            None => outcome,
        }
    }
}
