//! The platform filter: decides which entries of an index to keep, and builds a new index from
//! them.
//!
//! First decides entry by entry (`judge`), then applies the verdicts according to the index mode. A
//! new index is the source's document without some entries, RFC 8785 (`spec/closure.md`).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::library::{Library, fault};
use crate::base::fault::{Class, Description, Fault, differs};
use crate::closure::MAX_LEVELS;
use crate::content::Kind as Failure;
use crate::oci::media_type::{Kind, document_kind};
use crate::oci::{Descriptor, Digest, Document, Platform, Repository, canonical};

/// Decision on one entry of an index.
pub enum Verdict {
    /// Keep it.
    Keep,
    /// Keep it, but not as a match of its own: an attestation of a kept child, or a leaf without a
    /// platform.
    Beside,
    /// Remove it.
    Drop,
    /// A nested index, with the verdicts on its entries.
    Inner(Box<Document>, Vec<Verdict>),
}

/// The filter of one artifact.
pub struct Filter<'a> {
    /// Source of documents.
    pub library: &'a Library<'a>,
    /// Repository to fetch them from.
    pub origin: &'a Repository,
    /// Platforms to keep.
    pub platforms: &'a [Platform],
    /// Whether to keep entries whose documents cannot be read.
    pub lenient: bool,
    /// Positions in `platforms` of those that were found.
    pub found: RefCell<BTreeSet<usize>>,
}

impl Filter<'_> {
    fn takes(&self, platform: &Platform) -> bool {
        let mut any = false;
        for (index, _) in self.platforms.iter().enumerate().filter(|(_, filter)| platform.matches(filter)) {
            self.found.borrow_mut().insert(index);
            any = true;
        }
        any
    }

    /// Returns the platforms that no entry matched.
    pub fn not_found(&self) -> Vec<String> {
        let found = self.found.borrow();
        let left = self.platforms.iter().enumerate().filter(|(index, _)| !found.contains(index));
        left.map(|(_, platform)| platform.to_string()).collect()
    }

    /// Returns the platform that `manifest` itself states, if it is not one of those requested.
    ///
    /// # Errors
    /// Fails if its configuration cannot be read.
    pub fn mismatch(&self, manifest: &Document) -> Result<Option<Platform>, Fault> {
        match self.library.config_platform(self.origin, manifest) {
            Ok(stated) => Ok(stated.filter(|stated| !self.takes(stated))),
            Err(_) if self.lenient => Ok(None),
            Err(error) => Err(fault(&format!("configuration of manifest {}", manifest.digest()), error)),
        }
    }

    /// Returns a verdict on every entry of `index`, which is at `level` (the artifact's own index
    /// is at 1).
    ///
    /// # Errors
    /// Fails if a document below cannot be obtained, or if there are too many levels.
    pub fn judge(&self, index: &Document, level: usize) -> Result<Vec<Verdict>, Fault> {
        if level > MAX_LEVELS {
            let text = differs(
                format_args!("manifest {}", index.digest()),
                format_args!("at most {MAX_LEVELS} levels of manifests"),
                "more",
            );
            return Err(Fault::new(Class::Source, text));
        }
        let entries = index.manifests();
        let mut verdicts = Vec::with_capacity(entries.len());
        for entry in entries {
            verdicts.push(if attests(entry).is_some() { Verdict::Drop } else { self.entry(index, entry, level)? });
        }
        let kept: HashSet<Digest> = (entries.iter().zip(&verdicts))
            .filter(|(_, verdict)| stays_whole(verdict))
            .map(|(entry, _)| entry.digest)
            .collect();
        for (entry, verdict) in entries.iter().zip(&mut verdicts) {
            if attests(entry).is_some_and(|subject| kept.contains(&subject)) {
                *verdict = Verdict::Beside;
            }
        }
        Ok(verdicts)
    }

    fn entry(&self, index: &Document, entry: &Descriptor, level: usize) -> Result<Verdict, Fault> {
        let decide = |stays: bool| if stays { Verdict::Keep } else { Verdict::Drop };
        if entry.platform.as_ref().is_some_and(|platform| !self.takes(platform)) {
            return Ok(Verdict::Drop);
        }
        let Some(kind) = document_kind(&entry.media_type) else {
            // A leaf in an index (a build cache) without a platform belongs to all platforms.
            return Ok(if entry.platform.is_some() { Verdict::Keep } else { Verdict::Beside });
        };
        if kind == Kind::Manifest && entry.platform.is_some() {
            return Ok(Verdict::Keep);
        }
        let document = match self.library.get(self.origin, entry) {
            Ok(document) => document,
            Err(_) if self.lenient => return Ok(Verdict::Keep),
            Err(error) if error.class == Failure::Absent => return Err(lacking(entry, self.origin, index.digest())),
            Err(error) => return Err(fault(&format!("manifest {}", entry.digest), error)),
        };
        if kind == Kind::Manifest {
            return Ok(decide(self.mismatch(&document)?.is_none()));
        }
        let inner = self.judge(&document, level + 1)?;
        Ok(if matches(&inner) { Verdict::Inner(Box::new(document), inner) } else { Verdict::Drop })
    }
}

