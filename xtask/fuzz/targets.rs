//! Fuzz targets. A target panics if a promise is broken; refusing the input is fine.

use std::collections::HashSet;
use std::io::Cursor;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use packmule::base::fault::{Class, Fault, escape};
use packmule::bundle::check::one_pass;
use packmule::bundle::format::frame;
use packmule::bundle::format::manifest::{Form, Manifest};
use packmule::bundle::format::offsets::Offsets;
use packmule::bundle::stream::{Members, Stream, open};
use packmule::decide::lists::{self, Format};
use packmule::decide::selector::Selector;
use packmule::flow::{Clock, Flow, Silent};
use packmule::oci::{Descriptor, Digest, Document, Reference};
use packmule::registry::http::headers::{Challenge, Url, hop, next_link, next_page, session};
use packmule::signing::private::SigningKey;
use packmule::signing::{self, Envelope, PublicKey, key};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; the name is its corpus's folder and its file's here.
pub const TARGETS: &[Target] = &[
    ("manifest", manifest),
    ("signatures", signatures),
    ("keys", keys),
    ("frame", packed_frame),
    ("document", document),
    ("reference", reference),
    ("policy", policy),
    ("stream", stream),
    ("challenge", challenge),
    ("link", link),
    ("location", location),
    ("lists", lists),
];

/// A manifest that is read is written again byte for byte, and its offsets does not panic.
pub fn manifest(bytes: &[u8]) {
    if let Ok(read) = Manifest::parse(bytes) {
        assert_eq!(read.to_bytes(), bytes, "one manifest, one form");
        let read = std::sync::Arc::new(read);
        if let Ok(offsets) = Offsets::new(&read) {
            let plain = offsets.plain(0..offsets.frames());
            let length = if read.form == Form::Flat { 0 } else { offsets.tar.length() };
            assert_eq!(plain, length, "the frames hold the stream");
            let frames: usize = offsets.units.iter().map(|unit| unit.frames.len()).sum();
            assert_eq!(frames, offsets.frames(), "each frame is in one unit");
        }
    }
}

/// A signature file that is read is written again byte for byte.
pub fn signatures(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert_eq!(envelope.to_bytes(), bytes, "one signature file, one form");
        assert!(envelope.keyids().zip(envelope.keyids().skip(1)).all(|(one, next)| one < next), "in order, each once");
    }
}

/// A key is public or private, never both; one that is read is written and read again as the same.
pub fn keys(bytes: &[u8]) {
    let public = PublicKey::from_pem(bytes);
    let encrypted = key::contents(bytes) == Ok(key::Contents::Encrypted);
    // A derivation may take seconds within its limit: nothing to look for here.
    if !encrypted && let Ok(private) = SigningKey::from_pem(bytes, None) {
        assert!(public.is_err(), "one file, two keys");
        let again = private.to_pem(None).ok().and_then(|pem| SigningKey::from_pem(pem.as_bytes(), None).ok());
        assert_eq!(again.as_ref().map(SigningKey::public), Some(private.public()));
    }
    if let Ok(public) = public {
        assert_eq!(PublicKey::from_pem(public.to_pem().as_bytes()), Ok(public));
    }
}

/// A packed frame gives just as many bytes as it must, or none. The first three bytes say how many.
pub fn packed_frame(bytes: &[u8]) {
    let Some((length, packed)) = bytes.split_first_chunk::<3>() else { return };
    let plain = u64::from(u32::from_le_bytes([length[0], length[1], length[2], 0]));
    let mut out = Vec::new();
    if frame::unpack(packed, plain, &mut out).is_ok() {
        assert_eq!(out.len() as u64, plain);
    }
    assert!(out.len() as u64 <= plain, "never more than was asked for");
}

