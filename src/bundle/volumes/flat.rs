//! Form flat: the layout as plain files below `NAME.oci/`, for guards that refuse archives
//! (`spec/bundle.md`, flat). Here: its files, found and compared; nothing else may lie there.
//!
//! Every name is opened relative to its directory and never through a link.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::fault::{Class, Fault};
use crate::bundle::check::gate::{Gate, Step};
use crate::bundle::check::parallel::{Tally, passed};
use crate::bundle::format::computed::Reader;
use crate::bundle::format::tar::{Content, Tar};
use crate::bundle::frames::pool::lock;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::{Error, Name};
use crate::content::checked::read_some;
use crate::flow::{Event, Flow, start};
use crate::oci::{Algorithm, Digest, Hasher};
use crate::system::{Folder, Found, Unopened};

/// Bytes read at once.
const STEP: usize = 1 << 20;
/// Of the entries of a directory that must not be there so many are named, the first by their names.
const NAMED: usize = 100;

/// The files of a flat bundle.
#[derive(Debug)]
pub struct Flat {
    root: PathBuf,
}

/// A blob's path below the root: directory and name.
fn place(digest: &Digest) -> [String; 3] {
    ["blobs".to_owned(), digest.algorithm().name().to_owned(), digest.hex()]
}

fn path_of(tar: &Tar, member: usize) -> Vec<String> {
    match tar.content(member) {
        Content::Blob(digest) => place(&digest).to_vec(),
        Content::Computed => vec![tar.name(member)],
    }
}

impl Flat {
    /// Of `name` in `dir`; nothing is opened yet.
    pub fn new(dir: &Path, name: &Name) -> Self {
        Self { root: dir.join(name.flat()) }
    }

    /// The same while it has not its name yet.
    pub fn unfinished(dir: &Path, name: &Name) -> Self {
        Self { root: dir.join(format!("{}.partial", name.flat())) }
    }

    fn shown(&self, path: &[String]) -> String {
        path.iter().fold(self.root.clone(), |root, name| root.join(name)).display().to_string()
    }

    fn folder(&self, path: &[String]) -> Result<Option<Folder>, Error> {
        let mut open = Folder::open(&self.root);
        for (depth, name) in path.iter().enumerate() {
            match open {
                Ok(parent) => open = parent.folder(name),
                Err(unopened) => return self.absent(&path[..depth], &unopened),
            }
        }
        open.map_or_else(|unopened| self.absent(path, &unopened), |folder| Ok(Some(folder)))
    }

    fn absent<T>(&self, path: &[String], unopened: &Unopened) -> Result<Option<T>, Error> {
        match unopened.found {
            Found::Nothing => Ok(None),
            Found::Link | Found::OtherKind => {
                Err(Error::new(Class::Io, format!("{}: expected a directory, found another kind", self.shown(path))))
            }
            Found::Refusal => Err(Error::io(self.shown(path), &unopened.error)),
        }
    }

    /// The file of a member, of the size that it must have.
    fn file(&self, path: &[String], size: u64) -> Result<File, Error> {
        let shown = self.shown(path);
        let lacks = || {
            Error::integrity(format!("{shown}: expected a file of {size} bytes, found none"))
                .help("copy the bundle again from its source, the directory with all below it")
        };
        let Some((name, above)) = path.split_last() else { return Err(lacks()) };
        let folder = self.folder(above)?.ok_or_else(lacks)?;
        let other = || Error::new(Class::Io, format!("{shown}: expected a plain file, found another kind"));
        let file = folder.file(name).map_err(|unopened| match unopened.found {
            Found::Nothing => lacks(),
            Found::Link | Found::OtherKind => other(),
            Found::Refusal => Error::io(&shown, &unopened.error),
        })?;
        let metadata = file.metadata().map_err(|error| Error::io(&shown, &error))?;
        if !metadata.is_file() {
            return Err(other());
        }
        let found = metadata.len();
        match found.cmp(&size) {
            Ordering::Equal => Ok(file),
            Ordering::Less => Err(Error::integrity(format!("{shown}: truncated at {found} of {size} bytes"))),
            Ordering::Greater => Err(Error::integrity(format!("{shown}: expected {size} bytes, found {found}"))),
        }
    }

    /// The content of a blob, of which only the size was looked at.
    ///
    /// # Errors
    /// [`Class::Integrity`] where it is not there or of another size; [`Class::Io`].
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<File, Error> {
        self.file(&place(digest), size)
    }

    /// All of a blob that fits into memory.
    ///
    /// # Errors
    /// As [`Flat::blob`].
    pub(in crate::bundle) fn whole(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let read = self.blob(digest, size)?.take(size).read_to_end(&mut content);
        read.map_err(|error| Error::io(self.shown(&place(digest)), &error))?;
        Ok(content)
    }

