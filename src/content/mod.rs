//! Contracts between places: what a source provides, and what a destination takes.
//!
//! Small traits; optional abilities are separate traits, asked for at run time. Errors distinguish
//! what the protocols distinguish: absent, denied, refused, failed.

use cfg_if::cfg_if;

pub mod catalog;
pub mod checked;
pub mod volumes;

cfg_if! {
    if #[cfg(feature = "carry")] {
        pub mod made;
        pub mod router;
        pub mod store;
    }
}

use std::io::{self, Read};

use crate::base::fault::{Class, Fault};
use crate::oci::{Artifact, Descriptor, Digest, Document, Reference, Repository, Tag};

/// How a place failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says that it does not have it.
    Absent,
    /// It denies access (401, 403).
    Denied,
    /// It understood the request and refused it (immutable tag, unsupported, quota, other 4xx).
    Refused,
    /// It could not be reached or broke off: connection, timeout, 5xx. A later try may succeed.
    Failed,
    /// Its content does not match digest or size.
    Mismatch,
    /// Our own rules forbid the request (a realm elsewhere, plain http).
    Policy,
    /// The local file system failed.
    Io,
    /// The content passed to it was bad: an error from the other side, passed through.
    Content(Class),
    /// The run was cancelled.
    Cancelled,
}

/// A failure at a place: a fault whose class says how the place failed. Its texts contain no
/// secrets.
pub type Error = Fault<Kind>;

impl Error {
    /// Returns an error of the local file system at `subject`.
    pub fn io(subject: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::new(Kind::Io, format!("{subject}: {error}"))
    }

    /// Wraps this error for a [`Read`]; [`Error::from_io`] unwraps it.
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// Returns the error that a reader carried, or a plain I/O error at `subject`.
    pub fn from_io(subject: impl std::fmt::Display, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self::io(subject, &error),
        }
    }

    /// Returns a fault of the side where it happened: [`Class::Source`] or [`Class::Destination`]
    /// for failures of a place, otherwise the class that the kind itself names.
    pub fn into_fault(self, side: Class) -> Fault {
        self.classed(|kind| match kind {
            Kind::Absent | Kind::Denied | Kind::Refused | Kind::Failed | Kind::Mismatch => side,
            Kind::Policy => Class::Policy,
            Kind::Io => Class::Io,
            Kind::Content(class) => class,
            Kind::Cancelled => Class::Cancelled,
        })
    }
}

impl From<Fault> for Error {
    /// Passes a fault of the content through a place.
    fn from(fault: Fault) -> Self {
        fault.classed(Kind::Content)
    }
}

impl From<crate::flow::Cancelled> for Error {
    fn from(_: crate::flow::Cancelled) -> Self {
        Self::new(Kind::Cancelled, "cancelled")
    }
}

/// A place that can be read from.
pub trait Source: Send + Sync {
    /// Returns the descriptor (media type, digest, size) of what `reference` names now. A digest in
    /// the reference pins; a tag next to it is only a name.
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error>;

    /// Returns the document with a digest, with its bytes hashed and parsed.
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error>;

    /// Returns the document that `reference` names now: in one request, if the place can.
    fn named(&self, reference: &Reference) -> Result<Document, Error> {
        let descriptor = self.resolve(reference)?;
        self.document(&reference.repository, &descriptor)
    }

    /// Returns the content of a blob from its first byte. Not checked: consumers wrap it in
    /// [`crate::content::checked::Checked`]. The reader may resume internally; its errors are made
    /// by [`Error::into_io`].
    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error>;

    /// Returns whether the blob exists, by HEAD or a lookup; used before work begins. For a missing
    /// blob a place may return an error of [`Kind::Absent`] instead, which says why it is missing.
    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error>;

    /// Returns the size in bytes of a blob of which only the digest is known, or `None` if there is no such
    /// blob or the place does not tell sizes.
    fn blob_size(&self, _repository: &Repository, _digest: Digest) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    /// Returns the position of a blob or document in the cheapest order of access, if several are
    /// read together; `None` for one that is read alone.
    fn position(&self, _digest: &Digest) -> Option<u64> {
        None
    }

