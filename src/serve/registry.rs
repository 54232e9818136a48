//! Answers the requests of the distribution protocol from an [`Index`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, LINK, RANGE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::blobs::{self, Blob, Segment};
use super::error::Refusal;
use super::index::{Held, Index, Served};
use super::limits::{ENTRIES, PULLING, PULLING_FROM_ONE, PULLS, READING, REFERRERS, SENDING, UNIT};
use super::path::{ByTagOrDigest, Target};
use super::query::{Query, encode};
use super::range::{Part, part};
use super::reply::{Content, Reply};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Descriptor, Digest, Document};

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Everything that an answer is made from.
pub(super) struct Asked<'a> {
    pub index: &'a Arc<Index>,
    pub query: &'a Query,
    pub headers: &'a HeaderMap,
    /// Whether only the head of the answer is wanted.
    pub is_head: bool,
    /// Threads that read.
    pub handle: &'a Handle,
    /// Bounds the memory of blobs that are read at once.
    pub streams: &'a Arc<Semaphore>,
    /// Bounds the requests that wait for upstreams.
    pub pulling: &'a Pulling,
    /// Receives errors of places.
    pub told: &'a (dyn Fn(Error) + Send + Sync),
    /// Makes a receiver of errors that occur while a blob is sent.
    pub later: &'a (dyn Fn() -> Box<dyn Fn(Error) + Send> + Send + Sync),
}

/// Bounds the requests that wait for upstreams.
pub(super) struct Pulling {
    /// Those that have a thread.
    pub threads: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Turns>>,
}

/// Bounds the requests that wait for one upstream.
#[derive(Clone)]
pub(super) struct Turns {
    /// Those that wait, also for a thread.
    pub waiting: Arc<Semaphore>,
    /// Those that have a thread.
    pub threads: Arc<Semaphore>,
}

impl Default for Pulling {
    fn default() -> Self {
        Self { threads: Arc::new(Semaphore::new(PULLING)), hosts: Mutex::default() }
    }
}

impl Pulling {
    /// Returns the bounds of one upstream; there are as many as rules have hosts.
    pub(super) fn host(&self, host: &str) -> Turns {
        let made =
            || Turns { waiting: Arc::new(Semaphore::new(PULLS)), threads: Arc::new(Semaphore::new(PULLING_FROM_ONE)) };
        let mut hosts = lock(&self.hosts);
        match hosts.get(host) {
            Some(turns) => turns.clone(),
            None => hosts.entry(host.to_owned()).or_insert_with(made).clone(),
        }
    }
}

