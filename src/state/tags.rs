//! The tags that imports of one channel set at one destination, and the digests that they named when
//! they were read back (`spec/state.md`, Tags).
//!
//! Values only: [`super::Seat`] stores them. A tag is moved by `--tag-conflict advance` only if it
//! still names what stands here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oci::{Digest, Repository, Tag};

/// Value of `format`.
const FORMAT: &str = "packmule.tags.v1";
/// Maximum number of digests of one tag: the one that was read back, and one that a run that ended
/// early may have set.
const MOST_DIGESTS: usize = 2;

/// Tags of one (channel, destination): by repository below the destination, then by tag. The last
/// digest of a tag is the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, BTreeMap<String, Vec<Digest>>>);

/// The file. Members in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub channel: String,
    pub destination: String,
    format: String,
    pub machine: String,
    tags: BTreeMap<String, BTreeMap<String, Vec<Digest>>>,
}

impl Tags {
    /// Returns the digests that this importer set the tag to, if it did; the newest is the last.
    pub fn of(&self, repository: &str, tag: &Tag) -> &[Digest] {
        self.0.get(repository).and_then(|tags| tags.get(tag.as_str())).map_or(&[], Vec::as_slice)
    }

    /// Notes a digest that is about to be set, next to `found`, which the tag names now, if that is one
    /// of ours.
    pub fn intend(&mut self, repository: &str, tag: &Tag, found: Option<Digest>, digest: Digest) {
        let known = self.0.entry(repository.to_owned()).or_default().entry(tag.to_string()).or_default();
        let now = found.filter(|found| *found != digest && known.contains(found));
        *known = now.into_iter().chain([digest]).collect();
    }

    /// Notes the digest that the tag named when it was read back.
    pub fn set(&mut self, repository: &str, tag: &Tag, digest: Digest) {
        self.0.entry(repository.to_owned()).or_default().insert(tag.to_string(), vec![digest]);
    }

    /// Forgets all tags but those of `kept`, pairs of a repository and a tag. Returns how many there
    /// were.
    pub fn keep_only<'a>(&mut self, kept: impl IntoIterator<Item = (&'a str, &'a Tag)>) -> usize {
        let old = std::mem::take(&mut self.0);
        let before: usize = old.values().map(BTreeMap::len).sum();
        let mut count = 0;
        for (repository, tag) in kept {
            let Some(known) = old.get(repository).and_then(|tags| tags.get(tag.as_str())) else { continue };
            let tags = self.0.entry(repository.to_owned()).or_default();
            count += usize::from(tags.insert(tag.to_string(), known.clone()).is_none());
        }
        before - count
    }
}

impl File {
    pub(super) fn new(channel: &str, destination: &str, machine: &str, tags: Tags) -> Self {
        Self {
            channel: channel.to_owned(),
            destination: destination.to_owned(),
            format: FORMAT.to_owned(),
            machine: machine.to_owned(),
            tags: tags.0,
        }
    }

    /// Parses a file. Returns `None` for bytes that [`File::to_bytes`] does not produce, and for names
    /// that nothing can have.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let file: Self = serde_json::from_slice(bytes).ok()?;
        let is_tag = |(tag, digests): (&String, &Vec<Digest>)| {
            Tag::new(tag).is_ok() && (1..=MOST_DIGESTS).contains(&digests.len())
        };
        let is_repository = |(name, tags): (&String, &BTreeMap<_, _>)| {
            let is_name = Repository::bare(name).is_ok() || Repository::exact(name).is_ok();
            is_name && !tags.is_empty() && tags.iter().all(is_tag)
        };
        let is_text = !file.destination.chars().chain(file.machine.chars()).any(char::is_control);
        let is_good = file.format == FORMAT && is_text && file.tags.iter().all(is_repository);
        (is_good && file.to_bytes() == bytes).then_some(file)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Serializing cannot fail: every key is a string and the output goes to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn into_tags(self) -> Tags {
        Tags(self.tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    #[test]
    fn a_tag_that_is_about_to_move_counts_under_both_digests() {
        let (mut tags, latest) = (Tags::default(), Tag::new("latest").unwrap());
        assert!(tags.of("app", &latest).is_empty());
        tags.set("app", &latest, digest("may"));
        tags.intend("app", &latest, Some(digest("may")), digest("june"));
        assert_eq!(tags.of("app", &latest), [digest("may"), digest("june")]);
        // Killed after it was set, and again a month later before that: both that it may name count.
        tags.intend("app", &latest, Some(digest("june")), digest("july"));
        assert_eq!(tags.of("app", &latest), [digest("june"), digest("july")]);
        // Moved although somebody else had set it.
        tags.intend("app", &latest, Some(digest("other")), digest("july"));
        assert_eq!(tags.of("app", &latest), [digest("july")]);
        tags.set("app", &latest, digest("july"));
        assert_eq!(tags.of("app", &latest), [digest("july")]);
    }

    #[test]
    fn only_the_exact_form_is_read() {
        let (mut tags, latest) = (Tags::default(), Tag::new("latest").unwrap());
        tags.set("team/app", &latest, digest("may"));
        tags.intend("team/app", &latest, Some(digest("may")), digest("june"));
        tags.set("reg.example:5000/x", &latest, digest("may"));
        let bytes = File::new("apps", "registry:r.example/", "", tags.clone()).to_bytes();
        assert_eq!(File::parse(&bytes).unwrap().into_tags(), tags);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("latest", "-latest"),
            ("team/app", "Team"),
            ("tags.v1", "tags.v2"),
            ("}", "} "),
            ("sha256:", "sha256:0"),
            (r#""machine":"""#, r#""machine":"","more":1"#),
        ] {
            assert!(File::parse(text.replacen(from, to, 1).as_bytes()).is_none(), "{to}");
        }
        let three = text.replacen('[', &format!("[\"{}\",", digest("x")), 1);
        assert!(File::parse(three.as_bytes()).is_none() || text.matches('[').count() > 1);
        let removed = tags.keep_only([("team/app", &latest)]);
        assert_eq!((removed, tags.of("team/app", &latest).len()), (1, 2));
        assert!(tags.of("reg.example:5000/x", &latest).is_empty());
    }
}