/// A document of any of the types that are read keeps its bytes.
pub fn document(bytes: &[u8]) {
    const TYPES: [&str; 4] = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ];
    for media_type in TYPES {
        if let Ok(read) = Document::with_digest(media_type, Digest::sha256(bytes), bytes.to_vec()) {
            assert_eq!(read.raw(), bytes);
            let children: Vec<Descriptor> = read.references().cloned().collect();
            assert!(children.len() <= bytes.len());
        }
    }
}

/// A reference that is read is shown so that it is read as the same.
pub fn reference(bytes: &[u8]) {
    if let Some(read) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Reference>().ok()) {
        assert_eq!(read.to_string().parse::<Reference>().as_ref(), Ok(&read), "{read}");
    }
}

/// A policy that is read lets itself be asked: no holder is counted twice, no threshold is out of reach. Keys are made of
/// their files' names.
pub fn policy(bytes: &[u8]) {
    let load = |name: &str| {
        let seed = Digest::sha256(name.as_bytes()).hex();
        let seed: Vec<u8> = seed.bytes().take(32).collect();
        let key = seed.first_chunk().and_then(|seed| SigningKey::from_bytes(seed).ok());
        key.map(|key| key.public().clone()).ok_or_else(|| Fault::new(Class::Usage, "key: expected one, found none"))
    };
    match signing::policy::file::parse(Path::new("trust.toml"), bytes, 0, load) {
        Ok(read) => {
            let known: HashSet<&str> = read.keyids().collect();
            let sections = read.sections().into_iter();
            for section in sections.flat_map(|found| found.channels.values().chain(&found.no_channel)) {
                let holders: HashSet<&str> = section.entries.iter().map(|entry| entry.holder.as_str()).collect();
                assert!((1..=holders.len()).contains(&section.threshold), "a threshold that holders can reach");
                let keyids = || section.entries.iter().flat_map(|entry| &entry.keyids);
                assert!(keyids().all(|keyid| known.contains(keyid.as_str())), "no key that was not read");
                assert_eq!(keyids().collect::<HashSet<_>>().len(), keyids().count(), "each key once");
            }
        }
        Err(fault) => {
            assert_eq!(fault.class, Class::Usage, "{fault:?}");
            assert!(fault.what.starts_with("trust.toml"), "its file, and line: {fault:?}");
            assert!(!escape(&fault.what).is_empty() && fault.help.is_some(), "what to do: {fault:?}");
        }
    }
}

/// A stream that holds, as far as that goes without a signature, is just as long as its parts.
pub fn stream(bytes: &[u8]) {
    let flow = Flow::new(Arc::new(Silent), Arc::new(Still), 1, 1);
    let Ok(Stream { head, rest }) = open(Box::new(Cursor::new(bytes.to_vec())), &flow) else { return };
    let member = |size: u64| 512 + size.next_multiple_of(512);
    let first = head.signature_bytes().map_or(0, |bytes| member(bytes.len() as u64));
    let second = member(head.manifest_bytes().len() as u64);
    let Ok(bundle) = head.assume() else { return };
    let mut members = Members::new(&bundle, rest, flow.clone());
    if let Ok(tally) = one_pass::check(&bundle, &mut members, &flow, false) {
        let manifest = bundle.manifest();
        let volumes: u64 = manifest.volumes.iter().map(|volume| member(volume.size)).sum();
        assert_eq!(first + second + volumes + 1024, bytes.len() as u64, "nothing before, between or behind");
        assert_eq!(tally.blobs, manifest.blobs.len() as u64, "every blob was seen");
        assert_eq!(tally.frames, bundle.offsets().frames() as u64, "every frame was read");
    }
}

/// A challenge that is read, and written again, is read as the same; its realm is one that HTTP reaches.
pub fn challenge(bytes: &[u8]) {
    let Some(read) = std::str::from_utf8(bytes).ok().and_then(Challenge::parse) else { return };
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let written = match &read {
        Challenge::Basic => "Basic realm=\"\"".to_owned(),
        Challenge::Bearer { realm, service } => {
            assert!(matches!(realm.scheme(), "http" | "https") && realm.has_host(), "{realm}");
            let service = service.iter().map(|text| format!(",service=\"{}\"", quoted(text)));
            format!("Bearer realm=\"{}\"{}", quoted(realm.as_str()), service.collect::<String>())
        }
    };
    assert_eq!(Challenge::parse(&written), Some(read), "{written}");
}

