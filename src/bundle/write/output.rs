//! Place where a bundle is written: its directory, the names of unfinished files, the lock, and the
//! checks that need no network.
//!
//! All unfinished files end in `.partial`; `NAME.lock` exists while a run works.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::base::fault::Class;
use crate::bundle::volumes::files::Files;
use crate::bundle::volumes::local::Directories;
use crate::bundle::{Error, Name, foreign};
use crate::content::store::Store;
use crate::system::{self, Access, Found};

/// Size in bytes of the largest file on FAT32.
const FAT_FILE: u64 = (4 << 30) - 1;
/// `f_type` of FAT in statfs.
const FAT_MAGIC: u64 = 0x4d44;

/// Place of a bundle while it is written; holds the lock.
pub struct Output {
    dir: PathBuf,
    name: Name,
    overwrite: bool,
    // `None` if files stay in the directory.
    store: Option<Arc<dyn Store>>,
    _lock: Lock,
}

/// Returns the error of a failed write, with advice if the disk is full or the file too large.
pub fn write_error(path: &Path, error: &std::io::Error) -> Error {
    let refused = Error::io(path.display(), error);
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            let free = path.parent().and_then(|dir| free_bytes(dir).ok());
            let free = free.map_or_else(String::new, |free| format!("; {free} bytes are free"));
            Error { what: refused.what + &free, ..refused }
                .help("make room and run the same export again: it goes on where it stopped")
        }
        std::io::ErrorKind::FileTooLarge => match system::file_size_limit() {
            None => refused.help("the file system allows no larger file: use --volume-size fat32"),
            Some(limit) => Error {
                what: format!("{}; this process may write files of at most {limit} bytes (ulimit -f)", refused.what),
                ..refused
            }
            .help("raise the limit, or use a --volume-size below it (at least 32MiB)"),
        },
        _ => refused,
    }
}

/// Returns the number of bytes that are free on the file system of `path` for this user.
///
/// # Errors
/// Those of the system.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Creates a file at `path` and replaces one that was left there. Never follows a link.
pub(in crate::bundle) fn create(path: &Path) -> std::io::Result<File> {
    system::create_anew(path, 0o644)
}

/// Opens a file of an unfinished run for reading and appending; creates it if it is missing. A
/// medium may come from anywhere, so links and files with a second name are refused.
pub(in crate::bundle) fn open_own(path: &Path) -> std::io::Result<File> {
    let other = "expected a plain file with no other name, found another kind or a second name; remove it";
    let (file, _) = system::open_or_create(path, Access::Append, 0o644).map_err(|unopened| match unopened.found {
        Found::Link | Found::OtherKind => std::io::Error::other(other),
        Found::Nothing | Found::Refusal => unopened.error,
    })?;
    if file.metadata()?.nlink() == 1 { Ok(file) } else { Err(std::io::Error::other(other)) }
}

