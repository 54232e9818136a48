//! Documents and the closure (`spec/closure.md`): rows M1, M3 to M8, M10, M14, M15, M17.
//!
//! Everything here has valid signatures and frames. Only the documents, or the set of carried
//! blobs, are unusual.

use super::Book;
use super::content::{ARTIFACT, Content, DOCKER_MANIFEST, EMPTY, INDEX, MANIFEST, SALT, describe, image, sha256};
use super::envelope::base64;
use serde_json::{Value, json};

const REPOSITORY: &str = "registry.example/notes/salt";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    members(book);
    data(book);
    identity(book);
}

/// Adds the example with another document. The carried blobs stay.
fn document(book: &mut Book, name: &str, expect: &'static str, comment: &str, edit: impl FnOnce(&mut Value)) {
    book.add(Content::salt_with(edit).signed(), name, expect, comment);
}

/// Adds the example with its document's text changed.
pub(super) fn text(book: &mut Book, name: &str, expect: &'static str, comment: &str, from: &str, to: &str) {
    let mut content = Content::salt();
    let before = String::from_utf8_lossy(&content.blobs[0].1).into_owned();
    assert!(before.contains(from), "{name}: {from} in {before}");
    content = Content::salt_as(MANIFEST, before.replacen(from, to, 1).as_bytes());
    book.add(content.signed(), name, expect, comment);
}

