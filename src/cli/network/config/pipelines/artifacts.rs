//! `artifacts` of an export pipeline: tables with the keys of selectors, as selectors.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::reading::Reading;
use super::tables::{Artifact, Taken};
use crate::base::fault::Fault;
use crate::cli::args::container::is_container;
use crate::cli::network::config::words::Words;
use crate::decide::selector::{Selector, Source};

/// Everything that a pipeline takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// Selectors; local paths are absolute.
    pub selectors: Vec<Selector>,
    /// Files of lists.
    pub lists: Vec<PathBuf>,
}

/// Reads the list.
pub fn read(list: Vec<Spanned<Taken>>, reading: &Reading<'_>) -> Result<Artifacts, Fault> {
    let mut all = Artifacts::default();
    let mut faults = Vec::new();
    for one in list {
        match taken(one.get_ref(), reading.dir) {
            Ok(Some(selector)) => all.selectors.push(selector),
            Ok(None) => match one.get_ref() {
                Taken::Table(Artifact { images_in: Some(path), .. }) => all.lists.push(reading.path(path)),
                _ => faults.push(reading.wrong_at(&one, "artifacts: expected ref or images_in, found neither", HELP)),
            },
            Err(fault) => {
                let help = fault.help.clone().unwrap_or_else(|| HELP.to_owned());
                faults.push(reading.wrong_at(&one, format_args!("artifacts: {}", fault.what), help));
            }
        }
    }
    Fault::from_list(faults).map_or(Ok(all), Err)
}

const HELP: &str = "write for example { ref = \"docker.io/library/alpine:3.20\" }";

/// Returns the selector of one entry; `None` if it has no ref.
fn taken(one: &Taken, dir: &Path) -> Result<Option<Selector>, Fault> {
    let table = match one {
        Taken::Selector(text) => return Selector::parse(text).map(|selector| Some(anchored(selector, dir))),
        Taken::Table(table) => table,
    };
    let Artifact { reference, rename, platforms, referrers, semver, regex, latest, exclude, images_in } = table;
    let Some(reference) = reference else { return Ok(None) };
    if images_in.is_some() {
        return Err(Fault::usage("expected ref or images_in, found both", "write a table for each"));
    }
    let mut selector = Selector::new(Source::parse(reference)?);
    let words = |words: &Option<Words>| words.clone().map(Words::into_list).unwrap_or_default();
    let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
    let latest: Vec<String> = latest.iter().map(ToString::to_string).collect();
    let keys = [
        ("as", one(rename)),
        ("platform", words(platforms)),
        ("referrers", words(referrers)),
        ("semver", one(semver)),
        ("regex", one(regex)),
        ("latest", latest),
        ("exclude", words(exclude)),
    ];
    for (key, values) in keys {
        values.iter().try_for_each(|value| selector.set(key, value))?;
    }
    selector.checked(reference).map(|selector| Some(anchored(selector, dir)))
}

/// Returns the selector with its local path relative to `dir`.
fn anchored(mut selector: Selector, dir: &Path) -> Selector {
    match &mut selector.source {
        Source::Layout { dir: path, .. } | Source::Archive { file: path, .. } | Source::File(path) => {
            *path = dir.join(&*path);
        }
        Source::Bundle { bundle, .. } if !is_container(&*bundle) => {
            *bundle = dir.join(&*bundle).to_string_lossy().into_owned();
        }
        Source::Registry(_) | Source::Tags { .. } | Source::Repositories { .. } | Source::Bundle { .. } => {}
    }
    selector
}
