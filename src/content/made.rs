//! A source whose manifests are made here, because what they describe has none: archives of images,
//! files and directories.
//!
//! Holds the manifests and their names in memory. Other content is read through [`Content`]. Every
//! repository finds all content, and nothing refers to anything.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use super::{Catalog, Error, Kind, Ranges, Referrers, Source, TagList};
use crate::base::fault::escape;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

/// Reads content by digest.
pub trait Content: Send + Sync {
    /// Returns the size in bytes of the content, or `None` if there is none with this digest.
    fn size(&self, digest: Digest) -> Option<u64>;

    /// Opens the content at `offset`, which is at most its size. It is not checked. `Ok(None)` if it
    /// can only be read from its start.
    ///
    /// # Errors
    /// Those of the file system; [`Kind::Mismatch`] if it has changed.
    fn open(&self, digest: Digest, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, Error>;
}

/// A manifest that was made.
#[derive(Clone, Debug)]
pub struct MadeManifest {
    /// The manifest.
    pub document: Document,
    /// Its names, with tags and without digests; empty if it has none.
    pub names: Vec<Reference>,
}

/// The manifests of one place, with their content.
pub struct Made<C> {
    name: String,
    repository: Repository,
    manifests: Vec<MadeManifest>,
    digests: HashMap<Digest, usize>,
    names: HashMap<Reference, usize>,
    tags: HashMap<Repository, BTreeSet<Tag>>,
    content: C,
}

/// Returns `localhost/NAME`, with NAME made from `text`: in lower case, with `-` for characters that
/// a repository must not have. `None` if nothing is left.
pub fn local_repository(text: &str) -> Option<Repository> {
    let mut name = String::new();
    let mut between = String::new();
    for character in text.to_lowercase().chars() {
        if character.is_ascii_alphanumeric() {
            // A dot stands alone; other characters between words become dashes.
            name.push_str(match &*between {
                "" => "",
                "." if !name.is_empty() => ".",
                _ if name.is_empty() => "",
                _ => "-",
            });
            between.clear();
            name.push(character);
        } else {
            between.push(character);
        }
    }
    Repository::new("localhost", &name).ok()
}

impl<C: Content> Made<C> {
    /// Creates a source. `name` is its name in messages, such as `archive x.tar`; `repository` is
    /// that of manifests without a name. Of two equal manifests, the later is dropped and its names
    /// are kept.
    ///
    /// # Errors
    /// The name that two different manifests have.
    pub fn new(
        name: String,
        repository: Repository,
        manifests: Vec<MadeManifest>,
        content: C,
    ) -> Result<Self, Reference> {
        let (tags, names, digests) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut made = Self { name, repository, manifests: Vec::new(), digests, names, tags, content };
        for manifest in manifests {
            let place = match made.digests.get(&manifest.document.digest()) {
                Some(place) => *place,
                None => {
                    made.digests.insert(manifest.document.digest(), made.manifests.len());
                    made.manifests.push(MadeManifest { document: manifest.document, names: Vec::new() });
                    made.manifests.len() - 1
                }
            };
            for reference in manifest.names {
                match made.names.get(&reference) {
                    Some(other) if *other != place => return Err(reference),
                    Some(_) => continue,
                    None => {}
                }
                made.names.insert(reference.clone(), place);
                made.tags.entry(reference.repository.clone()).or_default().extend(reference.tag.clone());
                made.manifests[place].names.push(reference);
            }
        }
        Ok(made)
    }

    /// Returns the manifests, each once, in order.
    pub fn manifests(&self) -> &[MadeManifest] {
        &self.manifests
    }

    /// Returns all names of a manifest, pinned to its digest; without a name, its digest alone.
    pub fn references(&self, manifest: &MadeManifest) -> Vec<Reference> {
        let digest = Some(manifest.document.digest());
        if manifest.names.is_empty() {
            return vec![Reference { repository: self.repository.clone(), tag: None, digest }];
        }
        manifest.names.iter().map(|name| Reference { digest, ..name.clone() }).collect()
    }