fn members(book: &mut Book) {
    type Edit = fn(&mut Value);
    let cases: [(&str, &'static str, &str, Edit); 36] = [
        ("ok-M1-no-media-type", "PASS", "an OCI manifest may lack mediaType", |d| *d = without(d, "mediaType")),
        ("ok-M1-media-type-null", "PASS", "null counts as absent", |d| d["mediaType"] = json!(null)),
        ("ok-M14-manifests-null", "PASS", "null counts as absent", |d| d["manifests"] = json!(null)),
        ("ok-M14-schema-version-absent", "PASS", "schemaVersion may lack", |d| *d = without(d, "schemaVersion")),
        ("ok-M14-schema-version-0", "PASS", "schemaVersion other than 1 is not judged", |d| {
            d["schemaVersion"] = json!(0);
        }),
        ("ok-M14-schema-version-7", "PASS", "schemaVersion other than 1 is not judged", |d| {
            d["schemaVersion"] = json!(7);
        }),
        ("ok-M14-custom-members", "PASS", "members that are not read are free", |d| {
            d["config"]["x"] = json!([null, true, 1.5e300, -3]);
            d["x"] = json!({"deep": {"y": [[[]]]}});
        }),
        ("ok-M14-annotations-of-another-type", "PASS", "annotations are not read", |d| d["annotations"] = json!(["x"])),
        ("ok-M14-annotation-no-string", "PASS", "annotations are not read", |d| {
            d["layers"][0]["annotations"] = json!({"a": 1, "b": null});
        }),
        ("ok-M14-platform-of-another-type", "PASS", "platform is not read", |d| {
            d["layers"][0]["platform"] = json!("linux");
        }),
        ("ok-M8-urls", "PASS", "urls are not read", |d| d["layers"][0]["urls"] = json!(["https://layers.example/a"])),
        ("ok-M8-urls-of-another-type", "PASS", "urls are not read", |d| d["layers"][0]["urls"] = json!({"a": 1})),
        ("ok-M14-descriptor-artifact-type-no-string", "PASS", "a descriptor's artifactType is not read", |d| {
            d["layers"][0]["artifactType"] = json!(5);
        }),
        ("M1-manifests-beside-layers", "FMT", "a manifest with manifests", |d| d["manifests"] = json!([])),
        ("M1-no-config", "FMT", "a manifest without config", |d| *d = without(d, "config")),
        ("M1-config-null", "FMT", "a manifest without config", |d| d["config"] = json!(null)),
        ("M1-config-array", "FMT", "config is no object", |d| d["config"] = json!([d["config"]])),
        ("M1-layers-object", "FMT", "layers is no array", |d| d["layers"] = d["layers"][0].clone()),
        ("M1-layer-string", "FMT", "a layer is no object", |d| d["layers"] = json!([sha256(SALT)])),
        ("M1-layer-array", "FMT", "a descriptor's values without their names", |d| {
            let layer = &d["layers"][0];
            d["layers"] = json!([[layer["mediaType"], layer["digest"], layer["size"]]]);
        }),
        ("M1-layer-null", "FMT", "a layer is null", |d| d["layers"] = json!([d["layers"][0], null])),
        ("M1-layer-without-media-type", "FMT", "a descriptor without mediaType", |d| {
            d["layers"][0] = without(&d["layers"][0], "mediaType");
        }),
        ("M1-layer-media-type-null", "FMT", "null counts as absent", |d| d["layers"][0]["mediaType"] = json!(null)),
        ("M1-layer-media-type-number", "FMT", "mediaType is no string", |d| d["layers"][0]["mediaType"] = json!(1)),
        ("M1-layer-without-digest", "FMT", "a descriptor without digest", |d| {
            d["layers"][0] = without(&d["layers"][0], "digest");
        }),
        ("M1-layer-without-size", "FMT", "a descriptor without size", |d| {
            d["layers"][0] = without(&d["layers"][0], "size");
        }),
        ("M4-layer-size-string", "FMT", "size is no number", |d| d["layers"][0]["size"] = json!("19")),
        ("M4-layer-size-negative", "FMT", "size below 0", |d| d["layers"][0]["size"] = json!(-19)),
        ("M4-layer-size-float", "FMT", "size 19.0 is no integer", |d| d["layers"][0]["size"] = json!(19.0)),
        ("M4-layer-size-one-more", "FMT", "a descriptor's size is not the listed one", |d| {
            d["layers"][0]["size"] = json!(20);
        }),
        ("M4-config-size-0", "FMT", "a descriptor's size is not the listed one", |d| d["config"]["size"] = json!(0)),
        ("M3-layer-digest-upper-case", "FMT", "upper-case hex", |d| {
            d["layers"][0]["digest"] = json!(sha256(SALT).to_uppercase().replace("SHA", "sha"));
        }),
        ("M3-layer-digest-line-end", "FMT", "a line end behind the hex", |d| {
            d["layers"][0]["digest"] = json!(sha256(SALT) + "\n");
        }),
        ("M3-layer-digest-other-digits", "FMT", "a full-width digit in the hex", |d| {
            d["layers"][0]["digest"] = json!(sha256(SALT).replacen('0', "\u{ff10}", 1));
        }),
        ("M3-layer-digest-md5", "FMT", "another algorithm", |d| {
            d["layers"][0]["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e");
        }),
        ("M3-layer-digest-path", "FMT", "a path for a digest", |d| {
            d["layers"][0]["digest"] = json!("sha256:../../etc/passwd");
        }),
    ];
    for (name, expect, comment, edit) in cases {
        document(book, name, expect, comment, edit);
    }
}

/// Returns an object without one of its members.
pub fn without(value: &Value, member: &str) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove(member);
    }
    value
}