impl Asked<'_> {
    /// Answers what `target` asks for from what the places hold.
    pub(super) async fn held(&self, target: Target) -> Result<Reply, Refusal> {
        match target {
            Target::Base => Ok(Reply::of("application/json", "{}")),
            Target::Catalog => Ok(self.catalog()),
            Target::Tags(name) => self.tags(&name),
            Target::Manifest(name, by) => self.manifest(&name, &by).await,
            Target::Blob(name, digest) => self.blob(&name, digest).await,
            Target::Referrers(name, subject) => self.referrers(&name, subject).await,
            Target::Upload => Err(Refusal::unsupported()),
            Target::Page | Target::Health | Target::Metrics => Err(super::path::PathError::Unknown.into()),
        }
    }

    fn repository(&self, name: &str) -> Result<&Served, Refusal> {
        self.index.repository(name, self.query.ns.as_deref()).ok_or_else(|| Refusal::name_unknown(name))
    }

    /// Runs `read` on a reading thread. Its error is told to the operator, not to the client.
    async fn reading<T: Send + 'static>(
        &self,
        name: &str,
        read: impl FnOnce(&Index, &Served) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (index, name, ns) = (Arc::clone(self.index), name.to_owned(), self.query.ns.clone());
        let work = move || index.repository(&name, ns.as_deref()).map(|served| read(&index, served));
        match self.handle.spawn_blocking(work).await {
            Ok(Some(Ok(found))) => Ok(found),
            Ok(Some(Err(error))) => Err(self.told_of(error)),
            Ok(None) | Err(_) => Err(Refusal::failed()),
        }
    }

    /// Tells the operator of an error, and returns what the client is told.
    fn told_of(&self, error: Error) -> Refusal {
        let is_elsewhere = matches!(error.class, Kind::Failed | Kind::Denied | Kind::Refused);
        (self.told)(error);
        if is_elsewhere { Refusal::upstream() } else { Refusal::failed() }
    }

    fn catalog(&self) -> Reply {
        let (names, more) = self.index.names(self.query.last.as_deref(), self.most());
        let link = more.then(|| names.last().copied()).flatten();
        listed(&json!({ "repositories": names }), link.map(|last| self.next("/v2/_catalog", last)))
    }

    fn tags(&self, name: &str) -> Result<Reply, Refusal> {
        let (tags, more) = self.repository(name)?.tags(self.query.last.as_deref(), self.most());
        let link = more.then(|| tags.last().copied()).flatten();
        let link = link.map(|last| self.next(&format!("/v2/{name}/tags/list"), last));
        Ok(listed(&json!({ "name": name, "tags": tags }), link))
    }

    pub(super) fn most(&self) -> usize {
        self.query.n.map_or(ENTRIES, |n| n.min(ENTRIES))
    }

    /// Returns the value of `Link` for the page after `last`.
    pub(super) fn next(&self, path: &str, last: &str) -> String {
        let ns = self.query.ns.as_ref().map(|ns| format!("&ns={}", encode(ns))).unwrap_or_default();
        format!("<{path}?n={}&last={}{ns}>; rel=\"next\"", self.most(), encode(last))
    }

    async fn manifest(&self, name: &str, by: &ByTagOrDigest) -> Result<Reply, Refusal> {
        let served = self.repository(name)?;
        let digest = match by {
            ByTagOrDigest::Digest(digest) => *digest,
            ByTagOrDigest::Tag(tag) => served.tag(tag).ok_or_else(|| Refusal::manifest_unknown(name, tag))?.digest,
        };
        let document = match self.index.kept(served, digest) {
            Some(document) => Some(document),
            None => self.reading(name, move |index, served| index.document(served, digest)).await?,
        };
        let document = document.ok_or_else(|| Refusal::manifest_unknown(name, &digest))?;
        Ok(self.document(&document))
    }

    /// Returns the answer with a manifest.
    pub(super) fn document(&self, document: &Document) -> Reply {
        let reply = if self.is_known(document.digest()) {
            Reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            Reply::of(document.media_type(), bytes::Bytes::from_owner(document.shared()))
        };
        named(reply, document.digest())
    }

    async fn blob(&self, name: &str, digest: Digest) -> Result<Reply, Refusal> {
        self.repository(name)?;
        let held = self.reading(name, move |index, served| index.find(served, digest)).await?;
        self.send(held.ok_or_else(|| Refusal::blob_unknown(name, &digest))?, digest, None).await
    }

    /// Answers with a blob. `spoiled` is called if it is not what its digest promises.
    pub(super) async fn send(
        &self,
        held: Held,
        digest: Digest,
        spoiled: Option<Box<dyn Fn() + Send>>,
    ) -> Result<Reply, Refusal> {
        if self.is_known(digest) {
            return Ok(named(Reply::empty(StatusCode::NOT_MODIFIED), digest));
        }
        let size = held.size;
        let (reply, segments) = self.part_of(digest, size);
        let reply = named(reply, digest).with(ACCEPT_RANGES, "bytes");
        if self.is_head || reply.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(reply);
        }
        let units = units(held.source.holdings().map_or(0, |holdings| holdings.memory(&held.repository, digest)));
        let permit = Arc::clone(self.streams).acquire_many_owned(units).await;
        let Ok(permit) = permit else { return Err(Refusal::failed()) };
        let blob = Blob { index: Arc::clone(self.index), held, digest };
        let later = (self.later)();
        let told = move |error: Error| {
            if error.class == Kind::Mismatch {
                spoiled.iter().for_each(|spoiled| spoiled());
            }
            later(error);
        };
        match blobs::stream(self.handle, blob, segments, permit, Box::new(told)).await {
            Ok(stream) => Ok(reply.content(Content::Stream(Box::pin(stream)))),
            Err(error) => Err(self.told_of(error)),
        }
    }

    /// Returns the head of an answer with a blob of `size` bytes, and its segments unless it is
    /// whole.
    fn part_of(&self, digest: Digest, size: u64) -> (Reply, Option<VecDeque<Segment>>) {
        const BINARY: &str = "application/octet-stream";
        let whole = || Reply::empty(StatusCode::OK).with(CONTENT_TYPE, BINARY).sized(size);
        let value = |name| self.headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
        // A weak tag or a date never matches: then the content is sent whole.
        let is_same = value(IF_RANGE).is_none_or(|value| value.trim() == etag(digest));
        let Some(range) = value(RANGE).filter(|_| is_same && !self.is_head) else { return (whole(), None) };
        let partial = || Reply::empty(StatusCode::PARTIAL_CONTENT);
        match part(range, size) {
            Part::Whole => (whole(), None),
            Part::Unsatisfiable => {
                let refused = Reply::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                (refused.with(CONTENT_RANGE, &format!("bytes */{size}")).sized(0), None)
            }
            Part::Ranges(ranges) => match ranges.as_slice() {
                [one] => {
                    let said = format!("bytes {}-{}/{size}", one.start, one.end - 1);
                    let reply = partial().with(CONTENT_TYPE, BINARY).with(CONTENT_RANGE, &said);
                    (reply.sized(one.end - one.start), Some(VecDeque::from([Segment::Part(one.clone())])))
                }
                _ => {
                    let Some(boundary) = boundary() else { return (whole(), None) };
                    let mut segments = VecDeque::new();
                    let mut length = 0;
                    for range in ranges {
                        let head = format!(
                            "\r\n--{boundary}\r\nContent-Type: {BINARY}\r\nContent-Range: bytes {}-{}/{size}\r\n\r\n",
                            range.start,
                            range.end - 1
                        );
                        length += head.len() as u64 + (range.end - range.start);
                        segments.extend([Segment::Text(head), Segment::Part(range)]);
                    }
                    let end = format!("\r\n--{boundary}--\r\n");
                    length += end.len() as u64;
                    segments.push_back(Segment::Text(end));
                    let kind = format!("multipart/byteranges; boundary={boundary}");
                    (partial().with(CONTENT_TYPE, &kind).sized(length), Some(segments))
                }
            },
        }
    }

    async fn referrers(&self, name: &str, subject: Digest) -> Result<Reply, Refusal> {
        self.repository(name)?;
        let (types, after) = (self.query.types.clone(), self.query.after);
        let (entries, next) =
            self.reading(name, move |index, served| referrers(index, served, subject, &types, after)).await?;
        Ok(self.referring(name, subject, &entries, next))
    }

    /// Returns the answer with a list of referrers; further ones follow after `next`.
    pub(super) fn referring(&self, name: &str, subject: Digest, entries: &[Descriptor], next: Option<Digest>) -> Reply {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let mut reply = Reply::of(OCI_INDEX, index.to_string());
        if !self.query.types.is_empty() {
            reply = reply.with(FILTERS, "artifactType");
        }
        if let Some(last) = next {
            let types: String = self.query.types.iter().map(|one| format!("&artifactType={}", encode(one))).collect();
            let ns = self.query.ns.as_ref().map(|ns| format!("&ns={}", encode(ns))).unwrap_or_default();
            reply =
                reply.with(LINK, &format!("</v2/{name}/referrers/{subject}?after={last}{types}{ns}>; rel=\"next\""));
        }
        reply
    }

    /// Returns whether the client says that it has the content already.
    pub(super) fn is_known(&self, digest: Digest) -> bool {
        let own = etag(digest);
        let is_own = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == own;
        let values = self.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| is_own(one.trim()))
    }
}

