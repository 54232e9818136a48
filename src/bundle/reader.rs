//! Opening a bundle: [`Untrusted`] until a policy or its own writer vouches for the manifest, then
//! [`Trusted`], which alone gives content (`spec/verification.md`, order of the checks).

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::catalogue::Catalogue;
use super::files::{Volumes, open_plain, read_capped};
use super::flat::Flat;
use super::geometry::{Geometry, Unit};
use super::manifest::{Form, MAX_MANIFEST, MEDIA_TYPE, check_ends};
use super::member::Cursor;
use super::plain::whole_frame;
use super::tar::{Tar, padded};
use super::{Error, Manifest, Name};
use crate::fault::{Class, Fault};
use crate::oci::{Descriptor, Digest, Document};
use crate::signing::{Admission, Envelope, Judgement, Policy, statement};

/// How many decompressed frames of small members are kept: what a walk in order needs.
const KEPT_FRAMES: usize = 2;

/// A bundle whose manifest nobody has vouched for.
#[derive(Debug)]
pub struct Untrusted {
    // The bundle's own first; none where it is a stream.
    dirs: Vec<PathBuf>,
    name: Name,
    manifest: Vec<u8>,
    signatures: Option<Vec<u8>>,
    learns: bool,
    detached: Vec<Detached>,
}

/// A signature file that lies apart from its bundle.
#[derive(Clone, Debug)]
pub struct Detached {
    /// How messages name it.
    pub name: String,
    /// Its bytes, of which nothing is known.
    pub bytes: Vec<u8>,
}

/// A bundle whose manifest is authenticated: the only thing that gives content.
pub struct Trusted {
    id: Digest,
    manifest: Manifest,
    geometry: Geometry,
    volumes: Volumes,
    // In form flat, where there are no volumes.
    flat: Option<Flat>,
    judgement: Judgement,
    pub(super) admission: Admission,
    index: HashMap<Digest, usize>,
    // Filled by the walk over the documents, where someone asked for it.
    pub(super) catalogue: Option<OnceLock<Catalogue>>,
    kept: Mutex<Vec<(usize, Arc<Vec<u8>>)>>,
    // Units of small members whose headers and padding were compared.
    compared: Mutex<HashSet<usize>>,
}

