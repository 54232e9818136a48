//! A registry in memory that only answers requests without a body, and counts them.

use crate::corpus::layout::hex;
use crate::shell::Failed;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Tags of a page.
const PAGE: usize = 1000;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Content: images by repository and tag, and the manifests by digest.
pub struct Held {
    /// Tags of each repository in order, with the digest of each.
    tags: BTreeMap<String, Vec<(String, String)>>,
    manifests: HashMap<String, Vec<u8>>,
}

impl Held {
    /// Returns `count` images, all in one repository or each in its own.
    pub fn images(count: usize, is_one: bool) -> Self {
        let mut held = Self { tags: BTreeMap::new(), manifests: HashMap::new() };
        for number in 0..count {
            let digest = held.image(number);
            let repository = if is_one { "bench/one".to_owned() } else { format!("bench/app{number:05}") };
            held.tags.entry(repository).or_default().push((format!("1.0.{number:05}"), digest));
        }
        held
    }

    /// Returns one image with `count` tags that are versions.
    pub fn tags(count: usize) -> Self {
        let mut held = Self { tags: BTreeMap::new(), manifests: HashMap::new() };
        let digest = held.image(0);
        // In the order in which a registry lists them.
        let mut all: Vec<String> = (0..count).map(|number| format!("1.{}.{}", number / 1000, number % 1000)).collect();
        all.sort();
        held.tags.insert("bench/one".to_owned(), all.into_iter().map(|tag| (tag, digest.clone())).collect());
        held
    }

    fn image(&mut self, number: usize) -> String {
        let describe = |kind: &str, of: &str| {
            let digest = format!("sha256:{}", hex(&Sha256::digest(format!("{of} {number}"))));
            json!({ "mediaType": kind, "digest": digest, "size": 512 })
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": describe("application/vnd.oci.image.config.v1+json", "config"),
            "layers": [describe("application/vnd.oci.image.layer.v1.tar+gzip", "layer")],
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
        self.manifests.insert(digest.clone(), bytes);
        digest
    }

    fn manifest(&self, repository: &str, name: &str) -> Option<(String, &Vec<u8>)> {
        let digest = if name.starts_with("sha256:") {
            name.to_owned()
        } else {
            let tags = self.tags.get(repository)?;
            let place = tags.binary_search_by(|(tag, _)| tag.as_str().cmp(name)).ok()?;
            tags[place].1.clone()
        };
        self.manifests.get(&digest).map(|bytes| (digest, bytes))
    }
}

/// An answer: status, headers and body.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// State that all connections share.
struct Shared {
    held: Held,
    has_api: bool,
    asked: Mutex<BTreeMap<String, u64>>,
}

/// A running registry. It ends with the process.
pub struct Counted {
    host: String,
    shared: Arc<Shared>,
}

impl Counted {
    /// Starts a registry, with or without an API of referrers.
    pub fn start(held: Held, has_api: bool) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let host = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared { held, has_api, asked: Mutex::default() });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                std::thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Ok(Self { host, shared })
    }

    /// Returns host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns `REPOSITORY:TAG` of every image.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        let all = self.shared.held.tags.iter();
        all.flat_map(|(repository, tags)| tags.iter().map(move |(tag, _)| format!("{repository}:{tag}")))
    }

    /// Forgets what was asked.
    pub fn reset(&self) {
        self.shared.asked().clear();
    }

    /// Returns the number of requests.
    pub fn asked(&self) -> u64 {
        self.shared.asked().values().sum()
    }

    /// Returns how many requests of each kind there were.
    pub fn kinds(&self) -> String {
        let asked = self.shared.asked();
        asked.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
    }

    /// Makes `count` requests over `connections` connections. Returns the seconds that they took.
    pub fn exchange(&self, count: u64, connections: usize) -> Result<f64, Failed> {
        let names: Vec<String> = self.names().collect();
        let begin = Instant::now();
        let ended: Vec<Result<(), Failed>> = std::thread::scope(|scope| {
            let work = |first: usize| {
                let mut stream = BufReader::new(TcpStream::connect(&self.host)?);
                stream.get_ref().set_nodelay(true)?;
                for number in (first..usize::try_from(count).unwrap_or_default()).step_by(connections) {
                    let (repository, tag) =
                        names[number % names.len()].split_once(':').ok_or_else(|| Failed::new("bench: no tag"))?;
                    let ask = format!("GET /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: bench\r\n\r\n");
                    stream.get_mut().write_all(ask.as_bytes())?;
                    receive(&mut stream)?;
                }
                Ok(())
            };
            let all: Vec<_> = (0..connections).map(|first| scope.spawn(move || work(first))).collect();
            let lost = || Err(Failed::new("bench: a thread panicked"));
            all.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
        });
        ended.into_iter().collect::<Result<(), _>>()?;
        Ok(begin.elapsed().as_secs_f64())
    }
}

