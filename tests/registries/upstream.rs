//! An upstream of known content that fails, lies, is slow, and counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use packmule::decide::rules::{Pattern, Rule};
use packmule::oci::{Digest, Document};

use super::hosts::{Bytes, content, manifest};
use super::server::{Reply, Request, Server, reply};

/// How the upstream behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Good,
    Down,
    Limiting,
    /// Sends blobs and manifests byte by byte.
    Slow,
    /// Cuts blobs after half of them.
    Cutting,
    /// Sends blobs and manifests with one byte changed.
    Lying,
    /// Asks for a login.
    Private,
}

/// Media type and bytes by path.
type Content = BTreeMap<String, (String, Vec<u8>)>;

/// An upstream of known content.
pub struct Upstream {
    pub server: Server,
    mood: Arc<Mutex<Mood>>,
    content: Arc<Mutex<Content>>,
}

fn answer(request: &Request, mood: Mood, content: &Content) -> Reply {
    match mood {
        Mood::Down => return reply(500, ""),
        Mood::Limiting => return reply(429, ""),
        Mood::Private if request.header("authorization").is_none() => {
            return reply(401, "").with("WWW-Authenticate", "Basic realm=\"up\"");
        }
        _ => {}
    }
    if request.path == "/v2/" {
        return reply(200, "{}");
    }
    let path = request.path.split('?').next().unwrap();
    let Some((kind, bytes)) = content.get(path) else {
        return reply(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#);
    };
    let digest = Digest::sha256(bytes).to_string();
    let is_content = path.contains("/blobs/") || path.contains("/manifests/");
    let mut body = bytes.clone();
    if mood == Mood::Lying && is_content && request.method == "GET" && !body.is_empty() {
        let last = body.len() - 1;
        body[last] ^= 1;
    }
    let mut answer = reply(200, body).with("Content-Type", kind.clone()).with("Docker-Content-Digest", digest);
    if mood == Mood::Cutting && path.contains("/blobs/") {
        answer.cut = Some(bytes.len() / 2);
    }
    if mood == Mood::Slow {
        std::thread::sleep(Duration::from_millis(300));
    }
    answer
}

impl Upstream {
    pub fn start() -> Self {
        let mood = Arc::new(Mutex::new(Mood::Good));
        let content: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
        let (own, held) = (Arc::clone(&mood), Arc::clone(&content));
        let server = Server::start(move |request, _| {
            let mood = *own.lock().unwrap();
            let held = held.lock().unwrap().clone();
            answer(request, mood, &held)
        });
        Self { server, mood, content }
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn put(&self, path: String, kind: &str, bytes: &[u8]) {
        self.content.lock().unwrap().insert(path, (kind.to_owned(), bytes.to_vec()));
    }

    /// Puts a manifest under its digest and `tags`.
    pub fn document(&self, name: &str, tags: &[&str], document: &Document) {
        let digest = document.digest().to_string();
        for reference in tags.iter().copied().chain([digest.as_str()]) {
            self.put(format!("/v2/{name}/manifests/{reference}"), document.media_type(), document.raw());
        }
        let mut content = self.content.lock().unwrap();
        let list = format!("/v2/{name}/tags/list");
        let old = content.get(&list).map(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(bytes).unwrap());
        let mut all: Vec<String> =
            old.map(|old| serde_json::from_value(old["tags"].clone()).unwrap()).unwrap_or_default();
        all.extend(tags.iter().map(|tag| (*tag).to_owned()));
        all.sort();
        all.dedup();
        let list_text = serde_json::json!({"name": name, "tags": all}).to_string();
        content.insert(list, ("application/json".to_owned(), list_text.into_bytes()));
    }

    /// Puts an image with one layer of `size` bytes.
    pub fn image(&self, name: &str, tags: &[&str], size: usize, seed: u64) -> (Document, Bytes) {
        let (config, layer) = (Bytes(format!("{{\"seed\":{seed}}}").into_bytes()), content(size, seed));
        for blob in [&config, &layer] {
            self.put(format!("/v2/{name}/blobs/{}", blob.descriptor().digest), "application/octet-stream", &blob.0);
        }
        let document = manifest(&config.descriptor(), &layer.descriptor(), None);
        self.document(name, tags, &document);
        (document, layer)
    }

    /// Number of requests so far whose path contains `part`.
    pub fn asked(&self, method: &str, part: &str) -> usize {
        self.server.requests().iter().filter(|one| one.method == method && one.path.contains(part)).count()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.server.all_requests()
    }

    pub fn host(&self) -> &str {
        &self.server.host
    }
}

pub fn rule(name: &str, source: &str, target: &str) -> Rule {
    Rule::new(name, Pattern::source(source).unwrap(), Pattern::target(target).unwrap()).unwrap()
}
