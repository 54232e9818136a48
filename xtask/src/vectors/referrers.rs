//! Referrers that every image must bring (`spec/policy.md`, `require.referrers`).

use super::Book;
use super::content::{Content, DOCKER_MANIFEST, EMPTY, SALT, image, index};
use super::desk::{POLICY, held, more, placed};
use super::kinds::{IMAGE_CONFIG, plain_image};
use serde_json::{Value, json};

/// The repository of what is held to the policy.
pub const HERE: &str = "registry.example/notes/salt";
const THERE: &str = "registry.example/notes/pepper";
/// The type that is demanded.
pub const SPDX: &str = "application/spdx+json";

/// Adds them all.
pub fn add(book: &mut Book) {
    brought(book);
    images(book);
    cosign(book);
}

/// A document of this config type.
pub fn document(content: &mut Content, config: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let config = content.put(config, b"{}");
    let layer = content.put("text/plain", SALT);
    let mut document = image(&config, &[layer]);
    edit(&mut document);
    content.document(&document)
}

/// Another image than the plain one.
pub fn other_image(content: &mut Content, word: &str) -> Value {
    document(content, IMAGE_CONFIG, |document| document["annotations"] = json!({ "x": word }))
}

/// Makes a document of this artifactType an artifact that refers to `subject`.
pub fn refer(content: &mut Content, repository: &str, subject: &Value, kind: &str) -> Value {
    let root = document(content, EMPTY, |document| {
        document["artifactType"] = json!(kind);
        document["subject"] = subject.clone();
    });
    let mut entry = root.clone();
    entry["artifactType"] = json!(kind);
    entry["subject"] = subject["digest"].clone();
    content.artifact(repository, &[], &entry);
    root
}

/// A bundle of the channel with what `edit` puts in.
pub fn shelf(edit: impl FnOnce(&mut Content)) -> Content {
    let mut content = Content::new();
    edit(&mut content);
    placed(content, 0, 7)
}

/// Adds one under a policy that demands referrers of these types.
pub fn add_one(book: &mut Book, name: &str, comment: &str, passes: bool, patterns: &str, content: &Content) {
    let policy = more(&format!("require = {{ referrers = [{patterns}] }}"));
    let (name, expect) = if passes {
        (format!("ok-policy-referrers-{name}"), "PASS")
    } else {
        (format!("policy-referrers-{name}"), "POLICY")
    };
    book.add(held(content, &[1, 2], &policy), &name, expect, comment);
}

/// The image and what `edit` has refer to it.
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
        let mut document = image(&config, &[]);
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

fn images(book: &mut Book) {
    let alone = |config: &str, edit: &dyn Fn(&mut Value, &mut Value)| {
        shelf(|content| {
            let mut entry = json!({});
            let root = document(content, config, |document| edit(document, &mut entry));
            let mut named = root;
            for member in ["artifactType", "subject"] {
                if let Some(value) = entry.get(member) {
                    named[member] = value.clone();
                }
            }
            content.artifact(HERE, &["1"], &named);
        })
    };
    let docker = "application/vnd.docker.container.image.v1+json";
    let subject = super::content::describe(super::content::MANIFEST, b"elsewhere");
    let typed = |kind: &'static str| {
        move |document: &mut Value, entry: &mut Value| {
            document["artifactType"] = json!(kind);
            entry["artifactType"] = json!(kind);
        }
    };
    for (name, comment, passes, content) in [
        ("no-image", "what has another config is no image", true, alone(EMPTY, &|_, _| ())),
        (
            "of-docker",
            "an image as Docker has it",
            false,
            alone(docker, &|document, _| document["mediaType"] = json!(DOCKER_MANIFEST)),
        ),
        ("docker-config", "a manifest of OCI with Docker's config is an image", false, alone(docker, &|_, _| ())),
        ("typed-image", "an image with an artifactType is still one", false, alone(IMAGE_CONFIG, &typed("x/y"))),
        ("typed-as-image", "an artifactType that says image makes none", true, alone(EMPTY, &typed(IMAGE_CONFIG))),
        (
            "longer-config",
            "a config whose type only begins like an image's",
            true,
            alone("application/vnd.oci.image.config.v1+jsonx", &|_, _| ()),
        ),
        (
            "with-subject",
            "what has a subject is no image, whatever its config",
            true,
            alone(IMAGE_CONFIG, &|document, entry| {
                document["subject"] = subject.clone();
                entry["subject"] = subject["digest"].clone();
            }),
        ),
    ] {
        add_one(book, name, comment, passes, "\"application/spdx+json\"", &content);
    }
}

fn cosign(book: &mut Book) {
    let hex = "0123456789abcdef".repeat(4);
    let tag = |algorithm: &str, hex: &str, end: &str| format!("{algorithm}-{hex}{end}");
    for (name, comment, passes, tags) in [
        ("tag-sig", "its one tag is a signature's of cosign", true, vec![tag("sha256", &hex, ".sig")]),
        ("tag-att", "its one tag is an attestation's of cosign", true, vec![tag("sha256", &hex, ".att")]),
        ("tag-sbom", "its one tag is an SBOM's of cosign", true, vec![tag("sha256", &hex, ".sbom")]),
        (
            "tags-of-cosign",
            "all of its tags are cosign's",
            true,
            vec![tag("sha256", &hex, ".att"), tag("sha256", &hex, ".sig")],
        ),
        (
            "tag-beside-sig",
            "a tag of its own beside cosign's",
            false,
            vec!["1".to_owned(), tag("sha256", &hex, ".sig")],
        ),
        ("tag-other-end", "another end", false, vec![tag("sha256", &hex, ".sif")]),
        ("tag-end-upper-case", "another end", false, vec![tag("sha256", &hex, ".SIG")]),
        ("tag-longer-end", "another end", false, vec![tag("sha256", &hex, ".sig.1")]),
        ("tag-63-digits", "a digit too few", false, vec![tag("sha256", &hex[1..], ".sig")]),
        ("tag-65-digits", "a digit too many", false, vec![tag("sha256", &format!("{hex}0"), ".sig")]),
        ("tag-upper-case", "digits in upper case", false, vec![tag("sha256", &hex.to_uppercase(), ".sig")]),
        ("tag-sha512", "of another algorithm", false, vec![tag("sha512", &hex, ".sig")]),
        ("no-tag", "no tag at all: an image", false, vec![]),
    ] {
        let content = shelf(|content| {
            let root = plain_image(content);
            content.artifact(HERE, &tags.iter().map(String::as_str).collect::<Vec<_>>(), &root);
        });
        add_one(book, name, comment, passes, "\"application/spdx+json\"", &content);
    }
    let index_of = shelf(|content| {
        let child = plain_image(content);
        let root = content.document(&index(&[child]));
        content.artifact(HERE, &[&tag("sha256", &hex, ".sig")], &root);
    });
    add_one(
        book,
        "tag-sig-of-index",
        "an index whose one tag is cosign's",
        true,
        "\"application/spdx+json\"",
        &index_of,
    );
}
