//! Entries that belong to an image of the layout without naming it: cosign and hauler write them
//! with an annotation `kind`, or under the name of the image. They get the tag that cosign uses for
//! them in a registry.
//!
//! No I/O.

use std::collections::BTreeSet;

use super::entry::{Entry, Standing};
use crate::oci::{Digest, Reference, Repository, Tag, cosign};

/// Prefixes of kinds.
const PREFIXES: [&str; 2] = ["dev.cosignproject.cosign/", "dev.hauler/"];
/// Kinds of attached content, with the ending of cosign's tag.
const ENDINGS: [(&str, &str); 3] = [("sigs", "sig"), ("atts", "att"), ("sboms", "sbom")];

/// A kind as written.
enum Kind<'a> {
    Attached { ending: &'static str, of: Option<&'a str> },
    Referrer,
    Other,
}

fn kind(text: Option<&str>) -> Kind<'_> {
    let Some(text) = text else { return Kind::Other };
    let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) else { return Kind::Other };
    let (word, of) = rest.split_once('/').map_or((rest, None), |(word, of)| (word, Some(of)));
    match ENDINGS.iter().find(|(name, _)| *name == word) {
        Some((_, ending)) => Kind::Attached { ending, of },
        None if word == "referrers" => Kind::Referrer,
        None => Kind::Other,
    }
}

/// Returns the digest in a tag of cosign's form, with any ending.
fn subject_of(tag: &Tag) -> Option<Digest> {
    cosign::parts(tag).map(|(digest, _)| digest)
}

/// Gives attached entries the names that cosign uses in a registry. `kinds` are the kinds of
/// `entries`, and `local` is the repository of images without a name.
pub(super) fn attach(entries: &mut [Entry], kinds: &[Option<String>], local: &Repository) {
    let kinds: Vec<Kind<'_>> = kinds.iter().map(|text| kind(text.as_deref())).collect();
    let images: Vec<Entry> = entries
        .iter()
        .zip(&kinds)
        .filter(|(_, kind)| matches!(kind, Kind::Other))
        .map(|(entry, _)| entry.clone())
        .collect();
    for (entry, kind) in entries.iter_mut().zip(&kinds) {
        match kind {
            Kind::Attached { ending, of } => attached(entry, ending, *of, &images, local),
            // Such a document has a subject, and the name is that of the subject.
            Kind::Referrer => rename(entry, Vec::new(), Vec::new()),
            Kind::Other => own_name(entry),
        }
    }
}

fn rename(entry: &mut Entry, names: Vec<Reference>, raw: Vec<String>) {
    (entry.names, entry.raw) = (names, raw);
}

fn attached(entry: &mut Entry, ending: &str, of: Option<&str>, images: &[Entry], local: &Repository) {
    let is_same = |image: &&Entry| entry.raw.is_empty() || image.raw.iter().any(|name| entry.raw.contains(name));
    let images: Vec<&Entry> = images.iter().filter(is_same).collect();
    let digests: BTreeSet<Digest> = images.iter().map(|image| image.descriptor.digest).collect();
    let subject = match of {
        // Of a child of the image.
        Some(hex) => format!("sha256:{hex}").parse().ok(),
        None => digests.first().copied().filter(|_| digests.len() == 1),
    };
    let tag = subject.and_then(|subject| cosign::tag(subject, ending));
    let (Some(subject), Some(tag)) = (subject, tag) else {
        entry.standing = Standing::Unclear;
        return rename(entry, Vec::new(), Vec::new());
    };
    let named = images.iter().flat_map(|image| image.names.iter().map(|name| &name.repository));
    let mut repositories: BTreeSet<&Repository> = named.collect();
    if images.iter().all(|image| image.names.is_empty()) {
        repositories.insert(local);
    }
    let reference =
        |repository: &Repository| Reference { repository: repository.clone(), tag: Some(tag.clone()), digest: None };
    entry.standing = Standing::Attached(subject);
    let own = repositories.into_iter().map(reference).collect();
    rename(entry, own, vec![tag.to_string()]);
}

