//! Containers: places that keep objects by name, in a blob store or in a directory. A bundle's
//! manifest, signatures and volumes are objects of a container.
//!
//! Holds the contract that all kinds of containers fulfil. Knows no bundles; above it no code asks
//! which kind of container it has.

pub mod azure;
mod budget;
pub mod gcs;
pub mod local;
mod pinned;
pub mod piped;
mod read_ahead;
pub mod s3;
mod s3_protocol;
pub mod store;
pub mod volumes;

pub use self::s3_protocol::bucket::{Bucket, Network};

use crate::content::{Body, Error};
use crate::flow::Flow;
use crate::oci::Digest;

/// An object as the container describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name relative to the container's prefix, with `/` between components.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Identifies this content of the object (`ETag`), as the container writes it. `None` if the
    /// container gives none.
    pub etag: Option<String>,
    /// MD5 of the whole content, if the container keeps it.
    pub md5: Option<[u8; 16]>,
    /// When it was last changed, in seconds since 1970, if the container says so.
    pub modified: Option<u64>,
}

/// When an object may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Any,
    /// Only if no object has its name.
    Absent,
    /// Only if the object still has this `ETag`.
    Unchanged(String),
}

/// A large object to be uploaded in parts.
pub struct Upload<'a> {
    /// Its name relative to the container's prefix.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its content.
    pub digest: Digest,
    /// Names this upload for resuming: two uploads of the same content under the same key make the
    /// same parts. Text of the bundle's id and the file's name.
    pub key: &'a str,
    /// Offsets where parts should end, ascending: ends of frames. May be empty.
    pub ends: &'a [u64],
    /// Its content.
    pub body: &'a dyn Body,
}

/// Result of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Bytes sent in this run.
    pub sent: u64,
    /// Bytes of parts, or of the whole object, that were there before.
    pub kept: u64,
}

/// An upload that was begun and not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Name of its object relative to the container's prefix.
    pub name: String,
    /// Identifies it if the container keeps several for one name.
    pub id: Option<String>,
    /// Bytes that it holds, if the container says so.
    pub size: Option<u64>,
}

/// Rights that a command is about to need in a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It reads objects.
    pub read: bool,
    /// It lists objects.
    pub list: bool,
    /// It writes objects.
    pub write: bool,
    /// It removes objects.
    pub remove: bool,
    /// Bytes to be sent or read, as far as known.
    pub bytes: u64,
}

/// A container, or the part of one below a prefix. All names are relative to the prefix. Methods may
/// be called from many threads. Texts of errors contain no secret.
pub trait Container: Send + Sync {
    /// Returns the address of an object for messages, without a secret; of the container itself for
    /// `""`.
    fn shown(&self, name: &str) -> String;

    /// Checks before any work that the credential permits `needs`, as far as that is known without a
    /// request. Warns if the credential ends before the work can be done.
    ///
    /// # Errors
    /// [`crate::content::Kind::Denied`] with all rights that are missing.
    fn check_rights(&self, _needs: Needs, _flow: &Flow) -> Result<(), Error> {
        Ok(())
    }

    /// Describes an object; `None` if there is none.
    ///
    /// # Errors
    /// Those of the container.
    fn head(&self, name: &str) -> Result<Option<Object>, Error>;

    /// Fills `buffer` from `offset` of an object. With `etag`, only of that content.
    ///
    /// # Errors
    /// [`crate::content::Kind::Absent`] if there is no such object,
    /// [`crate::content::Kind::Mismatch`] if it is shorter or no longer has `etag`; those of the
    /// container.
    fn read_at(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Calls `each` with every object whose name begins with `prefix`, in any order. `""` lists all.
    ///
    /// # Errors
    /// Those of the container. `each` may have been called before.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Object)) -> Result<(), Error>;

    /// Writes a small object in one step.
    ///
    /// # Errors
    /// [`crate::content::Kind::Refused`] if `condition` does not hold; those of the container.
    fn put(&self, name: &str, content: &[u8], condition: &Condition) -> Result<Object, Error>;

    /// Uploads an object in parts and compares what the container says of it. Parts that an earlier
    /// run left are used. If the object is there with this content already, sends nothing. Reports
    /// every byte of the object once as [`crate::flow::Event::Bytes`], sent or kept.
    ///
    /// # Errors
    /// [`crate::content::Kind::Mismatch`] if the container has other content afterwards; those of
    /// the container and of the body.
    fn upload(&self, upload: &Upload<'_>, flow: &Flow) -> Result<Uploaded, Error>;

    /// Removes an object. Does nothing if there is none.
    ///
    /// # Errors
    /// Those of the container.
    fn remove(&self, name: &str) -> Result<(), Error>;

    /// Lists the uploads below `prefix` that were begun and not completed.
    ///
    /// # Errors
    /// Those of the container.
    fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Error>;

    /// Removes the parts of an unfinished upload.
    ///
    /// # Errors
    /// Those of the container.
    fn discard(&self, unfinished: &Unfinished) -> Result<(), Error>;
}
