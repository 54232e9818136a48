//! The writer's journal, `NAME.journal.partial`: one line for each frame in a volume, so that a
//! killed run resumes after the last one.
//!
//! A line is `PLAIN SIZE DIGEST` and a line feed, or `PLAIN - -` for a stored frame. From the first
//! torn or invalid line on, lines are ignored. Nothing is trusted: the frames listed are read again
//! and checked.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use crate::bundle::Error;
use crate::bundle::format::frame::{MAX_PLAIN, stored_size};
use crate::bundle::format::manifest::Frame;

/// An open journal. New lines are added after the last valid one.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    frames: Vec<Frame>,
    ends: Vec<u64>,
}

fn parse(line: &str) -> Option<Frame> {
    let mut words = line.split(' ');
    let (plain, size, digest) = (words.next()?, words.next()?, words.next()?);
    let plain = plain.parse().ok().filter(|plain| (1..=MAX_PLAIN).contains(plain))?;
    let frame = if (size, digest) == ("-", "-") {
        Frame { digest: None, plain, size: None }
    } else {
        let size = size.parse().ok().filter(|size| (1..stored_size(plain)).contains(size))?;
        Frame { digest: Some(Box::new(digest.parse().ok()?)), plain, size: Some(size) }
    };
    (words.next().is_none() && format(&frame).trim_end() == line).then_some(frame)
}

fn format(frame: &Frame) -> String {
    match (frame.size, &frame.digest) {
        (Some(size), Some(digest)) => format!("{} {size} {digest}\n", frame.plain),
        _ => format!("{} - -\n", frame.plain),
    }
}

impl Journal {
    /// Opens the journal at `path`, or creates an empty one.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let mut file = super::own_file::open_own(&path).map_err(|error| Error::io(&shown, &error))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| Error::io(&shown, &error))?;
        let (mut frames, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            let Some(frame) = text.and_then(parse) else { break };
            at += line.len() as u64;
            frames.push(frame);
            ends.push(at);
        }
        let mut journal = Self { path, file, frames, ends };
        journal.truncate(usize::MAX)?;
        Ok(journal)
    }

    /// Returns the frames that it lists.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Returns the frames and closes the journal.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    /// Adds a frame that was written to its volume.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn append(&mut self, frame: Frame) -> Result<(), Error> {
        let line = format(&frame);
        self.file.write_all(line.as_bytes()).map_err(|error| super::own_file::write_error(&self.path, &error))?;
        self.ends.push(self.ends.last().unwrap_or(&0) + line.len() as u64);
        self.frames.push(frame);
        Ok(())
    }

    /// Keeps the first `count` lines.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    pub fn truncate(&mut self, count: usize) -> Result<(), Error> {
        self.frames.truncate(count);
        self.ends.truncate(count);
        let length = self.ends.last().copied().unwrap_or_default();
        self.file.set_len(length).map_err(|error| Error::io(self.path.display(), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    #[test]
    fn a_torn_line_ends_what_counts_and_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.journal.partial");
        let frames = [
            Frame { digest: None, plain: 512, size: None },
            Frame { digest: Some(Box::new(Digest::sha256(b"x"))), plain: 1 << 20, size: Some(700) },
            Frame { digest: None, plain: 1024, size: None },
        ];
        let mut journal = Journal::open(path.clone()).unwrap();
        for frame in &frames {
            journal.append(frame.clone()).unwrap();
        }
        assert_eq!(Journal::open(path.clone()).unwrap().frames(), frames);
        let whole = std::fs::read(&path).unwrap();
        for (cut, kept) in [(whole.len() - 1, 2), (whole.len() - 9, 2), (20, 1), (3, 0)] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(path.clone()).unwrap();
            assert_eq!(journal.frames(), &frames[..kept], "{cut}");
            journal.append(frames[kept].clone()).unwrap();
            assert_eq!(Journal::open(path.clone()).unwrap().frames(), &frames[..=kept]);
        }
        for odd in ["512 - - \n", "0 - -\n", "0512 - -\n", "512 5000 sha256:00\n", "512 -\n", "99999999 - -\n"] {
            std::fs::write(&path, odd).unwrap();
            assert_eq!(Journal::open(path.clone()).unwrap().frames(), [], "{odd}");
        }
    }
}
