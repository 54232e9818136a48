//! A directory as a packed tar archive of which the bytes depend only on the names, the content and
//! the links in it, and on which files are executable.
//!
//! Owners, times and other permissions are not carried: a checkout or a copy of the directory gives
//! the same bytes. Links must lead to something inside. Sockets, pipes and devices are refused.

use std::io::Read;
use std::path::{Component, Path};

use flate2::{Compression, GzBuilder};
use walkdir::WalkDir;

use super::hash::{Hashed, hash_all};
use super::stamp::Stamped;
use super::tar_stream::{Item, ItemKind, TarStream};
use crate::base::fault::{Class, Fault, escape};
use crate::content::Error;
use crate::flow::{Event, Flow};
use crate::oci::{Algorithm, Digest, Hasher};

/// Maximum number of files, directories and links.
const MAX_ITEMS: usize = 1 << 20;
/// Compression level, the default of other programs. Another level would give other digests.
const LEVEL: u32 = 6;

/// A directory as it was when it was walked.
pub(super) struct Tree(Vec<Item>);

impl Tree {
    /// Walks the directory at `top`. Names in the archive begin with `name`.
    ///
    /// # Errors
    /// Class source for what an archive cannot represent, class io; class cancelled.
    pub(super) fn walk(flow: &Flow, top: &Path, name: &str) -> Result<Self, Fault> {
        let mut items = Vec::new();
        for entry in WalkDir::new(top).sort_by_file_name() {
            flow.check()?;
            let entry = entry.map_err(|error| {
                Fault::new(Class::Io, format!("file {}: {error}", top.display())).help("make everything in it readable")
            })?;
            if items.len() == MAX_ITEMS {
                let what = format!("file {}: expected at most {MAX_ITEMS} files (limits exceeded)", top.display());
                return Err(Fault::new(Class::Source, what).help("name directories in it one by one"));
            }
            let refused = |expected: &str, help: &str| {
                let shown = escape(&entry.path().to_string_lossy());
                Fault::new(Class::Source, format!("file {shown}: expected {expected}")).help(help)
            };
            let below = entry.path().strip_prefix(top).ok().and_then(slashed);
            let below = below.ok_or_else(|| refused("a name in UTF-8", "rename it"))?;
            let named = if below.is_empty() { name.to_owned() } else { format!("{name}/{below}") };
            let metadata = entry.metadata().map_err(|error| {
                Fault::new(Class::Io, format!("file {}: {error}", entry.path().display()))
                    .help("make everything in it readable")
            })?;
            let kind = if metadata.is_dir() || entry.depth() == 0 {
                ItemKind::Directory
            } else if metadata.is_file() {
                let is_executable = crate::system::mode(&metadata).is_some_and(|mode| mode & 0o100 != 0);
                ItemKind::File { file: Stamped::seen(entry.path(), &metadata), is_executable }
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(entry.path()).ok().and_then(|target| slashed(&target));
                let target = target.filter(|target| is_inside(&below, target)).ok_or_else(|| {
                    let help = "replace the link by what it leads to, or leave it out of the directory";
                    refused("links that lead to something inside the directory, found another", help)
                })?;
                ItemKind::Link(target)
            } else {
                return Err(refused(
                    "files, directories and links, found something else",
                    "leave sockets, pipes and devices out of the directory",
                ));
            };
            items.push(Item { name: named, kind });
        }
        Ok(Self(items))
    }

    /// Returns digest and size of the packed archive, and the digest of the archive itself.
    ///
    /// # Errors
    /// Those of [`super::hash::hash_all`].
    pub(super) fn digests(&self, flow: &Flow) -> Result<(Hashed, Digest), Error> {
        let bytes = self.0.iter().map(Item::size).sum();
        flow.event(Event::Stage { name: "hashing", bytes, items: 0 });
        let plain = Plain { inner: TarStream::new(&self.0), hasher: Hasher::new(Algorithm::Sha256), flow };
        let mut packed = pack(plain);
        let hashed = hash_all(flow, &mut packed, false)?;
        Ok((hashed, packed.into_inner().hasher.finish()))
    }

    /// Returns a reader of the packed archive.
    pub(super) fn packed(&self) -> Box<dyn Read + Send + '_> {
        Box::new(pack(TarStream::new(&self.0)))
    }
}

/// Packs without name and time, which the header could state.
fn pack<R: Read>(plain: R) -> flate2::read::GzEncoder<R> {
    GzBuilder::new().read(plain, Compression::new(LEVEL))
}

/// Returns a relative path with slashes. `None` if it is not UTF-8, absolute, or has other parts than names
/// and `..`.
fn slashed(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => parts.push(".."),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Returns whether the target of the link `below` stays in the directory, whatever its parts are.
fn is_inside(below: &str, target: &str) -> bool {
    let mut depth = below.split('/').count() - 1;
    for part in target.split('/') {
        match part {
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    !target.is_empty()
}

/// Hashes what is read, and reports it.
struct Plain<'a> {
    inner: TarStream<'a>,
    hasher: Hasher,
    flow: &'a Flow,
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.flow.event(Event::Bytes(count as u64));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_must_stay_in_the_directory() {
        for (below, target) in [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/c"), ("a", "d/../b")] {
            assert!(is_inside(below, target), "{below} {target}");
        }
        for (below, target) in [("a", "../b"), ("d/a", "../../b"), ("a", "d/../../b"), ("a", "")] {
            assert!(!is_inside(below, target), "{below} {target}");
        }
        assert_eq!(slashed(Path::new("/etc/passwd")), None);
    }
}