/// Creates a folder of an unfinished run if it is missing. Refuses a link.
pub(in crate::bundle) fn make_own_folder(path: &Path) -> std::io::Result<()> {
    let Err(error) = DirBuilder::new().mode(0o755).create(path) else { return Ok(()) };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(std::io::Error::other("expected a folder, found a link or file; remove it")),
        Err(_) => Err(error),
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("dir", &self.dir).field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(path: PathBuf) -> Result<Self, Error> {
        loop {
            let (file, _) = system::open_or_create(&path, Access::Write, 0o644)
                .map_err(|unopened| write_error(&path, &unopened.error))?;
            // The lock is removed at the end, so do not take another program's lock or list of
            // versions.
            if file.metadata().is_ok_and(|found| found.len() > 0) {
                return Err(foreign::refused(&path));
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::new(
                        Class::Lock,
                        format!("{}: another run is writing this bundle", path.display()),
                    )
                    .help("wait for it, or write under another name"));
                }
                Err(error) => return Err(Error::io(path.display(), &error.into())),
            }
            // The previous run may have removed the file between open and lock.
            let is_named = |held: std::fs::Metadata| {
                std::fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino()))
            };
            if file.metadata().is_ok_and(is_named) {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still locked, so that nobody locks a file that is about to go.
        let _ = std::fs::remove_file(&self.path);
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Output {
    /// Takes the lock of `name` in `dir`, which must exist, and looks for a bundle of that name.
    ///
    /// # Errors
    /// [`Class::Io`] if the directory is missing or not writable; [`Class::Lock`] if another run is
    /// writing this bundle; [`Class::Usage`] if it exists and `overwrite` is not set, or if a file
    /// with one of its names is not part of a bundle.
    pub fn open(dir: &Path, name: &Name, overwrite: bool) -> Result<Self, Error> {
        let output = Self::of_bundle(dir, name, overwrite)?;
        if let (false, Some(found)) = (overwrite, output.existing()?) {
            return Err(Error::new(Class::Usage, format!("{}: expected no bundle, found one", found.display()))
                .help("use --overwrite to replace it, or choose another name"));
        }
        foreign::check(dir, name)?;
        Ok(output)
    }

    /// Takes the lock of `name` in `dir`, whatever is there.
    ///
    /// # Errors
    /// [`Class::Io`], [`Class::Lock`]; [`Class::Usage`] if another program has a file with the
    /// lock's name.
    pub fn of_bundle(dir: &Path, name: &Name, overwrite: bool) -> Result<Self, Error> {
        let shown = dir.display();
        let metadata = std::fs::metadata(dir)
            .map_err(|error| Error::io(&shown, &error).help("make the directory, or name another one with -o"))?;
        if !metadata.is_dir() {
            return Err(Error::new(Class::Io, format!("{shown}: expected a directory, found another kind of file"))
                .help("name a directory with -o"));
        }
        let lock = Lock::take(dir.join(format!("{name}.lock")))?;
        Ok(Self { dir: dir.to_owned(), name: name.clone(), overwrite, store: None, _lock: lock })
    }

    /// Returns the first file of a bundle under its final name. Volumes alone count too, unless a
    /// run that was killed while renaming left them.
    fn existing(&self) -> Result<Option<PathBuf>, Error> {
        if self.has_manifest() {
            return Ok(Some(self.path(&self.name.manifest())));
        }
        if self.plan().exists() {
            return Ok(None);
        }
        let volume = self.volumes()?.first().map(|&number| self.path(&self.name.volume(number)));
        let others = [self.flat(), self.path(&self.name.signatures()), self.path(&self.name.checksums())];
        // An empty file does not count.
        let is_there = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.len() > 0 || found.is_dir());
        Ok(volume.or_else(|| others.into_iter().find(is_there)))
    }

    /// Whether there is a manifest under the final name that is not empty.
    pub fn has_manifest(&self) -> bool {
        std::fs::symlink_metadata(self.path(&self.name.manifest())).is_ok_and(|found| found.len() > 0)
    }

    /// Returns the numbers of the volumes under final names, from 1.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn volumes(&self) -> Result<Vec<usize>, Error> {
        let mut present =
            Files::new(Arc::new(Directories::new(vec![self.dir.clone()])), self.name.clone()).present()?;
        present.retain(|&number| number > 0);
        Ok(present)
    }

    /// Returns the numbers of the unfinished volumes, from 1, in order.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn partial_volumes(&self) -> Result<Vec<usize>, Error> {
        let refuse = |error| Error::io(self.dir.display(), &error);
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(refuse)? {
            let file = entry.map_err(refuse)?.file_name();
            let number = file.to_str().and_then(|file| self.name.volume_number(file.strip_suffix(".partial")?));
            numbers.extend(number.filter(|&number| number > 0));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Sends whole files to `store`, where they become a bundle. The directory is only used for
    /// writing.
    #[must_use]
    pub fn stored_in(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Returns the store that whole files go to.
    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap_or(self)
    }

    /// Returns whether whole files stay in the directory.
    pub const fn is_store(&self) -> bool {
        self.store.is_none()
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the bundle's name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Whether an existing bundle is to be replaced.
    pub const fn overwrite(&self) -> bool {
        self.overwrite
    }

    /// Returns the path of a file in the directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Returns the path of an unfinished volume, counted from 1: `NAME.NNNN.tar.zst.partial`.
    pub fn partial_volume(&self, number: usize) -> PathBuf {
        self.path(&format!("{}.partial", self.name.volume(number)))
    }

    /// Returns the path of `NAME.oci`.
    pub fn flat(&self) -> PathBuf {
        self.path(&self.name.flat())
    }

    /// Returns the path of `NAME.oci.partial`.
    pub fn partial_flat(&self) -> PathBuf {
        self.path(&format!("{}.partial", self.name.flat()))
    }

    /// Removes a directory with everything below it, if it exists. Of a link, removes only the
    /// link.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn remove_all(&self, path: &Path) -> Result<(), Error> {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path.display(), &error)),
            _ => Ok(()),
        }
    }

    /// Returns the path of `NAME.journal.partial`.
    pub fn journal(&self) -> PathBuf {
        self.path(&format!("{}.journal.partial", self.name))
    }

    /// Returns the path of `NAME.sent.partial`.
    pub fn sent(&self) -> PathBuf {
        self.path(&format!("{}.sent.partial", self.name))
    }

    /// Returns the path of `NAME.plan.partial`.
    pub fn plan(&self) -> PathBuf {
        self.path(&format!("{}.plan.partial", self.name))
    }

    /// Returns the path of `NAME.docs.partial`.
    pub fn docs(&self) -> PathBuf {
        self.path(&format!("{}.docs.partial", self.name))
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn remove(&self, path: &Path) -> Result<(), Error> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path.display(), &error)),
            _ => Ok(()),
        }
    }

    /// Renames `from` to `to`, both in the directory.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        std::fs::rename(from, to).map_err(|error| write_error(to, &error))
    }

    /// Makes the directory's names durable.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        system::sync_folder(&self.dir).map_err(|error| Error::io(self.dir.display(), &error))
    }

    /// Writes a whole file with a temporary name, fsync and rename. Does not sync the directory.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn put(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        self.prepare(file, bytes)?;
        self.settle(file)
    }

    /// Does the first half of [`Output::put`]: everything but the rename. [`Output::settle`] does
    /// that.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn prepare(&self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        use std::io::Write as _;
        let temporary = self.path(&format!("{file}.new.partial"));
        let write = || {
            let mut file = create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| write_error(&temporary, &error))
    }

    /// Does the second half of [`Output::put`].
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn settle(&self, file: &str) -> Result<(), Error> {
        self.rename(&self.path(&format!("{file}.new.partial")), &self.path(file))
    }

    /// Checks whether the file system can hold a bundle that needs `least` to `most` bytes in files
    /// of up to `largest`. Returns a warning if it may not.
    ///
    /// # Errors
    /// [`Class::Io`] with the bytes needed and available; [`Class::Usage`] if files are limited
    /// below `largest`.
    pub fn check_room(&self, least: u64, most: u64, largest: u64) -> Result<Option<String>, Error> {
        let shown = self.dir.display();
        let stat = rustix::fs::statfs(&self.dir).map_err(|error| Error::io(&shown, &error.into()))?;
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "the type differs by platform; magics are positive"
        )]
        let kind = stat.f_type as u64;
        holds(&shown, kind, largest)?;
        let free = free_bytes(&self.dir).map_err(|error| Error::io(&shown, &error))?;
        let length = |number| std::fs::metadata(self.partial_volume(number)).map_or(0, |metadata| metadata.len());
        let held = self.partial_volumes()?.into_iter().map(length).sum();
        let have = free.saturating_add(held);
        let limited = exceeds(&shown, system::file_size_limit(), largest);
        Ok(room(&shown, have, least, most)?.or(limited))
    }
}

