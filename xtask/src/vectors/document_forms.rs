//! The forms of documents as text: JSON, depth, doubled members, types (`spec/closure.md`).

use super::Book;
use super::content::{Content, MANIFEST};
use super::documents::text;
use serde_json::{Value, json};

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    let schema = "\"schemaVersion\":2";
    let deep = |levels: usize| format!("\"x\":{}{},{schema}", "[".repeat(levels), "]".repeat(levels));
    for (name, expect, comment, from, to) in [
        ("ok-M14-white-space", "PASS", "a document need not be canonical", schema, " \t\r\n\"schemaVersion\" : 2 "),
        (
            "ok-M14-escaped-names",
            "PASS",
            "an escaped name is the same name",
            "\"schemaVersion\"",
            "\"schema\\u0056ersion\"",
        ),
        (
            "ok-M14-unread-member-twice",
            "PASS",
            "a name that is not read may repeat",
            schema,
            "\"x\":1,\"x\":2,\"schemaVersion\":2",
        ),
        (
            "ok-M14-annotations-twice",
            "PASS",
            "a name that is not read may repeat",
            schema,
            "\"annotations\":{},\"annotations\":1,\"schemaVersion\":2",
        ),
        (
            "ok-M14-great-number",
            "PASS",
            "numbers that are not read have no bounds",
            schema,
            "\"x\":-1e999,\"schemaVersion\":2",
        ),
        (
            "ok-M14-lone-surrogate-not-read",
            "PASS",
            "a string that is not read may escape what it likes",
            schema,
            "\"x\":\"\\ud800\",\"schemaVersion\":2",
        ),
        ("M1-name-twice", "FMT", "schemaVersion stands twice", schema, "\"schemaVersion\":2,\"schemaVersion\":2"),
        ("M1-layers-twice", "FMT", "layers stands twice", "\"layers\":", "\"layers\":[],\"layers\":"),
        (
            "M1-layers-twice-escaped",
            "FMT",
            "layers stands twice, once escaped",
            "\"layers\":",
            "\"la\\u0079ers\":[],\"layers\":",
        ),
        (
            "M1-digest-twice",
            "FMT",
            "digest stands twice in a descriptor",
            "\"config\":{",
            "\"config\":{\"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",",
        ),
        (
            "M1-null-twice",
            "FMT",
            "a null is a member too",
            schema,
            "\"subject\":null,\"subject\":null,\"schemaVersion\":2",
        ),
        (
            "M1-lone-surrogate",
            "FMT",
            "a media type with a lone surrogate",
            "\"mediaType\":\"text/plain\"",
            "\"mediaType\":\"text/\\ud800\"",
        ),
        ("M15-schema-1", "FMT", "Docker schema 1", schema, "\"schemaVersion\":1"),
        ("M15-schema-string", "FMT", "schemaVersion is no integer", schema, "\"schemaVersion\":\"2\""),
        ("M15-schema-true", "FMT", "true is no integer", schema, "\"schemaVersion\":true"),
        ("M15-schema-float", "FMT", "schemaVersion is no integer", schema, "\"schemaVersion\":2.0"),
        ("M15-schema-negative", "FMT", "schemaVersion below 0", schema, "\"schemaVersion\":-2"),
        ("M15-schema-negative-zero", "FMT", "-0 is no integer from 0 on", schema, "\"schemaVersion\":-0"),
        ("M15-schema-2-to-the-53", "FMT", "schemaVersion above 2^53 - 1", schema, "\"schemaVersion\":9007199254740992"),
        ("M4-size-exponent", "FMT", "size 19e0 is no integer", "\"size\":19", "\"size\":19e0"),
        ("M4-size-leading-zero", "FMT", "019 is no JSON", "\"size\":19", "\"size\":019"),
        ("M4-size-2-to-the-63", "FMT", "size above 2^53 - 1", "\"size\":19", "\"size\":9223372036854775808"),
        ("M4-size-2-to-the-64", "FMT", "size above 2^64", "\"size\":19", "\"size\":18446744073709551635"),
        ("M1-nan", "FMT", "NaN is no JSON", schema, "\"x\":NaN,\"schemaVersion\":2"),
        ("M1-comment", "FMT", "a comment is no JSON", schema, "/**/\"schemaVersion\":2"),
        ("M1-comma", "FMT", "a comma behind the last member", schema, "\"schemaVersion\":2,"),
        (
            "M1-control-character",
            "FMT",
            "a control character in a string",
            schema,
            "\"x\":\"\u{1}\",\"schemaVersion\":2",
        ),
    ] {
        text(book, name, expect, comment, from, to);
    }
    text(book, "ok-M5-json-of-100-levels", "PASS", "as deeply nested as JSON may be", schema, &deep(99));
    text(book, "M5-json-of-101-levels", "FMT", "JSON nested more deeply than 100 levels", schema, &deep(100));
    text(book, "M5-json-of-10000-levels", "FMT", "JSON nested without an end", schema, &deep(10_000));
    let good = Content::salt().blobs[0].1.clone();
    let bytes = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Content::salt_as(MANIFEST, &bytes)
    };
    for (name, expect, comment, change) in [
        (
            "ok-M14-line-end-behind",
            "PASS",
            "white space may stand behind a document",
            (|b| b.push(b'\n')) as fn(&mut Vec<u8>),
        ),
        ("M1-byte-order-mark", "FMT", "a byte order mark in front", |b| *b = ["\u{feff}".as_bytes(), b].concat()),
        ("M1-two-documents", "FMT", "a second value behind the first", |b| *b = [&b[..], b"{}"].concat()),
        ("M1-array-of-the-members", "FMT", "the members' values without their names", |b| {
            let value: Value = serde_json::from_slice(b).unwrap_or_default();
            let names = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject"];
            *b = json!(names.map(|name| value[name].clone())).to_string().into_bytes();
        }),
        ("M1-truncated", "FMT", "a document that ends early", |b| b.truncate(b.len() - 1)),
        ("M1-array", "FMT", "an array of a document", |b| *b = [b"[", &b[..], b"]"].concat()),
        ("M1-not-utf-8", "FMT", "a byte that is no UTF-8, in a member that is not read", |b| {
            *b = [b"{\"x\":\"\xff\",", &b[1..]].concat();
        }),
        ("M1-surrogate-in-utf-8", "FMT", "a surrogate encoded in UTF-8", |b| {
            *b = [b"{\"x\":\"\xed\xa0\x80\",", &b[1..]].concat();
        }),
        ("M1-utf-16", "FMT", "a document in UTF-16", |b| *b = b.iter().flat_map(|byte| [*byte, 0]).collect()),
    ] {
        book.add(bytes(change).signed(), name, expect, comment);
    }
    book.add(Content::salt_as(MANIFEST, b"").signed(), "M4-empty-document", "FMT", "an artifact of no bytes");
    book.add(Content::salt_as(MANIFEST, b"null").signed(), "M1-null", "FMT", "null for a document");
}