fn data(book: &mut Book) {
    let with = |data: Value| move |d: &mut Value| d["layers"][0]["data"] = data;
    document(book, "ok-data", "PASS", "data that is the layer's content", with(json!(base64(SALT))));
    document(book, "ok-data-null", "PASS", "null counts as absent", with(json!(null)));
    for (name, expect, comment, value) in [
        (
            "data-of-other-content",
            "INT",
            "data of the right length, of other bytes",
            json!(base64(b"salt of the earth.\n")),
        ),
        ("data-longer", "INT", "data with a byte more", json!(base64(b"Salt of the earth.\n\n"))),
        ("data-empty", "INT", "data of no bytes for a layer of 19", json!("")),
        ("data-without-padding", "INT", "base64 without padding", json!(base64(SALT).trim_end_matches('='))),
        ("data-with-line-end", "INT", "base64 with a line end", json!(base64(SALT) + "\n")),
        (
            "data-with-unused-bits",
            "INT",
            "base64 whose unused bits are not 0",
            json!(base64(SALT).replace("Cg==", "Ch==")),
        ),
        ("data-url-alphabet", "INT", "base64 of another alphabet", json!("_-_-")),
        ("data-number", "FMT", "data is no string", json!(1)),
    ] {
        document(book, name, expect, comment, with(value));
    }
    document(book, "data-of-subject", "INT", "wrong data in subject", |d| {
        d["subject"] = describe(MANIFEST, b"{}");
        d["subject"]["data"] = json!("AAAA");
    });
    let empty = |data: &str| {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut layer = content.put("x/layer", b"");
        layer["data"] = json!(data);
        let root = content.document(&image(&config, &[layer]));
        content.artifact(REPOSITORY, &["1"], &root);
        content.signed()
    };
    let mut content = Content::new();
    let config = content.put(EMPTY, b"{}");
    let mut layer = content.put("x/layer", b"x");
    layer["size"] = json!(true);
    let root = content.document(&image(&config, &[layer]));
    content.artifact(REPOSITORY, &["1"], &root);
    book.add(content.signed(), "M4-layer-size-true", "FMT", "true for the size of a layer of one byte");
    book.add(empty(""), "ok-data-of-empty-blob", "PASS", "data of an empty blob");
    book.add(empty("!!"), "data-of-empty-blob-no-base64", "INT", "data of an empty blob that is no base64");
}

