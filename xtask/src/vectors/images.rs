//! Documents that are images and must have referrers, whatever their stated type (`spec/policy.md`,
//! Images, `require.except`).

use super::Book;
use super::content::{Content, DOCKER_MANIFEST, EMPTY, SALT, describe, image, index};
use super::desk::{held, more};
use super::kinds::{IMAGE_CONFIG, plain_image};
use super::referrers::{HERE, SPDX, add_one, refer, shelf};
use serde_json::{Value, json};

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    images(book);
    tags(book);
    excepted(book);
}

/// Returns one artifact with this config (type and content) and layers of this type. `edit` can
/// change the document and the entry.
fn alone(config: (&str, &[u8]), layer: &str, edit: &dyn Fn(&mut Value, &mut Value)) -> Content {
    shelf(|content| {
        let config = content.put(config.0, config.1);
        let layer = content.put(layer, SALT);
        let (mut document, mut entry) = (image(&config, &[layer]), json!({}));
        edit(&mut document, &mut entry);
        let mut named = content.document(&document);
        for member in ["artifactType", "subject"] {
            if let Some(value) = entry.get(member) {
                named[member] = value.clone();
            }
        }
        content.artifact(HERE, &["1"], &named);
    })
}

fn images(book: &mut Book) {
    let void = b"{}".as_slice();
    let plain = |config: &str, edit: &dyn Fn(&mut Value, &mut Value)| alone((config, void), "text/plain", edit);
    let docker = "application/vnd.docker.container.image.v1+json";
    let docker_manifest = |document: &mut Value, _: &mut Value| document["mediaType"] = json!(DOCKER_MANIFEST);
    let subject = describe(super::content::MANIFEST, b"elsewhere");
    let typed = |kind: &'static str| {
        move |document: &mut Value, entry: &mut Value| {
            document["artifactType"] = json!(kind);
            entry["artifactType"] = json!(kind);
        }
    };
    let dangling = |document: &mut Value, entry: &mut Value| {
        document["subject"] = subject.clone();
        entry["subject"] = subject["digest"].clone();
    };
    let spdx = "\"application/spdx+json\"";
    for (name, comment, passes, content) in [
        ("no-image", "what has another config is no image", true, plain(EMPTY, &|_, _| ())),
        ("of-docker", "an image as Docker has it", false, plain(docker, &docker_manifest)),
        ("docker-config", "a manifest of OCI with Docker's config is an image", false, plain(docker, &|_, _| ())),
        ("typed-image", "an image with an artifactType is still one", false, plain(IMAGE_CONFIG, &typed("x/y"))),
        (
            "image-typed-as-referrer",
            "an image whose artifactType is what is demanded",
            false,
            plain(IMAGE_CONFIG, &typed(SPDX)),
        ),
        ("typed-as-image", "an artifactType that says image makes none", true, plain(EMPTY, &typed(IMAGE_CONFIG))),
        (
            "longer-config",
            "a config whose type only begins like an image's",
            true,
            plain("application/vnd.oci.image.config.v1+jsonx", &|_, _| ()),
        ),
        (
            "config-with-parameter",
            "a parameter on the config's type",
            false,
            plain("application/vnd.oci.image.config.v1+json; charset=utf-8", &|_, _| ()),
        ),
        (
            "config-with-semicolon",
            "a semicolon behind the config's type",
            false,
            plain("application/vnd.oci.image.config.v1+json;", &|_, _| ()),
        ),
        (
            "config-in-upper-case",
            "the config's type in upper case",
            false,
            plain("Application/VND.OCI.image.config.v1+JSON", &|_, _| ()),
        ),
        (
            "config-with-space",
            "white space around the config's type",
            false,
            plain(&format!(" {docker}\t"), &|_, _| ()),
        ),
        (
            "config-with-kelvin-sign",
            "a letter that only looks like an image's",
            true,
            plain("application/vnd.doc\u{212a}er.container.image.v1+json", &|_, _| ()),
        ),
        ("dangling-subject", "an image with a subject that nobody has", false, plain(IMAGE_CONFIG, &dangling)),
    ] {
        add_one(book, name, comment, passes, spdx, &content);
    }
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let runs = br#"{"rootfs":{"diff_ids":[],"type":"layers"}}"#.as_slice();
    for (name, comment, passes, config, layer) in [
        ("layer-of-image", "another config, and a layer that is a file system's", false, ("x/y", runs), layer),
        (
            "layer-of-docker",
            "another config, and a layer of Docker's",
            false,
            ("x/y", runs),
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
        (
            "layer-with-parameter",
            "a parameter on the layer's type",
            false,
            ("x/y", runs),
            "application/vnd.oci.image.layer.v1.tar;x=y",
        ),
        (
            "layer-in-upper-case",
            "the layer's type in upper case",
            false,
            ("x/y", runs),
            "APPLICATION/vnd.oci.image.Layer.v1.tar",
        ),
        ("layer-beside-void-config", "a layer that is a file system's, and a config of {}", true, (EMPTY, void), layer),
        (
            "layer-beside-empty-type",
            "such a layer, and a config that is empty by its type alone",
            false,
            (EMPTY, runs),
            layer,
        ),
        ("layer-of-another-type", "another config, and a layer of another type", true, ("x/y", runs), "x/z"),
        (
            "config-octet-stream",
            "a config of a type that engines take for an image's",
            false,
            ("application/octet-stream", runs),
            "x/z",
        ),
        (
            "config-json",
            "a config of a type that engines take for an image's",
            false,
            ("application/json", runs),
            "x/z",
        ),
        (
            "config-html",
            "a config of a type that engines take for an image's",
            false,
            ("text/html; charset=utf-8", runs),
            "x/z",
        ),
        ("config-of-no-type", "a config whose type is an empty text", false, ("", runs), "x/z"),
        ("void-config-json", "such a type, and a config of {}", true, ("application/json", void), "x/z"),
    ] {
        add_one(book, name, comment, passes, spdx, &alone(config, layer, &|_, _| ()));
    }
    for (name, comment, passes, content) in [
        ("docker-manifest", "a manifest of Docker's, whatever its config", false, runs),
        ("docker-manifest-void", "a manifest of Docker's with a config of {}", true, void),
    ] {
        add_one(book, name, comment, passes, spdx, &alone(("x/y", content), "x/z", &docker_manifest));
    }
}

