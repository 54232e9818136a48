//! Files of a bundle in directories of this machine. Opens them as plain files and reads them by
//! position; never maps them.
//!
//! Links, devices and pipes next to a bundle are refused without being followed. Names in a folder
//! are opened relative to it and never through a link.

use crate::base::lock::lock;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::fault::{Class, differs};
use crate::bundle::Error;
use crate::content::volumes::{Entry, Volumes};
use crate::content::{self, Kind};
use crate::system::{self, Folder, Found, Unopened};

/// Maximum number of files kept open.
const OPEN_FILES: usize = 16;

/// Opens a plain file for reading and returns it with its size. Returns `None` if it does not exist
/// or is empty (stores that cannot delete files empty them instead).
///
/// # Errors
/// [`Class::Io`].
pub fn open_plain(path: &Path) -> Result<Option<(File, u64)>, Error> {
    let shown = path.display();
    let file = match system::open_file(path) {
        Ok(file) => file,
        Err(unopened) => match unopened.found {
            Found::Nothing => return Ok(None),
            Found::Link => {
                return Err(Error::new(Class::Io, differs(shown, "a plain file", "a symbolic link")));
            }
            Found::OtherKind | Found::Refusal => return Err(Error::io(shown, &unopened.error)),
        },
    };
    let metadata = file.metadata().map_err(|error| Error::io(&shown, &error))?;
    if !metadata.is_file() {
        return Err(Error::new(Class::Io, differs(shown, "a plain file", "another kind")));
    }
    Ok((metadata.len() > 0).then_some((file, metadata.len())))
}

/// Reads a whole file of at most `cap` bytes. Returns `None` if it does not exist or is empty.
///
/// # Errors
/// [`Class::Io`]; [`Class::Format`] for a larger file, without reading it if its size says so.
pub fn read_capped(path: &Path, cap: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some((file, size)) = open_plain(path)? else { return Ok(None) };
    let too_large = || Error::format(differs(path.display(), format_args!("at most {cap} bytes"), "more"));
    if size > cap {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| Error::io(path.display(), &error))?;
    if bytes.len() as u64 > cap { Err(too_large()) } else { Ok(Some(bytes)) }
}

/// Files of one bundle, in its directory or spread over several directories.
#[derive(Debug)]
pub struct Directories {
    // The bundle's own directory first.
    dirs: Vec<PathBuf>,
    // Appended to the names of unfinished files.
    suffix: &'static str,
    // In the order in which they were opened.
    open: Mutex<Vec<(String, Arc<File>)>>,
}

