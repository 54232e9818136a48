//! The contracts between places: what a source gives, what a destination takes.
//!
//! Small traits; optional abilities are further traits, asked for at run time. Errors keep apart
//! what the protocols keep apart: absent, denied, refused, failed.

pub mod checked;
#[cfg(feature = "carry")]
pub mod router;
#[cfg(feature = "carry")]
pub mod store;
pub mod volumes;

use std::io::{self, Read};

use crate::base::fault::{Class, Fault};
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

/// How a place failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says that it does not have it.
    Absent,
    /// It does not let us (401, 403).
    Denied,
    /// It understood and will not (immutable tag, unsupported, quota, other 4xx).
    Refused,
    /// It could not be asked or broke off: connection, timeout, 5xx; a later try may do.
    Failed,
    /// What it gave is not what its digest or size says.
    Mismatch,
    /// It may not be asked so (a realm elsewhere, plain http): our own rule.
    Policy,
    /// The local file system.
    Io,
    /// The content given to it was bad: an error from the other side, passed through.
    Content(Class),
    /// The run was cancelled.
    Cancelled,
}

/// A failure at a place: a fault whose class says how the place failed. Its texts hold no secrets.
pub type Error = Fault<Kind>;

impl Error {
    /// Makes an error of the local file system at `subject`.
    pub fn io(subject: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::new(Kind::Io, format!("{subject}: {error}"))
    }

    /// Carries this error through a [`Read`]; [`Error::from_io`] gets it back.
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

    /// Makes a fault of the side where it happened: [`Class::Source`] or [`Class::Destination`] for what
    /// a place did, else the class that the kind itself says.
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

/// What can be read from.
pub trait Source: Send + Sync {
    /// Returns what `reference` names now: its descriptor (media type, digest, size). A digest in the
    /// reference pins; a tag beside it is only a name.
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error>;

    /// Returns the document under a digest, its bytes hashed and parsed.
    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error>;

    /// Returns the content of a blob from its first byte. Not checked: whoever consumes it wraps it in
    /// [`crate::content::checked::Checked`]. Reading may resume inside; errors are [`Error::into_io`]'s.
    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error>;

    /// Returns whether the blob is there, by HEAD or a look; used before work begins.
    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error>;

    /// Returns where a blob or document stands among those that cost least when they are asked for in this order, because
    /// they are read together; `None` for one that is read alone.
    fn position(&self, _digest: &Digest) -> Option<u64> {
        None
    }

    /// Reads of parts of blobs, if the place has them.
    fn ranges(&self) -> Option<&dyn Ranges> {
        None
    }

    /// Lists of referrers, if the place has them.
    fn referrers(&self) -> Option<&dyn Referrers> {
        None
    }

    /// Lists of tags, if the place has them.
    fn tags(&self) -> Option<&dyn TagList> {
        None
    }

    /// Blobs that pass once, if they do not wait to be asked for.
    fn passing(&self) -> Option<&dyn Passing> {
        None
    }
}

/// A source whose blobs pass once, in its own order, as those of a stream do.
pub trait Passing: Send + Sync {
    /// Returns whether the blob is still to come; one that is not can be asked for now, if at all.
    fn is_to_come(&self, digest: &Digest) -> bool;

    /// Lets everything pass. `take` is called with each blob that `wants` names when its turn has come, several
    /// at a time; until it returns the source gives this blob, and a large one once only.
    ///
    /// # Errors
    /// What passes is not what it must be; the first error of `take`. Nothing more passes then.
    fn pass(
        &self,
        wants: &(dyn Fn(&Digest) -> bool + Sync),
        take: &(dyn Fn(&Digest) -> Result<(), Fault> + Sync),
    ) -> Result<(), Fault>;
}

/// Reads parts of blobs.
pub trait Ranges: Send + Sync {
    /// Reads exactly `length` bytes from `offset`; `Ok(None)` where this place does not answer ranges for
    /// this blob, and the whole must be streamed.
    fn range(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        offset: u64,
        length: u64,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, Error>;
}

/// Lists what refers to a subject.
pub trait Referrers: Send + Sync {
    /// Descriptors of the manifests whose `subject` is `subject`, from the API or the fallback tag.
    /// An empty list means that there are none; anything else is an error.
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error>;

