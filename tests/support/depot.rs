//! A registry that logs, with mounts and repositories of their own, and layouts to fill it from.
//!
//! Contains no assertions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{Reply, Request, Server, reply};
use super::shelf::{Image, MANIFEST};
use super::world::{dir, sha256};

/// Content by path: media type and bytes.
pub type Store = Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>;

/// A registry with repositories of their own, mounts, and checks of manifests; without a referrers
/// API. It fails where `fails` says so.
pub struct Depot {
    pub server: Server,
    pub store: Store,
}

/// May answer a request in place of the registry.
pub type Fails = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

impl Depot {
    /// Starts one that answers as `fails` says.
    pub fn start(fails: Fails) -> Self {
        let store: Store = Arc::default();
        let held = Arc::clone(&store);
        let server = Server::start(move |request, _| fails(request).unwrap_or_else(|| answer(&held, request)));
        Self { server, store }
    }

    /// Starts one that fails at nothing.
    pub fn plain() -> Self {
        Self::start(Box::new(|_| None))
    }

    /// Returns every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.all_requests()
    }

    /// Returns the digests of the blobs that were sent, in order.
    pub fn sent(&self) -> Vec<String> {
        let all = self.requests().into_iter().filter(|one| one.method == "PUT" && one.path.contains("/blobs/uploads/"));
        all.filter(|one| !one.body.is_empty()).map(|one| sha256(&one.body)).collect()
    }

    /// Returns the number of mounts from other repositories.
    pub fn mounts(&self) -> usize {
        let of = |one: &Request| {
            one.method == "POST" && one.path.contains("mount=") && {
                let (repository, query) = one.path.trim_start_matches("/v2/").split_once("/blobs/").unwrap();
                !query.replace("%2F", "/").ends_with(&format!("from={repository}"))
            }
        };
        self.requests().iter().filter(|one| of(one)).count()
    }

    /// Returns the digest of what is held under a path below `/v2/`.
    pub fn tag(&self, name: &str) -> Option<String> {
        self.store.lock().unwrap().get(name).map(|(_, bytes)| sha256(bytes))
    }
}

fn answer(store: &Store, request: &Request) -> Reply {
    let mut store = store.lock().unwrap();
    let path = request.path.strip_prefix("/v2/").unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: HashMap<&str, String> = (query.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key, value.replace("%3A", ":").replace("%2F", "/")))
        .collect();
    let error = |status, code: &str| reply(status, json!({ "errors": [{ "code": code }] }).to_string());
    if let Some((repository, _)) = path.split_once("/blobs/uploads/") {
        let open = || reply(202, "").with("Location", format!("/v2/{repository}/blobs/uploads/one"));
        return match request.method.as_str() {
            "POST" => {
                let from = query.get("from").zip(query.get("mount"));
                let there = from
                    .and_then(|(from, digest)| Some((digest, store.get(&format!("{from}/blobs/{digest}"))?.clone())));
                let Some((digest, held)) = there else { return open() };
                store.insert(format!("{repository}/blobs/{digest}"), held);
                reply(201, "").with("Docker-Content-Digest", digest.clone())
            }
            "PUT" => {
                let digest = sha256(&request.body);
                if query.get("digest") != Some(&digest) {
                    return error(400, "DIGEST_INVALID");
                }
                store.insert(format!("{repository}/blobs/{digest}"), ("blob".to_owned(), request.body.clone()));
                reply(201, "").with("Docker-Content-Digest", digest)
            }
            _ => reply(204, ""),
        };
    }
    if let Some(repository) = path.strip_suffix("/tags/list") {
        let start = format!("{repository}/manifests/");
        let tags: Vec<&str> =
            store.keys().filter_map(|name| name.strip_prefix(&start)).filter(|name| !name.contains(':')).collect();
        return if tags.is_empty() {
            error(404, "NAME_UNKNOWN")
        } else {
            reply(200, json!({ "tags": tags }).to_string())
        };
    }
    if request.method == "PUT" {
        let (repository, _) = path.split_once("/manifests/").unwrap();
        let document: Value = serde_json::from_slice(&request.body).unwrap();
        let blobs = document["layers"].as_array().into_iter().flatten().chain([&document["config"]]);
        let blobs = blobs.filter_map(|one| one["digest"].as_str()).map(|one| format!("{repository}/blobs/{one}"));
        let children = document["manifests"].as_array().into_iter().flatten();
        let children =
            children.filter_map(|one| one["digest"].as_str()).map(|one| format!("{repository}/manifests/{one}"));
        if blobs.chain(children).any(|name| !store.contains_key(&name)) {
            return error(400, "MANIFEST_BLOB_UNKNOWN");
        }
        let (digest, kind) = (sha256(&request.body), request.header("content-type").unwrap().to_owned());
        store.insert(format!("{repository}/manifests/{digest}"), (kind.clone(), request.body.clone()));
        store.insert(path.to_owned(), (kind, request.body.clone()));
        return reply(201, "").with("Docker-Content-Digest", digest);
    }
    match store.get(path) {
        _ if path.is_empty() => reply(200, ""),
        None if path.contains("/referrers/") => reply(404, "404 page not found"),
        None => error(404, "MANIFEST_UNKNOWN"),
        Some((kind, bytes)) => {
            reply(200, bytes.clone()).with("Content-Type", kind.clone()).with("Docker-Content-Digest", sha256(bytes))
        }
    }
}

/// Content of an OCI layout: named and unnamed manifests, and all blobs.
#[derive(Default)]
pub struct Content {
    pub entries: Vec<Value>,
    pub blobs: Vec<Vec<u8>>,
}

impl Content {
    /// Adds a manifest, under a name if it has one; returns its digest.
    pub fn entry(&mut self, name: Option<&str>, kind: &str, document: &[u8]) -> String {
        let digest = sha256(document);
        let mut entry = json!({ "mediaType": kind, "digest": digest, "size": document.len() });
        if let Some(name) = name {
            entry["annotations"] = json!({ "io.containerd.image.name": name });
        }
        self.entries.push(entry);
        self.blobs.push(document.to_vec());
        digest
    }

    /// Adds an image; returns the digest of its manifest.
    pub fn image(&mut self, name: Option<&str>, layers: &[&[u8]], config: &Value) -> String {
        let image = Image::with_config(layers.iter().map(|layer| layer.to_vec()).collect(), config);
        self.blobs.extend(image.blobs.iter().cloned());
        self.entry(name, MANIFEST, &image.manifest)
    }

    /// Adds an artifact that refers to another one.
    pub fn referrer(&mut self, subject: &str, size: usize, text: &str) {
        let layer = text.as_bytes().to_vec();
        let describe =
            |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() });
        let document = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "x/sbom", "config": describe("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [describe("x/text", &layer)], "subject": { "mediaType": MANIFEST, "digest": subject, "size": size },
        });
        self.blobs.extend([b"{}".to_vec(), layer]);
        self.entry(None, MANIFEST, document.to_string().as_bytes());
    }

    /// Writes the layout.
    pub fn write(&self, folder: &str) {
        let root = dir().join(folder);
        drop(std::fs::remove_dir_all(&root));
        std::fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        for bytes in &self.blobs {
            std::fs::write(root.join("blobs").join(sha256(bytes).replace(':', "/")), bytes).unwrap();
        }
        let index = json!({ "schemaVersion": 2, "manifests": self.entries });
        std::fs::write(root.join("index.json"), index.to_string()).unwrap();
    }
}