    /// Finds what `name` stands for: a reference, or the digest of a manifest or of its config, with
    /// or without an `@`. Returns its names, pinned: the one given, or all of them for a digest.
    ///
    /// # Errors
    /// [`Kind::Absent`] if there is none; [`Kind::Refused`] for the config of several manifests.
    pub fn find(&self, name: &str) -> Result<Vec<Reference>, Error> {
        let absent = || self.absent(&escape(name));
        if let Ok(digest) = name.trim_start_matches('@').parse::<Digest>() {
            let is_it = |one: &&MadeManifest| {
                one.document.digest() == digest || one.document.config().is_some_and(|config| config.digest == digest)
            };
            let found: Vec<&MadeManifest> = self.manifests.iter().filter(is_it).collect();
            return match found[..] {
                [] => Err(absent()),
                [one] => Ok(self.references(one)),
                _ => Err(Error::new(
                    Kind::Refused,
                    format!("{}: expected one manifest for {digest}, found {}", self.name, found.len()),
                )
                .help("name it by the digest of its manifest, or by a tag")),
            };
        }
        let reference: Reference = name.parse().map_err(|_| absent())?;
        let place = match (&reference.tag, reference.digest) {
            (None, Some(digest)) => self.digests.get(&digest),
            _ => self.names.get(&Reference { digest: None, ..reference.clone() }),
        };
        let mut found = self.references(&self.manifests[*place.ok_or_else(absent)?]);
        found.retain(|one| {
            one.repository == reference.repository
                && (reference.tag.is_none() || one.tag == reference.tag)
                && (reference.digest.is_none() || one.digest == reference.digest)
        });
        if found.is_empty() { Err(absent()) } else { Ok(found) }
    }

    fn absent(&self, what: &str) -> Error {
        Error::new(Kind::Absent, format!("{}: expected {what}, found none", self.name))
            .help("see what it holds with `packmule export --dry-run`, without a name")
    }

    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        let digest = descriptor.digest;
        match self.content.size(digest) {
            None => Err(self.absent(&digest.to_string())),
            Some(size) if size != descriptor.size => {
                let what = format!("{}: {digest}: expected {} bytes, found {size}", self.name, descriptor.size);
                Err(Error::new(Kind::Mismatch, what))
            }
            Some(_) => self.content.open(digest, offset),
        }
    }
}

impl<C: Content> Source for Made<C> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let place = match reference.digest {
            Some(digest) => self.digests.get(&digest),
            None => self.names.get(reference),
        };
        let place = place.ok_or_else(|| self.absent(&reference.to_string()))?;
        Ok(self.manifests[*place].document.descriptor())
    }

    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        let place = self.digests.get(&descriptor.digest);
        let place = place.ok_or_else(|| self.absent(&descriptor.digest.to_string()))?;
        Ok(self.manifests[*place].document.clone())
    }

    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        self.open(descriptor, 0)?.ok_or_else(|| self.absent(&descriptor.digest.to_string()))
    }

    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(self.content.size(descriptor.digest) == Some(descriptor.size))
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        Some(self)
    }

    fn tags(&self) -> Option<&dyn TagList> {
        Some(self)
    }

    fn catalog(&self) -> Option<&dyn Catalog> {
        Some(self)
    }
}

impl<C: Content> Ranges for Made<C> {
    fn range(
        &self,
        _: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        if offset.checked_add(length).is_none_or(|end| end > descriptor.size) {
            let (digest, size) = (descriptor.digest, descriptor.size);
            let what = format!("blob {digest}: expected a range within {size} bytes, found {length} at {offset}");
            return Err(Error::new(Kind::Refused, what));
        }
        Ok(self.open(descriptor, offset)?.map(|reader| -> Box<dyn Read + Send> { Box::new(reader.take(length)) }))
    }
}

impl<C: Content> Referrers for Made<C> {
    fn referrers(&self, _: &Repository, _: Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(Vec::new())
    }

