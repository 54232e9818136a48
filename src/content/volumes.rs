//! Places that the files of a bundle are read from, by name and position, from many threads.
//!
//! A place is a directory, several directories, or a container of a blob store. Readers know no
//! paths and no addresses, except as text for messages. Nothing is checked here.

use super::Error;

/// An entry of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name in its folder. Bytes that are not UTF-8 are replaced, so that such a name never equals
    /// the name of a bundle's file.
    pub name: &'a str,
    /// Whether it is known to be a folder.
    pub is_folder: bool,
    /// Size of a plain file in bytes, if the list contains it; `None` for other kinds of files.
    pub size: Option<u64>,
}

/// Place of one bundle's files. A file is named relative to the folder of the manifest, with `/`
/// between components.
pub trait Volumes: Send + Sync {
    /// Returns the size of a file in bytes, or `None` if it is missing. If there are several copies,
    /// the first that is not empty counts.
    ///
    /// # Errors
    /// [`super::Kind::Io`] if it is not a plain file; the errors of the place.
    fn size(&self, file: &str) -> Result<Option<u64>, Error>;

    /// Fills `buffer` from `offset` of a file.
    ///
    /// # Errors
    /// [`super::Kind::Absent`] if it is missing, [`super::Kind::Mismatch`] if it ends before; the errors
    /// of the place. The texts do not name the file.
    fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Calls `each` with every entry of a folder, in any order. `""` is the folder of the manifest. A
    /// missing folder has no entries.
    ///
    /// # Errors
    /// The errors of the place. `each` may have been called before.
    fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error>;

    /// Returns the name of a file or folder for messages.
    fn shown(&self, file: &str) -> String;

    /// Returns the name of the place for messages.
    fn place(&self) -> String;

    /// Returns the names, for messages, of all copies of a small file that are neither empty nor equal
    /// to `expected`. Only a place that consists of several directories can have several copies.
    ///
    /// # Errors
    /// Those of [`Volumes::size`] and [`Volumes::read_at`].
    fn other_copies(&self, file: &str, expected: &[u8]) -> Result<Vec<String>, Error> {
        let is_same = match self.size(file)? {
            None | Some(0) => true,
            Some(size) if size != expected.len() as u64 => false,
            Some(_) => {
                let mut found = vec![0; expected.len()];
                self.read_at(file, 0, &mut found)?;
                found == expected
            }
        };
        Ok(if is_same { Vec::new() } else { vec![self.shown(file)] })
    }

    /// Closes all open files, so that a medium can be removed.
    fn close(&self) {}
}