fn identity(book: &mut Book) {
    type Cases = [(&'static str, &'static str, &'static str, fn(&mut Value)); 21];
    let cases: Cases = [
        ("M1-media-type-differs", "FMT", "the document's mediaType is not the artifact's", |m| {
            m["artifacts"][0]["mediaType"] = json!(DOCKER_MANIFEST);
        }),
        ("M1-index-for-manifest", "FMT", "a manifest under an index's type", |m| {
            m["artifacts"][0]["mediaType"] = json!(INDEX);
        }),
        ("M1-media-type-other", "FMT", "an artifact of a type that is no document's", |m| {
            m["artifacts"][0]["mediaType"] = json!("application/json");
        }),
        ("artifact-type-absent", "FMT", "artifactType is the document's, but not listed", |m| {
            m["artifacts"][0] = without(&m["artifacts"][0], "artifactType");
        }),
        ("artifact-type-other", "FMT", "artifactType is not the document's", |m| {
            m["artifacts"][0]["artifactType"] = json!("text/html");
        }),
        ("M7-subject-listed-alone", "FMT", "a subject that the document does not have", |m| {
            m["artifacts"][0]["subject"] = json!(sha256(b"subject"));
        }),
        ("M4-artifact-size-one-more", "FMT", "an artifact's size is not its blob's", |m| {
            m["artifacts"][0]["size"] = json!(387);
        }),
        ("ok-original", "PASS", "original is free", |m| m["artifacts"][0]["original"] = json!(sha256(b"before"))),
        ("ok-source", "PASS", "another source than the repository", |m| {
            m["artifacts"][0]["source"] = json!("quay.example/salt");
        }),
        ("ok-source-port", "PASS", "the repository's path at another port", |m| {
            m["artifacts"][0]["source"] = json!("registry.example:5000/notes/salt");
        }),
        ("source-is-repository", "FMT", "a source that is the repository itself", |m| {
            m["artifacts"][0]["source"] = json!("registry.example/notes/salt");
        }),
        ("source-empty", "FMT", "an empty source is present", |m| m["artifacts"][0]["source"] = json!("")),
        ("source-without-host", "FMT", "a source without a host", |m| {
            m["artifacts"][0]["source"] = json!("notes/salt");
        }),
        ("source-with-tag", "FMT", "a source with a tag", |m| {
            m["artifacts"][0]["source"] = json!("quay.example/salt:1.0");
        }),
        ("source-upper-case", "FMT", "a source with a capital letter", |m| {
            m["artifacts"][0]["source"] = json!("quay.example/Salt");
        }),
        ("source-number", "FMT", "a source that is no text", |m| m["artifacts"][0]["source"] = json!(1)),
        ("source-of-256-bytes", "FMT", "a source of 256 bytes", |m| {
            m["artifacts"][0]["source"] = json!(format!("quay.example/{}", "a".repeat(243)));
        }),
        ("ok-source-of-255-bytes", "PASS", "a source of 255 bytes", |m| {
            m["artifacts"][0]["source"] = json!(format!("quay.example/{}", "a".repeat(242)));
        }),
        ("source-with-digest", "FMT", "a source with a digest", |m| {
            m["artifacts"][0]["source"] = json!(format!("quay.example/salt@{}", sha256(b"before")));
        }),
        ("source-host-alone", "FMT", "a source without a path", |m| {
            m["artifacts"][0]["source"] = json!("quay.example");
        }),
        ("source-array", "FMT", "a list of sources", |m| m["artifacts"][0]["source"] = json!(["quay.example/salt"])),
    ];
    let base = Content::salt();
    for (name, expect, comment, edit) in cases {
        let mut content = base.clone();
        let mut manifest = json!({ "artifacts": content.artifacts });
        edit(&mut manifest);
        content.artifacts = manifest["artifacts"].as_array().cloned().unwrap_or_default();
        book.add(content.signed(), name, expect, comment);
    }
    let former = json!({ "mediaType": ARTIFACT, "artifactType": "x/sig", "blobs": [describe("text/plain", SALT)] });
    let mut content = Content::salt_as(ARTIFACT, former.to_string().as_bytes());
    content.artifacts[0]["artifactType"] = json!("x/sig");
    content.blobs.retain(|(digest, _)| *digest != sha256(b"{}"));
    book.add(content.signed(), "M1-artifact-manifest", "FMT", "an artifact of the type of former artifact manifests");
    for (name, comment, value) in
        [("null", "null counts as none", json!(null)), ("empty", "an empty one counts as none", json!(""))]
    {
        let mut content = Content::salt_with(|d| d["artifactType"] = value);
        content.artifacts[0] = without(&content.artifacts[0], "artifactType");
        book.add(content.signed(), &format!("ok-artifact-type-{name}"), "PASS", comment);
    }
    document(book, "artifact-type-number", "FMT", "a document's artifactType is no string", |d| {
        d["artifactType"] = json!(1);
    });
    let subject = describe(MANIFEST, b"elsewhere");
    let with_subject = |listed: Option<Value>| {
        let mut content = Content::salt_with(|d| d["subject"] = subject.clone());
        if let Some(listed) = listed {
            content.artifacts[0]["subject"] = listed;
        }
        content.signed()
    };
    book.add(
        with_subject(Some(subject["digest"].clone())),
        "ok-M7-subject-not-carried",
        "PASS",
        "a subject need not be carried",
    );
    book.add(with_subject(None), "M7-subject-not-listed", "FMT", "the document's subject is not listed");
    book.add(with_subject(Some(json!(sha256(b"x")))), "M7-subject-other", "FMT", "another subject is listed");
    let sized = Content::salt_with(|d| {
        d["subject"] = subject.clone();
        d["subject"]["size"] = json!(1_u64 << 53);
    });
    let listed = {
        let mut content = sized;
        content.artifacts[0]["subject"] = subject["digest"].clone();
        content
    };
    book.add(listed.signed(), "M4-subject-size", "FMT", "a subject of 2^53 bytes");
}
