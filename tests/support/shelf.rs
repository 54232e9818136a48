//! A small registry that can be told to lie, refuse or forget: only for what a real one does not do
//! on request. Without hooks it behaves like a plain registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub use packmule::cli::commands::carry::demo::noise;
use serde_json::{Value, json};

use super::server::{Reply, Request, Server, reply};
use super::world::sha256;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// An image in memory: the bytes that a layout or a registry stores.
pub struct Image {
    pub manifest: Vec<u8>,
    pub blobs: Vec<Vec<u8>>,
}

impl Image {
    pub fn new(layers: Vec<Vec<u8>>) -> Self {
        let config = json!({ "os": "linux", "architecture": "amd64", "layers": layers.len() });
        Self::with_config(layers, &config)
    }

    pub fn with_config(layers: Vec<Vec<u8>>, config: &Value) -> Self {
        let config = config.to_string().into_bytes();
        let describe =
            |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() });
        let described: Vec<Value> = layers.iter().map(|layer| describe(LAYER, layer)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, &config), "layers": described,
        });
        let blobs = layers.into_iter().chain([config]).collect();
        Self { manifest: manifest.to_string().into_bytes(), blobs }
    }

    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }
}

/// Content by path below `/v2/`: media type and bytes.
type Store = Arc<Mutex<HashMap<String, (String, Vec<u8>)>>>;

/// A hook gets a request and may answer it; with `None` the registry answers as usual.
pub type Hook = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

/// A running registry.
pub struct Shelf {
    pub server: Server,
    store: Store,
}

impl Shelf {
    /// Starts one that holds `images` by repository and tag.
    pub fn start(images: &[(&str, &str, &Image)], hook: Hook) -> Self {
        let store = Store::default();
        images.iter().for_each(|(repository, tag, image)| add(&store, repository, tag, image));
        let own = Arc::clone(&store);
        let server = Server::start(move |request, _| hook(request).unwrap_or_else(|| plain(&own, request)));
        Self { server, store }
    }

    /// Starts one without hooks.
    pub fn plain(images: &[(&str, &str, &Image)]) -> Self {
        Self::start(images, Box::new(|_| None))
    }

    pub fn host(&self) -> &str {
        &self.server.host
    }

    /// Returns whether there is content at a path below `/v2/`.
    pub fn holds(&self, path: &str) -> bool {
        self.store.lock().unwrap().contains_key(path)
    }

    /// Adds an image.
    pub fn add(&self, repository: &str, tag: &str, image: &Image) {
        add(&self.store, repository, tag, image);
    }

    /// Removes the content at a path below `/v2/`.
    pub fn remove(&self, path: &str) {
        self.store.lock().unwrap().remove(path);
    }

    /// Returns the paths of all manifests.
    pub fn manifests(&self) -> Vec<String> {
        self.store.lock().unwrap().keys().filter(|path| path.contains("/manifests/")).cloned().collect()
    }
}

fn add(store: &Store, repository: &str, tag: &str, image: &Image) {
    let mut store = store.lock().unwrap();
    for name in [tag.to_owned(), image.digest()] {
        let held = (MANIFEST.to_owned(), image.manifest.clone());
        store.insert(format!("{repository}/manifests/{name}"), held);
    }
    for blob in &image.blobs {
        let held = ("application/octet-stream".to_owned(), blob.clone());
        store.insert(format!("{repository}/blobs/{}", sha256(blob)), held);
    }
}

fn plain(store: &Store, request: &Request) -> Reply {
    let path = request.path.strip_prefix("/v2/").unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let uploads = path.split_once("/blobs/uploads/").map(|(repository, _)| repository);
    match (request.method.as_str(), uploads) {
        (_, None) if path.is_empty() => reply(200, ""),
        ("POST", Some(repository)) => {
            reply(202, "").with("Location", format!("/v2/{repository}/blobs/uploads/session"))
        }
        ("PUT", Some(repository)) => {
            let digest = query.split('&').find_map(|one| one.strip_prefix("digest=")).unwrap_or_default();
            let digest = digest.replace("%3A", ":").replace("%3a", ":");
            if sha256(&request.body) != digest {
                return reply(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
            }
            let held = ("application/octet-stream".to_owned(), request.body.clone());
            store.lock().unwrap().insert(format!("{repository}/blobs/{digest}"), held);
            reply(201, "").with("Docker-Content-Digest", digest)
        }
        ("PUT", None) => {
            let kind = request.header("content-type").unwrap_or(MANIFEST).to_owned();
            let digest = sha256(&request.body);
            let mut store = store.lock().unwrap();
            let (folder, _) = path.rsplit_once('/').unwrap();
            store.insert(format!("{folder}/{digest}"), (kind.clone(), request.body.clone()));
            store.insert(path.to_owned(), (kind, request.body.clone()));
            reply(201, "").with("Docker-Content-Digest", digest)
        }
        _ => match store.lock().unwrap().get(path) {
            None => reply(404, ""),
            Some((kind, bytes)) => {
                ranged(request, bytes).with("Content-Type", kind.clone()).with("Docker-Content-Digest", sha256(bytes))
            }
        },
    }
}

fn ranged(request: &Request, bytes: &[u8]) -> Reply {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = range else { return reply(200, bytes) };
    let from: usize = from.parse().unwrap();
    let to = to.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
    reply(206, &bytes[from..=to]).with("Content-Range", format!("bytes {from}-{to}/{}", bytes.len()))
}
