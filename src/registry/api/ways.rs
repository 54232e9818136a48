//! How content is sent to one registry: by one PUT, in chunks or in one chunk, and which of these it accepted before.
//!
//! Values only: [`super::upload`] tries them.

/// Size of a chunk, in bytes, that even the strictest servers accept.
pub(in crate::registry) const CHUNK: u64 = 4 << 20;

/// How content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum UploadMode {
    /// One PUT.
    Once,
    /// PATCHes of this many bytes.
    Chunks(u64),
    /// One PATCH.
    OneChunk,
}

/// The ways that a registry took, for what comes next.
#[derive(Debug, Default)]
pub(in crate::registry) struct Ways {
    /// Of content that can be read again: from how many bytes on, and how.
    files: Option<(u64, UploadMode)>,
    /// Of content that passes once.
    streams: Option<UploadMode>,
}

impl Ways {
    /// Returns the way for `size` bytes; `once`: they cannot be read again, so that no more than a chunk is risked.
    pub fn of(&self, size: u64, once: bool) -> UploadMode {
        if once && size > CHUNK {
            return self.streams.unwrap_or(UploadMode::Chunks(CHUNK));
        }
        match self.files {
            Some((from, mode)) if size >= from => mode,
            _ => UploadMode::Once,
        }
    }

    /// Notes that `size` bytes went up by `mode`, after one PUT of as many as `refused`, or more, had not.
    pub fn learn(&mut self, size: u64, once: bool, mode: UploadMode, refused: Option<u64>) {
        if once && size > CHUNK {
            self.streams = Some(mode);
        } else if let Some(from) = refused.filter(|_| mode != UploadMode::Once) {
            let before = self.files.map_or(from, |(from, _)| from);
            self.files = Some((from.min(before), mode));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_tried_first() {
        let mut ways = Ways::default();
        assert_eq!(ways.of(100 << 20, false), UploadMode::Once);
        assert_eq!(ways.of(100 << 20, true), UploadMode::Chunks(CHUNK));
        assert_eq!(ways.of(CHUNK, true), UploadMode::Once, "so little is kept whole");
        ways.learn(100 << 20, false, UploadMode::Once, None);
        assert_eq!(ways.of(100 << 20, false), UploadMode::Once);
        ways.learn(100 << 20, false, UploadMode::Chunks(1 << 20), Some(CHUNK + 1));
        assert_eq!(ways.of(5 << 20, false), UploadMode::Chunks(1 << 20));
        assert_eq!(ways.of(CHUNK, false), UploadMode::Once, "what fits into a chunk fits into a PUT");
        ways.learn(10, false, UploadMode::Chunks(CHUNK), Some(0));
        assert_eq!(ways.of(1, false), UploadMode::Chunks(CHUNK));
        ways.learn(100 << 20, true, UploadMode::OneChunk, None);
        assert_eq!(ways.of(5 << 20, true), UploadMode::OneChunk);
        assert_eq!(ways.of(5 << 20, false), UploadMode::Chunks(CHUNK));
    }
}
