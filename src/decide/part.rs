//! A part of a bundle: which of its artifacts and tags selectors take.
//!
//! The selectors are those of a registry, read against the bundle's own lists of names. Asks no
//! place, reads no document.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

use super::expand::{expand, is_open};
use super::selector::{Selector, Source as From};
use crate::base::fault::{Class, Fault, differs};
use crate::content::{Catalog, Error, Kind, Source, TagList};
use crate::flow::Flow;
use crate::oci::{Artifact, Descriptor, Digest, Document, Reference, Repository, Tag, cosign};

/// Maximum number of names that an error lists.
const FEW: usize = 12;

/// One selector of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// A digest, in whatever repository.
    Digest(Digest),
    /// Names, as of a registry.
    Names(Box<Selector>),
}

/// The tags that are taken, by index of the artifact.
pub type Taken = BTreeMap<usize, BTreeSet<Tag>>;

impl Pick {
    /// Parses a selector as typed after `--select`.
    ///
    /// # Errors
    /// Class usage, also for a source that is not a name, and for keys that change what is taken.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if let Ok(digest) = text.trim_start_matches('@').parse::<Digest>() {
            return Ok(Self::Digest(digest));
        }
        let selector = Selector::parse(text)?;
        let is_name = matches!(selector.source, From::Registry(_) | From::Tags { .. } | From::Repositories { .. });
        let is_plain = selector.rename.is_none() && selector.platforms.is_empty() && selector.referrers.is_empty();
        if is_name && is_plain {
            return Ok(Self::Names(Box::new(selector)));
        }
        let what = differs(
            format_args!("--select {text}"),
            "names of the bundle, with filters of tags at most",
            if is_name { "as=, platform= or referrers=" } else { "another source" },
        );
        Err(Fault::usage(what, "write HOST/REPO:TAG, HOST/REPO:GLOB, HOST/NAMESPACE/*, HOST/REPO@DIGEST or a digest"))
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Names(selector) => selector.fmt(f),
        }
    }
}

/// Returns what `picks` take of the artifacts of `bundle`. An artifact that is taken by its digest
/// keeps all its tags.
///
/// # Errors
/// Class source for each of `picks` that takes nothing; it names what is there.
pub fn take(flow: &Flow, artifacts: &[Artifact], picks: &[Pick]) -> Result<Taken, Fault> {
    let names = Listed(artifacts);
    let (mut taken, mut faults) = (Taken::new(), Vec::new());
    for pick in picks {
        flow.check()?;
        let before: usize = taken.values().map(|tags| tags.len() + 1).sum();
        let references = match pick {
            Pick::Digest(digest) => {
                let all = artifacts.iter().enumerate().filter(|(_, one)| one.digest == *digest);
                let mut count = 0;
                for (number, artifact) in all {
                    taken.entry(number).or_default().extend(artifact.tags.iter().cloned());
                    count += 1;
                }
                if count == 0 {
                    faults.push(nothing(pick, artifacts, None));
                }
                continue;
            }
            Pick::Names(selector) if is_open(selector) => match expand(flow, &names, selector) {
                Ok(references) => references,
                Err(fault) if fault.class == Class::Source => {
                    faults.push(nothing(pick, artifacts, Some(selector)));
                    continue;
                }
                Err(fault) => return Err(fault),
            },
            Pick::Names(selector) => match &selector.source {
                From::Registry(reference) => vec![reference.clone()],
                _ => Vec::new(),
            },
        };
        let mut is_taken = false;
        for reference in &references {
            is_taken |= by_name(artifacts, reference, &mut taken);
        }
        let after: usize = taken.values().map(|tags| tags.len() + 1).sum();
        if !is_taken && after == before {
            let selector = if let Pick::Names(selector) = pick { Some(&**selector) } else { None };
            faults.push(nothing(pick, artifacts, selector));
        }
    }
    Fault::from_list(faults).map_or(Ok(taken), Err)
}

/// The names of artifacts, as the lists of a place that has nothing else.
struct Listed<'a>(&'a [Artifact]);

impl Listed<'_> {
    fn refusal<T>() -> Result<T, Error> {
        Err(Error::new(Kind::Refused, "a list of names: it has no content"))
    }
}

