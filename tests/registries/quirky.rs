//! An in-process registry that keeps what it is sent and has the quirks of a product.
//!
//! It checks digests and children as real ones do; its deviations are in [`Habits`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use packmule::oci::Digest;
use serde_json::Value;

use super::server::{Reply, Request, Server, reply};

/// The form of a `Location`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Relative,
    Absolute,
    /// With a state in its query that changes each time.
    State,
    /// Only `Docker-Upload-UUID`.
    Unsaid,
}

/// Deviations of a product.
#[derive(Clone, Copy)]
pub struct Habits {
    pub location: Location,
    /// PUT of content: answered with this status, not accepted.
    pub put_refused: Option<u16>,
    /// Bodies larger than this: 413.
    pub most_body: usize,
    /// PATCH answers 201; everything after the first one is dropped.
    pub first_patch_is_all: bool,
    /// `Range` counts the chunk, not the blob.
    pub range_of_chunk: bool,
    /// `OCI-Chunk-Min-Length`; smaller chunks except the last are refused.
    pub least_chunk: usize,
    /// Repositories must exist; `made/...` does.
    pub made_only: bool,
    /// How many times new content is still unknown to HEAD, and to what refers to it.
    pub lag: usize,
    /// Referrers: `None` is the API, else this status.
    pub referrers: Option<u16>,
    /// Digest-like tags answer with the digest's manifest.
    pub tags_are_digests: bool,
    /// Media types of accepted configs.
    pub only_images: bool,
    /// An existing tag is not moved: this status and code; 201: claims to move it, but does not.
    pub fixed: Option<(u16, &'static str)>,
    /// Tags per page, with opaque links.
    pub page: usize,
    /// Maximum length of `Authorization`.
    pub longest_login: usize,
    /// Mounts: this status.
    pub mount: u16,
    /// `If-Match` and `If-None-Match` at a PUT of a manifest: `None` ignores them, `Some(true)`
    /// obeys, `Some(false)` always refuses.
    pub conditions: Option<bool>,
}

impl Habits {
    /// As in the specification.
    pub const PLAIN: Self = Self {
        location: Location::Relative,
        put_refused: None,
        most_body: usize::MAX,
        first_patch_is_all: false,
        range_of_chunk: false,
        least_chunk: 0,
        made_only: false,
        lag: 0,
        referrers: Some(404),
        tags_are_digests: false,
        only_images: false,
        fixed: None,
        page: usize::MAX,
        longest_login: usize::MAX,
        mount: 201,
        conditions: None,
    };
}

struct Session {
    content: Vec<u8>,
    patches: usize,
}

#[derive(Default)]
struct Store {
    blobs: HashMap<(String, String), Vec<u8>>,
    manifests: HashMap<(String, String), (String, Vec<u8>)>,
    tags: BTreeMap<(String, String), String>,
    sessions: HashMap<String, Session>,
    /// How often new content was requested since it arrived.
    asked: HashMap<String, usize>,
    next: usize,
}

/// A running registry.
pub struct Quirky {
    pub server: Server,
    store: Arc<Mutex<Store>>,
}

fn error(status: u16, code: &str) -> Reply {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{code} of this registry"}}]}}"#);
    reply(status, body).with("Content-Type", "application/json")
}

impl Quirky {
    pub fn start(habits: Habits) -> Self {
        Self::start_telling(habits, |_| {})
    }

    /// Like `start`; `before` is called with each request before it is answered, and may make
    /// requests itself.
    pub fn start_telling(habits: Habits, before: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let own = Arc::clone(&store);
        let answer = move |request: &Request, _: usize| {
            before(request);
            own.lock().unwrap().answer(&habits, request)
        };
        Self { server: Server::start(answer), store }
    }

    /// Removes a manifest.
    pub fn forget(&self, repository: &str, digest: &str) {
        self.store.lock().unwrap().manifests.remove(&(repository.to_owned(), digest.to_owned()));
    }

