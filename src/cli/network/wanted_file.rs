//! The file of a server's wanted list: read at the start, replaced whenever the list changes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::pem::shown;
use crate::cli::writing::newfile::Draft;
use crate::decide::wanted::{List, MAX_BYTES};
use crate::operate::serve::{Wanted, WantedFile};
use crate::outfile::{Place, look, unmounted};

/// Noun for the file.
const NOUN: &str = "wanted list";

struct Target {
    shown: String,
    path: PathBuf,
}

fn read(file: &File) -> io::Result<Option<List>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(List::exactly(&bytes))
}

/// Opens the list at `path`; continues the one that is there.
///
/// # Errors
/// Class usage for a file that is not a list in the form that is written, or a stream; class io.
pub fn open(path: &Path, session: &Session<'_>) -> Result<Wanted, Fault> {
    let target = Target { shown: format!("--wanted-out {}", shown(path)), path: session.path(path) };
    let mut list = List::default();
    let own = |file: &File| {
        let found = read(file)?;
        let is_own = found.is_some();
        list = found.unwrap_or_default();
        Ok(is_own)
    };
    let place = look(&target.path, own).map_err(|refusal| refusal.into_fault(&target.shown, NOUN))?;
    if matches!(place, Place::Stream(_)) {
        let what = format!("{}: expected a file, found a device or pipe", target.shown);
        return Err(Fault::usage(what, "name a file: the list is replaced whenever it changes"));
    }
    unmounted(&target.path).into_iter().for_each(|warning| session.flow.warn(warning));
    // Creates a draft to find out whether the file can be written.
    target.draft().map_err(|error| target.failed(&error))?;
    Ok(Wanted::new(list, Box::new(target)))
}

impl Target {
    fn draft(&self) -> io::Result<Draft> {
        Draft::beside(&self.path, 0o644)
    }

    fn failed(&self, error: &io::Error) -> Fault {
        Fault::new(Class::Io, format!("{}: {error}", self.shown))
            .help("name a file in an existing directory that you can write to")
    }
}

impl WantedFile for Target {
    fn write(&self, list: &List) -> Result<(), Fault> {
        let (text, _) = list.to_text();
        let draft = self.draft().and_then(|draft| draft.fill(text.as_bytes()).map(|()| draft));
        let draft = draft.map_err(|error| self.failed(&error))?;
        let own = |file: &File| Ok(read(file)?.is_some());
        let named = match look(&self.path, own).map_err(|refusal| refusal.into_fault(&self.shown, NOUN))? {
            Place::Own => draft.replace(),
            Place::Free | Place::Stream(_) => draft.settle(),
        };
        named.map_err(|error| self.failed(&error))
    }
}
