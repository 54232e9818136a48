//! Calls about one object: its description, its content, its blocks.
//!
//! Each is one call of the service, repeated until it succeeds; an answer that was lost is looked
//! for before it is repeated.

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use reqwest::Method;
use reqwest::header::HeaderMap;

use super::documents::{self, ListedBlock, Page};
use super::service::{Call, Failure, Service};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::storage::{Condition, Object};

/// Maximum size of a list, in bytes: 5000 objects, or all blocks that an object can have.
const MOST_LIST: u64 = 32 << 20;

/// Uncommitted and committed blocks of an object.
#[derive(Default)]
pub(super) struct Blocks {
    pub committed: Vec<ListedBlock>,
    pub uncommitted: Vec<ListedBlock>,
}

/// Returns the MD5 of `bytes` in base64.
pub(super) fn md5_text(bytes: &[u8]) -> String {
    Base64::encode_string(&Md5::digest(bytes))
}

fn object(name: &str, headers: &HeaderMap) -> Object {
    let text = |key: &str| headers.get(key).and_then(|value| value.to_str().ok());
    Object {
        name: name.to_owned(),
        size: text("content-length").and_then(|length| length.parse().ok()).unwrap_or_default(),
        etag: text("etag").map(ToOwned::to_owned),
        md5: text("content-md5").and_then(documents::md5),
        modified: text("last-modified").and_then(documents::time),
    }
}

impl Service {
    fn call(&self, method: Method, name: &str, what: &str) -> Result<Call, Error> {
        Ok(Call::new(method, self.address.of_object(name)?, format!("{what} {}", escape(name))))
    }

    /// Describes an object; `None` if there is none.
    pub fn described(&self, name: &str) -> Result<Option<Object>, Failure> {
        let call = self.call(Method::HEAD, name, "object")?;
        self.tried(|again| self.described_once(&call, name, again))
    }