    /// Returns whether the content of all its repositories is found under any repository, so that it
    /// may be asked for content of repositories that it does not have.
    fn is_one_store(&self) -> bool {
        false
    }

    /// Returns the reader of parts of blobs, if the place supports it.
    fn ranges(&self) -> Option<&dyn Ranges> {
        None
    }

    /// Returns the lists of referrers, if the place has them.
    fn referrers(&self) -> Option<&dyn Referrers> {
        None
    }

    /// Returns the lists of tags, if the place has them.
    fn tags(&self) -> Option<&dyn TagList> {
        None
    }

    /// Returns the list of artifacts and the sizes of content, if the place can be served.
    fn holdings(&self) -> Option<&dyn Holdings> {
        None
    }

    /// Returns the list of repositories, if the place has one.
    fn catalog(&self) -> Option<&dyn Catalog> {
        None
    }

    /// Returns the source as one whose blobs pass only once, if it is one.
    fn passing(&self) -> Option<&dyn Passing> {
        None
    }
}

/// A source whose blobs pass only once, in its own order, like those of a stream.
pub trait Passing: Send + Sync {
    /// Returns whether the blob is still to come. Any other blob can only be asked for now, if at
    /// all.
    fn is_to_come(&self, digest: &Digest) -> bool;

    /// Returns whether the blob, which can be asked for now, is given once only.
    fn is_given_once(&self, digest: &Digest) -> bool;

    /// Lets everything pass. Calls `take` for each blob that `wants` accepts when its turn comes,
    /// several at a time. Until `take` returns, the source provides this blob; a large one only
    /// once.
    ///
    /// # Errors
    /// If what passes is not what it must be; the first error of `take`. Nothing more passes after
    /// an error.
    fn pass(
        &self,
        wants: &(dyn Fn(&Digest) -> bool + Sync),
        take: &(dyn Fn(&Digest) -> Result<(), Fault> + Sync),
    ) -> Result<(), Fault>;
}

/// Reads parts of blobs.
pub trait Ranges: Send + Sync {
    /// Reads exactly `length` bytes from `offset`. Returns `Ok(None)` if the place does not support
    /// ranges for this blob, which must then be streamed whole.
    fn range(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error>;
}

/// Lists the manifests that refer to a subject.
pub trait Referrers: Send + Sync {
    /// Returns the descriptors of the manifests whose `subject` is `subject`, from the API or the
    /// fallback tag. An empty list means that there are none; anything else is an error.
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error>;

    /// Returns the referrers of a subject whose fallback tag is known not to exist: like
    /// [`Referrers::referrers`], without a request for that tag.
    fn referrers_without_tag(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        self.referrers(repository, subject)
    }

    /// Returns whether all lists of this repository are under fallback tags, so that a repository
    /// without such tags has no referrers. `subject` is a manifest that exists.
    fn only_tags(&self, _repository: &Repository, _subject: Digest) -> Result<bool, Error> {
        Ok(false)
    }
}

/// Lists repositories.
pub trait Catalog: Send + Sync {
    /// Returns every repository of `host` that the place lists, or of all hosts without `host`.
    ///
    /// # Errors
    /// The errors of the place; [`Kind::Refused`] without `host` if the place has no list of hosts.
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error>;
}

/// Lists tags.
pub trait TagList: Send + Sync {
    /// Returns every tag of the repository.
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error>;