    fn only_tags(&self, _: &Repository, _: Digest) -> Result<bool, Error> {
        Ok(true)
    }
}

impl<C: Content> TagList for Made<C> {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        Ok(self.tags.get(repository).into_iter().flatten().cloned().collect())
    }
}

impl<C: Content> Catalog for Made<C> {
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let unnamed = self.manifests.iter().any(|one| one.names.is_empty()).then_some(&self.repository);
        let all: BTreeSet<&Repository> = self.tags.keys().chain(unnamed).collect();
        Ok(all.into_iter().filter(|one| host.is_none_or(|host| one.host() == host)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::OCI_MANIFEST;

    struct Nothing;

    impl Content for Nothing {
        fn size(&self, _: Digest) -> Option<u64> {
            None
        }

        fn open(&self, _: Digest, _: u64) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
            Ok(None)
        }
    }

    fn manifest(note: &str, names: &[&str]) -> MadeManifest {
        let config = serde_json::json!({ "mediaType": "x/y", "digest": Digest::sha256(b"{}"), "size": 2 });
        let json = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
            "annotations": { "note": note },
        });
        let document = Document::parse(OCI_MANIFEST, serde_json::to_vec(&json).unwrap()).unwrap();
        MadeManifest { document, names: names.iter().map(|name| name.parse().unwrap()).collect() }
    }

    fn made(manifests: Vec<MadeManifest>) -> Result<Made<Nothing>, Reference> {
        Made::new("archive x".into(), local_repository("x").unwrap(), manifests, Nothing)
    }

    #[test]
    fn any_text_becomes_a_repository_or_none() {
        let named = |text: &str| local_repository(text).map(|one| one.path().to_owned());
        for (text, name) in [
            ("model.safetensors", "model.safetensors"),
            ("Größe (2).BIN", "gr-e-2-bin"),
            ("a..b__c", "a-b-c"),
            (".hidden", "hidden"),
            ("x-", "x"),
        ] {
            assert_eq!(named(text).as_deref(), Some(name), "{text}");
        }
        for nothing in ["", "...", "数", &"x".repeat(300)] {
            assert_eq!(named(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_manifest_is_found_by_name_by_digest_and_by_its_config() {
        let one = manifest("one", &["localhost/a:1", "localhost/b:2"]);
        let digest = one.document.digest();
        let made = made(vec![one.clone(), manifest("one", &["localhost/b:2", "localhost/c:3"])]).unwrap();
        assert_eq!(made.manifests().len(), 1);
        let found = |name: &str| made.find(name).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(found("localhost/c:3").unwrap(), [format!("localhost/c:3@{digest}")]);
        let config = Digest::sha256(b"{}");
        for name in [digest.to_string(), format!("@{digest}"), config.to_string()] {
            assert_eq!(found(&name).unwrap().len(), 3, "{name}");
        }
        assert_eq!(found(&format!("localhost/a:1@{digest}")).unwrap(), [format!("localhost/a:1@{digest}")]);
        for absent in ["localhost/a", "a:1", "A", "", &format!("localhost/a:1@{config}"), &format!("d@{digest}")] {
            assert_eq!(made.find(absent).unwrap_err().class, Kind::Absent, "{absent}");
        }
    }

    #[test]
    fn two_manifests_cannot_have_one_name_but_one_config() {
        let twice = made(vec![manifest("one", &["localhost/a:1"]), manifest("two", &["localhost/a:1"])]);
        assert_eq!(twice.err().unwrap().to_string(), "localhost/a:1");
        let both = made(vec![manifest("one", &[]), manifest("two", &[])]).unwrap();
        let error = both.find(&Digest::sha256(b"{}").to_string()).unwrap_err();
        assert_eq!(error.class, Kind::Refused);
        let unnamed = both.references(&both.manifests()[1]);
        assert_eq!(unnamed[0].repository.to_string(), "localhost/x");
        assert!(both.find(&unnamed[0].to_string()).is_ok() && both.resolve(&unnamed[0]).is_ok());
    }
}
