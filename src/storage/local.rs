//! A directory as a container: for tests, for a stage between two clouds, and for file systems that
//! are mounted on both sides.
//!
//! Objects are plain files. They appear by a rename, after an fsync. Parts of unfinished uploads lie
//! in hidden files next to their object. Every name is opened component by component below the
//! directory, without following links.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::{Condition, Container, Object, Unfinished, Upload, Uploaded};
use crate::content::checked::read_some;
use crate::content::{Error, Kind};
use crate::flow::{Event, Flow};
use crate::oci::{Digest, Hasher};

/// Number of bytes copied at once.
const STEP: usize = 1 << 20;
/// End of the names of files that hold an unfinished upload.
const PART: &str = ".part";
/// Number of hexadecimal digits of an upload's key in the name of its file.
const KEY: usize = 16;
/// Flags for folders, which are never links.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags for files; NONBLOCK, so that a pipe is not waited for.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A directory, or a folder in it, as a container.
#[derive(Debug)]
pub struct LocalContainer {
    dir: PathBuf,
    root: OwnedFd,
    // Folders below the directory that all names are relative to.
    prefix: Vec<String>,
}

impl LocalContainer {
    /// Opens the directory at `dir`. Names are relative to `prefix`, a folder in it, which need not
    /// exist; `""` is the directory itself.
    ///
    /// # Errors
    /// [`Kind::Absent`] if there is no such directory, [`Kind::Policy`] for a prefix that is no name,
    /// [`Kind::Io`].
    pub fn open(dir: &Path, prefix: &str) -> Result<Self, Error> {
        let shown = dir.display();
        // The operator names this directory, so it may be a link.
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => {
                Error::new(Kind::Absent, format!("{shown}: expected a directory, found none"))
                    .help("make the directory, or correct its name")
            }
            error => Error::io(shown, &error.into()),
        })?;
        let prefix = match prefix.trim_end_matches('/') {
            "" => Vec::new(),
            prefix => components(prefix)?,
        };
        Ok(Self { dir: dir.to_owned(), root, prefix })
    }

    /// Returns the folder of an object and its name there; no folder if it does not exist. Creates
    /// missing folders with `create`.
    fn place(&self, name: &str, create: bool) -> Result<(Option<OwnedFd>, String), Error> {
        let mut folders = self.prefix.clone();
        folders.extend(components(name)?);
        let file = folders.pop().unwrap_or_default();
        Ok((self.folder(&folders, create).map_err(|error| self.refused(name, error))?, file))
    }

    fn folder(&self, names: &[String], create: bool) -> Result<Option<OwnedFd>, Errno> {
        let mut folder = openat(&self.root, ".", FOLDER, Mode::empty())?;
        for name in names {
            let mut opened = openat(&folder, name.as_str(), FOLDER, Mode::empty());
            if create && matches!(opened, Err(Errno::NOENT)) {
                match mkdirat(&folder, name.as_str(), Mode::from_raw_mode(0o755)) {
                    Ok(()) => sync(&folder)?,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                opened = openat(&folder, name.as_str(), FOLDER, Mode::empty());
            }
            folder = match opened {
                Err(Errno::NOENT) => return Ok(None),
                opened => opened?,
            };
        }
        Ok(Some(folder))
    }

    /// Opens an object for reading.
    fn file(&self, name: &str) -> Result<Option<File>, Error> {
        let (Some(folder), file) = self.place(name, false)? else { return Ok(None) };
        let opened = match openat(&folder, file.as_str(), FILE | OFlags::RDONLY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened.map_err(|error| self.refused(name, error))?),
        };
        let is_file = opened.metadata().map_err(|error| Error::io(self.shown(name), &error))?.is_file();
        if is_file { Ok(Some(opened)) } else { Err(self.refused(name, Errno::LOOP)) }
    }

    fn describe(&self, name: &str, file: &File) -> Result<Object, Error> {
        let found = file.metadata().map_err(|error| Error::io(self.shown(name), &error))?;
        let etag = etag(found.size(), found.mtime(), found.mtime_nsec(), found.ino());
        let modified = u64::try_from(found.mtime()).ok();
        Ok(Object { name: name.to_owned(), size: found.size(), etag: Some(etag), md5: None, modified })
    }

    /// Returns the error of an open or write that failed.
    fn refused(&self, name: &str, error: Errno) -> Error {
        let shown = self.shown(name);
        match error {
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => {
                Error::new(Kind::Io, format!("{shown}: expected a plain file in plain folders, found another kind"))
                    .help("remove it; links and devices in a container are not followed")
            }
            Errno::NOSPC | Errno::DQUOT => Error::io(shown, &error.into())
                .help("make room and run the same command again: it goes on where it stopped"),
            error => Error::io(shown, &error.into()),
        }
    }

    fn unwritten(&self, name: &str, error: &io::Error) -> Error {
        match error.raw_os_error() {
            Some(code) => self.refused(name, Errno::from_raw_os_error(code)),
            None => Error::io(self.shown(name), error),
        }
    }

    /// Calls `each` with all plain files in and below a folder whose path is `above`, hidden ones
    /// with `hidden` and no others.
    fn walk(
        folder: &OwnedFd,
        above: &str,
        prefix: &str,
        hidden: bool,
        each: &mut dyn FnMut(Object),
    ) -> Result<(), Errno> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            // Names that are not UTF-8 are no names of objects.
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_hidden = name.starts_with('.');
            if matches!(name, "." | "..") {
                continue;
            }
            let path = format!("{above}{name}");
            let found = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory if !is_hidden => {
                    let path = format!("{path}/");
                    if path.starts_with(prefix) || prefix.starts_with(&path) {
                        match openat(folder, name, FOLDER, Mode::empty()) {
                            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                            below => Self::walk(&below?, &path, prefix, hidden, each)?,
                        }
                    }
                }
                FileType::RegularFile if is_hidden == hidden && (hidden || path.starts_with(prefix)) => {
                    #[allow(
                        clippy::unnecessary_cast,
                        clippy::cast_lossless,
                        clippy::cast_possible_wrap,
                        reason = "the types differ by platform; nanoseconds are below 2^30"
                    )]
                    let (seconds, nanoseconds) = (found.st_mtime as i64, found.st_mtime_nsec as i64);
                    let size = u64::try_from(found.st_size).unwrap_or_default();
                    each(Object {
                        name: path,
                        size,
                        etag: Some(etag(size, seconds, nanoseconds, found.st_ino)),
                        md5: None,
                        modified: u64::try_from(seconds).ok(),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Calls `each` with the files below the prefix.
    fn all(&self, prefix: &str, hidden: bool, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        let refused = |error| self.refused("", error);
        match self.folder(&self.prefix, false).map_err(refused)? {
            Some(folder) => Self::walk(&folder, "", prefix, hidden, each).map_err(refused),
            None => Ok(()),
        }
    }

    /// Hashes the first `length` bytes of a file.
    fn hash(&self, name: &str, file: &File, length: u64, hasher: &mut Hasher, flow: &Flow) -> Result<(), Error> {
        let mut buffer = vec![0; STEP];
        let mut at = 0;
        while at < length {
            flow.check()?;
            let count = usize::try_from(length - at).map_or(STEP, |left| left.min(STEP));
            file.read_exact_at(&mut buffer[..count], at).map_err(|error| Error::io(self.shown(name), &error))?;
            hasher.update(&buffer[..count]);
            at += count as u64;
        }
        Ok(())
    }

    /// Appends what is missing of the content to `file`. Returns the number of bytes that were there, and
    /// whether the whole has the right digest.
    fn fill(&self, upload: &Upload<'_>, file: &mut File, flow: &Flow) -> Result<(u64, bool), Error> {
        let shown = || self.shown(upload.name);
        let mut kept = file.metadata().map_err(|error| Error::io(shown(), &error))?.len();
        if kept > upload.size {
            file.set_len(0).map_err(|error| Error::io(shown(), &error))?;
            kept = 0;
        }
        let mut hasher = Hasher::new(upload.digest.algorithm());
        self.hash(upload.name, file, kept, &mut hasher, flow)?;
        flow.event(Event::Bytes(kept));
        file.seek(SeekFrom::Start(kept)).map_err(|error| Error::io(shown(), &error))?;
        let from = |error| Error::from_io(shown(), error);
        let (mut reader, mut skip) = match upload.body.open_at(kept).filter(|_| kept > 0) {
            Some(reader) => (reader.map_err(from)?, 0),
            None => (upload.body.open().map_err(from)?, kept),
        };
        let mut buffer = vec![0; STEP];
        let mut at = kept;
        loop {
            flow.check()?;
            let count = match usize::try_from(skip) {
                Ok(0) => read_some(&mut reader, &mut buffer).map_err(from)?,
                more => {
                    let most = more.map_or(STEP, |more| more.min(STEP));
                    let count = read_some(&mut reader, &mut buffer[..most]).map_err(from)?;
                    skip -= count as u64;
                    if count > 0 {
                        continue;
                    }
                    0
                }
            };
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(|error| self.unwritten(upload.name, &error))?;
            flow.event(Event::Bytes(count as u64));
            at += count as u64;
        }
        Ok((kept, at == upload.size && hasher.finish() == upload.digest))
    }

    /// Takes the only right to change objects under a condition. Other programs do not know it.
    fn turn(&self) -> Result<File, Error> {
        let folder = openat(&self.root, ".", FOLDER, Mode::empty()).map_err(|error| self.refused("", error))?;
        // Some network file systems have no locks.
        let _ = flock(&folder, FlockOperation::LockExclusive);
        Ok(File::from(folder))
    }
}

/// Makes the names in a folder durable.
fn sync(folder: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(folder) {
        // Some file systems do not support fsync of directories.
        Err(Errno::INVAL) => Ok(()),
        done => done,
    }
}

fn etag(size: u64, seconds: i64, nanoseconds: i64, inode: u64) -> String {
    format!("\"{size:x}-{seconds:x}.{nanoseconds:x}-{inode:x}\"")
}

/// Returns the components of a name: not empty, not hidden, and so neither `.` nor `..`.
fn components(name: &str) -> Result<Vec<String>, Error> {
    let is_good = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if name.split('/').all(is_good) {
        return Ok(name.split('/').map(ToOwned::to_owned).collect());
    }
    let what = format!("object {name:?}: expected names joined by /, each not empty and without a dot in front");
    Err(Error::new(Kind::Policy, what).help("choose another name"))
}

/// Returns the hidden name of an unfinished upload.
fn part(file: &str, key: &str) -> String {
    format!(".{file}.{}{PART}", &Digest::sha256(key.as_bytes()).hex()[..KEY])
}

/// Returns the name of the object that a hidden file is a part of.
fn object_of(path: &str) -> Option<String> {
    let (above, file) = path.rsplit_once('/').map_or(("", path), |(_, file)| (&path[..path.len() - file.len()], file));
    let (name, key) = file.strip_prefix('.')?.strip_suffix(PART)?.rsplit_once('.')?;
    let is_key = key.len() == KEY && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_key.then(|| format!("{above}{name}"))
}

impl Container for LocalContainer {
    fn shown(&self, name: &str) -> String {
        let prefix = self.prefix.iter().map(String::as_str);
        let names = prefix.chain(name.split('/').filter(|part| !part.is_empty()));
        names.fold(self.dir.clone(), |path, part| path.join(part)).display().to_string()
    }

    fn head(&self, name: &str) -> Result<Option<Object>, Error> {
        self.file(name)?.map(|file| self.describe(name, &file)).transpose()
    }

    fn read_at(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let shown = || self.shown(name);
        let file = self.file(name)?.ok_or_else(|| Error::new(Kind::Absent, format!("{}: missing", shown())))?;
        if etag.is_some() && etag != self.describe(name, &file)?.etag.as_deref() {
            return Err(Error::new(Kind::Mismatch, format!("{}: changed while it was read", shown())));
        }
        file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::new(Kind::Mismatch, format!("{}: ends before offset {}", shown(), offset + buffer.len() as u64))
            }
            _ => Error::io(shown(), &error),
        })
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Error> {
        self.all(prefix, false, each)
    }

    fn put(&self, name: &str, content: &[u8], condition: &Condition) -> Result<Object, Error> {
        let (folder, file) = self.place(name, true)?;
        let Some(folder) = folder else { return Err(self.refused(name, Errno::NOENT)) };
        let refused = |error| self.refused(name, error);
        let _turn = self.turn()?;
        let there = self.head(name)?;
        let holds = match condition {
            Condition::Any => true,
            Condition::Absent => there.is_none(),
            Condition::Unchanged(etag) => there.as_ref().is_some_and(|there| there.etag.as_ref() == Some(etag)),
        };
        if !holds {
            let found = if there.is_some() { "another one" } else { "none" };
            let expected = if *condition == Condition::Absent { "no object" } else { "the object as it was" };
            return Err(Error::new(Kind::Refused, format!("{}: expected {expected}, found {found}", self.shown(name))));
        }
        let temporary = format!(".{file}.new");
        let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        if let Err(error) = unlinkat(&folder, temporary.as_str(), AtFlags::empty())
            && error != Errno::NOENT
        {
            return Err(refused(error));
        }
        let mut new =
            File::from(openat(&folder, temporary.as_str(), flags, Mode::from_raw_mode(0o644)).map_err(refused)?);
        new.write_all(content).and_then(|()| new.sync_all()).map_err(|error| self.unwritten(name, &error))?;
        renameat(&folder, temporary.as_str(), &folder, file.as_str()).map_err(refused)?;
        sync(&folder).map_err(refused)?;
        self.describe(name, &new)
    }

    fn upload(&self, upload: &Upload<'_>, flow: &Flow) -> Result<Uploaded, Error> {
        let name = upload.name;
        if let Some(there) = self.file(name)? {
            let size = there.metadata().map_err(|error| Error::io(self.shown(name), &error))?.len();
            if size == upload.size {
                let mut hasher = Hasher::new(upload.digest.algorithm());
                self.hash(name, &there, size, &mut hasher, flow)?;
                if hasher.finish() == upload.digest {
                    flow.event(Event::Bytes(size));
                    return Ok(Uploaded { sent: 0, kept: size });
                }
            }
        }
        let (folder, file) = self.place(name, true)?;
        let Some(folder) = folder else { return Err(self.refused(name, Errno::NOENT)) };
        let refused = |error| self.refused(name, error);
        let part = part(&file, upload.key);
        let flags = FILE | OFlags::RDWR | OFlags::CREATE;
        let mut open = File::from(openat(&folder, part.as_str(), flags, Mode::from_raw_mode(0o644)).map_err(refused)?);
        if !open.metadata().map_err(|error| self.unwritten(name, &error))?.is_file() {
            return Err(refused(Errno::LOOP));
        }
        if flock(&open, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Error::new(Kind::Refused, format!("{}: another run is uploading it", self.shown(name)))
                .help("wait for it, then run this command again"));
        }
        let (mut kept, mut is_right) = self.fill(upload, &mut open, flow)?;
        if !is_right && kept > 0 {
            // The part that an earlier run left is damaged.
            open.set_len(0).map_err(|error| self.unwritten(name, &error))?;
            (kept, is_right) = self.fill(upload, &mut open, &flow.quiet())?;
        }
        if !is_right {
            let _ = unlinkat(&folder, part.as_str(), AtFlags::empty());
            let what = format!(
                "{}: expected {} bytes with digest {}, found other content",
                self.shown(name),
                upload.size,
                upload.digest
            );
            return Err(Error::new(Kind::Mismatch, what));
        }
        // A failed fsync is never tried again: the result of a second one means nothing.
        open.sync_all().map_err(|error| self.unwritten(name, &error))?;
        renameat(&folder, part.as_str(), &folder, file.as_str()).map_err(refused)?;
        sync(&folder).map_err(refused)?;
        Ok(Uploaded { sent: upload.size - kept, kept })
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let (Some(folder), file) = self.place(name, false)? else { return Ok(()) };
        match unlinkat(&folder, file.as_str(), AtFlags::empty()) {
            Ok(()) => sync(&folder).map_err(|error| self.refused(name, error)),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.refused(name, error)),
        }
    }

    fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Error> {
        let mut found = Vec::new();
        self.all(prefix, true, &mut |file| {
            let id = file.name.rsplit('/').next().unwrap_or_default().to_owned();
            if let Some(name) = object_of(&file.name).filter(|name| name.starts_with(prefix)) {
                found.push(Unfinished { name, id: Some(id), size: Some(file.size) });
            }
        })?;
        found.sort_by(|one, two| (&one.name, &one.id).cmp(&(&two.name, &two.id)));
        Ok(found)
    }

    fn discard(&self, unfinished: &Unfinished) -> Result<(), Error> {
        let (Some(folder), _) = self.place(&unfinished.name, false)? else { return Ok(()) };
        let Some(part) = unfinished.id.as_deref().filter(|id| object_of(id).is_some() && !id.contains('/')) else {
            return Ok(());
        };
        match unlinkat(&folder, part, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.refused(&unfinished.name, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn names_stay_below_the_directory() {
        for good in ["b.json", "b.oci/blobs/sha256/00", "a b"] {
            assert!(components(good).is_ok(), "{good}");
        }
        for wrong in ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", ".hidden", "a/.hidden", "a\0b"] {
            assert_eq!(components(wrong).unwrap_err().class, Kind::Policy, "{wrong:?}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
        let container = LocalContainer::open(dir.path(), "").unwrap();
        for name in ["folder/secret", "file"] {
            assert_eq!(container.head(name).unwrap_err().class, Kind::Io, "{name}");
            assert!(container.read_at(name, None, 0, &mut [0]).is_err(), "{name}");
        }
        assert!(container.put("folder/new", b"x", &Condition::Any).is_err());
        assert!(container.put("file", b"x", &Condition::Any).is_err());
        assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
        let mut names = Vec::new();
        container.list("", &mut |object| names.push(object.name)).unwrap();
        assert_eq!(names, [""; 0]);
    }

    #[test]
    fn parts_name_their_object() {
        let name = format!("a/{}", part("b.0001.tar.zst", "key"));
        assert_eq!(object_of(&name).as_deref(), Some("a/b.0001.tar.zst"));
        for other in [".b.new", "b.0123456789abcdef.part", ".b.0123456789abcdeg.part", ".part"] {
            assert_eq!(object_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_damaged_part_is_written_again() {
        struct Body(&'static [u8]);
        impl crate::content::Body for Body {
            fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
                Ok(Box::new(self.0))
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let container = LocalContainer::open(dir.path(), "below").unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("below").join(part("b", "key")), "xxx").unwrap();
        let body = Body(b"content");
        let digest = Digest::sha256(body.0);
        let flow = Flow::new(
            std::sync::Arc::new(crate::flow::Silent),
            std::sync::Arc::new(crate::flow::FixedClock::at(0)),
            1,
            1,
        );
        let upload = Upload { name: "b", size: 7, digest, key: "key", ends: &[], body: &body };
        assert_eq!(container.upload(&upload, &flow).unwrap(), Uploaded { sent: 7, kept: 0 });
        assert_eq!(std::fs::read(dir.path().join("below/b")).unwrap(), b"content");
    }
}