    /// Returns the number of requests with a method so far.
    pub fn count(&self, method: &str) -> usize {
        self.server.requests().iter().filter(|request| request.method == method).count()
    }
}

impl Store {
    fn answer(&mut self, habits: &Habits, request: &Request) -> Reply {
        if request.header("authorization").is_some_and(|login| login.len() > habits.longest_login) {
            return error(400, "HEADER_TOO_LONG");
        }
        if request.body.len() > habits.most_body {
            return error(413, "SIZE_INVALID");
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let Some(path) = path.strip_prefix("/v2/").filter(|path| !path.is_empty()) else { return reply(200, "{}") };
        for (mark, kind) in
            [("/blobs/uploads/", 'u'), ("/blobs/", 'b'), ("/manifests/", 'm'), ("/tags/", 't'), ("/referrers/", 'r')]
        {
            let Some((repository, name)) = path.split_once(mark) else { continue };
            if habits.made_only && !repository.starts_with("made/") {
                return error(404, "NAME_UNKNOWN");
            }
            return match kind {
                'u' => self.upload(habits, request, repository, name, query),
                'b' => self.blob(habits, request, repository, name),
                'm' => self.manifest(habits, request, repository, name),
                't' => self.tags(habits, repository, query),
                _ => self.referrers(habits, repository, name),
            };
        }
        error(404, "NOT_FOUND")
    }

    fn lags(&mut self, habits: &Habits, what: &str) -> bool {
        let asked = self.asked.entry(what.to_owned()).or_default();
        *asked += 1;
        *asked <= habits.lag
    }

    fn at(&mut self, habits: &Habits, request: &Request, repository: &str, session: &str, status: u16) -> Reply {
        self.next += 1;
        let host = request.header("host").unwrap_or_default();
        let path = format!("/v2/{repository}/blobs/uploads/{session}");
        let answer = reply(status, "");
        let answer = match habits.location {
            Location::Relative => answer.with("Location", path),
            Location::Absolute => answer.with("Location", format!("http://{host}{path}")),
            Location::State => answer.with("Location", format!("{path}?_state={}%3D", self.next)),
            Location::Unsaid => answer.with("Location", "").with("Docker-Upload-UUID", session),
        };
        if habits.least_chunk > 0 {
            return answer.with("OCI-Chunk-Min-Length", habits.least_chunk.to_string());
        }
        answer
    }

    fn upload(&mut self, habits: &Habits, request: &Request, repository: &str, name: &str, query: &str) -> Reply {
        let param = |key: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            pair.map(|value| value.replace("%3A", ":").replace("%2F", "/"))
        };
        match request.method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) = (param("mount"), param("from")) {
                    if habits.mount != 201 && habits.mount != 202 {
                        return error(habits.mount, "DENIED");
                    }
                    let found = self.blobs.get(&(from, digest.clone())).filter(|_| habits.mount == 201).cloned();
                    if let Some(content) = found {
                        self.blobs.insert((repository.to_owned(), digest), content);
                        return reply(201, "");
                    }
                }
                self.next += 1;
                let session = format!("s{}", self.next);
                self.sessions.insert(session.clone(), Session { content: Vec::new(), patches: 0 });
                self.at(habits, request, repository, &session, 202)
            }
            "DELETE" => reply(if self.sessions.remove(name).is_some() { 204 } else { 404 }, ""),
            "GET" => {
                let Some(session) = self.sessions.get(name) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
                let range = format!("0-{}", session.content.len().saturating_sub(1));
                self.at(habits, request, repository, name, 204).with("Range", range)
            }
            "PATCH" => {
                let Some(session) = self.sessions.get_mut(name) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
                let from = session.content.len();
                let first = request.header("content-range").and_then(|range| range.split_once('-')?.0.parse().ok());
                if first != Some(from) && !habits.first_patch_is_all {
                    return error(416, "RANGE_INVALID");
                }
                session.patches += 1;
                if !habits.first_patch_is_all || session.patches == 1 {
                    session.content.extend_from_slice(&request.body);
                }
                let end = if habits.range_of_chunk { request.body.len() } else { session.content.len() };
                let status = if habits.first_patch_is_all { 201 } else { 202 };
                self.at(habits, request, repository, name, status).with("Range", format!("0-{}", end.max(1) - 1))
            }
            "PUT" => {
                if let Some(status) = habits.put_refused.filter(|_| !request.body.is_empty()) {
                    return error(status, "UNSUPPORTED");
                }
                let Some(mut session) = self.sessions.remove(name) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
                session.content.extend_from_slice(&request.body);
                let digest = param("digest").unwrap_or_default();
                if Digest::sha256(&session.content).to_string() != digest {
                    return error(400, "DIGEST_INVALID");
                }
                self.blobs.insert((repository.to_owned(), digest.clone()), session.content);
                reply(201, "").with("Docker-Content-Digest", digest)
            }
            _ => error(405, "UNSUPPORTED"),
        }
    }

    fn blob(&mut self, habits: &Habits, request: &Request, repository: &str, name: &str) -> Reply {
        let key = (repository.to_owned(), name.to_owned());
        if !self.blobs.contains_key(&key) || (request.method == "HEAD" && self.lags(habits, name)) {
            return error(404, "BLOB_UNKNOWN");
        }
        let content = &self.blobs[&key];
        let first =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok());
        match first {
            Some(first) => {
                let range = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
                let first: usize = first;
                reply(206, &content[first..]).with("Content-Range", range)
            }
            None => reply(200, content.clone()),
        }
    }

    fn children(document: &Value) -> Vec<String> {
        let lists = [&document["layers"], &document["manifests"]];
        let listed = lists.iter().flat_map(|list| list.as_array().into_iter().flatten());
        listed
            .chain(document.get("config"))
            .filter_map(|child| child["digest"].as_str().map(ToOwned::to_owned))
            .collect()
    }

    fn manifest(&mut self, habits: &Habits, request: &Request, repository: &str, name: &str) -> Reply {
        let repo = repository.to_owned();
        if request.method == "PUT" {
            let digest = Digest::sha256(&request.body).to_string();
            let document: Value = serde_json::from_slice(&request.body).unwrap();
            let has = |digest: &String| {
                let key = (repo.clone(), digest.clone());
                self.blobs.contains_key(&key) || self.manifests.contains_key(&key)
            };
            if !Self::children(&document).iter().all(has) || self.lags(habits, &format!("put {digest}")) {
                return error(404, "BLOB_UNKNOWN");
            }
            let config = document["config"]["mediaType"].as_str().unwrap_or("application/vnd.oci.image.config.v1+json");
            if habits.only_images && !config.contains("image.config") {
                return error(400, "MANIFEST_INVALID");
            }
            let now = self.tags.get(&(repo.clone(), name.to_owned())).map(|digest| format!("\"{digest}\""));
            let is_met = match (request.header("if-none-match"), request.header("if-match")) {
                (Some("*"), _) => now.is_none(),
                (_, Some(etag)) => now.as_deref() == Some(etag),
                _ => true,
            };
            let has_condition = request.header("if-none-match").or(request.header("if-match")).is_some();
            if habits.conditions.is_some_and(|obeys| if obeys { !is_met } else { has_condition }) {
                return error(412, "PRECONDITION_FAILED");
            }
            if !name.contains(':') {
                let stands = self.tags.get(&(repo.clone(), name.to_owned())).is_some_and(|found| *found != digest);
                match habits.fixed.filter(|_| stands) {
                    Some((201, _)) => return reply(201, ""),
                    Some((status, code)) => return error(status, code),
                    None => drop(self.tags.insert((repo.clone(), name.to_owned()), digest.clone())),
                }
            }
            let media_type = request.header("content-type").unwrap_or_default().to_owned();
            self.manifests.insert((repo, digest.clone()), (media_type, request.body.clone()));
            let answer = reply(201, "").with("Docker-Content-Digest", digest);
            return match document["subject"]["digest"].as_str().filter(|_| habits.referrers.is_none()) {
                Some(subject) => answer.with("OCI-Subject", subject),
                None => answer,
            };
        }
        let mut digest = self.tags.get(&(repo.clone(), name.to_owned())).cloned().unwrap_or_else(|| name.to_owned());
        if habits.tags_are_digests && name.starts_with("sha256-") {
            digest = name.replacen('-', ":", 1);
        }
        match self.manifests.get(&(repo, digest.clone())) {
            Some((media_type, raw)) => {
                let etag = format!("\"{digest}\"");
                let answer = reply(200, raw.clone()).with("Content-Type", media_type);
                answer.with("Docker-Content-Digest", digest).with("ETag", etag)
            }
            None => error(404, "MANIFEST_UNKNOWN"),
        }
    }

    fn tags(&self, habits: &Habits, repository: &str, query: &str) -> Reply {
        let names: Vec<&String> =
            self.tags.keys().filter(|(repo, _)| repo == repository).map(|(_, name)| name).collect();
        if names.is_empty() {
            return error(404, "NAME_UNKNOWN");
        }
        // The token is opaque: only this registry knows that it is a number.
        let from = query.split_once("next_page=x").map_or(0_usize, |(_, from)| from.parse().unwrap());
        let until = from.saturating_add(habits.page).min(names.len());
        let page = serde_json::json!({"name": repository, "tags": names[from..until]}).to_string();
        let answer = reply(200, page);
        if until == names.len() {
            return answer;
        }
        answer.with("Link", format!("</v2/{repository}/tags/list?next_page=x{until}>; rel=\"next\""))
    }

    fn referrers(&self, habits: &Habits, repository: &str, subject: &str) -> Reply {
        if let Some(status) = habits.referrers {
            return error(status, "UNSUPPORTED");
        }
        let mut seen = HashSet::new();
        let list: Vec<Value> = self
            .manifests
            .iter()
            .filter(|((repo, digest), _)| repo == repository && seen.insert(digest.clone()))
            .filter_map(|((_, digest), (media_type, raw))| {
                let document: Value = serde_json::from_slice(raw).ok()?;
                (document["subject"]["digest"] == subject)
                    .then(|| serde_json::json!({"mediaType": media_type, "digest": digest, "size": raw.len()}))
            })
            .collect();
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list});
        reply(200, index.to_string()).with("Content-Type", "application/vnd.oci.image.index.v1+json")
    }
}
