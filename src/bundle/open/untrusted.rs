//! Opens a bundle: [`Untrusted`], until a policy vouches for its manifest (`spec/verification.md`,
//! steps 1 to 7).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::trusted::Trusted;
use crate::base::fault::{Class, Fault};
use crate::bundle::format::manifest::{MAX_MANIFEST, MEDIA_TYPE, check_ends};
use crate::bundle::volumes::foreign_files::{Beside, beside};
use crate::bundle::volumes::local::{Volumes, read_capped};
use crate::bundle::{Error, Manifest, Name};
use crate::oci::Digest;
use crate::signing::{Envelope, Judgement, Policy, statement};

/// A bundle whose manifest is not authenticated.
#[derive(Debug)]
pub struct Untrusted {
    // The bundle's own directory first; empty for a stream.
    dirs: Vec<PathBuf>,
    name: Name,
    manifest: Vec<u8>,
    signatures: Option<Vec<u8>>,
    learns: bool,
    detached: Vec<Detached>,
}

/// A signature file that is stored apart from its bundle.
#[derive(Clone, Debug)]
pub struct Detached {
    /// Its name in messages.
    pub name: String,
    /// Its bytes, not checked yet, or why they could not be read. That error is reported only after
    /// the manifest's own form was checked.
    pub bytes: Result<Vec<u8>, Error>,
}

/// Finds the bundle that `path` names: `DIR/NAME`, `DIR/NAME.json`, or a directory with one bundle.
///
/// # Errors
/// [`Class::Usage`] if a directory holds several, [`Class::Format`] if the path names something
/// else, [`Class::Io`] if there is none.
pub fn locate(path: &Path) -> Result<(PathBuf, Name), Error> {
    let shown = path.display();
    if path.is_dir() {
        let mut names: Vec<Name> = std::fs::read_dir(path)
            .map_err(|error| Error::io(&shown, &error))?
            .filter_map(Result::ok)
            // An empty manifest does not count.
            .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 0))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter_map(|file| Name::new(file.strip_suffix(".json")?).ok())
            .collect();
        names.sort();
        return match (names.pop(), names.len()) {
            (Some(name), 0) => Ok((path.to_owned(), name)),
            (None, _) => Err(Error::new(Class::Io, format!("{shown}: expected a bundle, found no NAME.json"))
                .help("name the directory that holds NAME.json, or DIR/NAME")),
            (Some(_), more) => {
                Err(Error::new(Class::Usage, format!("{shown}: expected one bundle, found {}", more + 1))
                    .help("name it: DIR/NAME"))
            }
        };
    }
    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let not_a_bundle = || {
        Error::format(format!("{shown}: not a bundle"))
            .help("name a bundle as DIR/NAME, its NAME.json, or a directory that holds one")
    };
    let stem = file.strip_suffix(".json");
    let name = Name::new(stem.unwrap_or(file))
        .map_err(|error| if path.symlink_metadata().is_ok() { not_a_bundle() } else { error })?;
    if stem.is_none() && path.symlink_metadata().is_ok() {
        return Err(not_a_bundle());
    }
    Ok((dir, name))
}

/// Reads the manifest and the signature file of the bundle at `path`. Checks only their sizes and
/// how the manifest begins and ends.
///
/// # Errors
/// Those of [`locate`]; [`Class::Format`], [`Class::Io`].
pub fn open(path: &Path) -> Result<Untrusted, Error> {
    let (dir, name) = locate(path)?;
    let file = dir.join(name.manifest());
    let manifest = read_capped(&file, MAX_MANIFEST)?;
    let Some(manifest) = manifest else {
        let empty = file.symlink_metadata().is_ok();
        let error = if empty {
            Error::format(format!("{}: not a bundle: the file is empty", file.display()))
        } else {
            Error::new(Class::Io, format!("{}: no such bundle", file.display()))
        };
        return Err(
            error.help("a bundle exists when its NAME.json exists; check the path and whether its copy was completed")
        );
    };
    check_ends(&manifest)?;
    let signatures = read_capped(&dir.join(name.signatures()), crate::signing::envelope::MAX_FILE as u64)?;
    Ok(Untrusted { dirs: vec![dir], name, manifest, signatures, learns: false, detached: Vec::new() })
}

impl Untrusted {
    /// Returns a bundle whose first two files came in a stream, so that it has no directory.
    pub(in crate::bundle) const fn of_stream(name: Name, manifest: Vec<u8>, signatures: Vec<u8>) -> Self {
        Self { dirs: Vec::new(), name, manifest, signatures: Some(signatures), learns: false, detached: Vec::new() }
    }

    /// Lists the files next to its own that do not belong to the bundle; none for a stream.
    pub fn beside(&self) -> Beside {
        beside(&self.dirs, &self.name)
    }

    /// Also looks for its volumes in `dirs`.
    #[must_use]
    pub fn with_volume_dirs(mut self, dirs: Vec<PathBuf>) -> Self {
        self.dirs.extend(dirs);
        self
    }

    /// Sets whether to keep what its documents say once they were read ([`Trusted::catalogue`]).
    #[must_use]
    pub const fn learning(mut self, learns: bool) -> Self {
        self.learns = learns;
        self
    }

    /// Adds signatures from elsewhere to those of its own file, which may then be missing.
    #[must_use]
    pub fn with_signatures(mut self, detached: Vec<Detached>) -> Self {
        self.detached.extend(detached);
        self
    }

