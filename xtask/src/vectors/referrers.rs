//! Referrers that every image must have (`spec/policy.md`, `require.referrers`).

use super::Book;
use super::content::{Content, EMPTY, SALT, describe, image};
use super::desk::{POLICY, held, more, placed};
use super::kinds::{IMAGE_CONFIG, plain_image};
use serde_json::{Value, json};

/// Repository of the bundles in these vectors.
pub const HERE: &str = "registry.example/notes/salt";
const THERE: &str = "registry.example/notes/pepper";
/// Required type.
pub const SPDX: &str = "application/spdx+json";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    brought(book);
    said(book);
}

/// Returns a document with this config type.
pub fn document(content: &mut Content, config: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let config = content.put(config, b"{}");
    let layer = content.put("text/plain", SALT);
    let mut document = image(&config, &[layer]);
    edit(&mut document);
    content.document(&document)
}

/// Returns an image that differs from the plain one.
pub fn other_image(content: &mut Content, word: &str) -> Value {
    document(content, IMAGE_CONFIG, |document| document["annotations"] = json!({ "x": word }))
}

/// Adds a document of this artifactType as an artifact that refers to `subject`.
pub fn refer(content: &mut Content, repository: &str, subject: &Value, kind: &str) -> Value {
    refer_with(content, repository, subject, kind, |_| ())
}

/// Like [`refer`], for a document changed by `edit`.
fn refer_with(
    content: &mut Content,
    repository: &str,
    subject: &Value,
    kind: &str,
    edit: impl FnOnce(&mut Value),
) -> Value {
    let root = document(content, EMPTY, |document| {
        document["artifactType"] = json!(kind);
        document["subject"] = subject.clone();
        edit(document);
    });
    let mut entry = root.clone();
    entry["artifactType"] = json!(kind);
    entry["subject"] = subject["digest"].clone();
    content.artifact(repository, &[], &entry);
    root
}

/// Returns a bundle of the channel with the content that `edit` adds.
pub fn shelf(edit: impl FnOnce(&mut Content)) -> Content {
    let mut content = Content::new();
    edit(&mut content);
    placed(content, 0, 7)
}

/// Adds a bundle verified with a policy that requires referrers of these types.
pub fn add_one(book: &mut Book, name: &str, comment: &str, passes: bool, patterns: &str, content: &Content) {
    let policy = more(&format!("require = {{ referrers = [{patterns}] }}"));
    let (name, expect) = if passes {
        (format!("ok-policy-referrers-{name}"), "PASS")
    } else {
        (format!("policy-referrers-{name}"), "POLICY")
    };
    book.add(held(content, &[1, 2], &policy), &name, expect, comment);
}

/// Returns the image and the referrers that `edit` adds.
fn with(edit: impl FnOnce(&mut Content, &Value)) -> Content {
    shelf(|content| {
        let root = plain_image(content);
        content.artifact(HERE, &["1"], &root);
        edit(content, &root);
    })
}

fn brought(book: &mut Book) {
    let bare = with(|_, _| ());
    let one = with(|content, root| {
        refer(content, HERE, root, SPDX);
    });
    let by_config = with(|content, root| {
        let config = content.put(SPDX, b"{}");
        let layer = content.put("text/plain", SALT);
        let mut document = image(&config, &[layer]);
        document["subject"] = root.clone();
        let mut entry = content.document(&document);
        entry["subject"] = root["digest"].clone();
        content.artifact(HERE, &[], &entry);
    });
    let elsewhere = with(|content, root| {
        refer(content, THERE, root, SPDX);
    });
    let both_places = |second: bool| {
        with(|content, root| {
            content.artifact(THERE, &["1"], root);
            let entry = refer(content, HERE, root, SPDX);
            if second {
                let mut entry = entry;
                entry["artifactType"] = json!(SPDX);
                entry["subject"] = root["digest"].clone();
                content.artifact(THERE, &[], &entry);
            }
        })
    };
    let two = |second: bool| {
        with(|content, root| {
            refer(content, HERE, root, SPDX);
            let other = other_image(content, "second");
            content.artifact(HERE, &["2"], &other);
            if second {
                refer(content, HERE, &other, SPDX);
            }
        })
    };
    let signed = with(|content, root| {
        refer(content, HERE, root, SPDX);
        refer(content, HERE, root, "x/signature");
    });
    let deep = with(|content, root| {
        let signature = refer(content, HERE, root, "x/signature");
        refer(content, HERE, &signature, SPDX);
    });
    let spdx = "\"application/spdx+json\"";
    for (name, comment, passes, patterns, content) in [
        ("one", "the image has the referrer", true, spdx, &one),
        ("none", "the image has no referrer", false, spdx, &bare),
        ("none-demanded", "no referrer, and none is demanded", true, "", &bare),
        ("other-type", "the image has a referrer of another type", false, "\"application/spdx\"", &one),
        ("upper-case", "types are compared as they stand", false, "\"application/SPDX+json\"", &one),
        ("by-pattern", "a pattern takes the referrer", true, "\"application/*json\"", &one),
        ("any", "any referrer would do, there is none", false, "\"*\"", &bare),
        ("by-config", "the referrer's type is its config's", true, spdx, &by_config),
        (
            "config-beside-type",
            "the referrer's artifactType goes before its config's type",
            false,
            "\"application/vnd.oci.empty.v1+json\"",
            &one,
        ),
        ("other-repository", "the referrer stands in another repository", false, spdx, &elsewhere),
        (
            "two-repositories",
            "the image stands in two repositories, the referrer in both",
            true,
            spdx,
            &both_places(true),
        ),
        (
            "one-of-two-repositories",
            "the image stands in two repositories, the referrer in one",
            false,
            spdx,
            &both_places(false),
        ),
        ("two-images", "two images, each with its own", true, spdx, &two(true)),
        ("one-of-two-images", "two images, one has the referrer", false, spdx, &two(false)),
        ("both-types", "two types are demanded and there", true, "\"application/spdx+json\", \"x/*\"", &signed),
        ("one-of-two-types", "two types are demanded, one is there", false, "\"application/spdx+json\", \"x/*\"", &one),
        (
            "one-for-two-patterns",
            "one referrer is what two patterns ask for",
            true,
            "\"application/*\", \"*+json\"",
            &one,
        ),
        ("of-referrer", "a referrer of the image's referrer is none of the image's", false, spdx, &deep),
    ] {
        add_one(book, name, comment, passes, patterns, content);
    }
    for (name, expect, signers, content) in [
        ("ok-policy-referrers-no-channel", "PASS", &[2][..], &one),
        ("policy-referrers-no-channel", "POLICY", &[2], &bare),
    ] {
        let mut content = content.clone();
        content.more.clear();
        let policy = format!("{POLICY}[no_channel]\nkeys = [\"guard\"]\nrequire = {{ referrers = [{spdx}] }}\n");
        book.add(held(&content, signers, &policy), name, expect, "the same of a bundle without a channel");
    }
}

