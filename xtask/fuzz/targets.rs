//! What each fuzz target does with its input. A target panics where a promise does not hold; a refusal is fine.

use packmule::bundle::manifest::{Form, Manifest};
use packmule::bundle::{frame, geometry::Geometry};
use packmule::oci::{Descriptor, Digest, Document, Reference};
use packmule::signing::{Envelope, PublicKey, SigningKey, key};

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
];

/// A manifest that is read is written again byte for byte, and its geometry does not panic.
pub fn manifest(bytes: &[u8]) {
    if let Ok(read) = Manifest::parse(bytes) {
        assert_eq!(read.to_bytes(), bytes, "one manifest, one form");
        if let Ok(geometry) = Geometry::new(&read) {
            let plain: u64 = geometry.places.iter().map(|place| place.plain).sum();
            let length = if read.form == Form::Flat { 0 } else { geometry.tar.length() };
            assert_eq!(plain, length, "the frames hold the stream");
            let frames: usize = geometry.units.iter().map(|unit| unit.frames.len()).sum();
            assert_eq!(frames, geometry.places.len(), "each frame is in one unit");
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