/// Finds the bundle that `path` names: `DIR/NAME`, `DIR/NAME.json`, or a directory with one bundle.
///
/// # Errors
/// [`Class::Usage`] where a directory holds several, [`Class::Format`] where the path names
/// something else, [`Class::Io`] where there is none.
pub fn locate(path: &Path) -> Result<(PathBuf, Name), Error> {
    let shown = path.display();
    if path.is_dir() {
        let mut names: Vec<Name> = std::fs::read_dir(path)
            .map_err(|error| Error::io(&shown, &error))?
            .filter_map(Result::ok)
            // An empty manifest is none.
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

/// Reads manifest and signature file of the bundle at `path`; judges neither beyond size and ends.
///
/// # Errors
/// As [`locate`]; [`Class::Format`], [`Class::Io`].
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
    /// A bundle whose first two files came in a stream: there is no directory.
    pub(super) const fn of_stream(name: Name, manifest: Vec<u8>, signatures: Vec<u8>) -> Self {
        Self { dirs: Vec::new(), name, manifest, signatures: Some(signatures), learns: false, detached: Vec::new() }
    }

    /// The same, its volumes looked for in `dirs` too.
    #[must_use]
    pub fn with_volume_dirs(mut self, dirs: Vec<PathBuf>) -> Self {
        self.dirs.extend(dirs);
        self
    }

    /// The same; what its documents say is kept once they were read ([`Trusted::catalogue`]).
    #[must_use]
    pub const fn learning(mut self, learns: bool) -> Self {
        self.learns = learns;
        self
    }

    /// The same, with signatures from elsewhere beside those of its own file, which then need not be there.
    #[must_use]
    pub fn with_signatures(mut self, detached: Vec<Detached>) -> Self {
        self.detached.extend(detached);
        self
    }

    /// The bundle id: the digest of the manifest's bytes.
    pub fn id(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    /// The bundle's name, from its file's.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The directory that it lies in; empty for a stream.
    pub fn dir(&self) -> &Path {
        self.dirs.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Its volumes, of which nothing is known.
    pub(super) fn volumes(&self) -> Volumes {
        Volumes::new(self.dirs.clone(), self.name.clone())
    }

    /// The bytes of the signature file.
    pub fn signature_bytes(&self) -> Option<&[u8]> {
        self.signatures.as_deref()
    }

    /// The manifest's bytes, of which nothing is known.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// The statement that a signature over this manifest signs.
    pub fn statement(&self) -> Vec<u8> {
        statement(MEDIA_TYPE, self.id(), self.manifest.len() as u64)
    }

    /// Whether there is a signature file.
    pub const fn has_signature_file(&self) -> bool {
        self.signatures.is_some()
    }

    /// The signature file, in its form; nothing is verified.
    ///
    /// # Errors
    /// [`Class::Signature`] where there is none, [`Class::Format`].
    pub fn envelope(&self) -> Result<Envelope, Error> {
        let bytes = self.signatures.as_ref().ok_or_else(|| {
            Error::new(Class::Signature, format!("signature file {}: not there", self.name.signatures()))
                .help("copy it beside the manifest; every bundle has one")
        })?;
        Envelope::parse(bytes).map_err(|error| {
            Error::new(error.class(), error.to_string()).help("copy the signature file again from the bundle's source")
        })
    }

    /// All signature files: the bundle's own and those from elsewhere. The form of each is checked before what any says.
    ///
    /// # Errors
    /// As [`Untrusted::envelope`]; [`Class::Signature`] for one from elsewhere that is about another manifest.
    fn envelopes(&self) -> Result<Vec<Envelope>, Error> {
        let detached = self.detached.iter().map(|file| {
            Envelope::parse(&file.bytes).map_err(|error| {
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

    /// The manifest as it claims to be. **Not authenticated**: to be shown with these words.
    ///
    /// # Errors
    /// [`Class::Format`].
    pub fn claimed(&self) -> Result<Manifest, Error> {
        let manifest = Manifest::parse(&self.manifest)?;
        if manifest.name != self.name {
            return Err(Error::format(format!(
                "manifest: expected name {:?} as its file's, found {:?}",
                self.name.as_str(),
                manifest.name.as_str()
            ))
            .help("a bundle is renamed only by exporting it again"));
        }
        Ok(manifest)
    }

    /// Checks the signatures, then reads the manifest, then asks the policy's section and the channel's order.
    ///
    /// # Errors
    /// In this order: signature file's form ([`Class::Format`]), [`Class::Signature`],
    /// [`Class::Trust`], the manifest ([`Class::Format`]), those of [`Policy::admit`].
    pub fn authenticate(self, policy: &Policy) -> Result<Trusted, Fault> {
        let envelopes = self.envelopes()?;
        let judgement = policy.judge_all(&self.statement(), &envelopes)?;
        self.trust(judgement)?.admit(policy)
    }

    /// For `inspect --check`: everything is hashed, no signature is asked for. Whatever shows the result must call it "not authenticated".
    ///
    /// # Errors
    /// [`Class::Format`].
    pub fn assume(self) -> Result<Trusted, Error> {
        self.trust(Judgement { good: Vec::new(), unknown: Vec::new() })
    }

    fn trust(self, judgement: Judgement) -> Result<Trusted, Error> {
        let manifest = self.claimed()?;
        let learns = self.learns;
        let mut bundle = Trusted::new(self.id(), manifest, Volumes::new(self.dirs, self.name), judgement)?;
        bundle.catalogue = learns.then(OnceLock::new);
        Ok(bundle)
    }
}

impl Trusted {
    /// What a writer has just made, under the names of the unfinished: trusted for the read-back alone.
    ///
    /// # Errors
    /// [`Class::Format`].
    #[cfg(feature = "carry")]
    pub(super) fn just_written(dir: &Path, manifest: &Manifest) -> Result<Self, Error> {
        let id = Digest::sha256(&manifest.to_bytes());
        let volumes = Volumes::unfinished(dir.to_owned(), manifest.name.clone());
        Self::new(id, manifest.clone(), volumes, Judgement { good: Vec::new(), unknown: Vec::new() })
    }

    fn new(id: Digest, manifest: Manifest, volumes: Volumes, judgement: Judgement) -> Result<Self, Error> {
        let geometry = Geometry::new(&manifest)?;
        let dir = volumes.dirs().first();
        let flat = match (manifest.form, dir) {
            (Form::Volumes, _) => None,
            (Form::Flat, Some(dir)) if volumes.is_finished() => Some(Flat::new(dir, &manifest.name)),
            (Form::Flat, Some(dir)) => Some(Flat::unfinished(dir, &manifest.name)),
            (Form::Flat, None) => {
                return Err(Error::format("stream: expected a manifest of form volumes, found form flat")
                    .help("a flat bundle is a directory; a stream is made of one in volumes"));
            }
        };
        let index = manifest.blobs.iter().enumerate().map(|(index, blob)| (blob.digest, index)).collect();
        Ok(Self {
            id,
            manifest,
            geometry,
            volumes,
            flat,
            judgement,
            admission: Admission::default(),
            index,
            catalogue: None,
            kept: Mutex::default(),
            compared: Mutex::default(),
        })
    }

    /// The bundle id.
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who signed.
    pub const fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// What its documents say; `None` where nobody asked for it, or they were not all read and found to hold.
    pub fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref().and_then(OnceLock::get)
    }

    /// Where everything lies.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The volumes.
    pub const fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// The files of form flat, if it is of that.
    pub const fn flat(&self) -> Option<&Flat> {
        self.flat.as_ref()
    }

    /// Where a unit begins on the medium, for messages.
    pub(super) fn place_of(&self, unit: &Unit) -> String {
        let place = &self.geometry.places[unit.frames.start];
        format!("volume {}, from offset {}", self.volumes.file_name(place.volume), place.offset)
    }

    /// The place of a blob in `blobs`.
    pub fn blob_index(&self, digest: &Digest) -> Option<usize> {
        self.index.get(digest).copied()
    }

    /// The files of the medium against the manifest, without reading them: every volume there and of
    /// its length, none beyond, the checksum list (where there is one) as computed. All faults.
    pub fn survey(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        errors.extend((0..self.manifest.volumes.len()).filter_map(|volume| self.fits(volume).err()));
        if let Some(flat) = &self.flat {
            errors.extend(flat.survey(&self.geometry.tar, self));
        }
        if self.volumes.is_finished() {
            errors.extend(self.survey_beside());
        }
        errors
    }

    /// A volume, counted from 0, is there, a plain file, and of its length.
    ///
    /// # Errors
    /// [`Class::Integrity`], [`Class::Io`].
    pub(super) fn fits(&self, volume: usize) -> Result<(), Error> {
        let (file, expected) = (self.volumes.file_name(volume), self.manifest.volumes[volume].size);
        match self.volumes.size(volume)? {
            Some(size) if size == expected => Ok(()),
            Some(size) if size < expected => {
                Err(Error::integrity(format!("volume {file}: truncated at {size} of {expected} bytes")))
            }
            Some(size) => Err(Error::integrity(format!("volume {file}: expected {expected} bytes, found {size}"))),
            None => Err(self.lacks(volume)),
        }
    }

    /// Whether a volume is not there.
    pub fn lacks_any(&self) -> bool {
        (0..self.manifest.volumes.len()).any(|volume| matches!(self.volumes.size(volume), Ok(None)))
    }

    /// The fault of a volume, counted from 0, that is not there.
    pub(super) fn lacks(&self, volume: usize) -> Error {
        let (file, number) = (self.volumes.file_name(volume), volume + 1);
        Error::integrity(format!("volume {file}: need volume {number} of bundle {}, found none", self.id))
            .help("put the volume beside the manifest, or name the directory that holds it with --volume-dir")
    }

    /// What lies beside the volumes: extra ones, and lists that differ.
    pub(super) fn survey_beside(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        match self.volumes.present() {
            Err(error) => errors.push(error),
            Ok(present) => {
                let count = self.manifest.volumes.len();
                errors.extend(present.into_iter().filter(|number| !(1..=count).contains(number)).map(|number| {
                    let file = self.manifest.name.volume(number);
                    Error::integrity(format!("volume {file}: extra, the bundle has {count}"))
                        .help("remove the file if it is another bundle's")
                }));
            }
        }
        if let Err(error) = self.check_checksums() {
            errors.push(error);
        }
        errors
    }

    fn check_checksums(&self) -> Result<(), Error> {
        self.volumes.dirs().iter().try_for_each(|dir| self.check_checksums_in(dir))
    }

    fn check_checksums_in(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(self.manifest.name.checksums());
        let expected = self.manifest.checksums(self.id);
        let Some((_, size)) = open_plain(&path)? else { return Ok(()) };
        if self.flat.is_some() {
            return Err(Error::integrity(format!("{}: extra, form flat has no list", path.display()))
                .help("remove it; it is not needed"));
        }
        // One that is too long differs already, however long it is.
        let is_same = size == expected.len() as u64
            && read_capped(&path, size)?.is_some_and(|found| found == expected.as_bytes());
        if is_same {
            return Ok(());
        }
        Err(Error::integrity(format!("{}: differs from the computed one", path.display()))
            .help("remove it; it is not needed"))
    }

    /// The frame of whole members that a small blob shares, with its unit; `None` where the blob has frames of its own.
    fn shared(&self, index: usize) -> Result<Option<(Arc<Vec<u8>>, usize)>, Error> {
        if self.flat.is_some() {
            return Ok(None);
        }
        let number = self.geometry.unit_index(Tar::of_blob(index));
        let unit = &self.geometry.units[number];
        if unit.frames.len() != 1 {
            return Ok(None);
        }
        let frame = unit.frames.start;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, content)) = kept.iter().find(|(number, _)| *number == frame) {
            return Ok(Some((Arc::clone(content), number)));
        }
        // Read under the lock: others that want this frame wait for it instead of reading it too.
        let content = whole_frame(&self.geometry.places, &self.volumes, frame)?;
        if kept.len() == KEPT_FRAMES {
            kept.remove(0);
        }
        kept.push((frame, Arc::clone(&content)));
        Ok(Some((content, number)))
    }

    /// The content of a small member, from its frame of whole members. Nothing around it is compared: where a
    /// document is looked for, that is not what is asked (`spec/verification.md`).
    fn small(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some((content, unit)) = self.shared(index)? else { return Ok(None) };
        let (unit, tar, member) = (&self.geometry.units[unit], &self.geometry.tar, Tar::of_blob(index));
        let end = tar.end(member) - tar.start(unit.members.start);
        let size = self.manifest.blobs[index].size;
        let from = end - padded(size);
        let range = usize::try_from(from).ok().zip(usize::try_from(from + size).ok());
        let bytes = range.and_then(|(from, to)| content.get(from..to));
        bytes.map(|bytes| Some(bytes.to_vec())).ok_or_else(|| Error::integrity("frame is shorter than its members"))
    }

    /// The same, once the headers and the padding of all members in that frame hold.
    pub(super) fn small_in_place(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        if let Some((content, number)) = self.shared(index)? {
            let has_held = self.compared.lock().unwrap_or_else(PoisonError::into_inner).contains(&number);
            if !has_held {
                let unit = &self.geometry.units[number];
                let mut cursor = Cursor::new(&self.geometry.tar, unit.members.start, false);
                let mut rest = &content[..];
                while !rest.is_empty() {
                    let (count, _) = cursor.take(rest).map_err(|error| {
                        let what = format!("{} ({})", error.what, self.place_of(unit));
                        Error { what, ..error }
                    })?;
                    rest = &rest[count..];
                }
                self.compared.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
            }
        }
        self.small(index)
    }

    /// A document that the bundle carries, its digest checked; `None` where it is absent.
    ///
    /// # Errors
    /// [`Class::Integrity`], [`Class::Format`], [`Class::Io`].
    pub fn carried_document(&self, descriptor: &Descriptor) -> Result<Option<Document>, Error> {
        let Some(index) = self.blob_index(&descriptor.digest) else { return Ok(None) };
        let digest = descriptor.digest;
        if self.manifest.blobs[index].size > crate::oci::document::MAX_DOCUMENT {
            return Err(Error::format(format!("manifest {digest}: above the limit of a document")));
        }
        if self.flat.is_none() {
            // In a volume that does not fit, nothing is to be had.
            let frames = self.geometry.unit_of(Tar::of_blob(index)).frames.clone();
            self.geometry.places[frames].iter().try_for_each(|place| self.fits(place.volume))?;
        }
        let raw = match self.small(index)? {
            Some(raw) => raw,
            None => self.read_blob(index)?,
        };
        let found = Digest::of(digest.algorithm(), &raw);
        if found != digest {
            let place = match &self.flat {
                Some(_) => "its file".to_owned(),
                None => self.place_of(self.geometry.unit_of(Tar::of_blob(index))),
            };
            return Err(Error::integrity(format!("manifest {digest}: content has digest {found} ({place})")));
        }
        super::complete::document(descriptor, raw).map(Some)
    }

    fn read_blob(&self, index: usize) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let blob = &self.manifest.blobs[index];
        let mut reader: Box<dyn std::io::Read> = match &self.flat {
            // One byte more than it may have shows that it has more.
            Some(flat) => {
                let file = flat.blob(&blob.digest, blob.size)?;
                Box::new(std::io::Read::take(file, blob.size + 1))
            }
            None => Box::new(super::source::BlobReader::new(self, index)),
        };
        std::io::Read::read_to_end(&mut reader, &mut content).map_err(|error| {
            let error = crate::content::Error::from_io("bundle", error);
            let class = match error.kind {
                crate::content::Kind::Content(class) => class,
                _ => Class::Io,
            };
            Error { class, what: error.what, help: error.help }
        })?;
        Ok(content)
    }
}