/// Returns the fault for a child of an index that is missing at the source.
pub fn lacking(child: &Descriptor, repository: &Repository, index: Digest) -> Fault {
    let text = differs(
        format_args!("manifest {}", child.digest),
        format_args!("in {repository}, where index {index} lists it"),
        "none",
    );
    Fault::new(Class::Source, text)
        .help("select what is there with `--platform`, or leave it out: `export --allow-partial`")
}

/// Returns the child that an entry attests to, from BuildKit's annotations.
fn attests(entry: &Descriptor) -> Option<Digest> {
    let unknown = entry.platform.as_ref().is_some_and(Platform::is_unknown);
    entry.attests().or_else(|| unknown.then(|| entry.annotation("vnd.docker.reference.digest")?.parse().ok()).flatten())
}

/// Returns whether any entry matches by itself.
pub fn matches(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(|verdict| matches!(verdict, Verdict::Keep | Verdict::Inner(..)))
}

/// Returns whether nothing is removed, so that the document stays unchanged.
pub fn is_whole(verdicts: &[Verdict]) -> bool {
    verdicts.iter().all(stays_whole)
}

fn stays_whole(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Keep | Verdict::Beside => true,
        Verdict::Drop => false,
        Verdict::Inner(_, inner) => is_whole(inner),
    }
}

/// Returns the one remaining manifest, if there is exactly one.
pub fn single(index: &Document, verdicts: &[Verdict]) -> Option<Descriptor> {
    let mut found = None;
    for (entry, verdict) in index.manifests().iter().zip(verdicts) {
        let one = match verdict {
            Verdict::Drop | Verdict::Beside => continue,
            Verdict::Keep if document_kind(&entry.media_type) == Some(Kind::Manifest) => entry.clone(),
            Verdict::Keep => return None,
            Verdict::Inner(document, inner) => single(document, inner)?,
        };
        if found.as_ref().is_some_and(|found: &Descriptor| found.digest != one.digest) {
            return None;
        }
        found = Some(one);
    }
    found
}

/// Returns the new index: `index` without the removed entries. Appends the new documents below it
/// to `made`.
///
/// # Errors
/// Fails if the document has a number that the canonical form cannot represent.
pub fn rebuild(index: &Document, verdicts: &[Verdict], made: &mut Vec<Document>) -> Result<Document, Fault> {
    let refuse = |detail: Description| {
        Fault::new(
            Class::Source,
            detail.within(format_args!("index {}: cannot be rebuilt without some entries", index.digest())),
        )
        .help("keep it as it is with `--index sparse`")
    };
    let mut json: Value = serde_json::from_slice(index.raw()).map_err(|error| refuse(error.to_string().into()))?;
    let entries = match json.get_mut("manifests") {
        Some(Value::Array(entries)) => std::mem::take(entries),
        _ => Vec::new(),
    };
    let mut staying = Vec::with_capacity(entries.len());
    for (mut entry, verdict) in entries.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Drop => continue,
            Verdict::Inner(document, inner) if !is_whole(inner) => {
                let new = rebuild(document, inner, made)?;
                if let Some(members) = entry.as_object_mut() {
                    members.insert("digest".to_owned(), new.digest().to_string().into());
                    members.insert("size".to_owned(), new.size().into());
                    // An embedded copy is of the old document.
                    members.remove("data");
                }
                made.push(new);
            }
            Verdict::Keep | Verdict::Beside | Verdict::Inner(..) => {}
        }
        staying.push(entry);
    }
    if let Some(members) = json.as_object_mut() {
        members.insert("manifests".to_owned(), Value::Array(staying));
    }
    let bytes = canonical::to_vec(&json).map_err(|error| refuse(error.to_string().into()))?;
    Document::parse(index.media_type(), bytes).map_err(|error| refuse(error.to_string().into()))
}

/// Adds the (index, child) pairs that a sparse index leaves out to `out`. Leaves stay: only
/// documents may be left out.
pub fn cuts(index: &Document, verdicts: &[Verdict], out: &mut HashSet<(Digest, Digest)>) {
    let mut staying = HashSet::new();
    for (entry, verdict) in index.manifests().iter().zip(verdicts) {
        match verdict {
            Verdict::Drop if document_kind(&entry.media_type).is_some() => {
                out.insert((index.digest(), entry.digest));
            }
            Verdict::Inner(document, inner) => {
                staying.insert(entry.digest);
                cuts(document, inner, out);
            }
            _ => {
                staying.insert(entry.digest);
            }
        }
    }
    // A child may be listed under two platforms, one of which is kept.
    out.retain(|(parent, child)| *parent != index.digest() || !staying.contains(child));
}

/// Adds the indexes that are replaced by new ones to `out`.
pub fn replaced(index: &Document, verdicts: &[Verdict], out: &mut Vec<Digest>) {
    if is_whole(verdicts) {
        return;
    }
    out.push(index.digest());
    for verdict in verdicts {
        if let Verdict::Inner(document, inner) = verdict {
            replaced(document, inner, out);
        }
    }
}
