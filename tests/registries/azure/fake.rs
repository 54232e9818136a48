//! A small blob service that does what the emulator does not: it checks every MD5, and a test can
//! let it refuse, lose answers, break off and wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding as _};
use md5::{Digest as _, Md5};
use packmule::network::access::Access;
use packmule::network::settings::ClientSettings;

use super::site::{Given, Opened, open};
use crate::encrypted::Front;
use crate::server::{Reply, Request, Server, reply};

/// A signature that the fake takes, whatever it says.
pub const SAS: &str = "sv=2021-12-02&sr=c&sp=rwla&se=2100-01-01T00:00:00Z&sig=good";

#[derive(Clone, Default)]
struct Stored {
    content: Vec<u8>,
    etag: String,
    md5: String,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    blocks: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    writes: usize,
}

/// Action on one request: `Before` instead of it, `After` it is carried out.
pub enum Fault {
    Before(Reply),
    After(Reply),
}

/// The running fake.
pub struct Fake {
    pub server: Server,
    scheme: &'static str,
}

/// Returns a refusal with its code.
pub fn refusal(status: u16, code: &str) -> Reply {
    reply(status, "<Error/>").with("x-ms-error-code", code)
}

impl Fake {
    /// Starts a fake; `fault` decides by the request and the number of earlier ones.
    pub fn start(fault: impl Fn(&Request, usize) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { server: Server::start(answering(fault)), scheme: "http" }
    }

    /// Starts a fake with TLS.
    pub fn behind(front: &Front) -> Self {
        Self { server: front.serve(answering(|_, _| None)), scheme: "https" }
    }

    pub fn address(&self) -> String {
        format!("{}://{}/account/container", self.scheme, self.server.host)
    }

    /// Opens the container with signatures, one after the other.
    pub fn open(&self, secrets: &[&str], settings: ClientSettings) -> (Opened, Arc<Given>) {
        let source = Given::new(secrets);
        (open(&self.address(), Access::Sas(source.clone()), settings).unwrap(), source)
    }

    /// Returns how many requests have `part` in their address.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|request| request.method == method && request.path.contains(part)).count()
    }
}

fn answering(
    fault: impl Fn(&Request, usize) -> Option<Fault> + Send + Sync + 'static,
) -> impl Fn(&Request, usize) -> Reply + Send + Sync + 'static {
    let state = Mutex::new(State::default());
    move |request, before| match fault(request, before) {
        Some(Fault::Before(reply)) => reply,
        Some(Fault::After(reply)) => {
            answer(&state, request);
            reply
        }
        None => answer(&state, request),
    }
}

fn base64_md5(bytes: &[u8]) -> String {
    Base64::encode_string(&Md5::digest(bytes))
}

/// Returns a parameter of the query.
pub fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let (_, query) = request.path.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn answer(state: &Mutex<State>, request: &Request) -> Reply {
    let state = &mut *state.lock().unwrap();
    assert_eq!(request.header("x-ms-version"), Some("2021-12-02"));
    let name = request.path.split('?').next().unwrap().to_owned();
    let found = state.objects.get(&name).cloned();
    let comp = parameter(request, "comp");
    if request.method == "PUT" {
        assert!(request.header("content-md5").is_some(), "every body has its MD5: {}", request.path);
        if request.header("content-md5") != Some(&base64_md5(&request.body)) {
            return refusal(400, "Md5Mismatch");
        }
        if request.header("if-none-match") == Some("*") && found.is_some() {
            return refusal(409, "BlobAlreadyExists");
        }
        if let Some(etag) = request.header("if-match")
            && found.as_ref().is_none_or(|found| found.etag != etag)
        {
            return refusal(412, "ConditionNotMet");
        }
    }
    match (request.method.as_str(), comp) {
        ("PUT", Some("block")) => {
            let id = parameter(request, "blockid").unwrap().to_owned();
            let blocks = state.blocks.entry(name).or_default();
            blocks.retain(|(other, _)| *other != id);
            blocks.push((id, request.body.clone()));
            reply(201, "")
        }
        ("PUT", Some("blocklist")) => {
            let list = String::from_utf8(request.body.clone()).unwrap();
            let blocks = state.blocks.remove(&name).unwrap_or_default();
            let mut content = Vec::new();
            for id in list.split("<Latest>").skip(1).map(|rest| rest.split('<').next().unwrap()) {
                let id = id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
                let Some((_, block)) = blocks.iter().find(|(other, _)| *other == id) else {
                    return refusal(400, "InvalidBlockList");
                };
                content.extend_from_slice(block);
            }
            let md5 = request.header("x-ms-blob-content-md5").unwrap().to_owned();
            store(state, &name, content, md5)
        }
        ("PUT", _) => {
            state.blocks.remove(&name);
            store(state, &name, request.body.clone(), base64_md5(&request.body))
        }
        ("GET", Some("blocklist")) => {
            let blocks = state.blocks.get(&name);
            if found.is_none() && blocks.is_none() {
                return refusal(404, "BlobNotFound");
            }
            let listed: String = blocks
                .into_iter()
                .flatten()
                .map(|(id, content)| {
                    let id = id.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
                    format!("<Block><Name>{id}</Name><Size>{}</Size></Block>", content.len())
                })
                .collect();
            reply(200, format!("<BlockList><UncommittedBlocks>{listed}</UncommittedBlocks></BlockList>"))
        }
        ("HEAD", _) => match found {
            None => refusal(404, "BlobNotFound"),
            Some(found) => reply(200, found.content).with("ETag", found.etag).with("Content-MD5", found.md5),
        },
        _ => match found {
            None => refusal(404, "BlobNotFound"),
            Some(found) => ranged(request, &found),
        },
    }
}

fn store(state: &mut State, name: &str, content: Vec<u8>, md5: String) -> Reply {
    state.writes += 1;
    let etag = format!("\"0x{}\"", state.writes);
    state.objects.insert(name.to_owned(), Stored { content, etag: etag.clone(), md5 });
    reply(201, "").with("ETag", etag)
}

fn ranged(request: &Request, found: &Stored) -> Reply {
    if request.header("if-match").is_some_and(|etag| etag != found.etag) {
        return refusal(412, "ConditionNotMet");
    }
    let range = request.header("range").unwrap().strip_prefix("bytes=").unwrap();
    let (from, last) = range.split_once('-').unwrap();
    let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
    if from >= found.content.len() {
        return refusal(416, "InvalidRange");
    }
    let end = (last + 1).min(found.content.len());
    reply(206, &found.content[from..end])
        .with("ETag", found.etag.clone())
        .with("Content-Range", format!("bytes {from}-{}/{}", end - 1, found.content.len()))
}
