//! Deltas on the command line: bases, and the wanted list that travels back.
//!
//! Bases are not authenticated here: they only say what the bundle may leave out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::detect::{self, Paper};
use crate::cli::pem::shown;
use crate::cli::writing::newfile::Draft;
use crate::decide::select::{self, Delivered};
use crate::decide::wanted::{List, MAX_BYTES};
use crate::oci::media_type::{Kind, document_kind};
use crate::oci::{Artifact, Digest, Reference};
use crate::operate::import::MissingBase as Lacking;
use crate::outfile::{Place, look, unmounted};
use crate::receipt::{MAX_RECEIPT, Receipt};
use crate::system;

/// Noun for the file of `--wanted-out`.
const NOUN: &str = "wanted list";

/// Options for content to leave out, and for content to send again.
#[derive(clap::Args, Debug)]
pub struct Delta {
    /// Leave out content that an earlier BUNDLE (its NAME.json is enough) or the channel's last
    /// export carried, or that a RECEIPT says arrived; repeatable
    #[arg(long = "base", value_name = "last|BUNDLE|RECEIPT")]
    bases: Vec<OsString>,
    /// Take the artifacts in this wanted list, including the content that it lists even if --base
    /// has it
    #[arg(long, value_name = "FILE")]
    wanted: Option<PathBuf>,
}

/// The options, with their files read.
pub struct Asked {
    /// Content that the receiver already has.
    pub delivered: Delivered,
    /// The wanted list.
    pub list: List,
    // Digests of the manifests and receipts that the bases come from.
    papers: Vec<Digest>,
}

/// A base, as named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// The channel's newest export; none before the first.
    Last,
    /// A bundle or a receipt.
    Named(OsString),
}

impl Delta {
    /// Returns the bases.
    pub fn bases(&self) -> Vec<Base> {
        let base = |text: &OsString| if text == "last" { Base::Last } else { Base::Named(text.clone()) };
        self.bases.iter().map(base).collect()
    }

    /// Reads the wanted list; returns an empty one if none is given.
    ///
    /// # Errors
    /// Class usage for a file that is not a wanted list; class io.
    pub fn list(&self, session: &Session<'_>) -> Result<List, Fault> {
        self.wanted.as_ref().map_or_else(|| Ok(List::default()), |path| read(path, session))
    }
}

impl Asked {
    /// Reads the bases. `newest` returns the manifest of the channel's newest export, if there is
    /// one.
    ///
    /// # Errors
    /// Those of `newest`; class format and io.
    pub fn read(
        named: &[Base],
        list: List,
        newest: impl Fn() -> Result<Option<Vec<u8>>, Fault>,
        session: &Session<'_>,
    ) -> Result<Self, Fault> {
        let (mut bases, mut papers) = (Vec::new(), Vec::new());
        for one in named {
            let (base, paper) = match one {
                Base::Last => {
                    // The channel's first bundle is a full one.
                    let Some(bytes) = newest()? else { continue };
                    (crate::decide::delta::of_bytes(&bytes)?, Digest::sha256(&bytes))
                }
                Base::Named(text) => of_file(text, session)?,
            };
            bases.push(base);
            papers.push(paper);
        }
        Ok(Self { delivered: Delivered { bases, again: list.leaves() }, list, papers })
    }

    /// Returns the options in a fixed form, for recognizing the same request.
    pub fn text(&self) -> Value {
        let list = Digest::sha256(self.list.to_text().0.as_bytes());
        json!({ "bases": self.papers, "wanted": list })
    }
}

/// Reads the bundle or receipt that `text` names.
fn of_file(text: &OsStr, session: &Session<'_>) -> Result<(select::Base, Digest), Fault> {
    if let Some(Paper::Receipt(_, file)) = detect::find(text, session) {
        let text = text.to_string_lossy();
        let (receipt, digest) = receipt(&text, file)?;
        if receipt.blobs.is_empty() {
            session.flow.warn(format!("--base {text}: the receipt says that nothing arrived"));
        }
        return Ok((crate::decide::delta::of_receipt(receipt), digest));
    }
    let base = crate::decide::delta::of_bundle(&session.flow, crate::cli::args::bundle::open(text, session)?)?;
    let id = base.id;
    Ok((base, id))
}

/// Reads a receipt and computes its digest. It is not authenticated here.
fn receipt(text: &str, file: File) -> Result<(Receipt, Digest), Fault> {
    let mut bytes = Vec::new();
    file.take(MAX_RECEIPT + 1).read_to_end(&mut bytes).map_err(|error| {
        Fault::new(Class::Io, format!("--base {text}: {error}")).help("name a file that can be read")
    })?;
    Ok((Receipt::parse(&bytes)?, Digest::sha256(&bytes)))
}

fn read(path: &Path, session: &Session<'_>) -> Result<List, Fault> {
    let io = |error: io::Error| {
        Fault::new(Class::Io, format!("--wanted {}: {error}", path.display())).help("name a list that can be read")
    };
    // The file came on a medium.
    let file = system::open_file(&session.path(path)).map_err(|unopened| io(unopened.error))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    List::parse(&bytes)
}

