//! Where the files of a bundle are read from: by name and position, from many threads.
//!
//! A directory, several directories, a container of a blob store. Whoever reads knows neither paths nor addresses but
//! for messages. Nothing that is read is believed here.

use super::Error;

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name in its folder. Bytes that are no text are replaced, so that it equals no name of a bundle's file.
    pub name: &'a str,
    /// Whether it is known to be a folder.
    pub is_folder: bool,
    /// Bytes of a plain file, where the list tells them; `None` for everything else.
    pub size: Option<u64>,
}

/// The place of one bundle's files. A file is named by its name next to the manifest, one in a folder with `/` between
/// the names.
pub trait Volumes: Send + Sync {
    /// Returns the size of a file in bytes; `None` where there is none. Of several with this name the first that holds
    /// anything counts.
    ///
    /// # Errors
    /// [`super::Kind::Io`] for anything but a plain file in its place; what keeps the place from telling.
    fn size(&self, file: &str) -> Result<Option<u64>, Error>;

    /// Fills `buffer` from `offset` of a file.
    ///
    /// # Errors
    /// [`super::Kind::Absent`] where there is no file, [`super::Kind::Mismatch`] where it ends before; what keeps the
    /// place from giving it, without the file's name.
    fn read_at(&self, file: &str, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Calls `each` with every entry of a folder, in any order; `""` is the one that the manifest lies in. A folder that
    /// is not there has none.
    ///
    /// # Errors
    /// What keeps the place from listing it; entries may have come before.
    fn list(&self, folder: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<(), Error>;

    /// Returns how messages name a file, or a folder.
    fn shown(&self, file: &str) -> String;

    /// Returns how messages name the place.
    fn place(&self) -> String;

    /// Returns the names that messages give to copies of a small file that hold anything else than `expected`; empty
    /// ones are none. Only a place that is made of several has several copies.
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

    /// Forgets what is open, so that a medium can be taken out.
    fn close(&self) {}
}