/// The next page is on the origin of this one, whatever a server writes.
pub fn link(bytes: &[u8]) {
    let Some(target) = std::str::from_utf8(bytes).ok().and_then(next_link) else { return };
    assert!(!target.contains('>') && bytes.len() > target.len() + 2, "{target}");
    assert_eq!(next_link(&format!("<{target}>; rel=next")), Some(target), "written again, read as the same");
    for page in ["https://a.example:5000/v2/x/tags/list?n=1", "http://127.0.0.1/v2/_catalog"] {
        let Ok(page) = Url::parse(page) else { continue };
        if let Ok(next) = next_page(&page, target) {
            let origin = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
            assert_eq!(origin(&next), origin(&page), "{next}");
        }
    }
}

/// Checks redirects: an accepted location has no login, never leaves https, is not a link-local
/// address, and is accepted again.
pub fn location(bytes: &[u8]) {
    for from in ["https://a.example/v2/x/blobs/uploads/", "http://a.example:5000/v2/x/blobs/sha256:0?y=1"] {
        let Ok(from) = Url::parse(from) else { continue };
        for resolve in [hop, session] {
            let Ok(next) = resolve(&from, bytes) else { continue };
            assert!(matches!(next.scheme(), "http" | "https") && next.has_host(), "{next}");
            assert!(next.scheme() == "https" || from.scheme() == "http", "{next}");
            assert!(next.username().is_empty() && next.password().is_none(), "{next}");
            let host = next.host_str().unwrap_or_default().trim_matches(['[', ']', '.']);
            match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
                Ok(IpAddr::V4(address)) => assert!(!address.is_link_local() && !address.is_unspecified(), "{next}"),
                Ok(IpAddr::V6(address)) => assert!(!address.is_unicast_link_local(), "{next}"),
                // A host of dots alone is one that nobody resolves.
                Err(_) => assert_ne!(host, "metadata.google.internal", "{next}"),
            }
            assert_eq!(resolve(&from, next.as_str().as_bytes()), Ok(next.clone()), "{next}");
        }
    }
}

/// A list of any kind gives selectors that are read again as the same, and places within the list.
pub fn lists(bytes: &[u8]) {
    // As it is recognized, and as one kind that the length chooses.
    let given = Format::ALL.get(bytes.len() % Format::ALL.len()).map(|(_, format)| *format);
    for format in [None, given] {
        let list = lists::read("list", bytes, format, &[]);
        let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 2;
        for entry in &list.entries {
            assert!((1..=lines).contains(&entry.line), "{entry:?}");
            let shown = entry.selector.to_string();
            let again = Selector::parse(&shown).map(|again| again.to_string()).ok();
            assert_eq!(again.as_deref(), Some(shown.as_str()), "{format:?}: {:?}", entry.selector);
        }
        for remark in list.refused.iter().chain(&list.passed_over) {
            assert!(remark.line <= lines && !remark.reason.is_empty(), "{remark:?}");
        }
        assert!(list.includes.iter().all(|one| (1..=lines).contains(&one.line)), "{:?}", list.includes);
        let says_nothing = list.entries.is_empty() && list.includes.is_empty();
        let nothing = says_nothing && list.refused.is_empty() && list.passed_over.is_empty();
        assert!(!nothing, "a list is never read as nothing without a word");
    }
    // Files of charts that others made: nothing of them is refused.
    for is_chart in [true, false] {
        assert!(lists::in_chart(bytes, is_chart).refused.is_empty());
    }
}

/// A clock that stands.
struct Still;

impl Clock for Still {
    fn unix(&self) -> i64 {
        0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}