/// Returns the share of [`READING`] that a blob takes whose reader holds `memory` bytes.
pub(super) fn units(memory: u64) -> u32 {
    let needed = memory.saturating_add(SENDING).min(READING).div_ceil(UNIT);
    u32::try_from(needed).unwrap_or(u32::MAX)
}

fn etag(digest: Digest) -> String {
    format!("\"{digest}\"")
}

pub(super) fn named(reply: Reply, digest: Digest) -> Reply {
    reply.with(DIGEST, &digest.to_string()).with(ETAG, &etag(digest))
}

pub(super) fn listed(list: &serde_json::Value, link: Option<String>) -> Reply {
    let reply = Reply::of("application/json", list.to_string());
    match link {
        Some(link) => reply.with(LINK, &link),
        None => reply,
    }
}

/// Returns a boundary that content cannot contain except by chance.
fn boundary() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(crate::oci::digest::encode_hex(&random))
}

/// Returns one page of the referrers of `subject`, of `types` if there are any, and the last one of
/// the page if more follow.
fn referrers(
    index: &Index,
    served: &Served,
    subject: Digest,
    types: &[String],
    after: Option<Digest>,
) -> Result<(Vec<Descriptor>, Option<Digest>), Error> {
    let mut documents = Vec::new();
    for one in index.referrers(served, subject)? {
        // The list must show what the manifests themselves say.
        documents.extend(index.document(served, one.digest)?.filter(|_| after.is_none_or(|after| one.digest > after)));
    }
    Ok(one_page(&documents, types, after))
}

/// Returns one page of a list of referrers, of `types` if there are any, and the last one of the page
/// if more follow.
pub(super) fn one_page(
    documents: &[Arc<Document>],
    types: &[String],
    after: Option<Digest>,
) -> (Vec<Descriptor>, Option<Digest>) {
    let mut entries: Vec<Descriptor> = Vec::new();
    let mut bytes = 0;
    for document in documents {
        if after.is_some_and(|after| document.digest() <= after) {
            continue;
        }
        let entry = shown(document);
        if !types.is_empty() && !entry.artifact_type.as_ref().is_some_and(|own| types.contains(own)) {
            continue;
        }
        bytes += json!(entry).to_string().len() + 1;
        if bytes > REFERRERS && !entries.is_empty() {
            let last = entries.last().map(|entry| entry.digest);
            return (entries, last);
        }
        entries.push(entry);
    }
    (entries, None)
}

pub(super) fn shown(document: &Document) -> Descriptor {
    let mut entry = document.descriptor();
    entry.artifact_type = document.shown_artifact_type().map(ToOwned::to_owned);
    entry.annotations = document.annotations().cloned();
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_share_the_memory_for_reading() {
        let all = u32::try_from(READING / UNIT).unwrap();
        assert_eq!(units(0), 16);
        assert_eq!(units(1 << 20), 32, "32 stored ones of a bundle at once");
        assert_eq!(units(1), 17, "rounded up");
        for large in [READING, u64::MAX] {
            assert_eq!(units(large), all, "alone, but never more than there is");
        }
    }
}
