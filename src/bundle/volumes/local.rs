//! The bundle's files on a medium: opened as plain files, read by position, never mapped.
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

/// How many volumes are kept open.
const OPEN_VOLUMES: usize = 16;

/// Opens a plain file for reading; `None` where there is none or it is empty (stores that cannot
/// delete empty a file instead).
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

/// Reads a whole file of at most `cap` bytes; `None` where there is none or it is empty.
///
/// # Errors
/// [`Class::Io`]; [`Class::Format`] above the cap, known from the size alone.
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

/// The volumes of one bundle: in its directory, or spread over several.
#[derive(Debug)]
pub struct Volumes {
    // The bundle's own first; none where the bundle is a stream.
    dirs: Vec<PathBuf>,
    name: Name,
    // Follows the names of volumes that are not finished.
    suffix: &'static str,
    open: Mutex<Vec<(usize, Arc<File>)>>,
}

impl Volumes {
    /// The volumes of `name` in `dirs`, looked for in their order; nothing is opened yet. Without a
    /// directory there are none.
    pub fn new(dirs: Vec<PathBuf>, name: Name) -> Self {
        Self { dirs, name, suffix: "", open: Mutex::new(Vec::new()) }
    }

    /// The volumes that a writer has not given their names yet.
    pub fn unfinished(dir: PathBuf, name: Name) -> Self {
        Self { suffix: ".partial", ..Self::new(vec![dir], name) }
    }

    /// Whether the volumes have their names.
    pub const fn is_finished(&self) -> bool {
        self.suffix.is_empty()
    }

    /// The directories, the bundle's own first.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Forgets what is open, so that a medium can be taken out.
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

    /// The file name of a volume, counted from 0.
    pub fn file_name(&self, volume: usize) -> String {
        format!("{}{}", self.name.volume(volume + 1), self.suffix)
    }

    /// The size of a volume; `None` where it is absent.
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
        let (file, _) = self.find(volume)?.ok_or_else(|| Error::integrity(format!("volume {name}: not there")))?;
        let file = Arc::new(file);
        if open.len() == OPEN_VOLUMES {
            open.remove(0);
        }
        open.push((volume, Arc::clone(&file)));
        Ok(file)
    }

    /// Reads exactly `buffer` from `offset` of a volume.
    ///
    /// # Errors
    /// [`Class::Io`] with volume and offset; [`Class::Integrity`] where the volume ends before.
    pub fn read_exact(&self, volume: usize, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        system::read_exact_at(&*self.file(volume)?, buffer, offset).map_err(|error| {
            let name = self.file_name(volume);
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                Error::integrity(format!("volume {name}: ends before offset {}", offset + buffer.len() as u64))
            } else {
                Error::io(format_args!("volume {name}, offset {offset}"), &error)
                    .help("the medium fails; copy the volume again, or read another copy of it")
            }
        })
    }

    /// The numbers, as in their names, of all volumes of this name that lie in the directories and hold
    /// anything.
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