/// Checks that a file system of this kind holds files of `largest` bytes.
fn holds(shown: &impl fmt::Display, kind: u64, largest: u64) -> Result<(), Error> {
    if kind == FAT_MAGIC && largest > FAT_FILE {
        return Err(Error::new(
            Class::Usage,
            format!("{shown}: expected volumes of at most {FAT_FILE} bytes on FAT, found {largest}"),
        )
        .help("use --volume-size fat32"));
    }
    Ok(())
}

/// Returns a warning if the process may not write files of up to `largest` bytes.
fn exceeds(shown: &impl fmt::Display, limit: Option<u64>, largest: u64) -> Option<String> {
    let limit = limit.filter(|limit| largest > *limit)?;
    Some(format!(
        "{shown}: files may have up to {largest} bytes, but this process may write at most {limit} (ulimit -f)"
    ))
}

/// Checks that `have` bytes are enough for `least`. Returns a warning if they are less than `most`.
fn room(shown: &impl fmt::Display, have: u64, least: u64, most: u64) -> Result<Option<String>, Error> {
    if least > have {
        return Err(Error::new(Class::Io, format!("{shown}: expected room for {least} bytes, found {have}"))
            .help("make room, or name another directory with -o"));
    }
    Ok((most > have).then(|| format!("{shown}: up to {most} bytes may be needed, {have} are available")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_a_limit_of_the_process_is_told_before_the_start() {
        let told = |limit, largest| exceeds(&"usb", limit, largest);
        assert_eq!((told(None, 9), told(Some(9), 9)), (None, None));
        assert!(told(Some(8), 9).is_some_and(|text| text.contains("up to 9 bytes") && text.contains("at most 8")));
    }

    #[test]
    fn what_just_fits_has_room() {
        let room = |least, most| room(&"usb", 1000, least, most);
        assert_eq!(room(1000, 1000), Ok(None));
        assert!(room(1000, 1001).unwrap().unwrap().contains("up to 1001 bytes"));
        assert_eq!(room(1001, 1001).unwrap_err().class, Class::Io);
        for (kind, largest, fits) in [
            (0x4d44, 4_294_967_295, true),
            (0x4d44, 4_294_967_296, false),
            (0x4d44, u64::MAX, false),
            (0xef53, u64::MAX, true),
        ] {
            assert_eq!(holds(&"usb", kind, largest).is_ok(), fits, "{kind:#x}, {largest}");
        }
    }

    #[test]
    fn what_is_not_the_runs_own_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["new", "old", "twin"] {
            open_own(&path(name)).unwrap();
        }
        open_own(&path("old")).unwrap();
        std::fs::hard_link(path("twin"), path("other name")).unwrap();
        std::os::unix::fs::symlink("old", path("link")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for name in ["twin", "link", "pipe"] {
            assert!(open_own(&path(name)).is_err(), "{name}");
        }
        make_own_folder(&path("folder")).unwrap();
        make_own_folder(&path("folder")).unwrap();
        std::os::unix::fs::symlink("folder", path("to folder")).unwrap();
        for name in ["to folder", "old"] {
            assert!(make_own_folder(&path(name)).unwrap_err().to_string().contains("expected a folder"), "{name}");
        }
        assert_eq!(make_own_folder(&path("none/below")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }

    #[test]
    fn what_lies_in_the_directory_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::new("b").unwrap();
        let output = Output::open(dir.path(), &name, false).unwrap();
        let put = |file: &str, bytes: &str| std::fs::write(dir.path().join(file), bytes).unwrap();
        assert!(!output.has_manifest() && !output.overwrite());
        put("b.json", "");
        assert!(!output.has_manifest(), "an empty one is none");
        put("b.json", "{\"absent\":[");
        assert!(output.has_manifest());
        for number in [0, 1, 12] {
            std::fs::write(dir.path().join(format!("b.{number:04}.tar.zst")), b"\x28\xb5\x2f\xfd").unwrap();
            put(&format!("b.{number:04}.tar.zst.partial"), "x");
        }
        assert_eq!(output.volumes(), Ok(vec![1, 12]));
        assert_eq!(output.partial_volumes(), Ok(vec![1, 12]));
        // A missing file counts as removed; one that cannot be removed is an error.
        output.remove(&output.path("none")).unwrap();
        output.remove_all(&output.path("none")).unwrap();
        std::fs::create_dir(output.path("folder")).unwrap();
        assert_eq!(output.remove(&output.path("folder")).unwrap_err().class, Class::Io);
        assert_eq!(output.remove_all(&output.path("b.json/below")).unwrap_err().class, Class::Io);
        drop(output);
        assert!(Output::open(dir.path(), &name, true).unwrap().overwrite());
    }
}