/// Adds images with tags: no tag makes an image anything else.
fn tags(book: &mut Book) {
    let hex = "0123456789abcdef".repeat(4);
    for (name, comment, tags) in [
        ("tag-sig", "an image under a tag of cosign's signatures", vec![format!("sha256-{hex}.sig")]),
        ("tag-att", "an image under a tag of cosign's attestations", vec![format!("sha256-{hex}.att")]),
        ("tag-sbom", "an image under a tag of cosign's SBOMs", vec![format!("sha256-{hex}.sbom")]),
        ("tag-beside-sig", "a tag of its own beside cosign's", vec!["1".to_owned(), format!("sha256-{hex}.sig")]),
        ("no-tag", "no tag at all", vec![]),
    ] {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        for (end, of_index) in [("", false), ("-of-index", true)] {
            let content = shelf(|content| {
                let mut root = plain_image(content);
                if of_index {
                    root = content.document(&index(&[root]));
                }
                content.artifact(HERE, &tags, &root);
            });
            add_one(book, &format!("{name}{end}"), comment, false, "\"application/spdx+json\"", &content);
        }
    }
}

/// Adds layers that the policy excepts.
fn excepted(book: &mut Book) {
    let (statement, signature) = ("application/vnd.in-toto+json", "application/vnd.dev.cosign.simplesigning.v1+json");
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layered = |layers: &[&str], in_index: bool| {
        shelf(|content| {
            let config = content.put(IMAGE_CONFIG, b"{}");
            let put = |(at, kind): (usize, &&str)| content.put(kind, format!("layer {at}").as_bytes());
            let layers: Vec<Value> = layers.iter().enumerate().map(put).collect();
            let mut root = content.document(&image(&config, &layers));
            if in_index {
                let other = plain_image(content);
                refer(content, HERE, &other, SPDX);
                root["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
                root = content.document(&index(&[other, root]));
            }
            content.artifact(HERE, &["1"], &root);
        })
    };
    for (name, comment, passes, layers, patterns) in [
        ("named", "its one layer is of a type that is excepted", true, &[statement][..], json!([statement])),
        (
            "by-pattern",
            "its one layer is of a type that a pattern excepts",
            true,
            &[statement],
            json!(["application/vnd.in-toto*"]),
        ),
        (
            "both",
            "each layer is of a type that is excepted",
            true,
            &[statement, signature],
            json!([signature, statement]),
        ),
        (
            "one-of-two",
            "one layer of two is of a type that is excepted",
            false,
            &[statement, signature],
            json!([statement]),
        ),
        ("other", "another type is excepted", false, &[statement], json!([signature])),
        ("nothing", "no type is excepted", false, &[statement], json!([])),
        (
            "upper-case",
            "types are compared as they stand",
            false,
            &["application/vnd.IN-TOTO+json"],
            json!([statement]),
        ),
        ("no-layer", "it has no layer", false, &[], json!(["*"])),
        ("layer", "any type is excepted, but a file system never is", false, &[layer], json!(["*"])),
        (
            "layer-of-two",
            "any type is excepted, but one layer is a file system",
            false,
            &[statement, layer],
            json!(["*"]),
        ),
        (
            "layer-with-parameter",
            "any type is excepted, but a file system never is, whatever its parameter",
            false,
            &["application/vnd.oci.image.layer.v1.tar;x"],
            json!(["*"]),
        ),
    ] {
        for (end, in_index) in [("", false), ("-in-index", true)] {
            let policy = more(&format!("require = {{ referrers = [\"application/spdx+json\"], except = {patterns} }}"));
            let (name, expect) = if passes {
                (format!("ok-policy-except-{name}{end}"), "PASS")
            } else {
                (format!("policy-except-{name}{end}"), "POLICY")
            };
            book.add(held(&layered(layers, in_index), &[1, 2], &policy), &name, expect, comment);
        }
    }
}