/// Reads one response with its body.
fn receive(stream: &mut BufReader<TcpStream>) -> Result<(), Failed> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(Failed::new("bench: the connection ended"));
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(|_| Failed::new(format!("bench: {line}")))?;
        }
    }
    let mut body = vec![0; length];
    Ok(stream.read_exact(&mut body)?)
}

impl Shared {
    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests of one connection until it ends.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream);
        // A client that tries TLS first is told that this is plain HTTP.
        if lines.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            return (&mut &*stream).write_all(b"HTTP/1.1 400 x\r\nConnection: close\r\n\r\n");
        }
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut words = line.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let mut header = String::new();
            while lines.read_line(&mut header)? > 0 && !header.trim().is_empty() {
                header.clear();
            }
            let (status, headers, body) = self.answer(method, path);
            let mut head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in &headers {
                head.extend([name, ": ", value.as_str(), "\r\n"]);
            }
            head.push_str("\r\n");
            let mut bytes = head.into_bytes();
            if method != "HEAD" {
                bytes.extend(body);
            }
            (&mut &*stream).write_all(&bytes)?;
        }
    }

    fn answer(&self, method: &str, path: &str) -> Answer {
        let none = || (404, Vec::new(), Vec::new());
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let Some(path) = path.strip_prefix("/v2/").filter(|path| !path.is_empty()) else {
            self.count("ping");
            return (200, Vec::new(), Vec::new());
        };
        if let Some(repository) = path.strip_suffix("/tags/list") {
            self.count("tags");
            return self.tags(repository, query).unwrap_or_else(none);
        }
        if let Some((_, _)) = path.split_once("/referrers/") {
            self.count("referrers");
            if !self.has_api {
                return none();
            }
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
            return (200, vec![("Content-Type", INDEX.to_owned())], index.to_string().into_bytes());
        }
        if path.contains("/blobs/") {
            self.count(&format!("{method} blob"));
            return (200, Vec::new(), vec![0; 512]);
        }
        let Some((repository, name)) = path.split_once("/manifests/") else { return none() };
        let kind = if name.starts_with("sha256-") { "fallback tag" } else { "manifest" };
        self.count(&format!("{method} {kind}"));
        match self.held.manifest(repository, name) {
            Some((digest, bytes)) => {
                let headers = vec![("Content-Type", MANIFEST.to_owned()), ("Docker-Content-Digest", digest)];
                (200, headers, bytes.clone())
            }
            None => none(),
        }
    }

    fn tags(&self, repository: &str, query: &str) -> Option<Answer> {
        let all = self.held.tags.get(repository)?;
        let last = query.split('&').find_map(|pair| pair.strip_prefix("last="));
        let from = last.map_or(0, |last| all.partition_point(|(tag, _)| tag.as_str() <= last));
        let page: Vec<&str> = all[from..].iter().take(PAGE).map(|(tag, _)| tag.as_str()).collect();
        let body = json!({ "name": repository, "tags": page }).to_string().into_bytes();
        let next = page
            .last()
            .filter(|_| from + PAGE < all.len())
            .map(|last| ("Link", format!("</v2/{repository}/tags/list?n={PAGE}&last={last}>; rel=\"next\"")));
        Some((200, next.into_iter().collect(), body))
    }

    fn count(&self, kind: &str) {
        *self.asked().entry(kind.to_owned()).or_default() += 1;
    }
}
