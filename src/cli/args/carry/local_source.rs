//! Archives, files and directories as sources: opens those that selectors name, and finds what is
//! selected in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{self, Archive};
use crate::base::fault::{Class, Fault, expects};
use crate::cli::Session;
use crate::content::Source;
use crate::content::router::Place;
use crate::files::{self, FileArtifact};
use crate::oci::Reference;

/// One of them.
enum Local {
    Archive(Arc<Archive>),
    File(Arc<FileArtifact>),
}

/// The archives, files and directories of a run, each opened once.
#[derive(Default)]
pub struct Locals(Vec<(PathBuf, Local)>);

impl Locals {
    /// Opens the archive at `path`, as typed, unless it is open already. Returns its index, and the
    /// names of what `name` selects there, or of all its images.
    ///
    /// # Errors
    /// Those of [`archive::open`]; class source for a name that is not in the archive.
    pub fn archive(
        &mut self,
        path: &Path,
        name: Option<&str>,
        session: &Session<'_>,
    ) -> Result<(usize, Vec<Reference>), Fault> {
        let full = session.path(path);
        let known = self.0.iter().enumerate().find_map(|(number, (opened, local))| match local {
            Local::Archive(archive) if *opened == full => Some((number, Arc::clone(archive))),
            _ => None,
        });
        let (number, archive) = match known {
            Some(known) => known,
            None => {
                let archive = Arc::new(open_archive(path, session)?);
                self.0.push((full, Local::Archive(Arc::clone(&archive))));
                (self.0.len() - 1, archive)
            }
        };
        let Some(name) = name else {
            let all = archive.manifests().iter().flat_map(|one| archive.references(one));
            return Ok((number, all.collect()));
        };
        let found = archive.find(name).map_err(|error| error.into_fault(Class::Source))?;
        Ok((number, found))
    }

    /// Opens the file or directory at `path`, as typed, unless it is open already. Returns its index
    /// and name.
    ///
    /// # Errors
    /// Those of [`files::open`].
    pub fn file(&mut self, path: &Path, session: &Session<'_>) -> Result<(usize, Vec<Reference>), Fault> {
        let full = session.path(path);
        let known = self.0.iter().enumerate().find_map(|(number, (opened, local))| match local {
            Local::File(file) if *opened == full => Some((number, Arc::clone(file))),
            _ => None,
        });
        let (number, file) = match known {
            Some(known) => known,
            None => {
                let file = Arc::new(files::open(&session.flow, &full)?);
                self.0.push((full, Local::File(Arc::clone(&file))));
                (self.0.len() - 1, file)
            }
        };
        Ok((number, file.manifests().iter().flat_map(|one| file.references(one)).collect()))
    }

    /// Returns the one with an index.
    pub fn get(&self, number: usize) -> Option<&dyn Source> {
        self.0.get(number).map(|(_, local)| match local {
            Local::Archive(archive) => &**archive as &dyn Source,
            Local::File(file) => &**file as &dyn Source,
        })
    }

    /// Returns what a name means in the archive with an index.
    pub fn find(&self, number: usize, name: &str) -> Option<Vec<Reference>> {
        match self.0.get(number)? {
            (_, Local::Archive(archive)) => archive.find(name).ok(),
            (_, Local::File(_)) => None,
        }
    }

    /// Returns whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns their number.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns them as places of a router.
    pub fn into_places(self) -> impl Iterator<Item = Place> {
        self.0.into_iter().map(|(path, local)| {
            let (scheme, source): (_, Arc<dyn Source>) = match local {
                Local::Archive(archive) => ("docker-archive", archive),
                Local::File(file) => ("file", file),
            };
            Place { name: format!("{scheme}:{}", path.display()), source }
        })
    }
}

/// Returns the file of `docker-archive:FILE` as a place; `None` for a text that begins otherwise.
///
/// # Errors
/// Class usage.
pub fn archive_place(text: &str) -> Option<Result<PathBuf, Fault>> {
    let file = text.strip_prefix("docker-archive:")?;
    if file.is_empty() || file.contains(':') {
        let what = expects(format_args!("place {text}"), "docker-archive:FILE");
        return Some(Err(Fault::usage(what, "name only the file")));
    }
    Some(Ok(file.into()))
}

/// Opens the archive at `path`, as typed. Warns if its manifests are made.
///
/// # Errors
/// Those of [`archive::open`].
pub fn open_archive(path: &Path, session: &Session<'_>) -> Result<Archive, Fault> {
    let archive = archive::open(&session.flow, &session.path(path), &temporary(session))?;
    if archive.manifests().iter().any(|one| archive::is_made(&one.document)) {
        session.flow.warn(format!(
            "archive {}: it keeps no manifests, so they are made here, with other digests than in a registry: what \
             was signed or attached there does not apply to them",
            path.display()
        ));
    }
    Ok(archive)
}

/// Returns the folder for large temporary files: TMPDIR, or one that is on a disk.
fn temporary(session: &Session<'_>) -> PathBuf {
    let typed = session.world.var("TMPDIR").or_else(|| session.world.var("TEMP")).filter(|dir| !dir.is_empty());
    typed.map_or_else(|| PathBuf::from("/var/tmp"), |dir| session.path(Path::new(dir)))
}