    /// Returns every tag of the repository, or `None` if that takes more than `pages` requests.
    fn tags_within(&self, repository: &Repository, _pages: usize) -> Result<Option<Vec<Tag>>, Error> {
        self.tags(repository).map(Some)
    }
}

/// Lists the artifacts of a place and the sizes of its content, which a server needs.
pub trait Holdings: Send + Sync {
    /// Returns all artifacts under the names of the place. One without a name that only refers to
    /// another is not listed: it is found as a referrer of that one.
    fn artifacts(&self) -> Result<Vec<Artifact>, Error>;
    /// Returns the size in bytes of a blob or document, or `None` if the place does not hold it.
    fn size(&self, repository: &Repository, digest: Digest) -> Result<Option<u64>, Error>;
    /// Returns whether sizes are told at once, without asking another machine.
    fn is_quick(&self) -> bool {
        true
    }
    /// Returns about how many bytes of memory a reader of this blob holds.
    fn memory(&self, _repository: &Repository, _digest: Digest) -> u64 {
        0
    }
}

/// A place that can be asked what it has.
pub trait Inventory: Send + Sync {
    /// Returns whether the repository has the blob.
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error>;
    /// Returns whether the repository has the manifest.
    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error>;
    /// Returns whether the place says that it has no such repository, or none with a tag. A place that
    /// does not say so returns `false`.
    ///
    /// # Errors
    /// [`Kind::Absent`] if something must be made there before anything can be pushed.
    fn is_new(&self, _repository: &Repository) -> Result<bool, Error> {
        Ok(false)
    }
    /// Returns whether the place takes a manifest only after everything that it needs, so that an
    /// existing one is complete.
    fn keeps_whole(&self) -> bool {
        true
    }
    /// Returns the digest that the tag names, if it names one.
    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error>;
    /// Returns the place as a source of what it contains, if it can be read.
    fn as_source(&self) -> Option<&dyn Source> {
        None
    }
    /// Returns the digest of the manifest that the tag names, if it names one, in the algorithm of
    /// `like`, to compare the two. Hashes the manifest's bytes if the place knows it by a digest of
    /// another algorithm.
    fn tag_like(&self, repository: &Repository, tag: &Tag, like: Digest) -> Result<Option<Digest>, Error> {
        match self.tag(repository, tag)? {
            Some(found) if found.algorithm() != like.algorithm() => self.read_back(repository, Some(tag), like),
            found => Ok(found),
        }
    }
    /// Returns the digest of the manifest that `tag` names now, or, without a tag, of the one under
    /// `expected`. Reads its bytes from the place and hashes them here, with the algorithm of
    /// `expected`. Returns `None` if there is no such manifest.
    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error>;
}

/// Content that can be read again from its start, so that a failed upload can be repeated.
pub trait Body: Send + Sync {
    /// Opens a checked reader of the whole content, which returns the last bytes only if size and
    /// digest match ([`crate::content::checked::Checked`]).
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>>;

    /// Returns whether it can be opened only once, like content of a stream. Whoever sends it keeps
    /// the part that may have to be sent again.
    fn is_once(&self) -> bool {
        false
    }

    /// Opens a reader of the content from `offset` on, if that needs less than reading all of it.
    /// Not checked: whoever uses it hashes the whole content.
    fn open_at(&self, _offset: u64) -> Option<io::Result<Box<dyn Read + Send + '_>>> {
        None
    }
}

