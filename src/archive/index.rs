//! The index of an archive: finds the content that a name stands for, and follows links inside the
//! archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use super::members::{Extent, Member, walk};
use super::name::{clean, linked};
use super::refusal::{Refusal, shown};
use crate::oci::digest::Algorithm;
use crate::oci::{Digest, Hasher};
use crate::system;

/// Maximum number of links from a name to its content.
const MAX_LINKS: usize = 16;

/// The members of an archive by name.
pub(super) struct Index {
    members: HashMap<String, Vec<Member>>,
}

impl Index {
    /// Reads the headers of an archive.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn read(file: &File, length: u64) -> Result<Self, Refusal> {
        let mut members: HashMap<String, Vec<Member>> = HashMap::new();
        walk(file, length, &mut |name, member| {
            let all = members.entry(name).or_default();
            if !all.contains(&member) {
                all.push(member);
            }
            Ok(())
        })?;
        Ok(Self { members })
    }

    /// Returns whether there is a member of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Finds the content of `name`, as written in the archive.
    ///
    /// # Errors
    /// [`Refusal`] if it is missing, if links lead to it in a circle or out of the archive, and if
    /// the archive has several members of this name that differ.
    pub(super) fn find(&self, file: &File, name: &str) -> Result<Extent, Refusal> {
        let mut current = clean(name)?;
        for _ in 0..=MAX_LINKS {
            let members = self.members.get(&current).map(Vec::as_slice).unwrap_or_default();
            current = match members {
                [] => {
                    return Err(Refusal::new(format!("member {}: expected one, found none", shown(&current))));
                }
                [Member::File(extent)] => return Ok(*extent),
                [Member::Symlink(target)] => linked(&current, target)?,
                [Member::Link(target)] => clean(target)?,
                many => return same(file, &current, many),
            };
        }
        Err(Refusal::new(format!("member {}: expected content, found a circle of links", shown(name))))
    }

    /// Reads the content of `name`, which has at most `most` bytes.
    ///
    /// # Errors
    /// Those of [`Index::find`]; [`Refusal`] for more.
    pub(super) fn content(&self, file: &File, name: &str, most: u64) -> Result<Vec<u8>, Refusal> {
        let extent = self.find(file, name)?;
        if extent.size > most {
            let what = format!("member {}: expected at most {most} bytes, found {}", shown(name), extent.size);
            return Err(Refusal::new(what));
        }
        let mut content = Vec::new();
        ExtentReader::new(file, extent).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// Returns the content of several members of one name. Programs differ in which of them they take, so
/// they must be equal.
fn same(file: &File, name: &str, members: &[Member]) -> Result<Extent, Refusal> {
    let two = || Refusal::new(format!("member {}: expected one, found {} that differ", shown(name), members.len()));
    let mut first: Option<(Extent, Digest)> = None;
    for member in members {
        let Member::File(extent) = member else { return Err(two()) };
        let digest = digest(file, *extent)?;
        match first {
            Some((_, other)) if other != digest => return Err(two()),
            Some(_) => {}
            None => first = Some((*extent, digest)),
        }
    }
    first.map(|(extent, _)| extent).ok_or_else(two)
}

fn digest(file: &File, extent: Extent) -> Result<Digest, Refusal> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut reader = ExtentReader::new(file, extent);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Reads content in a file from its place, whatever others read of the file meanwhile.
pub(super) struct ExtentReader<'a> {
    file: &'a File,
    left: Extent,
}

impl<'a> ExtentReader<'a> {
    /// Creates a reader.
    pub(super) const fn new(file: &'a File, extent: Extent) -> Self {
        Self { file, left: extent }
    }
}

impl Read for ExtentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left.size).map_or(buffer.len(), |left| left.min(buffer.len()));
        if count > 0 {
            system::read_exact_at(self.file, &mut buffer[..count], self.left.at)?;
            self.left = Extent { at: self.left.at + count as u64, size: self.left.size - count as u64 };
        }
        Ok(count)
    }
}