impl Source for Listed<'_> {
    fn resolve(&self, _: &Reference) -> Result<Descriptor, Error> {
        Self::refusal()
    }

    fn document(&self, _: &Repository, _: &Descriptor) -> Result<Document, Error> {
        Self::refusal()
    }

    fn blob(&self, _: &Repository, _: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Self::refusal()
    }

    fn holds(&self, _: &Repository, _: &Descriptor) -> Result<bool, Error> {
        Self::refusal()
    }

    fn tags(&self) -> Option<&dyn TagList> {
        Some(self)
    }

    fn catalog(&self) -> Option<&dyn Catalog> {
        Some(self)
    }
}

impl TagList for Listed<'_> {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let own = self.0.iter().filter(|artifact| artifact.repository == *repository);
        let tags: BTreeSet<Tag> = own.flat_map(|artifact| artifact.tags.iter().cloned()).collect();
        Ok(tags.into_iter().collect())
    }
}

impl Catalog for Listed<'_> {
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let is_there = |one: &&Repository| host.is_none_or(|host| one.host() == host);
        let all: BTreeSet<&Repository> = self.0.iter().map(|artifact| &artifact.repository).filter(is_there).collect();
        Ok(all.into_iter().cloned().collect())
    }
}

/// Takes the artifacts that a reference names. Returns whether there is one.
fn by_name(artifacts: &[Artifact], reference: &Reference, taken: &mut Taken) -> bool {
    let mut is_taken = false;
    for (number, artifact) in artifacts.iter().enumerate() {
        let is_named = artifact.repository == reference.repository
            && reference.digest.is_none_or(|digest| artifact.digest == digest)
            && reference.tag.as_ref().is_none_or(|tag| artifact.tags.contains(tag));
        if is_named {
            let tags = taken.entry(number).or_default();
            match &reference.tag {
                Some(tag) => drop(tags.insert(tag.clone())),
                None => tags.extend(artifact.tags.iter().cloned()),
            }
            is_taken = true;
        }
    }
    is_taken
}

/// Returns the fault of a selector that takes nothing.
fn nothing(pick: &Pick, artifacts: &[Artifact], selector: Option<&Selector>) -> Fault {
    let repository = selector.and_then(|selector| match &selector.source {
        From::Registry(Reference { repository, .. }) | From::Tags { repository, .. } => Some(repository),
        _ => None,
    });
    let is_there = |one: &&Artifact| repository.is_none_or(|repository| one.repository == *repository);
    let mut names: Vec<String> = artifacts.iter().filter(is_there).flat_map(names_of).collect();
    if names.is_empty() {
        names = artifacts.iter().flat_map(names_of).collect();
    }
    let more = names.len().saturating_sub(FEW);
    names.truncate(FEW);
    let mut found = names.join(", ");
    if more > 0 {
        found.push_str(&format!(" and {more} more"));
    }
    let what = differs(format_args!("--select {pick}"), "an artifact of the bundle", found);
    Fault::new(Class::Source, what).help("list all of them with `packmule inspect`")
}

/// Returns the names of an artifact that can be selected.
fn names_of(artifact: &Artifact) -> Vec<String> {
    let own = artifact.tags.iter().filter(|tag| cosign::parts(tag).is_none());
    own.map(|tag| format!("{}:{tag}", artifact.repository)).collect()
}