/// Adds referrers with different content.
fn said(book: &mut Book) {
    let layers = |layers: &dyn Fn(&mut Content) -> Value| {
        with(|content, root| {
            let layers = layers(content);
            // Blobs that the document does not refer to would be left over.
            refer_with(content, HERE, root, SPDX, |document| document["layers"] = layers);
            let text =
                content.blobs.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect::<Vec<_>>().concat();
            content.blobs.retain(|(digest, _)| {
                text.contains(digest.as_str()) || content.artifacts.iter().any(|entry| entry["digest"] == json!(digest))
            });
        })
    };
    let other = |content: &mut Content| content.put("x/sbom", b"sbom");
    let left_out = |reason: &str, more: bool| {
        let lacking = describe("x/sbom", b"lacking");
        let content = layers(&|content| {
            let mut layers = vec![lacking.clone()];
            layers.extend(more.then(|| other(content)));
            json!(layers)
        });
        content.with("absent", json!([{ "digest": lacking["digest"], "reason": reason, "size": lacking["size"] }]))
    };
    let posing = |edit: &dyn Fn(&mut Value)| {
        with(|content, root| {
            let mut entry = document(content, IMAGE_CONFIG, |document| {
                document["artifactType"] = json!(SPDX);
                document["subject"] = root.clone();
                edit(document);
            });
            refer(content, HERE, &entry, SPDX);
            entry["artifactType"] = json!(SPDX);
            entry["subject"] = root["digest"].clone();
            content.artifact(HERE, &[], &entry);
        })
    };
    for (name, comment, passes, content) in [
        ("without-layers", "the referrer has no layer", false, layers(&|_| json!([]))),
        ("layers-null", "the referrer's layers are null", false, layers(&|_| json!(null))),
        (
            "empty-layer",
            "the referrer's one layer is the empty one, {}",
            false,
            layers(&|content| json!([content.put(EMPTY, b"{}")])),
        ),
        (
            "empty-layer-renamed",
            "the referrer's one layer is {} under another type",
            false,
            layers(&|content| json!([content.put(SPDX, b"{}")])),
        ),
        (
            "empty-layer-of-sha512",
            "the referrer's one layer is {} under its sha512",
            false,
            layers(&|content| {
                let digest = super::content::sha512(b"{}");
                content.put_as(&digest, b"{}");
                json!([{ "digest": digest, "mediaType": SPDX, "size": 2 }])
            }),
        ),
        (
            "layer-of-no-bytes",
            "the referrer's one layer has no bytes",
            false,
            layers(&|content| json!([content.put(SPDX, b"")])),
        ),
        (
            "one-layer-of-two",
            "the referrer's second layer holds something",
            true,
            layers(&|content| json!([content.put(EMPTY, b"{}"), other(content)])),
        ),
        ("layer-missing", "the source did not have the referrer's one layer", false, left_out("missing", false)),
        ("layer-foreign", "the referrer's one layer is foreign and not carried", false, left_out("foreign", false)),
        ("layer-by-base", "a base has delivered the referrer's one layer", true, left_out("base", false)),
        ("layer-missing-of-two", "one of the referrer's two layers is carried", true, left_out("missing", true)),
        ("image-as-referrer", "an image that calls itself an SBOM is no referrer of that type", false, posing(&|_| ())),
    ] {
        add_one(book, name, comment, passes, "\"application/spdx+json\"", &content);
    }
}