    /// What lies below the root and must not: entries that the manifest does not name.
    pub fn survey(&self, tar: &Tar, bundle: &Trusted, flow: &Flow) -> Vec<Error> {
        let mut errors = Vec::new();
        let top = |name: &str| matches!(name, "oci-layout" | "index.json" | "blobs");
        self.entries(&[], top, &mut errors);
        let algorithm = |name: &str| matches!(name, "sha256" | "sha512");
        self.entries(&["blobs".to_owned()], algorithm, &mut errors);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let blob = |hex: &str| {
                let digest = format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok();
                digest.is_some_and(|digest| bundle.blob_index(&digest).is_some())
            };
            self.entries(&["blobs".to_owned(), algorithm.name().to_owned()], blob, &mut errors);
        }
        // Of those that must be there each is opened as what it must be.
        for member in 0..tar.members() {
            if let Err(cancelled) = flow.check() {
                return vec![cancelled.into()];
            }
            errors.extend(self.file(&path_of(tar, member), tar.size(member)).err());
        }
        errors
    }

    fn entries(&self, path: &[String], expected: impl Fn(&str) -> bool, errors: &mut Vec<Error>) {
        let folder = match self.folder(path) {
            Ok(Some(folder)) => folder,
            Ok(None) => return,
            Err(error) => return errors.push(error),
        };
        let (mut extra, mut others) = (BTreeSet::new(), 0_u64);
        let looked = folder.entries(|name| {
            if !name.to_str().is_some_and(&expected) {
                extra.insert(name.to_owned());
                if extra.len() > NAMED {
                    extra.pop_last();
                    others += 1;
                }
            }
        });
        let shown = self.shown(path);
        let remove = "remove it, or take another copy of the bundle";
        errors.extend(extra.iter().map(|name| {
            let name = name.to_string_lossy();
            Error::integrity(format!("{shown}/{name}: extra, the manifest does not name it")).help(remove)
        }));
        if others > 0 {
            let what = format!("{shown}: {others} more entries are extra, the manifest does not name them");
            errors.push(Error::integrity(what).help(remove));
        }
        errors.extend(looked.err().map(|error| Error::io(shown, &error)));
    }

    /// Reads one member and compares or hashes every byte; gives how many.
    fn check(&self, tar: &Tar, member: usize, flow: &Flow) -> Result<u64, Error> {
        let (path, size) = (path_of(tar, member), tar.size(member));
        let shown = self.shown(&path);
        let mut file = self.file(&path, size)?;
        let mut buffer = vec![0; STEP.min(usize::try_from(size).unwrap_or(STEP).max(1))];
        let mut content = match tar.content(member) {
            Content::Blob(digest) => Expected::Digest(digest, Box::new(Hasher::new(digest.algorithm()))),
            Content::Computed => Expected::Bytes(tar.computed(member, 0)),
        };
        let mut at = 0;
        loop {
            flow.check()?;
            let count = read_some(&mut file, &mut buffer)
                .map_err(|error| Error::io(format_args!("{shown}, offset {at}"), &error))?;
            if count == 0 {
                break;
            }
            match &mut content {
                Expected::Digest(_, hasher) => hasher.update(&buffer[..count]),
                Expected::Bytes(expected) => {
                    if !expected.is_next(&buffer[..count]) {
                        return Err(Error::integrity(format!("{shown}: content differs from the computed one")));
                    }
                }
            }
            at += count as u64;
            flow.event(Event::Bytes(count as u64));
        }
        if at != size {
            return Err(Error::integrity(format!("{shown}: expected {size} bytes, read {at}")));
        }
        if let Expected::Digest(expected, hasher) = content {
            let found = hasher.finish();
            if found != expected {
                return Err(Error::integrity(format!("{shown}: content has digest {found}")));
            }
        }
        Ok(size)
    }
}

/// What the content of a file must be.
enum Expected<'a> {
    /// Of this digest.
    Digest(Digest, Box<Hasher>),
    /// These bytes.
    Bytes(Reader<'a>),
}

/// Compares the computed files: what an import must have seen although no artifact asks for it.
///
/// # Errors
/// [`Class::Integrity`], [`Class::Io`].
pub(in crate::bundle) fn check_computed(flat: &Flat, bundle: &Trusted, flow: &Flow) -> Result<(), Error> {
    let tar = &bundle.geometry().tar;
    (0..Tar::of_blob(0)).try_for_each(|member| flat.check(tar, member, flow).map(drop))
}

/// Checks every file of a flat bundle, each by one thread; survey and closure are the caller's. `faults` are
/// what was found before.
///
/// # Errors
/// The fault whose class counts most, the others behind it.
pub(in crate::bundle) fn check_files(
    flat: &Flat,
    bundle: &Trusted,
    flow: &Flow,
    fail_fast: bool,
    mut faults: Vec<Fault>,
) -> Result<Tally, Fault> {
    let tar = &bundle.geometry().tar;
    let bytes = (0..tar.members()).map(|member| tar.size(member)).sum();
    flow.event(Event::Stage { name: "checking", bytes, items: tar.members() as u64 });
    // The largest first, so that the threads end together.
    let mut order: Vec<usize> = (0..tar.members()).collect();
    order.sort_by_key(|&member| std::cmp::Reverse(tar.size(member)));
    let one = |member: usize, bytes: u64| {
        let blobs = u64::from(member >= Tar::of_blob(0));
        Tally { members: 1, blobs, frames: 0, bytes }
    };
    let whole = Tally { members: tar.members() as u64, blobs: bundle.manifest().blobs.len() as u64, frames: 0, bytes };
    let gate = Gate::new(whole, (0..tar.members()).map(|member| one(member, tar.size(member))).collect());
    let found = Mutex::new(Vec::new());
    let step = |member: usize| match flat.check(tar, member, flow) {
        Ok(bytes) => Step::Pinned(one(member, bytes)),
        Err(error) => {
            let stop = fail_fast || error.class == Class::Cancelled;
            lock(&found).push(error);
            if stop { Step::Stop } else { Step::Open }
        }
    };
    let work = || gate.work(&order, step);
    std::thread::scope(|scope| {
        let threads = start(scope, flow.cpus.max(1), work);
        // A panic was taken note of by the gate, which stays closed; here it must only not spread.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by(|a, b| a.what.cmp(&b.what));
    faults.extend(found);
    passed(gate, faults)
}
