//! Document types that a section of a policy allows (`spec/policy.md`, `types`), in every form of a
//! bundle, and together with other faults.

use super::Book;
use super::content::{Content, DOCKER_MANIFEST, EMPTY, INDEX, MANIFEST, SALT, image, index};
use super::curve::Key;
use super::desk::{POLICY, at, base, held, more, placed, under};
use super::forms;
use super::frame::stored;
use super::scene::{Entry, Scene};
use serde_json::{Value, json};

/// Type of an image's config.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    types(book);
    other_forms(book);
    beside(book);
}

/// Returns one artifact in the channel.
pub fn one(edit: impl FnOnce(&mut Content) -> Value) -> Content {
    let mut content = Content::new();
    let root = edit(&mut content);
    content.artifact("registry.example/notes/salt", &["1"], &root);
    placed(content, 0, 7)
}

/// Returns a document with this config and the members that `edit` sets.
fn document(content: &mut Content, config: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let config = content.put(config, b"{}");
    let layer = content.put("text/plain", SALT);
    let mut document = image(&config, &[layer]);
    edit(&mut document);
    content.document(&document)
}

/// Returns a plain image.
pub fn plain_image(content: &mut Content) -> Value {
    document(content, IMAGE_CONFIG, |_| ())
}

fn types(book: &mut Book) {
    let salt = at(0, 7);
    let typed = |kind: Value| {
        one(|content| {
            // The stated type of an artifact must be present and not empty.
            let stated = kind.as_str().filter(|kind| !kind.is_empty()).map(ToOwned::to_owned);
            let mut root = document(content, IMAGE_CONFIG, |document| document["artifactType"] = kind);
            if let Some(stated) = stated {
                root["artifactType"] = json!(stated);
            }
            root
        })
    };
    let docker = one(|content| {
        document(content, "application/vnd.docker.container.image.v1+json", |d| d["mediaType"] = json!(DOCKER_MANIFEST))
    });
    let plain = one(plain_image);
    let list = one(|content| {
        let child = plain_image(content);
        content.document(&index(&[child]))
    });
    let typed_list = one(|content| {
        let child = plain_image(content);
        let mut document = index(&[child]);
        document["artifactType"] = json!("x/list");
        let mut root = content.document(&document);
        root["artifactType"] = json!("x/list");
        root
    });
    let mixed_list = one(|content| {
        let first = plain_image(content);
        let second = document(content, EMPTY, |document| document["artifactType"] = json!("x/y"));
        content.document(&index(&[first, second]))
    });
    let deep_list = one(|content| {
        let child = document(content, EMPTY, |document| document["artifactType"] = json!("x/y"));
        let mut inner = index(&[child]);
        inner["artifactType"] = json!("x/inner");
        let inner = content.document(&inner);
        content.document(&index(&[inner]))
    });
    let other_config = |config: &str, bytes: &[u8], layer: &str| {
        one(|content| {
            let (config, layer) = (content.put(config, bytes), content.put(layer, SALT));
            let mut document = image(&config, &[layer]);
            document["artifactType"] = json!("application/spdx+json");
            let mut root = content.document(&document);
            root["artifactType"] = json!("application/spdx+json");
            root
        })
    };
    let empty_list = one(|content| content.document(&index(&[])));
    let cases: [(&str, &'static str, &str, &Content, &str); 37] = [
        ("ok-exact", "PASS", "the artifactType is allowed", &salt, "text/plain"),
        ("ok-star", "PASS", "a pattern allows the artifactType", &salt, "text/*"),
        ("other", "POLICY", "the artifactType is not allowed", &salt, "text/html"),
        ("shorter", "POLICY", "the pattern is but the start of the type", &salt, "text/"),
        ("upper-case", "POLICY", "types are compared as they stand", &salt, "Text/Plain"),
        (
            "config-beside-artifact-type",
            "POLICY",
            "the config's type is allowed, the artifactType is not",
            &salt,
            "application/vnd.oci.empty.v1+json",
        ),
        ("media-type", "POLICY", "the document's own mediaType is no type of it", &salt, MANIFEST),
        ("ok-config", "PASS", "without artifactType the config's type counts", &plain, IMAGE_CONFIG),
        (
            "config-other",
            "POLICY",
            "without artifactType the config's type counts, which is not allowed",
            &plain,
            "text/plain",
        ),
        ("config-media-type", "POLICY", "the document's own mediaType is no type of it", &plain, MANIFEST),
        ("ok-artifact-type-empty", "PASS", "an empty artifactType is none", &typed(json!("")), IMAGE_CONFIG),
        ("artifact-type-empty", "POLICY", "an empty artifactType is none", &typed(json!("")), "x/y"),
        ("ok-artifact-type-null", "PASS", "artifactType null is none", &typed(json!(null)), IMAGE_CONFIG),
        (
            "artifact-type-of-image-alone",
            "POLICY",
            "an image's artifactType is allowed, its config's type is not",
            &typed(json!("x/y")),
            "x/y",
        ),
        (
            "artifact-type-of-image",
            "POLICY",
            "an image's config's type is allowed, its artifactType is not",
            &typed(json!("x/y")),
            IMAGE_CONFIG,
        ),
        (
            "ok-artifact-type-of-image-and-config",
            "PASS",
            "an image's artifactType is allowed, and its config's type",
            &typed(json!("x/y")),
            "x/y\", \"application/vnd.oci.image.*",
        ),
        (
            "image-as-sbom",
            "POLICY",
            "an image whose artifactType says SPDX, which alone is allowed",
            &typed(json!("application/spdx+json")),
            "application/spdx+json",
        ),
        (
            "chart-as-sbom",
            "POLICY",
            "another config than the empty one beside the artifactType that is allowed",
            &other_config("x/chart", b"{}", "x/y"),
            "application/spdx+json",
        ),
        (
            "full-config-as-empty",
            "POLICY",
            "a config that is empty by its type alone, beside the artifactType that is allowed",
            &other_config(EMPTY, b"{ }", "x/y"),
            "application/spdx+json",
        ),
        (
            "ok-empty-config",
            "PASS",
            "the empty config beside the artifactType that is allowed",
            &other_config(EMPTY, b"{}", "x/y"),
            "application/spdx+json",
        ),
        (
            "config-with-parameter",
            "POLICY",
            "a parameter on the type of an image's config is a part of it",
            &one(|content| document(content, "application/vnd.oci.image.config.v1+json; x=y", |_| ())),
            IMAGE_CONFIG,
        ),
        (
            "image-under-another-config",
            "POLICY",
            "the types of artifact and config are allowed, but its layer makes it an image",
            &other_config("application/spdx+json", b"{ }", "application/vnd.oci.image.layer.v1.tar"),
            "application/spdx+json",
        ),
        (
            "ok-image-under-another-config",
            "PASS",
            "the types of artifact and config are allowed, and images are, too",
            &other_config("application/spdx+json", b"{ }", "application/vnd.oci.image.layer.v1.tar"),
            "application/spdx+json\", \"application/vnd.oci.image.config.v1+json",
        ),
        (
            "ok-void-under-another-config",
            "PASS",
            "its layer would make it an image, but its config says nothing",
            &other_config("application/spdx+json", b"{}", "application/vnd.oci.image.layer.v1.tar"),
            "application/spdx+json",
        ),
        (
            "ok-docker",
            "PASS",
            "the type of a Docker image's config",
            &docker,
            "application/vnd.docker.container.image.*",
        ),
        ("docker", "POLICY", "the type of a Docker image's config", &docker, IMAGE_CONFIG),
        ("ok-index", "PASS", "an index without artifactType has none", &list, IMAGE_CONFIG),
        ("index-media-type", "POLICY", "its child has a type that is not allowed", &list, INDEX),
        ("ok-index-without-children", "PASS", "an empty index has no type at all", &empty_list, "x/y"),
        (
            "index-artifact-type",
            "POLICY",
            "the index has an artifactType that is not allowed",
            &typed_list,
            IMAGE_CONFIG,
        ),
        (
            "index-child",
            "POLICY",
            "the index's artifactType is allowed, its child's type is not",
            &typed_list,
            "x/list",
        ),
        (
            "ok-index-both",
            "PASS",
            "the index's artifactType is allowed and its child's type",
            &typed_list,
            "x/list\", \"application/*",
        ),
        ("index-second-child", "POLICY", "the second child's type is not allowed", &mixed_list, IMAGE_CONFIG),
        ("index-first-child", "POLICY", "the first child's type is not allowed", &mixed_list, "x/y"),
        (
            "ok-index-children",
            "PASS",
            "both children's types are allowed",
            &mixed_list,
            "x/y\", \"application/vnd.oci.image.*",
        ),
        ("index-deep-child", "POLICY", "a child of a child has a type that is not allowed", &deep_list, "x/inner"),
        ("index-inner", "POLICY", "an index in an index has an artifactType that is not allowed", &deep_list, "x/y"),
    ];
    for (name, expect, comment, content, patterns) in cases {
        let name = name
            .strip_prefix("ok-")
            .map_or_else(|| format!("policy-types-{name}"), |name| format!("ok-policy-types-{name}"));
        let policy = more(&format!("types = [\"{patterns}\"]"));
        book.add(held(content, &[1, 2], &policy), &name, expect, comment);
    }
}

/// Adds forbidden types in the other forms.
fn other_forms(book: &mut Book) {
    let keys = [Key::of(1), Key::of(2)];
    for (name, expect, kinds) in [("ok-policy-types", "PASS", "text/plain"), ("policy-types", "POLICY", "text/html")] {
        let policy = more(&format!("types = [\"{kinds}\"]"));
        let stream = forms::streamed(base(&policy));
        book.add(stream, &format!("{name}-in-stream"), expect, "the type of a document that comes in a stream");
        let flat = under(forms::laid_flat(&at(0, 7), &keys), &policy);
        book.add(flat, &format!("{name}-in-flat"), expect, "the type of a document that lies in a file");
    }
    for (name, comment, policy) in [
        ("repository", "a repository that is not allowed", more("repositories = [\"registry.example/x\"]")),
        ("limit", "more bytes than allowed", more("limits = { bundle = \"1B\" }")),
        ("no-section", "no section for this channel", POLICY.replace("channel.apps", "channel.other")),
    ] {
        let mut stream = forms::streamed(base(&policy));
        book.add(stream.clone(), &format!("policy-{name}-in-stream"), "POLICY", &format!("{comment}, in a stream"));
        stream.edit("tar", |bytes| bytes.truncate(bytes.len() - 2048));
        let comment = format!("{comment}; the stream ends early, behind the manifest");
        book.add(stream, &format!("policy-{name}-before-end-of-stream"), "POLICY", &comment);
    }
    let mut cut = forms::streamed(base(&more("types = [\"text/html\"]")));
    cut.edit("tar", |bytes| bytes.truncate(bytes.len() - 1024));
    book.add(
        cut,
        "policy-types-and-end-of-stream",
        "INT",
        "a forbidden type, and the stream's end lacks: the lowest class",
    );
}

/// Adds a forbidden type together with another fault.
fn beside(book: &mut Book) {
    let policy = more("types = [\"text/html\"]");
    let damaged = |edit: &dyn Fn(&mut Scene)| {
        let mut scene = base(&policy);
        edit(&mut scene);
        scene
    };
    let flip = |scene: &mut Scene| scene.edit("0001.tar.zst", |bytes| *bytes.last_mut().unwrap_or(&mut 0) ^= 1);
    book.add(
        damaged(&flip),
        "policy-types-and-damage",
        "INT",
        "a forbidden type, and a damaged frame that is no document's: the lowest class",
    );
    let mut more_blobs = at(0, 7);
    more_blobs.put("text/plain", b"left over");
    let more_blobs = held(&more_blobs, &[1, 2], &policy);
    book.add(
        more_blobs,
        "policy-types-and-closure",
        "FMT",
        "a forbidden type, and a blob that nothing refers to: the closure goes before",
    );
    let built = at(0, 7).lay().each(stored).in_volumes(&[3, 3]);
    let keys = [Key::of(1), Key::of(2)];
    let scene = || under(built.clone().under(&keys).signed(), &policy);
    let mut linked = scene();
    let path = linked.path("0002.tar.zst");
    linked.instead(&path, &[Entry::Link(path.clone(), "elsewhere".to_owned())]);
    book.add(
        linked,
        "policy-types-and-io",
        "POLICY",
        "a forbidden type, and a link in the place of a volume that holds no document: the lowest class",
    );
    let mut linked = scene();
    let path = linked.path("0001.tar.zst");
    linked.instead(&path, &[Entry::Link(path.clone(), "elsewhere".to_owned())]);
    book.add(
        linked,
        "policy-types-not-known",
        "IO",
        "a link in the place of the volume that holds the document: of its type nothing is known",
    );
}
