//! Answers requests: from what the places hold, else from a cache that fetches by rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::json;

use super::error::Refusal;
use super::index::Held;
use super::path::{ByTagOrDigest, Target};
use super::pulls::{Covered, Pulled, Pulls};
use super::registry::{Asked, listed, named, one_page, units};
use super::reply::{Content, Reply};
use crate::content::{Error, Kind};
use crate::oci::{Digest, Document, Tag};

impl Asked<'_> {
    /// Answers what `target` asks for.
    pub(super) async fn answer(&self, target: Target) -> Result<Reply, Refusal> {
        let Some(pulls) = self.index.pulls().cloned() else { return self.held(target).await };
        let covered = |name: &str| pulls.covered(name, self.query.ns.as_deref());
        match target {
            Target::Catalog => Ok(self.names(&*pulls)),
            Target::Tags(ref name) => match covered(name) {
                Some(covered) => self.all_tags(pulls, name, covered).await,
                None => self.held(target).await,
            },
            Target::Referrers(ref name, subject) => match covered(name) {
                Some(covered) => self.all_referrers(pulls, name, covered, subject).await,
                None => self.held(target).await,
            },
            Target::Manifest(ref name, ref by) => {
                let (name, by) = (name.clone(), by.clone());
                match (self.held(target).await, covered(&name)) {
                    (Err(refusal), Some(covered)) if refusal.status == StatusCode::NOT_FOUND => {
                        self.pulled(pulls, &name, covered, by).await
                    }
                    (answer, _) => answer,
                }
            }
            Target::Blob(ref name, digest) => {
                let name = name.clone();
                match (self.held(target).await, covered(&name)) {
                    (Err(refusal), Some(covered)) if refusal.status == StatusCode::NOT_FOUND => {
                        self.pulled_blob(pulls, &name, covered, digest).await
                    }
                    (answer, _) => answer,
                }
            }
            other => self.held(other).await,
        }
    }

    /// Asks the cache on a thread that may wait for an upstream. Its error is told to the operator, not
    /// to the client.
    async fn pulling<T: Send + 'static>(
        &self,
        covered: &Covered,
        ask: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turns = self.pulling.host(covered.upstream.host());
        let _waits = turns.waiting.try_acquire().map_err(|_| Refusal::crowded())?;
        // First the turn among those of this upstream: whoever waits for that takes no thread from others.
        let (Ok(turn), Ok(thread)) =
            (turns.threads.acquire_owned().await, Arc::clone(&self.pulling.threads).acquire_owned().await)
        else {
            return Err(Refusal::failed());
        };
        let asked = self.handle.spawn_blocking(move || {
            let _thread = (turn, thread);
            ask()
        });
        match asked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                let refusal = if error.class == Kind::Io { Refusal::failed() } else { Refusal::upstream() };
                (self.told)(error);
                Err(refusal)
            }
            Err(_) => Err(Refusal::failed()),
        }
    }

    fn names(&self, pulls: &dyn Pulls) -> Reply {
        let last = self.query.last.as_deref();
        let (held, more) = self.index.names(last, self.most());
        let kept = pulls.names();
        let kept = kept.iter().map(String::as_str).filter(|name| last.is_none_or(|last| *name > last));
        let all: BTreeSet<&str> = held.into_iter().chain(kept).collect();
        let is_cut = more || all.len() > self.most();
        let names: Vec<&str> = all.into_iter().take(self.most()).collect();
        let link = names.last().filter(|_| is_cut).map(|last| self.next("/v2/_catalog", last));
        listed(&json!({ "repositories": names }), link)
    }

    async fn all_tags(&self, pulls: Arc<dyn Pulls>, name: &str, covered: Covered) -> Result<Reply, Refusal> {
        let held = self.index.repository(name, self.query.ns.as_deref());
        let held: BTreeSet<Tag> = held.into_iter().flat_map(|served| served.every_tag().cloned()).collect();
        let asked = covered.clone();
        let pulled = self.pulling(&covered, move || pulls.tags(&asked)).await;
        // Without the upstream, what is held is still there.
        let pulled = if held.is_empty() { pulled? } else { pulled.unwrap_or_default() };
        let mut all = held;
        all.extend(pulled);
        if all.is_empty() {
            return Err(Refusal::name_unknown(name));
        }
        let last = self.query.last.as_deref();
        let mut after = all.iter().map(Tag::as_str).filter(|tag| last.is_none_or(|last| *tag > last));
        let tags: Vec<&str> = after.by_ref().take(self.most()).collect();
        let link = tags.last().filter(|_| after.next().is_some());
        let link = link.map(|last| self.next(&format!("/v2/{name}/tags/list"), last));
        Ok(listed(&json!({ "name": name, "tags": tags }), link))
    }

    async fn all_referrers(
        &self,
        pulls: Arc<dyn Pulls>,
        name: &str,
        covered: Covered,
        subject: Digest,
    ) -> Result<Reply, Refusal> {
        let (index, ns, at) = (Arc::clone(self.index), self.query.ns.clone(), name.to_owned());
        let asked = covered.clone();
        let both = move || {
            let mut all: Vec<Arc<Document>> = Vec::new();
            if let Some(served) = index.repository(&at, ns.as_deref()) {
                for one in index.referrers(served, subject)? {
                    all.extend(index.document(served, one.digest)?);
                }
            }
            match pulls.referrers(&asked, subject) {
                Ok(pulled) => all.extend(pulled),
                Err(error) if all.is_empty() => return Err(error),
                Err(_) => {}
            }
            all.sort_by_key(|document| document.digest());
            all.dedup_by_key(|document| document.digest());
            Ok(all)
        };
        let documents = self.pulling(&covered, both).await?;
        let (entries, next) = one_page(&documents, &self.query.types, self.query.after);
        Ok(self.referring(name, subject, &entries, next))
    }

    async fn pulled(
        &self,
        pulls: Arc<dyn Pulls>,
        name: &str,
        covered: Covered,
        by: ByTagOrDigest,
    ) -> Result<Reply, Refusal> {
        let (asked, cache) = ((covered.clone(), by.clone()), Arc::clone(&pulls));
        match self.pulling(&covered, move || cache.manifest(&asked.0, &asked.1)).await? {
            Some(document) => Ok(self.document(&document)),
            None => {
                let reference: &dyn std::fmt::Display = match &by {
                    ByTagOrDigest::Tag(tag) => tag,
                    ByTagOrDigest::Digest(digest) => digest,
                };
                let is_listed = pulls.missed(&covered, &by);
                Err(if is_listed {
                    Refusal::wanted(name, reference)
                } else {
                    Refusal::manifest_unknown(name, reference)
                })
            }
        }
    }

    async fn pulled_blob(
        &self,
        pulls: Arc<dyn Pulls>,
        name: &str,
        covered: Covered,
        digest: Digest,
    ) -> Result<Reply, Refusal> {
        let (cache, is_head) = (Arc::clone(&pulls), self.is_head);
        let (repository, asked) = (covered.upstream.clone(), covered.clone());
        let found = self.pulling(&covered, move || cache.blob(&asked, digest, is_head)).await?;
        let (size, arrival) = match found.ok_or_else(|| Refusal::blob_unknown(name, &digest))? {
            Pulled::Kept(source, size) => {
                let spoiled = Box::new(move || pulls.spoiled(digest));
                return self.send(Held { source, repository, size }, digest, Some(spoiled)).await;
            }
            Pulled::Coming(arrival) => (arrival.size(), Some(arrival)),
            Pulled::There(size) => (size, None),
        };
        if self.is_known(digest) {
            return Ok(named(Reply::empty(StatusCode::NOT_MODIFIED), digest));
        }
        // Parts of what is still arriving are not answered: the whole is sent, as RFC 9110 allows.
        let reply = Reply::empty(StatusCode::OK).with(CONTENT_TYPE, "application/octet-stream").sized(size);
        let reply = named(reply, digest);
        let Some(arrival) = arrival.filter(|_| !self.is_head) else { return Ok(reply) };
        let Ok(permit) = Arc::clone(self.streams).acquire_many_owned(units(0)).await else {
            return Err(Refusal::failed());
        };
        let stream = arrival.stream(self.handle.clone(), permit, (self.later)());
        Ok(reply.content(Content::Stream(Box::pin(stream))))
    }
}
