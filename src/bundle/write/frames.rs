//! Cuts the tar stream into frames (`spec/frame.md`), and finds the parts of a frame.
//!
//! A pure function of members and sizes: threads, interruptions and volumes do not affect it.

use std::ops::Range;

use crate::bundle::format::frame::MAX_PLAIN;
use crate::bundle::format::tar::{Content, MemberIndex, Tar};
use crate::oci::document::MAX_DOCUMENT;

/// Maximum size in bytes of a leaf that shares frames with others.
pub const SMALL: u64 = 64 << 10;

/// A frame to be made: a piece of the tar stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes in the tar stream.
    pub span: Range<u64>,
    /// Whole members, or the one that it is a part of; the trailer counts as the member after the
    /// last.
    pub members: Range<MemberIndex>,
    /// Whether to try packing.
    pub packable: bool,
}

/// Part of a member's content that a piece holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The member.
    pub member: MemberIndex,
    /// Range of its content.
    pub content: Range<u64>,
    /// Where this range begins in the piece.
    pub at: usize,
}

/// Rule for cutting a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutRule {
    /// Whether it shares frames.
    pub small: bool,
    /// Whether to try packing its frames; always tried for a shared frame.
    pub packable: bool,
}

/// Cuts the stream into pieces. `blobs` are in tar order.
pub fn cut(tar: &Tar, blobs: &[CutRule]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut sharing = false;
    for member in 0..tar.members() {
        let (start, end) = (tar.start(member), tar.end(member));
        let computed = CutRule { small: tar.size(member) <= MAX_DOCUMENT, packable: true };
        let rule = if member < Tar::of_blob(0) { computed } else { blobs[member - Tar::of_blob(0)] };
        if rule.small && end - start <= MAX_PLAIN {
            match pieces.last_mut() {
                Some(last) if sharing && end - last.span.start <= MAX_PLAIN => {
                    last.span.end = end;
                    last.members.end = member + 1;
                }
                _ => pieces.push(Piece { span: start..end, members: member..member + 1, packable: true }),
            }
            sharing = true;
        } else {
            let mut at = start;
            while at < end {
                let next = end.min(at + MAX_PLAIN);
                pieces.push(Piece { span: at..next, members: member..member + 1, packable: rule.packable });
                at = next;
            }
            sharing = false;
        }
    }
    let trailer = tar.members();
    pieces.push(Piece { span: tar.start(trailer)..tar.end(trailer), members: trailer..trailer + 1, packable: false });
    pieces
}

/// Returns the part of `part` within `whole`, or an empty span within `whole` if there is none.
fn overlap(whole: &Range<u64>, part: &Range<u64>) -> Range<u64> {
    let start = part.start.clamp(whole.start, whole.end);
    start..part.end.clamp(start, whole.end)
}

impl Piece {
    /// Returns the number of bytes of the tar stream in it.
    pub const fn plain(&self) -> u64 {
        self.span.end - self.span.start
    }

    // No truncation: a position in a piece is at most 16 MiB.
    fn place(&self, span: &Range<u64>) -> Range<usize> {
        let at = |position: u64| usize::try_from(position - self.span.start).unwrap_or(usize::MAX);
        at(span.start)..at(span.end)
    }

    /// Returns the parts of blobs in it, in order. An empty blob has an empty part.
    pub fn sections(&self, tar: &Tar) -> Vec<Section> {
        let members = self.members.start.max(Tar::of_blob(0))..self.members.end.min(tar.members());
        let mut sections = Vec::with_capacity(members.len());
        for member in members {
            let start = tar.start(member) + tar.header(member).len() as u64;
            let span = overlap(&self.span, &(start..start + tar.size(member)));
            let content = span.start - start..span.end - start;
            sections.push(Section { member, content, at: self.place(&span).start });
        }
        sections
    }

    /// Writes headers, computed content and padding into `plain`, which holds the piece. Does not
    /// change the parts that [`Piece::sections`] lists.
    ///
    /// # Panics
    /// If `plain` is shorter than the piece.
    pub fn lay(&self, tar: &Tar, plain: &mut [u8]) {
        for member in self.members.clone() {
            let start = tar.start(member);
            if member == tar.members() {
                plain[self.place(&overlap(&self.span, &(start..tar.end(member))))].fill(0);
                continue;
            }
            let header = tar.header(member);
            let content = start + header.len() as u64;
            let end = content + tar.size(member);
            self.copy(start, &header, plain);
            if tar.content(member) == Content::Computed {
                let span = overlap(&self.span, &(content..end));
                tar.computed(member, span.start - content).fill(&mut plain[self.place(&span)]);
            }
            plain[self.place(&overlap(&self.span, &(end..tar.end(member))))].fill(0);
        }
    }