    /// Returns the bundle id: the digest of the manifest's bytes.
    pub fn id(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    /// Returns the bundle's name, taken from its file name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the directory that it is in; empty for a stream.
    pub fn dir(&self) -> &Path {
        self.dirs.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Returns its volumes, not checked yet.
    pub(in crate::bundle) fn volumes(&self) -> Volumes {
        Volumes::new(self.dirs.clone(), self.name.clone())
    }

    /// Returns the bytes of the signature file.
    pub fn signature_bytes(&self) -> Option<&[u8]> {
        self.signatures.as_deref()
    }

    /// Returns the manifest's bytes, not authenticated.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// Returns the statement that a signature over this manifest signs.
    pub fn statement(&self) -> Vec<u8> {
        statement(MEDIA_TYPE, self.id(), self.manifest.len() as u64)
    }

    /// Whether there is a signature file.
    pub const fn has_signature_file(&self) -> bool {
        self.signatures.is_some()
    }

    /// Parses the signature file; verifies nothing.
    ///
    /// # Errors
    /// [`Class::Signature`] if it is missing, [`Class::Format`].
    pub fn envelope(&self) -> Result<Envelope, Error> {
        let bytes = self.signatures.as_ref().ok_or_else(|| {
            Error::new(Class::Signature, format!("signature file {}: missing", self.name.signatures()))
                .help("copy it next to the manifest; every bundle has one")
        })?;
        Envelope::parse(bytes).map_err(|error| {
            Error::new(error.class(), error.to_string()).help("copy the signature file again from the bundle's source")
        })
    }

    /// Parses all signature files: the bundle's own and those from elsewhere. Checks the form of
    /// all before the content of any.
    ///
    /// # Errors
    /// Those of [`Untrusted::envelope`]; those of reading one from elsewhere; [`Class::Signature`]
    /// for one over another manifest.
    pub fn envelopes(&self) -> Result<Vec<Envelope>, Error> {
        let detached = self.detached.iter().map(|file| {
            let bytes = file.bytes.as_ref().map_err(Clone::clone)?;
            Envelope::parse(bytes).map_err(|error| {
                let help = "give a NAME.sig.json, or a file that `packmule sign -o` wrote";
                Error::new(error.class(), format!("{}: {error}", file.name)).help(help)
            })
        });
        let is_own = self.signatures.is_some() || self.detached.is_empty();
        let own = is_own.then(|| self.envelope());
        let (mut envelopes, mut errors) = (Vec::new(), Vec::new());
        for file in detached.chain(own) {
            match file {
                Ok(envelope) => envelopes.push(envelope),
                Err(error) => errors.push(error),
            }
        }
        if let Some(error) = errors.into_iter().min_by_key(|error| error.class.rank()) {
            return Err(error);
        }
        let statement = self.statement();
        match self.detached.iter().zip(&envelopes).find(|(_, envelope)| envelope.payload != statement) {
            None => Ok(envelopes),
            Some((file, _)) => {
                let what =
                    format!("{}: expected signatures over bundle {}, found them over another", file.name, self.id());
                Err(Error::new(Class::Signature, what).help("ask for the signature file of this very bundle"))
            }
        }
    }

    /// Returns what the manifest claims. **Not authenticated**: whoever shows it must say so.
    ///
    /// # Errors
    /// [`Class::Format`].
    pub fn claimed(&self) -> Result<Manifest, Error> {
        let manifest = Manifest::parse(&self.manifest)?;
        if manifest.name != self.name {
            return Err(Error::format(format!(
                "manifest: expected name {:?} as in its file name, found {:?}",
                self.name.as_str(),
                manifest.name.as_str()
            ))
            .help("a bundle is renamed only by exporting it again"));
        }
        Ok(manifest)
    }

    /// Checks the signatures, then parses the manifest, then applies the policy's section and the
    /// channel's order.
    ///
    /// # Errors
    /// In this order: the signature file's form ([`Class::Format`]), [`Class::Signature`],
    /// [`Class::Trust`], the manifest ([`Class::Format`]), those of [`Policy::admit`].
    pub fn authenticate(self, policy: &Policy) -> Result<Trusted, Fault> {
        let envelopes = self.envelopes()?;
        let judgement = policy.judge_all(&self.statement(), &envelopes)?;
        self.trust(judgement)?.admit(policy)
    }

    /// Returns the bundle without checking signatures, for `inspect --check`, which hashes
    /// everything. Whoever shows the result must call it "not authenticated".
    ///
    /// # Errors
    /// [`Class::Format`].
    pub fn assume(self) -> Result<Trusted, Error> {
        self.trust(Judgement::default())
    }

    fn trust(self, judgement: Judgement) -> Result<Trusted, Error> {
        let (manifest, id, learns) = (self.claimed()?, self.id(), self.learns);
        // The manifest's bytes are no longer needed, and may be many.
        drop(self.manifest);
        let mut bundle = Trusted::new(id, manifest, Volumes::new(self.dirs, self.name), judgement)?;
        bundle.catalogue = learns.then(OnceLock::new);
        Ok(bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_found_by_each_of_its_names() {
        let name = Name::new("b").unwrap();
        for path in ["b", "b.json", "./b"] {
            assert_eq!(locate(path.as_ref()), Ok((".".into(), name.clone())), "{path}");
        }
        assert_eq!(locate("usb/b".as_ref()), Ok(("usb".into(), name.clone())));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(locate(dir.path()).unwrap_err().class, Class::Io);
        std::fs::write(dir.path().join("b.json"), "{").unwrap();
        assert_eq!(locate(dir.path()), Ok((dir.path().to_owned(), name.clone())));
        // Where nothing can be deleted, an empty file is left of another bundle.
        std::fs::write(dir.path().join("c.json"), "").unwrap();
        assert_eq!(locate(dir.path()), Ok((dir.path().to_owned(), name)));
        std::fs::write(dir.path().join("c.json"), "{").unwrap();
        assert_eq!(locate(dir.path()).unwrap_err().class, Class::Usage);
    }
}
