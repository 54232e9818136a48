//! A fake of Google Cloud Storage's XML interface: no emulator takes writes by XML.
//!
//! It enforces tokens, generations and `Content-MD5`, and gives the checksums that Google gives.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64ct::{Base64, Encoding as _};
use md5::{Digest as _, Md5};

use super::server::{Reply, Request, Server, reply};

/// The token that it takes.
pub const TOKEN: &str = "canary-token";

#[derive(Clone, Default)]
struct Stored {
    content: Vec<u8>,
    generation: u64,
    metadata: Option<String>,
    in_parts: bool,
    crc: u32,
}

/// Key, type and parts of an upload that was begun.
pub type Begun = (String, Option<String>, BTreeMap<u32, Vec<u8>>);

/// Everything that it has.
#[derive(Default)]
pub struct State {
    objects: BTreeMap<String, Stored>,
    /// Uploads that were begun, by their ids.
    pub uploads: BTreeMap<String, Begun>,
    next: u64,
}

/// Returns the MD5 of content.
pub fn md5(content: &[u8]) -> Vec<u8> {
    Md5::digest(content).to_vec()
}

fn crc32c(content: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|byte| {
        (0..8)
            .fold(u32::try_from(byte).unwrap(), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    });
    !content.iter().fold(!0_u32, |crc, byte| (crc >> 8) ^ table[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

/// Returns bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
            rest = &rest[2..];
        } else {
            bytes.push(if byte == b'+' { b' ' } else { byte });
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns the answer for a refused request.
pub fn refused(status: u16, code: &str) -> Reply {
    reply(status, format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"))
}

fn described(stored: &Stored, body: Vec<u8>, status: u16) -> Reply {
    let mut hash = format!("crc32c={}", Base64::encode_string(&stored.crc.to_be_bytes()));
    if !stored.in_parts {
        hash += &format!(",md5={}", Base64::encode_string(&md5(&stored.content)));
    }
    let etag = if stored.in_parts {
        format!("\"-G{}\"", stored.generation)
    } else {
        format!("\"{}\"", hex(&md5(&stored.content)))
    };
    let mut reply = reply(status, body)
        .with("ETag", etag)
        .with("x-goog-generation", stored.generation.to_string())
        .with("x-goog-hash", hash)
        .with("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    if let Some(metadata) = &stored.metadata {
        reply = reply.with("x-goog-meta-packmule-digest", metadata.clone());
    }
    reply
}

fn etag(stored: &Stored) -> String {
    let reply = described(stored, Vec::new(), 200);
    reply.headers.into_iter().find(|(name, _)| *name == "ETag").unwrap().1
}

impl State {
    /// Answers a request.
    pub fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return refused(401, "AuthenticationRequired");
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        if bucket != "bucket" {
            return refused(404, "NoSuchBucket");
        }
        let key = decoded(&key.replace('+', "%2B"));
        match (request.method.as_str(), key.is_empty()) {
            ("GET", true) if query.contains_key("uploads") => self.uploads(&query),
            ("GET", true) => self.list(&query),
            ("GET", false) if query.contains_key("uploadId") => self.parts(&query),
            ("HEAD", false) => match self.objects.get(&key) {
                Some(stored) => {
                    described(stored, Vec::new(), 200).with("Content-Length", stored.content.len().to_string())
                }
                None => reply(404, ""),
            },
            ("GET", false) => self.get(&key, request),
            ("PUT", false) => self.put(key, request, &query),
            ("POST", false) => self.post(&key, request, &query),
            ("DELETE", false) if query.contains_key("uploadId") => {
                let gone = self.uploads.remove(&query["uploadId"]);
                if gone.is_some() { reply(204, "") } else { refused(404, "NoSuchUpload") }
            }
            ("DELETE", false) => {
                if self.objects.remove(&key).is_some() {
                    reply(204, "")
                } else {
                    refused(404, "NoSuchKey")
                }
            }
            _ => refused(405, "MethodNotAllowed"),
        }
    }

    fn get(&self, key: &str, request: &Request) -> Reply {
        let Some(stored) = self.objects.get(key) else { return refused(404, "NoSuchKey") };
        if request.header("if-match").is_some_and(|wanted| wanted != etag(stored)) {
            return refused(412, "PreconditionFailed");
        }
        let range = request.header("range").unwrap().strip_prefix("bytes=").unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        let size = stored.content.len();
        if start >= size {
            return refused(416, "InvalidRange");
        }
        let end = (end + 1).min(size);
        described(stored, stored.content[start..end].to_vec(), 206)
            .with("Content-Range", format!("bytes {start}-{}/{size}", end - 1))
    }

    fn put(&mut self, key: String, request: &Request, query: &BTreeMap<String, String>) -> Reply {
        if request.header("content-md5").is_none_or(|sent| sent != Base64::encode_string(&md5(&request.body))) {
            return refused(400, "BadDigest");
        }
        if let Some(id) = query.get("uploadId") {
            let Some((_, _, parts)) = self.uploads.get_mut(id) else { return refused(404, "NoSuchUpload") };
            parts.insert(query["partNumber"].parse().unwrap(), request.body.clone());
            return reply(200, "").with("ETag", format!("\"{}\"", hex(&md5(&request.body))));
        }
        let now = self.objects.get(&key).map_or(0, |stored| stored.generation);
        if request.header("x-goog-if-generation-match").is_some_and(|wanted| wanted != now.to_string()) {
            return refused(412, "PreconditionFailed");
        }
        let metadata = request.header("x-goog-meta-packmule-digest").map(str::to_owned);
        self.store(key, request.body.clone(), metadata, false)
    }

    fn store(&mut self, key: String, content: Vec<u8>, metadata: Option<String>, in_parts: bool) -> Reply {
        self.next += 1;
        let crc = crc32c(&content);
        let stored = Stored { content, generation: self.next, metadata, in_parts, crc };
        let reply = described(&stored, Vec::new(), 200);
        self.objects.insert(key, stored);
        reply
    }

    fn post(&mut self, key: &str, request: &Request, query: &BTreeMap<String, String>) -> Reply {
        if query.contains_key("uploads") {
            self.next += 1;
            let id = format!("upload {}", self.next);
            let metadata = request.header("x-goog-meta-packmule-digest").map(str::to_owned);
            self.uploads.insert(id.clone(), (key.to_owned(), metadata, BTreeMap::new()));
            return reply(
                200,
                format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"),
            );
        }
        let Some((key, metadata, parts)) = self.uploads.remove(&query["uploadId"]) else {
            return refused(404, "NoSuchUpload");
        };
        let body = String::from_utf8(request.body.clone()).unwrap();
        for (number, part) in &parts {
            assert!(body.contains(&hex(&md5(part))) && body.contains(&format!("<PartNumber>{number}<")), "{body}");
        }
        let made = self.store(key, parts.into_values().flatten().collect(), metadata, true);
        let etag = &made.headers.iter().find(|(name, _)| *name == "ETag").unwrap().1;
        let body = format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>");
        Reply { body: body.into_bytes(), ..made }
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Reply {
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let found: Vec<_> =
            self.objects.iter().filter(|(key, _)| key.starts_with(&query["prefix"]) && **key > after).collect();
        // Small pages, so that every list has several.
        let mut body = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", found.len() > 2);
        for (key, stored) in found.iter().take(2) {
            body += &format!(
                "<Contents><Key>{key}</Key><Generation>{}</Generation><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size></Contents>",
                stored.generation,
                etag(stored),
                stored.content.len()
            );
            if found.len() > 2 && *key == found[1].0 {
                body += &format!("<NextContinuationToken>{key}</NextContinuationToken>");
            }
        }
        reply(200, body + "</ListBucketResult>")
    }

    fn uploads(&self, query: &BTreeMap<String, String>) -> Reply {
        let mut body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>".to_owned();
        for (id, (key, ..)) in self.uploads.iter().filter(|(_, (key, ..))| key.starts_with(&query["prefix"])) {
            body += &format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
        }
        reply(200, body + "</ListMultipartUploadsResult>")
    }

    fn parts(&self, query: &BTreeMap<String, String>) -> Reply {
        let Some((_, _, parts)) = self.uploads.get(&query["uploadId"]) else { return refused(404, "NoSuchUpload") };
        let mut body = "<ListPartsResult><IsTruncated>false</IsTruncated>".to_owned();
        for (number, part) in parts {
            let etag = hex(&md5(part));
            body += &format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag><Size>{}</Size></Part>",
                part.len()
            );
        }
        reply(200, body + "</ListPartsResult>")
    }
}

/// Starts one with a bucket named `bucket`.
pub fn fake() -> Server {
    let state = Mutex::new(State::default());
    Server::start(move |request, _| state.lock().unwrap().answer(request))
}