/// Keeps only the name of the entry itself if another one is that of the image that it is attached
/// to.
fn own_name(entry: &mut Entry) {
    let is_attached = |name: &Reference| name.tag.as_ref().is_some_and(|tag| subject_of(tag).is_some());
    let subject = entry.names.iter().filter_map(|name| name.tag.as_ref()).find_map(subject_of);
    let Some(subject) = subject.filter(|_| !entry.names.iter().all(is_attached)) else { return };
    entry.standing = Standing::Attached(subject);
    entry.names.retain(is_attached);
    let names: Vec<String> = entry.names.iter().filter_map(|name| name.tag.as_ref()).map(Tag::to_string).collect();
    entry.raw.retain(|raw| names.iter().any(|tag| raw.ends_with(tag.as_str())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::index;
    use crate::oci::Descriptor;
    use crate::oci::media_type::OCI_MANIFEST;

    /// Returns what becomes of entries with a text for content, raw names, and a kind: the names,
    /// and the standing.
    fn made(entries: &[(&str, &[&str], &str)]) -> Vec<(Vec<String>, Standing)> {
        let local = Repository::exact("localhost/dir").unwrap();
        let entry = |(text, raw, _): &(&str, &[&str], &str)| {
            let raw: Vec<String> = raw.iter().map(ToString::to_string).collect();
            Entry {
                descriptor: Descriptor::new(OCI_MANIFEST, Digest::sha256(text.as_bytes()), 1),
                names: index::references(&raw, &local),
                raw,
                standing: Standing::Own,
            }
        };
        let mut made: Vec<Entry> = entries.iter().map(entry).collect();
        let kinds: Vec<Option<String>> =
            entries.iter().map(|(.., kind)| (!kind.is_empty()).then(|| (*kind).to_owned())).collect();
        attach(&mut made, &kinds, &local);
        made.iter().map(|entry| (entry.names.iter().map(ToString::to_string).collect(), entry.standing)).collect()
    }

    fn of(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    #[test]
    fn content_of_the_only_image_gets_cosigns_tag() {
        let found = made(&[
            ("image", &[], "dev.cosignproject.cosign/imageIndex"),
            ("s", &[], "dev.cosignproject.cosign/sigs"),
            ("a", &[], "dev.cosignproject.cosign/atts"),
            ("b", &[], "dev.cosignproject.cosign/sboms"),
        ]);
        let hex = of("image").hex();
        assert_eq!(found[0], (Vec::new(), Standing::Own));
        for (found, ending) in found[1..].iter().zip(["sig", "att", "sbom"]) {
            let name = format!("localhost/dir:sha256-{hex}.{ending}");
            assert_eq!(*found, (vec![name], Standing::Attached(of("image"))));
        }
    }

    #[test]
    fn content_with_an_images_name_belongs_to_that_image() {
        let (one, two) = (["library/web:1", "index.docker.io/library/web:1"], ["h.example/b:1"]);
        let child = format!("dev.hauler/sigs/{}", of("child").hex());
        let found = made(&[
            ("sig of two", &two, "dev.cosignproject.cosign/sigs"),
            ("one", &one, "dev.hauler/image"),
            ("two", &two, ""),
            ("sig of one", &one, "dev.hauler/sigs"),
            ("sig of a child", &one, &child),
            ("bundle", &one, "dev.hauler/referrers/abc"),
        ]);
        let sig = |repository: &str, subject: &str| {
            (vec![format!("{repository}:sha256-{}.sig", of(subject).hex())], Standing::Attached(of(subject)))
        };
        assert_eq!(found[0], sig("h.example/b", "two"));
        assert_eq!(found[3], sig("docker.io/library/web", "one"));
        assert_eq!(found[4], sig("docker.io/library/web", "child"));
        assert_eq!(found[5], (Vec::new(), Standing::Own));
        assert_eq!(found[1].0, ["docker.io/library/web:1"]);
    }

    #[test]
    fn content_of_an_unclear_image_has_no_name() {
        let sigs = "dev.cosignproject.cosign/sigs";
        let name = ["h.example/a:1"];
        for entries in [
            &[("a", &[][..], ""), ("b", &[], ""), ("s", &[], sigs)][..],
            &[("s", &[], sigs)],
            &[("a", &["h.example/b:1"], ""), ("s", &name, sigs)],
            &[("a", &name, ""), ("b", &name, ""), ("s", &name, sigs)],
            &[("a", &name, ""), ("s", &name, "dev.hauler/sigs/0123abcd")],
        ] {
            assert_eq!(made(entries).last(), Some(&(Vec::new(), Standing::Unclear)), "{entries:?}");
        }
        // Another word after the prefix is no such kind.
        assert_eq!(made(&[("a", &name, ""), ("s", &name, "dev.hauler/sigsX")])[1].1, Standing::Own);
    }

    #[test]
    fn of_two_names_that_of_the_image_is_dropped() {
        let sig = format!("library/web:sha256-{}.sig", of("image").hex());
        let found = made(&[("image", &["library/web:1"], ""), ("s", &["docker.io/library/web:1", &sig], "")]);
        assert_eq!(found[1], (vec![format!("docker.io/{sig}")], Standing::Attached(of("image"))));
        // With only that name, the entry is an artifact like any other.
        assert_eq!(made(&[("s", &[&sig], "")])[0], (vec![format!("docker.io/{sig}")], Standing::Own));
    }
}