/// A place that can be written to.
pub trait Destination: Inventory {
    /// Stores a blob. Does nothing if it exists.
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error>;
    /// Stores a document under its digest. Its children must exist. Adds it to the referrers of its
    /// subject (the registry does that itself, or a fallback tag is used).
    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error>;
    /// Like [`Destination::put_manifest`], but only notes the document for a list of referrers that the
    /// place does not keep itself: [`Lists::write`] writes that once for all of them.
    fn put_unlisted(&self, repository: &Repository, document: &Document) -> Result<(), Error> {
        self.put_manifest(repository, document)
    }
    /// Makes `tag` name `document`, which must exist, and reads it back. An error with the reason
    /// [`crate::base::fault::Reason::Unreadable`] says that it is set and may not be read.
    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error>;
    /// Like [`Destination::set_tag`], unless the tag names another document by now: then the tag
    /// stays, and the digest that it names is returned. Checks just before setting.
    fn set_new_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<Option<Digest>, Error> {
        match self.tag_like(repository, tag, document.digest())? {
            Some(found) if found != document.digest() => Ok(Some(found)),
            _ => self.set_tag(repository, tag, document).map(|()| None),
        }
    }
    /// Like [`Destination::set_new_tag`], but also moves the tag if it names one of `from`.
    fn advance_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        document: &Document,
        from: &[Digest],
    ) -> Result<Option<Digest>, Error> {
        match self.set_new_tag(repository, tag, document)? {
            Some(found) if from.contains(&found) => self.set_tag(repository, tag, document).map(|()| None),
            other => Ok(other),
        }
    }
    /// Makes `document`, which exists and has no tag, findable in a place that lists only what it
    /// was told to list (a layout's `index.json`). Does nothing for a registry. Called with the
    /// tags, after everything was stored.
    fn set_root(&self, _repository: &Repository, _document: &Document) -> Result<(), Error> {
        Ok(())
    }
    /// Checks that the place can hold `blobs`, each once, including those that it already has.
    /// Called before the first is sent. Succeeds if the place cannot know (registries).
    fn check_room(&self, _blobs: &[&Descriptor]) -> Result<(), Error> {
        Ok(())
    }
    /// Returns how blobs are mounted from another repository of the same place, if it supports
    /// that.
    fn mounts(&self) -> Option<&dyn Mounts> {
        None
    }
    /// Returns how to ask what the login permits, if the place can tell.
    fn rights(&self) -> Option<&dyn Rights> {
        None
    }
    /// Returns the lists of referrers that clients must keep themselves, if the place has such.
    fn lists(&self) -> Option<&dyn Lists> {
        None
    }
    /// Makes everything that was stored durable (an index file, an fsync), and restores what others
    /// may have overwritten. Called once, at the end.
    fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Keeps lists of referrers on the client's side.
pub trait Lists: Send + Sync {
    /// Returns the digests that the list of `subject` has. The answer is kept, so that
    /// [`Lists::note_present`] needs no further request for these.
    fn listed(&self, repository: &Repository, subject: Digest) -> Result<Vec<Digest>, Error>;
    /// Adds the document, which existed before this run, to the list of referrers of its subject:
    /// an interrupted run may have left it without its entry.
    fn list_present(&self, repository: &Repository, document: &Document) -> Result<(), Error>;
    /// Like [`Lists::list_present`], but only notes the document for [`Lists::write`].
    fn note_present(&self, repository: &Repository, document: &Document) -> Result<(), Error>;
    /// Writes the list of `subject` if documents were noted for it that it does not have.
    fn write(&self, repository: &Repository, subject: Digest) -> Result<(), Error>;
}

/// Takes blobs from a sibling repository without sending them.
pub trait Mounts: Send + Sync {
    /// Tries to mount a blob. Returns `false` if it must be sent.
    fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error>;
}

/// Checks before any transfer what a login permits.
pub trait Rights: Send + Sync {
    /// Checks that the repository may be read. A missing repository is no error.
    ///
    /// # Errors
    /// [`Kind::Denied`] if not, and any error that prevents the check.
    fn may_pull(&self, repository: &Repository) -> Result<(), Error>;
    /// Checks that the repository may be written. Stores nothing.
    ///
    /// # Errors
    /// [`Kind::Denied`] if not, [`Kind::Absent`] if it must be created first, [`Kind::Refused`] if
    /// the place is read-only.
    fn may_push(&self, repository: &Repository) -> Result<(), Error>;
    /// Like [`Rights::may_push`]; `first` is the blob that is sent there first, for which the check
    /// may open the upload. Returns `true` if that blob turned out to be there.
    fn may_send(&self, repository: &Repository, _first: &Descriptor) -> Result<bool, Error> {
        self.may_push(repository).map(|()| false)
    }
    /// Gives back what the checks took at the place, if nothing has used it. Called at the end of a
    /// run, however it ended.
    fn release(&self) {}
}