    /// Copies the part of `bytes`, which are at `start` in the stream, that is in the piece.
    fn copy(&self, start: u64, bytes: &[u8], plain: &mut [u8]) {
        let span = overlap(&self.span, &(start..start + bytes.len() as u64));
        if span.is_empty() {
            return;
        }
        let index = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
        plain[self.place(&span)].copy_from_slice(&bytes[index(span.start)..index(span.end)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::format::manifest::{Blob, holding};
    use crate::oci::Digest;

    fn pieces(sizes: &[u64]) -> (Tar, Vec<Piece>) {
        let blobs: Vec<Blob> = sizes
            .iter()
            .enumerate()
            .map(|(index, &size)| Blob { digest: Digest::sha256(&index.to_be_bytes()), size })
            .collect();
        let rules: Vec<CutRule> = sizes.iter().map(|&size| CutRule { small: size <= SMALL, packable: false }).collect();
        let tar = Tar::new(holding(&[], &blobs)).unwrap();
        let pieces = cut(&tar, &rules);
        (tar, pieces)
    }

    #[test]
    fn pieces_cover_the_stream_and_keep_members_apart() {
        let sizes = [0, 1, SMALL, SMALL + 1, MAX_PLAIN - 512, MAX_PLAIN - 511, MAX_PLAIN, 3 * MAX_PLAIN + 1, 7];
        let (tar, pieces) = pieces(&sizes);
        let mut at = 0;
        for piece in &pieces {
            assert_eq!(piece.span.start, at);
            assert!((1..=MAX_PLAIN).contains(&piece.plain()));
            let whole =
                piece.span.start == tar.start(piece.members.start) && piece.span.end == tar.end(piece.members.end - 1);
            assert!(whole || piece.members.len() == 1, "{piece:?}");
            at = piece.span.end;
        }
        assert_eq!(at, tar.length());
        // One shared frame, 1 + 1 + 2 + 2 + 4 of large blobs, a shared one after them, the trailer.
        assert_eq!(pieces.len(), 1 + 10 + 1 + 1);
    }

    #[test]
    fn shared_frames_are_filled_greedily() {
        let (_, pieces) = pieces(&vec![SMALL; 600]);
        // A member takes 66048 bytes, so 254 of them fit in a frame; the first frame also holds
        // other members.
        let counts: Vec<usize> = pieces.iter().map(|piece| piece.members.len()).collect();
        assert_eq!(counts, [2 + 253, 254, 93, 1]);
    }

    #[test]
    fn sections_are_the_blobs_content_once() {
        let sizes = [0, 5, 2 * MAX_PLAIN, 513];
        let (tar, pieces) = pieces(&sizes);
        let mut next = vec![0; sizes.len()];
        for section in pieces.iter().flat_map(|piece| piece.sections(&tar)) {
            let index = section.member - Tar::of_blob(0);
            assert_eq!(section.content.start, next[index]);
            next[index] = section.content.end;
        }
        assert_eq!(next, sizes);
    }

    #[test]
    fn limits_are_met_exactly() {
        let blob = |size| Blob { digest: Digest::sha256(b"any"), size };
        let cut = |sizes: &[u64], rule: &[CutRule]| {
            let blobs: Vec<Blob> = sizes.iter().copied().map(blob).collect();
            super::cut(&Tar::new(holding(&[], &blobs)).unwrap(), rule)
        };
        let small = CutRule { small: true, packable: false };
        let large = CutRule { small: false, packable: false };
        // The first blob is not taken for a computed member.
        assert_eq!(cut(&[1 << 20], &[large])[1].members, 2..3);
        // A small member may fill a whole frame, and is packed like shared ones.
        let alone = cut(&[MAX_PLAIN - 512], &[small]);
        assert_eq!((alone[1].plain(), alone[1].packable), (MAX_PLAIN, true));
        // Together with those before it, a member may fill a frame to the last byte, and no
        // further.
        let before = Tar::new(holding(&[], &[])).unwrap().start(2);
        for (size, members) in [(MAX_PLAIN - before - 512, 0..3), (MAX_PLAIN - before - 511, 0..2)] {
            assert_eq!(cut(&[size], &[small])[0].members, members);
        }
    }

    #[test]
    fn the_index_shares_a_frame_up_to_the_size_of_a_document() {
        let artifact = |length: usize| crate::oci::Artifact {
            artifact_type: Some("t".repeat(length)),
            digest: Digest::sha256(b"any"),
            media_type: "m/t".to_owned(),
            original: None,
            repository: crate::oci::Repository::exact("localhost/a").unwrap(),
            size: 1,
            source: None,
            subject: None,
            tags: Vec::new(),
        };
        let tar = |length| Tar::new(holding(&[artifact(length)], &[])).unwrap();
        let most = usize::try_from(MAX_DOCUMENT + 1 - tar(1).size(1)).unwrap();
        assert_eq!(tar(most).size(1), MAX_DOCUMENT);
        assert_eq!(super::cut(&tar(most), &[])[0].members, 0..2);
        assert_eq!(super::cut(&tar(most + 1), &[])[0].members, 0..1);
    }
}