    fn described_once(&self, call: &Call, name: &str, again: bool) -> Result<Option<Object>, Failure> {
        match self.once(call, again) {
            Ok(response) => Ok(Some(object(name, response.headers()))),
            Err(failure) if is_absent(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Fills `buffer` from `offset` of an object, of the content with `etag`. What breaks off goes on
    /// where it was, in the same content.
    pub fn fill(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let what = format!("object {}", escape(name));
        let is_fixed = etag.is_some();
        let mut etag = etag.map(ToOwned::to_owned);
        let mut filled = 0;
        while filled < buffer.len() {
            let before = filled;
            let found = self.tried(|again| self.fill_once(name, &mut etag, offset, buffer, &mut filled, again));
            let Err(failure) = found else { continue };
            // As long as something comes, the tries begin again.
            if failure.trouble.again && filled > before {
                continue;
            }
            let mismatch = |what: String| Err(self.error(Kind::Mismatch, what));
            return match (failure.trouble.status, failure.code.as_str()) {
                (Some(416), _) => {
                    mismatch(format!("{what}: expected {} bytes from {offset}, found fewer", buffer.len()))
                }
                (Some(412), "ConditionNotMet") if is_fixed || filled > 0 => {
                    mismatch(format!("{what}: expected the content that was there before, found it changed"))
                }
                _ => Err(failure.into()),
            };
        }
        Ok(())
    }

    fn fill_once(
        &self,
        name: &str,
        etag: &mut Option<String>,
        offset: u64,
        buffer: &mut [u8],
        filled: &mut usize,
        again: bool,
    ) -> Result<(), Failure> {
        let from = offset + *filled as u64;
        let last = offset + buffer.len() as u64 - 1;
        let mut call = self.call(Method::GET, name, "object")?.header("range", &format!("bytes={from}-{last}"));
        if let Some(etag) = etag {
            call = call.header("if-match", etag);
        }
        let mut response = self.once(&call, again)?;
        let subject = &call.subject;
        let text = |key: &str| response.headers().get(key).and_then(|value| value.to_str().ok());
        let range = text("content-range").unwrap_or_default();
        if response.status() != 206 || !range.starts_with(&format!("bytes {from}-")) {
            let what =
                format_args!("{subject}: expected the bytes from {from}, found status {}", response.status().as_u16());
            return Err(self.error(Kind::Failed, what).into());
        }
        if etag.is_none() {
            *etag = text("etag").map(ToOwned::to_owned);
        }
        self.pieces(&mut response, subject, &mut |piece| {
            let room = &mut buffer[*filled..];
            let Some(room) = room.get_mut(..piece.len()) else {
                return Err(self.error(Kind::Mismatch, format_args!("{subject}: expected fewer bytes, found more")));
            };
            room.copy_from_slice(&piece);
            *filled += piece.len();
            Ok(())
        })?;
        if *filled < buffer.len() {
            let what = format_args!("{subject}: expected {} bytes from {offset}, found {filled}", buffer.len());
            return Err(self.error(Kind::Mismatch, what).into());
        }
        Ok(())
    }

    /// Writes an object in one request and compares what the service says of it.
    pub fn put_whole(&self, name: &str, content: &Bytes, condition: &Condition) -> Result<Object, Error> {
        let mut call = self
            .call(Method::PUT, name, "object")?
            .header("x-ms-blob-type", "BlockBlob")
            .header("content-type", "application/octet-stream")
            .header("content-md5", &md5_text(content))
            .body(content.clone());
        call = conditional(call, condition);
        let md5 = Md5::digest(content).into();
        let written = self.written(&call, name, content.len() as u64, md5).map_err(|failure| {
            let is_gone = matches!(condition, Condition::Unchanged(_)) && is_absent(&failure);
            if is_gone {
                return self.error(Kind::Refused, format_args!("{}: it was removed by somebody else", call.subject));
            }
            failure.into()
        })?;
        Ok(written)
    }

    /// Sends a request that writes an object of this size and MD5. Where the answer was lost, looks
    /// whether the object is there before it sends the request again.
    fn written(&self, call: &Call, name: &str, size: u64, md5: [u8; 16]) -> Result<Object, Failure> {
        let head = self.call(Method::HEAD, name, "object")?;
        let mut is_unsure = false;
        self.tried(|again| {
            if is_unsure
                && let Some(found) = self.described_once(&head, name, again)?
                && (found.size, found.md5) == (size, Some(md5))
            {
                return Ok(found);
            }
            match self.once(call, again).and_then(|response| self.whole(response, MOST_LIST, &call.subject)) {
                Ok(answer) => Ok(Object { size, md5: Some(md5), ..object(name, &answer.headers) }),
                Err(failure) => {
                    is_unsure |= failure.is_unsure();
                    Err(failure)
                }
            }
        })
    }

    /// Lists the blocks of an object; none if there is no object.
    pub fn blocks(&self, name: &str) -> Result<Blocks, Failure> {
        let call = self.call(Method::GET, name, "blocks of")?.query("comp", "blocklist").query("blocklisttype", "all");
        match self.ask(&call, MOST_LIST) {
            Ok(answer) => {
                let (committed, uncommitted) =
                    documents::blocks(&answer.body).map_err(|why| self.unreadable(&call.subject, &why))?;
                Ok(Blocks { committed, uncommitted })
            }
            Err(failure) if is_absent(&failure) => Ok(Blocks::default()),
            Err(failure) => Err(failure),
        }
    }

    /// Sends one block.
    pub fn put_block(&self, name: &str, id: &str, content: Bytes) -> Result<(), Failure> {
        let call = self
            .call(Method::PUT, name, "block of")?
            .query("comp", "block")
            .query("blockid", id)
            .header("content-md5", &md5_text(&content))
            .body(content);
        self.ask(&call, MOST_LIST).map(drop)
    }

    /// Makes an object of `size` bytes of its blocks.
    pub fn commit<'a>(
        &self,
        name: &str,
        ids: impl Iterator<Item = &'a str>,
        size: u64,
        md5: [u8; 16],
        condition: &Condition,
    ) -> Result<Object, Failure> {
        let list = documents::block_list(ids);
        let mut call = self
            .call(Method::PUT, name, "object")?
            .query("comp", "blocklist")
            .header("content-type", "application/xml")
            .header("content-md5", &md5_text(list.as_bytes()))
            .header("x-ms-blob-content-type", "application/octet-stream")
            .header("x-ms-blob-content-md5", &Base64::encode_string(&md5))
            .body(list);
        call = conditional(call, condition);
        self.written(&call, name, size, md5)
    }

    /// Makes an object empty and drops all its blocks, those that are not committed too.
    pub fn emptied(&self, name: &str, condition: &Condition) -> Result<(), Failure> {
        self.commit(name, std::iter::empty(), 0, Md5::digest([]).into(), condition).map(drop)
    }

    /// Removes an object. Does nothing if there is none.
    pub fn deleted(&self, name: &str) -> Result<(), Error> {
        let call = self.call(Method::DELETE, name, "object")?.header("x-ms-delete-snapshots", "include");
        match self.ask(&call, MOST_LIST) {
            Ok(_) => Ok(()),
            Err(failure) if is_absent(&failure) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Reads one page of the objects whose whole names begin with `prefix`. With `uncommitted`, those
    /// that have only blocks too.
    pub fn page(&self, prefix: &str, marker: Option<&str>, uncommitted: bool) -> Result<Page, Error> {
        let mut call = Call::new(Method::GET, self.address.of_container(), "list of objects")
            .query("restype", "container")
            .query("comp", "list");
        if !prefix.is_empty() {
            call = call.query("prefix", prefix);
        }
        if let Some(marker) = marker {
            call = call.query("marker", marker);
        }
        if uncommitted {
            call = call.query("include", "uncommittedblobs");
        }
        let answer = self.ask(&call, MOST_LIST)?;
        documents::page(&answer.body).map_err(|why| self.unreadable(&call.subject, &why))
    }

    fn unreadable(&self, subject: &str, why: &str) -> Error {
        let why = escape(why);
        self.error(Kind::Failed, format_args!("{subject}: expected a list, found something else: {why}"))
    }
}

fn conditional(call: Call, condition: &Condition) -> Call {
    match condition {
        Condition::Any => call,
        Condition::Absent => call.header("if-none-match", "*"),
        Condition::Unchanged(etag) => call.header("if-match", etag),
    }
}

/// Reports whether the container is there and the object is not. Answers to HEAD may have no code.
fn is_absent(failure: &Failure) -> bool {
    failure.trouble.status == Some(404)
        && matches!(failure.code.as_str(), "BlobNotFound" | "ResourceNotFound" | "")
        && failure.trouble.error.class == Kind::Absent
}