/// Returns the artifacts of a part, with only the tags that were taken, and their indexes. What
/// belongs to an artifact that is taken comes along: the original of a cut index, what refers to it,
/// and cosign's tags. `below` returns the digests of the documents of an artifact.
///
/// # Errors
/// Those of `below`.
pub fn with_referrers<E>(
    artifacts: &[Artifact],
    mut taken: Taken,
    mut below: impl FnMut(&Artifact) -> Result<Vec<Digest>, E>,
) -> Result<(Vec<usize>, Vec<Artifact>), E> {
    let mut there: BTreeSet<(&Repository, Digest)> = BTreeSet::new();
    let mut originals: BTreeSet<(&Repository, Digest)> = BTreeSet::new();
    let mut open: Vec<usize> = taken.keys().copied().collect();
    loop {
        for number in std::mem::take(&mut open) {
            let artifact = &artifacts[number];
            there.insert((&artifact.repository, artifact.digest));
            there.extend(below(artifact)?.into_iter().map(|digest| (&artifact.repository, digest)));
            originals.extend(artifact.original.map(|original| (&artifact.repository, original)));
        }
        for (number, artifact) in artifacts.iter().enumerate() {
            if taken.contains_key(&number) {
                continue;
            }
            let place = |digest| (&artifact.repository, digest);
            let refers = artifact.subject.is_some_and(|subject| there.contains(&place(subject)));
            let tags: BTreeSet<Tag> = (artifact.tags.iter())
                .filter(|tag| cosign::subject(tag).is_some_and(|subject| there.contains(&place(subject))))
                .cloned()
                .collect();
            // The original of a cut index has no tag of its own.
            let is_original = artifact.tags.is_empty() && originals.contains(&place(artifact.digest));
            if refers || is_original || !tags.is_empty() {
                let tags = if refers { artifact.tags.iter().cloned().collect() } else { tags };
                taken.insert(number, tags);
                open.push(number);
            }
        }
        if open.is_empty() {
            break;
        }
    }
    let only = |(number, tags): (&usize, &BTreeSet<Tag>)| {
        let artifact = &artifacts[*number];
        Artifact { tags: artifact.tags.iter().filter(|tag| tags.contains(tag)).cloned().collect(), ..artifact.clone() }
    };
    Ok((taken.keys().copied().collect(), taken.iter().map(only).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(text: &str, subject: Option<&str>, tags: &[&str]) -> Artifact {
        Artifact {
            artifact_type: None,
            digest: Digest::sha256(text.as_bytes()),
            media_type: crate::oci::media_type::OCI_MANIFEST.to_owned(),
            original: None,
            repository: Repository::new("h.example", "a").unwrap(),
            size: 1,
            source: None,
            subject: subject.map(|text| Digest::sha256(text.as_bytes())),
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        }
    }

    #[test]
    fn what_belongs_to_a_part_comes_along() {
        let signed = format!("sha256-{}.sig", Digest::sha256(b"child").hex());
        let artifacts = [
            artifact("index", None, &["v1", "latest"]),
            artifact("other", None, &["v2"]),
            artifact("sbom of child", Some("child"), &[]),
            artifact("signature of that sbom", Some("sbom of child"), &[]),
            artifact("sbom of other", Some("other"), &[]),
            artifact("cosign", None, &[&signed]),
            Artifact { original: Some(Digest::sha256(b"whole")), ..artifact("cut", None, &["v3"]) },
            artifact("whole", None, &[]),
            artifact("signature of whole", Some("whole"), &[]),
        ];
        let below = |one: &Artifact| {
            let child = (one.digest == artifacts[0].digest).then(|| Digest::sha256(b"child"));
            Ok::<_, ()>(child.into_iter().collect())
        };
        let taken = |number: usize, tag: &str| Taken::from([(number, BTreeSet::from([Tag::new(tag).unwrap()]))]);
        let (numbers, part) = with_referrers(&artifacts, taken(0, "v1"), below).unwrap();
        assert_eq!(numbers, [0, 2, 3, 5]);
        assert_eq!(part[0].tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v1"]);
        assert_eq!(part[3].tags.iter().map(Tag::as_str).collect::<Vec<_>>(), [signed.as_str()]);
        assert_eq!(with_referrers(&artifacts, taken(1, "v2"), below).unwrap().0, [1, 4]);
        assert_eq!(with_referrers(&artifacts, taken(6, "v3"), below).unwrap().0, [6, 7, 8]);
    }

    #[test]
    fn only_names_of_the_bundle_are_parts() {
        for good in [
            "h.example/a:1",
            "h.example/a:1.*",
            "h.example/ns/*",
            "h.example/a,semver=^1",
            &Digest::sha256(b"x").to_string(),
        ] {
            assert!(Pick::parse(good).is_ok(), "{good}");
        }
        for wrong in ["oci:dir", "file:x", "h.example/a:1,as=h.example/b:1", "h.example/a:1,platform=linux/amd64", ""] {
            assert_eq!(Pick::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_selector_that_takes_nothing_names_what_is_there() {
        let artifacts = [artifact("one", None, &["v1"]), artifact("two", None, &["v2"])];
        let pick = Pick::parse("h.example/a:v3").unwrap();
        let mut taken = Taken::new();
        assert!(!by_name(&artifacts, &"h.example/a:v3".parse().unwrap(), &mut taken) && taken.is_empty());
        let fault = nothing(&pick, &artifacts, None);
        assert!(fault.what.ends_with("found h.example/a:v1, h.example/a:v2"), "{fault}");
    }
}