    /// Returns whether every list of this repository stands under a fallback tag, so that a repository without
    /// such tags has no referrers. `subject` is a manifest that is there.
    fn only_tags(&self, _repository: &Repository, _subject: Digest) -> Result<bool, Error> {
        Ok(false)
    }
}

/// Lists tags.
pub trait TagList: Send + Sync {
    /// Returns every tag of the repository.
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error>;
}

/// What can be asked for what it has.
pub trait Inventory: Send + Sync {
    /// Returns whether the repository has the blob.
    fn has_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<bool, Error>;
    /// Returns whether the repository has the manifest.
    fn has_manifest(&self, repository: &Repository, digest: Digest) -> Result<bool, Error>;
    /// Returns whether the place takes a manifest only after all that it needs, so that one that is there is whole.
    fn keeps_whole(&self) -> bool {
        true
    }
    /// Returns the digest that the tag names, if it names one.
    fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error>;
    /// Returns the digest over the bytes of the manifest that `tag` names now, without a tag of the one under
    /// `expected`: read from the place as it is now and hashed here, in the algorithm of `expected`. `None`: it has
    /// none.
    fn read_back(&self, repository: &Repository, tag: Option<&Tag>, expected: Digest) -> Result<Option<Digest>, Error>;
}

/// Content that can be read again from its start, so that a failed upload can be sent again.
pub trait Body: Send + Sync {
    /// Opens a checked reader over the whole content: it gives the last bytes only when size and digest
    /// hold ([`crate::content::checked::Checked`]).
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>>;
}

/// What can be written to.
pub trait Destination: Inventory {
    /// Stores a blob. Does nothing if it is there.
    fn put_blob(&self, repository: &Repository, blob: &Descriptor, body: &dyn Body) -> Result<(), Error>;
    /// Stores a document under its digest. Children must be there. Makes the referrers of its
    /// subject list it (by the registry's own doing, or the fallback tag).
    fn put_manifest(&self, repository: &Repository, document: &Document) -> Result<(), Error>;
    /// Makes `tag` name `document`, which is there, and reads it back.
    fn set_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<(), Error>;
    /// Makes `tag` name `document` as [`Destination::set_tag`] does, unless it names another one by now: then the tag stays,
    /// and what it names is returned. Looks just before it sets.
    fn set_new_tag(&self, repository: &Repository, tag: &Tag, document: &Document) -> Result<Option<Digest>, Error> {
        match self.tag(repository, tag)? {
            Some(found) if found != document.digest() => Ok(Some(found)),
            _ => self.set_tag(repository, tag, document).map(|()| None),
        }
    }
    /// Makes `document`, which is there and has no tag, findable: where a place lists only what it
    /// was told to list (a layout's `index.json`). Nothing to do for a registry. Called with the tags,
    /// after everything was put.
    fn set_root(&self, _repository: &Repository, _document: &Document) -> Result<(), Error> {
        Ok(())
    }
    /// Returns whether the place can hold `blobs`, each once, those included that it has already; asked before
    /// the first is sent. Yes, where nobody can know it (registries).
    fn check_room(&self, _blobs: &[&Descriptor]) -> Result<(), Error> {
        Ok(())
    }
    /// Returns how blobs are mounted from another repository of the same place, where it has that.
    fn mounts(&self) -> Option<&dyn Mounts> {
        None
    }
    /// Questions about what the login permits, where the place can tell.
    fn rights(&self) -> Option<&dyn Rights> {
        None
    }
    /// Lists of referrers that whoever pushes must keep, where the place has such.
    fn lists(&self) -> Option<&dyn Lists> {
        None
    }
    /// Makes everything that was put durable (an index file, an fsync), and what others may have overwritten whole again.
    /// Called once, at the end.
    fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Keeps lists of referrers by hand.
pub trait Lists: Send + Sync {
    /// Makes the list of referrers of the document's subject name the document, which was there before this run: a run
    /// that was interrupted may have left it without its entry.
    fn list_present(&self, repository: &Repository, document: &Document) -> Result<(), Error>;
}

/// Takes blobs over from a sibling repository without sending them.
pub trait Mounts: Send + Sync {
    /// Tries to mount; `false`: send it.
    fn mount(&self, repository: &Repository, blob: &Descriptor, from: &Repository) -> Result<bool, Error>;
}

/// Tells before any transfer what a login permits.
pub trait Rights: Send + Sync {
    /// Returns whether the repository may be read; one that is not there forbids nothing.
    ///
    /// # Errors
    /// [`Kind::Denied`] where not, and whatever kept the place from telling.
    fn may_pull(&self, repository: &Repository) -> Result<(), Error>;
    /// Returns whether the repository may be written. Stores nothing.
    ///
    /// # Errors
    /// [`Kind::Denied`] where not, [`Kind::Absent`] where it must be created first,
    /// [`Kind::Refused`] where the place is read-only.
    fn may_push(&self, repository: &Repository) -> Result<(), Error>;
}
