//! Opens a bundle: [`Untrusted`], until a policy vouches for its manifest (`spec/verification.md`,
//! steps 1 to 7).

use std::sync::{Arc, OnceLock};

use super::trusted::Trusted;
use crate::base::fault::{Class, Fault, differs};
use crate::bundle::format::manifest::{Form, MAX_MANIFEST, MEDIA_TYPE};
use crate::bundle::format::parse::check_ends;
use crate::bundle::volumes::files::Files;
use crate::bundle::volumes::foreign_files::{Beside, beside};
use crate::bundle::{Error, Manifest, Name};
use crate::content::volumes::Volumes;
use crate::oci::Digest;
use crate::signing::{Envelope, Judgement, Policy, statement};

/// A bundle whose manifest is not authenticated.
pub struct Untrusted {
    files: Arc<Files>,
    is_stream: bool,
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

/// Reads the manifest and the signature file of the bundle `name` at `place`. Checks only their
/// sizes and how the manifest begins and ends.
///
/// # Errors
/// [`Class::Format`], [`Class::Io`].
pub fn open_at(place: Arc<dyn Volumes>, name: Name) -> Result<Untrusted, Error> {
    let files = Files::new(place, name);
    let name = files.name();
    let Some(manifest) = files.whole(&name.manifest(), MAX_MANIFEST)? else {
        let shown = files.place().shown(&name.manifest());
        let is_empty = files.place().size(&name.manifest()).is_ok_and(|size| size.is_some());
        let error = if is_empty {
            Error::format(format!("{shown}: not a bundle: the file is empty"))
        } else {
            Error::new(Class::Io, format!("{shown}: no such bundle"))
        };
        return Err(
            error.help("a bundle exists when its NAME.json exists; check the path and whether its copy was completed")
        );
    };
    check_ends(&manifest)?;
    let signatures = files.whole(&name.signatures(), crate::signing::envelope::MAX_FILE as u64)?;
    files.place().close();
    let files = Arc::new(files);
    Ok(Untrusted { files, is_stream: false, manifest, signatures, learns: false, detached: Vec::new() })
}

impl Untrusted {
    /// Returns a bundle whose first two files came in a stream, so that it has no directory.
    pub(in crate::bundle) fn of_stream(name: Name, manifest: Vec<u8>, signatures: Vec<u8>) -> Self {
        let (files, signatures) = (Arc::new(Files::of_stream(name)), Some(signatures));
        Self { files, is_stream: true, manifest, signatures, learns: false, detached: Vec::new() }
    }

    /// Lists the files next to its own that do not belong to the bundle; none for a stream.
    pub fn beside(&self) -> Beside {
        beside(&self.files)
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
    pub fn name(&self) -> &Name {
        self.files.name()
    }

    /// Returns its volumes, not checked yet.
    pub(in crate::bundle) fn volumes(&self) -> &Files {
        &self.files
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
            Error::new(Class::Signature, format!("signature file {}: missing", self.name().signatures()))
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
                    differs(&file.name, format_args!("signatures over bundle {}", self.id()), "them over another");
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
        if manifest.name != *self.name() {
            return Err(Error::format(differs(
                "manifest",
                format_args!("name {:?} as in its file name", self.name().as_str()),
                format_args!("{:?}", manifest.name.as_str()),
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
        if self.is_stream && manifest.form == Form::Flat {
            return Err(Error::format(differs("stream", "a manifest of form volumes", "form flat"))
                .help("a flat bundle is a directory; a stream is made from a bundle in volumes"));
        }
        let mut bundle = Trusted::new(id, manifest, self.files, judgement)?;
        bundle.catalogue = learns.then(OnceLock::new);
        Ok(bundle)
    }
}