/// Returns the wanted list for what an import lacked: each artifact under each of its names,
/// pinned.
pub fn wanted(artifacts: &[Artifact], lacking: &[Lacking]) -> List {
    let mut list = List::default();
    for one in lacking {
        let Some(artifact) = artifacts.get(one.artifact) else { continue };
        // An index that a platform filter made does not exist at the source, but the original does.
        let is_made = document_kind(&artifact.media_type) == Some(Kind::Index);
        let digest = artifact.original.filter(|_| is_made).unwrap_or(artifact.digest);
        let reference = |tag| Reference { repository: artifact.repository.clone(), tag, digest: Some(digest) };
        for tag in &artifact.tags {
            list.add(reference(Some(tag.clone())), [one.blob.digest]);
        }
        if artifact.tags.is_empty() {
            list.add(reference(None), [one.blob.digest]);
        }
    }
    list
}

/// The target of `--wanted-out`.
pub struct WantedOut {
    shown: String,
    target: PathBuf,
    place: Place,
}

impl WantedOut {
    /// Checks `path` before any work.
    ///
    /// # Errors
    /// Class usage for a file that is not an earlier wanted list, or the name of a bundle's file;
    /// class io.
    pub fn open(path: &Path, session: &Session<'_>) -> Result<Self, Fault> {
        let (shown, target) = (format!("--wanted-out {}", shown(path)), session.path(path));
        let place = look(&target, is_list).map_err(|refusal| refusal.into_fault(&shown, NOUN))?;
        unmounted(&target).into_iter().for_each(|warning| session.flow.warn(warning));
        let wanted = Self { shown, target, place };
        if !matches!(wanted.place, Place::Stream(_)) {
            // Creates a draft to find out whether the file can be written.
            wanted.draft().map_err(|error| wanted.failed(&error))?;
        }
        Ok(wanted)
    }

    fn draft(&self) -> io::Result<Draft> {
        Draft::beside(&self.target, 0o644)
    }

    fn failed(&self, error: &io::Error) -> Fault {
        Fault::new(Class::Io, format!("{}: {error}", self.shown))
            .help("name a file in an existing directory that you can write to")
    }

    /// Writes the list atomically; replaces an earlier one.
    ///
    /// # Errors
    /// Class io; class usage if another file has appeared there.
    pub fn write(mut self, list: &List, session: &Session<'_>) -> Result<(), Fault> {
        let (text, dropped) = list.to_text();
        if dropped > 0 {
            session.flow.warn(format!("{}: {dropped} artifacts did not fit", self.shown));
        }
        if let Place::Stream(stream) = &mut self.place {
            return stream.write_all(text.as_bytes()).map_err(|error| self.failed(&error));
        }
        let draft = self.draft().and_then(|draft| draft.fill(text.as_bytes()).map(|()| draft));
        let draft = draft.map_err(|error| self.failed(&error))?;
        let named = match look(&self.target, is_list).map_err(|refusal| refusal.into_fault(&self.shown, NOUN))? {
            Place::Own => draft.replace(),
            Place::Free | Place::Stream(_) => draft.settle(),
        };
        named.map_err(|error| self.failed(&error))
    }
}

/// Returns whether a file is a list written by [`WantedOut::write`].
fn is_list(file: &File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(List::is_written(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
    use crate::oci::{Descriptor, Repository, Tag};

    #[test]
    fn c13_lines_name_what_the_source_has() {
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        let artifact = |text: &str, kind: &str, original: Option<&str>, tags: &[&str]| Artifact {
            artifact_type: None,
            digest: digest(text),
            media_type: kind.to_owned(),
            original: original.map(digest),
            repository: Repository::exact("reg.example/a").unwrap(),
            size: 1,
            source: None,
            subject: None,
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        };
        let artifacts = [
            artifact("plain", OCI_MANIFEST, None, &["1", "latest"]),
            artifact("made", OCI_INDEX, Some("whole"), &["2"]),
            artifact("single", OCI_MANIFEST, Some("index"), &["3"]),
            artifact("refers", OCI_MANIFEST, None, &[]),
            artifact("fine", OCI_MANIFEST, None, &["4"]),
        ];
        let lacking = |artifact| Lacking {
            destination: Repository::exact("site.example/secret/a").unwrap(),
            artifact,
            blob: Descriptor::new("x/layer", digest("leaf"), 4),
        };
        let list = wanted(&artifacts, &[3, 2, 1, 0, 0].map(lacking));
        let mut lines = [
            format!("reg.example/a:1@{} {}\n", digest("plain"), digest("leaf")),
            format!("reg.example/a:latest@{} {}\n", digest("plain"), digest("leaf")),
            format!("reg.example/a:2@{} {}\n", digest("whole"), digest("leaf")),
            format!("reg.example/a:3@{} {}\n", digest("single"), digest("leaf")),
            format!("reg.example/a@{} {}\n", digest("refers"), digest("leaf")),
        ];
        lines.sort();
        assert_eq!(list.to_text(), (lines.concat(), 0));
    }
}