impl Directories {
    /// Returns the files in `dirs`, which are looked up in order; those in a folder only in the first
    /// directory. Opens nothing yet. Without a directory there are no files.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs, suffix: "", open: Mutex::new(Vec::new()) }
    }

    /// Returns the unfinished files of a writer in `dir` under their final names.
    #[cfg(feature = "carry")]
    pub fn unfinished(dir: PathBuf) -> Self {
        Self { suffix: ".partial", ..Self::new(vec![dir]) }
    }

    /// Returns the components of `file` as they are on the medium.
    fn names(&self, file: &str) -> Vec<String> {
        let mut names: Vec<String> = file.split('/').map(ToOwned::to_owned).collect();
        if let Some(first) = names.first_mut() {
            first.push_str(self.suffix);
        }
        names
    }

    fn find(&self, file: &str) -> Result<Option<(File, u64)>, content::Error> {
        let names = self.names(file);
        match &names[..] {
            [name] => {
                for dir in &self.dirs {
                    let found = open_plain(&dir.join(name)).map_err(|error| error.classed(|_| Kind::Io))?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Ok(None)
            }
            [above @ .., name] => self.find_below(above, name, &self.shown(file)),
            [] => Ok(None),
        }
    }

    /// Opens a file in a folder. It may be empty.
    fn find_below(&self, above: &[String], name: &str, shown: &str) -> Result<Option<(File, u64)>, content::Error> {
        let Some(folder) = self.folder(above)? else { return Ok(None) };
        let other = || content::Error::new(Kind::Io, differs(shown, "a plain file", "another kind"));
        let file = match folder.file(name) {
            Ok(file) => file,
            Err(unopened) => match unopened.found {
                Found::Nothing => return Ok(None),
                Found::Link | Found::OtherKind => return Err(other()),
                Found::Refusal => return Err(content::Error::io(shown, &unopened.error)),
            },
        };
        let metadata = file.metadata().map_err(|error| content::Error::io(shown, &error))?;
        if metadata.is_file() { Ok(Some((file, metadata.len()))) } else { Err(other()) }
    }

    /// Opens a folder in the first directory. `names` are as on the medium.
    fn folder(&self, names: &[String]) -> Result<Option<Folder>, content::Error> {
        let (Some(dir), Some((first, others))) = (self.dirs.first(), names.split_first()) else { return Ok(None) };
        let mut path = dir.join(first);
        let mut open = Folder::open(&path);
        for name in others {
            match open {
                Ok(parent) => open = parent.folder(name),
                Err(unopened) => return no_folder(&path, &unopened),
            }
            path.push(name);
        }
        open.map_or_else(|unopened| no_folder(&path, &unopened), |folder| Ok(Some(folder)))
    }

    fn file(&self, file: &str) -> Result<Arc<File>, content::Error> {
        if let Some((_, found)) = lock(&self.open).iter().find(|(name, _)| name == file) {
            return Ok(Arc::clone(found));
        }
        let (found, _) = self.find(file)?.ok_or_else(|| content::Error::new(Kind::Absent, "missing"))?;
        Ok(self.keep(file, found))
    }

    /// Keeps a file open. Closes the one opened first if there are too many.
    fn keep(&self, file: &str, found: File) -> Arc<File> {
        let found = Arc::new(found);
        let mut open = lock(&self.open);
        open.retain(|(name, _)| name != file);
        if open.len() == OPEN_FILES {
            open.remove(0);
        }
        open.push((file.to_owned(), Arc::clone(&found)));
        found
    }

    /// Lists one of the directories.
    fn list_in(&self, dir: &Path, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), content::Error> {
        let io = |error: &std::io::Error| content::Error::io(dir.display(), error);
        for entry in std::fs::read_dir(dir).map_err(|error| io(&error))? {
            let entry = entry.map_err(|error| io(&error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Some(name) = name.strip_suffix(self.suffix) else { continue };
            let size = entry.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
            each(Entry { name, is_folder: entry.file_type().is_ok_and(|kind| kind.is_dir()), size });
        }
        Ok(())
    }
}

fn no_folder<T>(path: &Path, unopened: &Unopened) -> Result<Option<T>, content::Error> {
    let shown = path.display();
    match unopened.found {
        Found::Nothing => Ok(None),
        Found::Link | Found::OtherKind => {
            Err(content::Error::new(Kind::Io, differs(shown, "a directory", "another kind")))
        }
        Found::Refusal => Err(content::Error::io(shown, &unopened.error)),
    }
}

impl Volumes for Directories {
    fn size(&self, file: &str) -> Result<Option<u64>, content::Error> {
        let Some((found, size)) = self.find(file)? else {
            let is_empty = |dir: &PathBuf| dir.join(format!("{file}{}", self.suffix)).symlink_metadata().is_ok();
            return Ok((!file.contains('/') && self.dirs.iter().any(is_empty)).then_some(0));
        };
        if file.contains('/') {
            // The file that is read is the one whose size is returned.
            self.keep(file, found);
        }
        Ok(Some(size))
    }

    fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), content::Error> {
        system::read_exact_at(&*self.file(file)?, buffer, offset).map_err(|error| {
            let kind = if error.kind() == std::io::ErrorKind::UnexpectedEof { Kind::Mismatch } else { Kind::Io };
            content::Error::new(kind, error.to_string())
        })
    }

    /// Lists all directories even if one of them cannot be listed.
    fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), content::Error> {
        if folder.is_empty() {
            let listed: Vec<_> = self.dirs.iter().map(|dir| self.list_in(dir, each)).collect();
            return listed.into_iter().collect();
        }
        let Some(open) = self.folder(&self.names(folder))? else { return Ok(()) };
        let listed = open.entries(|name| each(Entry { name: &name.to_string_lossy(), is_folder: false, size: None }));
        listed.map_err(|error| content::Error::io(self.shown(folder), &error))
    }

    fn shown(&self, file: &str) -> String {
        let dir = self.dirs.first().cloned().unwrap_or_default();
        self.names(file).iter().fold(dir, |path, name| path.join(name)).display().to_string()
    }

    fn place(&self) -> String {
        let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
        dirs.join(" or ")
    }

    fn other_copies(&self, file: &str, expected: &[u8]) -> Result<Vec<String>, content::Error> {
        let mut others = Vec::new();
        for path in self.dirs.iter().map(|dir| dir.join(file)) {
            let io = |error: Error| error.classed(|_| Kind::Io);
            let Some((mut open, size)) = open_plain(&path).map_err(io)? else { continue };
            // A file of another size differs, so it is not read.
            let mut found = Vec::new();
            if size == expected.len() as u64 {
                open.by_ref()
                    .take(size)
                    .read_to_end(&mut found)
                    .map_err(|error| content::Error::io(path.display(), &error))?;
            }
            if found != expected || size != expected.len() as u64 {
                others.push(path.display().to_string());
            }
        }
        Ok(others)
    }

    fn close(&self) {
        lock(&self.open).clear();
    }
}
