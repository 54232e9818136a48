//! Opens the files of a bundle on a medium as plain files and reads them by position; never maps
//! them.
//!
//! Links, devices and pipes next to a bundle are refused without being followed.

use crate::base::lock::lock;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::fault::Class;
use crate::bundle::{Error, Name};
use crate::system::{self, Found};

/// Maximum number of volumes kept open.
const OPEN_VOLUMES: usize = 16;

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
                return Err(Error::new(Class::Io, format!("{shown}: expected a plain file, found a symbolic link")));
            }
            Found::OtherKind | Found::Refusal => return Err(Error::io(shown, &unopened.error)),
        },
    };
    let metadata = file.metadata().map_err(|error| Error::io(&shown, &error))?;
    if !metadata.is_file() {
        return Err(Error::new(Class::Io, format!("{shown}: expected a plain file, found another kind")));
    }
    Ok((metadata.len() > 0).then_some((file, metadata.len())))
}

/// Reads a whole file of at most `cap` bytes. Returns `None` if it does not exist or is empty.
///
/// # Errors
/// [`Class::Io`]; [`Class::Format`] for a larger file, without reading it if its size says so.
pub fn read_capped(path: &Path, cap: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some((file, size)) = open_plain(path)? else { return Ok(None) };
    let too_large = || Error::format(format!("{}: expected at most {cap} bytes, found more", path.display()));
    if size > cap {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| Error::io(path.display(), &error))?;
    if bytes.len() as u64 > cap { Err(too_large()) } else { Ok(Some(bytes)) }
}

/// Volumes of one bundle, in its directory or spread over several directories.
#[derive(Debug)]
pub struct Volumes {
    // The bundle's own directory first; empty if the bundle is a stream.
    dirs: Vec<PathBuf>,
    name: Name,
    // Appended to the names of unfinished volumes.
    suffix: &'static str,
    open: Mutex<Vec<(usize, Arc<File>)>>,
}

impl Volumes {
    /// Returns the volumes of `name`, which are looked up in `dirs` in order. Opens nothing yet.
    /// Without a directory there are no volumes.
    pub fn new(dirs: Vec<PathBuf>, name: Name) -> Self {
        Self { dirs, name, suffix: "", open: Mutex::new(Vec::new()) }
    }

    /// Returns the volumes that a writer has not given their final names yet.
    pub fn unfinished(dir: PathBuf, name: Name) -> Self {
        Self { suffix: ".partial", ..Self::new(vec![dir], name) }
    }

    /// Whether the volumes have their final names.
    pub const fn is_finished(&self) -> bool {
        self.suffix.is_empty()
    }

    /// Returns the directories, the bundle's own first.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Closes all open files, so that a medium can be removed.
    pub fn close(&self) {
        lock(&self.open).clear();
    }

    fn find(&self, volume: usize) -> Result<Option<(File, u64)>, Error> {
        let name = self.file_name(volume);
        for dir in &self.dirs {
            if let Some(found) = open_plain(&dir.join(&name))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the file name of a volume, counted from 0.
    pub fn file_name(&self, volume: usize) -> String {
        format!("{}{}", self.name.volume(volume + 1), self.suffix)
    }

    /// Returns the size of a volume in bytes, or `None` if it is missing.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn size(&self, volume: usize) -> Result<Option<u64>, Error> {
        Ok(self.find(volume)?.map(|(_, size)| size))
    }

    fn file(&self, volume: usize) -> Result<Arc<File>, Error> {
        let mut open = lock(&self.open);
        if let Some((_, file)) = open.iter().find(|(number, _)| *number == volume) {
            return Ok(Arc::clone(file));
        }
        let name = self.file_name(volume);
        let (file, _) = self.find(volume)?.ok_or_else(|| Error::integrity(format!("volume {name}: missing")))?;
        let file = Arc::new(file);
        if open.len() == OPEN_VOLUMES {
            open.remove(0);
        }
        open.push((volume, Arc::clone(&file)));
        Ok(file)
    }

    /// Fills `buffer` from `offset` of a volume.
    ///
    /// # Errors
    /// [`Class::Io`] with volume and offset; [`Class::Integrity`] if the volume ends too early.
    pub fn read_exact(&self, volume: usize, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        system::read_exact_at(&*self.file(volume)?, buffer, offset).map_err(|error| {
            let name = self.file_name(volume);
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                Error::integrity(format!("volume {name}: ends before offset {}", offset + buffer.len() as u64))
            } else {
                Error::io(format_args!("volume {name}, offset {offset}"), &error)
                    .help("the medium is failing; copy the volume again, or read another copy of it")
            }
        })
    }

    /// Returns the numbers, as in their file names, of all volumes of this name in the directories
    /// that are not empty.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn present(&self) -> Result<Vec<usize>, Error> {
        let mut numbers = Vec::new();
        for dir in &self.dirs {
            numbers.extend(self.present_in(dir)?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn present_in(&self, dir: &Path) -> Result<Vec<usize>, Error> {
        let shown = dir.display();
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|error| Error::io(&shown, &error))? {
            let entry = entry.map_err(|error| Error::io(&shown, &error))?;
            let Some(number) = entry.file_name().to_str().and_then(|file| self.name.volume_number(file)) else {
                continue;
            };
            let is_empty = entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
            if !is_empty {
                numbers.push(number);
            }
        }
        Ok(numbers)
    }
}
