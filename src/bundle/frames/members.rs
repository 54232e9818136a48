//! Checks the members of a tar stream: compares headers, padding and end with those computed from
//! the manifest, and hashes content (`spec/tar-stream.md`, `spec/verification.md`).

use std::ops::Range;

use crate::bundle::Error;
use crate::bundle::format::computed::Reader;
use crate::bundle::format::tar::{BLOCK, Content, Tar};
use crate::oci::{Digest, Hasher};

/// A part of a piece of the stream.
enum Part {
    /// Header, computed content, padding or end: already compared.
    Compared,
    /// Bytes of a blob's content, in this range of the piece.
    Content(Range<usize>),
}

/// Receives the content of members while a stream is walked.
pub trait Seen {
    /// Receives more content of `member`, which has not been checked yet.
    fn content(&mut self, member: usize, bytes: &[u8]);
    /// Called once all of `member` was read and passed its checks.
    fn whole(&mut self, _member: usize) {}
}

/// Ignores all content.
pub struct Blind;

impl Seen for Blind {
    fn content(&mut self, _: usize, _: &[u8]) {}
}

/// Walks through the members of a stream as its bytes arrive.
pub struct Cursor<'a> {
    tar: &'a Tar,
    member: usize,
    // Position within the member.
    at: u64,
    header: Vec<u8>,
    size: u64,
    digest: Option<Digest>,
    // Expected bytes of computed content.
    expected: Option<Reader<'a>>,
    hash: bool,
    hasher: Option<Hasher>,
    /// Number of members that were read completely and passed their checks.
    pub members: u64,
    /// Number of blobs among them.
    pub blobs: u64,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `member`. With `hash`, compares the digests of blobs; otherwise
    /// the caller must check their content.
    pub fn new(tar: &'a Tar, member: usize, hash: bool) -> Self {
        let mut cursor = Self {
            tar,
            member,
            at: 0,
            header: Vec::new(),
            size: 0,
            digest: None,
            expected: None,
            hash,
            hasher: None,
            members: 0,
            blobs: 0,
        };
        cursor.enter(member);
        cursor
    }

    fn enter(&mut self, member: usize) {
        self.member = member;
        self.at = 0;
        self.digest = None;
        self.expected = None;
        if member >= self.tar.members() {
            // The trailer consists of padding only.
            self.header.clear();
            self.size = 0;
            return;
        }
        self.header = self.tar.header(member);
        self.size = self.tar.size(member);
        match self.tar.content(member) {
            Content::Computed => self.expected = Some(self.tar.computed(member, 0)),
            Content::Blob(digest) => {
                self.digest = Some(digest);
                self.hasher = self.hash.then(|| Hasher::new(digest.algorithm()));
            }
        }
    }

    /// Takes all of `piece` and passes its content to `seen`.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Integrity`].
    pub fn take_all(&mut self, mut piece: &[u8], seen: &mut dyn Seen) -> Result<(), Error> {
        while !piece.is_empty() {
            let member = self.member;
            let (count, part) = self.take(piece)?;
            if let Part::Content(range) = part {
                seen.content(member, &piece[range]);
            }
            if self.member != member {
                seen.whole(member);
            }
            piece = &piece[count..];
        }
        Ok(())
    }

    /// Takes the first bytes of `piece` that belong together. Returns their number and kind.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Integrity`].
    fn take(&mut self, piece: &[u8]) -> Result<(usize, Part), Error> {
        let header = self.header.len() as u64;
        let content_end = header + self.size;
        let end = self.tar.end(self.member) - self.tar.start(self.member);
        let upto = |limit: u64| usize::try_from(limit - self.at).map_or(piece.len(), |most| most.min(piece.len()));
        let at = |from: u64| usize::try_from(self.at - from).unwrap_or_default();
        let (count, part) = if self.at < header {
            let count = upto(header);
            if piece[..count] != self.header[at(0)..at(0) + count] {
                return Err(self.refuse("tar header differs from the computed one"));
            }
            (count, Part::Compared)
        } else if self.at < content_end {
            let count = upto(content_end);
            if let Some(expected) = &mut self.expected {
                if !expected.is_next(&piece[..count]) {
                    return Err(self.refuse("content differs from the computed one"));
                }
                (count, Part::Compared)
            } else {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&piece[..count]);
                }
                (count, Part::Content(0..count))
            }
        } else {
            let count = upto(end);
            debug_assert!(count as u64 <= 2 * BLOCK, "padding and end are short");
            if piece[..count].iter().any(|&byte| byte != 0) {
                return Err(self.refuse("padding differs from zero"));
            }
            (count, Part::Compared)
        };
        self.at += count as u64;
        if self.at == end {
            self.leave()?;
        }
        Ok((count, part))
    }

    fn leave(&mut self) -> Result<(), Error> {
        if let (Some(hasher), Some(expected)) = (self.hasher.take(), self.digest) {
            let found = hasher.finish();
            if found != expected {
                return Err(self.refuse(&format!("content has digest {found}")));
            }
        }
        self.blobs += u64::from(self.digest.is_some());
        if self.member < self.tar.members() {
            self.members += 1;
            self.enter(self.member + 1);
        } else {
            self.member += 1;
        }
        Ok(())
    }

    /// Returns the current member, or the next one between two members.
    pub const fn member(&self) -> usize {
        self.member
    }

    fn refuse(&self, problem: &str) -> Error {
        Error::integrity(format!("{}: {problem}", self.tar.name(self.member)))
    }
}
