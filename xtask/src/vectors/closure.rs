//! Reached, carried and absent content (`spec/closure.md`): rows M1, M4 to M6, M8, M10, M14, M17.
//!
//! Everything here has valid signatures and frames.

use super::Book;
use super::content::{
    ARTIFACT, Content, DOCKER_INDEX, DOCKER_MANIFEST, EMPTY, INDEX, MANIFEST, SALT, describe, image, index, sha256,
};
use super::documents::without;
use serde_json::{Value, json};

const REPOSITORY: &str = "registry.example/notes/salt";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    indexes(book);
    depth(book);
    carried(book);
    absences(book);
}

fn indexes(book: &mut Book) {
    let mut content = Content::new();
    let config = content.put(EMPTY, b"{}");
    let layers: Vec<Value> = [&b"one"[..], b"two"].iter().map(|layer| content.put("x/layer", layer)).collect();
    let children: Vec<Value> =
        layers.iter().map(|layer| content.document(&image(&config, std::slice::from_ref(layer)))).collect();
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut content = content.clone();
        let mut document = index(&children);
        edit(&mut document);
        let media_type = document["mediaType"].as_str().unwrap_or(INDEX).to_owned();
        let root = content.put(&media_type, document.to_string().as_bytes());
        content.artifact(REPOSITORY, &["1"], &root);
        content.signed()
    };
    book.add(with(&|_| ()), "ok-M6-index", "PASS", "an index of two images");
    book.add(
        with(&|d| d["mediaType"] = json!(DOCKER_INDEX)),
        "ok-M14-docker-list-of-oci",
        "PASS",
        "a Docker list of OCI images",
    );
    book.add(
        with(&|d| *d = without(d, "mediaType")),
        "ok-M1-index-without-media-type",
        "PASS",
        "an OCI index may lack mediaType",
    );
    let mut former = content.clone();
    let leaf = former.document(&json!({ "mediaType": ARTIFACT, "artifactType": "x/sig", "blobs": layers }));
    let listing = former.document(&index(&[children.clone(), vec![leaf]].concat()));
    former.artifact(REPOSITORY, &["1"], &listing);
    book.add(
        former.signed(),
        "ok-M14-artifact-manifest-is-a-leaf",
        "PASS",
        "a former artifact manifest listed by an index: a leaf, as any type that is no document's",
    );
    let twice = |d: &mut Value| d["manifests"] = json!(vec![children.clone(); 50].concat());
    book.add(with(&twice), "ok-M5-children-again-and-again", "PASS", "the same two children, 50 times");
    for (name, comment, edit) in [
        ("M1-index-with-config", "an index with config", (|d| d["config"] = describe(EMPTY, b"{}")) as fn(&mut Value)),
        ("M1-index-with-layers", "an index with layers", |d| d["layers"] = json!([])),
        ("M1-index-without-manifests", "an index without manifests", |d| {
            *d = without(d, "manifests");
        }),
        ("M6-child-not-listed", "a third child that is neither carried nor absent", |d| {
            let more = describe(MANIFEST, b"third");
            d["manifests"] = json!([d["manifests"][0], d["manifests"][1], more]);
        }),
        ("M4-child-size-differs", "the same child with two sizes", |d| {
            let mut more = d["manifests"][0].clone();
            more["size"] = json!(5);
            d["manifests"] = json!([d["manifests"][0], d["manifests"][1], more]);
        }),
        ("M1-child-type-differs", "the same child under two document types", |d| {
            let mut more = d["manifests"][0].clone();
            more["mediaType"] = json!(DOCKER_MANIFEST);
            d["manifests"] = json!([d["manifests"][0], d["manifests"][1], more]);
        }),
        ("M10-child-as-leaf", "a child under a type that is no document's: nothing below it is reached", |d| {
            d["manifests"][0]["mediaType"] = json!("application/vnd.buildkit.cacheconfig.v0");
        }),
    ] {
        book.add(with(&edit), name, "FMT", comment);
    }
    docker(book);
}

fn docker(book: &mut Book) {
    let make = |media_type: Option<&str>| {
        let mut content = Content::new();
        let config = content.put("application/vnd.docker.container.image.v1+json", b"{}");
        let mut document = image(&config, &[]);
        document["mediaType"] = json!(media_type);
        if media_type.is_none() {
            document = without(&document, "mediaType");
        }
        let root = content.put(DOCKER_MANIFEST, document.to_string().as_bytes());
        content.artifact(REPOSITORY, &["1"], &root);
        content.signed()
    };
    book.add(make(Some(DOCKER_MANIFEST)), "ok-M14-docker-manifest", "PASS", "a Docker manifest");
    book.add(make(None), "M1-docker-without-media-type", "FMT", "a Docker manifest must have mediaType");
    book.add(make(Some(MANIFEST)), "M1-docker-says-oci", "FMT", "a Docker manifest that calls itself OCI's");
    let mut cache = Content::new();
    let blob = cache.put("application/vnd.buildkit.cacheconfig.v0", b"cache");
    let root = cache.document(&index(&[blob]));
    cache.artifact(REPOSITORY, &["cache"], &root);
    book.add(cache.signed(), "ok-M14-buildkit-cache", "PASS", "a leaf in manifests");
    for (name, comment, null) in
        [("absent", "a manifest without layers", false), ("null", "null counts as absent", true)]
    {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut document = without(&image(&config, &[]), "layers");
        if null {
            document["layers"] = json!(null);
        }
        let root = content.document(&document);
        content.artifact(REPOSITORY, &["1"], &root);
        book.add(content.signed(), &format!("ok-M14-layers-{name}"), "PASS", comment);
    }
    let mut empty = Content::new();
    let root = empty.document(&index(&[]));
    empty.artifact(REPOSITORY, &["none"], &root);
    book.add(empty.signed(), "ok-M14-empty-index", "PASS", "an index without entries");
}

fn depth(book: &mut Book) {
    let chain = |levels: usize| {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut below = content.document(&image(&config, &[]));
        let mut all = vec![below.clone()];
        for _ in 1..levels {
            below = content.document(&index(&[below]));
            all.push(below.clone());
        }
        (content, all)
    };
    for (levels, name, expect) in
        [(8, "ok-M5-8-levels", "PASS"), (9, "M5-9-levels", "FMT"), (60, "M5-60-levels", "FMT")]
    {
        let (mut content, all) = chain(levels);
        content.artifact(REPOSITORY, &["deep"], &all[levels - 1]);
        book.add(content.signed(), name, expect, "indexes within indexes, an image in the innermost");
    }
    // `a/…` comes first and reaches the lower ones from level 1.
    let (mut content, all) = chain(9);
    content.artifact("registry.example/a", &["shallow"], &all[7]).artifact("registry.example/b", &["deep"], &all[8]);
    book.add(
        content.signed(),
        "M5-9-levels-known-before",
        "FMT",
        "too deep from the second artifact, by documents read already",
    );
}

fn carried(book: &mut Book) {
    let spoil = |edit: &dyn Fn(&mut Content)| {
        let mut content = Content::salt();
        edit(&mut content);
        content.signed()
    };
    book.add(spoil(&|c| drop(c.put("x", b"stray"))), "M10-not-referenced", "FMT", "a blob that nothing refers to");
    book.add(spoil(&|c| drop(c.blobs.pop())), "M10-referenced-but-absent", "FMT", "a layer neither carried nor absent");
    book.add(spoil(&|c| c.blobs.reverse()), "ok-blobs-in-another-order", "PASS", "readers accept any order of blobs");
    let mut two = Content::salt();
    let other = two.put("x/layer", b"x");
    let config = two.put(EMPTY, b"{}");
    let mut sized = other.clone();
    sized["size"] = json!(2);
    let root = two.document(&image(&config, &[other.clone(), sized]));
    let mut same = two.clone();
    two.artifact("registry.example/notes/two", &["1"], &root);
    book.add(two.signed(), "M10-two-sizes", "FMT", "one digest with two sizes");
    same.blobs.pop();
    let mut typed = other.clone();
    typed["mediaType"] = json!("x/another");
    let root = same.document(&image(&config, &[other, typed]));
    same.artifact("registry.example/notes/two", &["1"], &root);
    book.add(same.signed(), "ok-M14-leaf-of-two-types", "PASS", "one leaf under two media types");
    let nested = |as_document: bool, layer: bool| {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut inner_content = content.clone();
        let deep = describe("x/layer", b"deep");
        let inner = inner_content.document(&image(&config, std::slice::from_ref(&deep)));
        if layer {
            inner_content.put("x/layer", b"deep");
        }
        let outer = inner_content.document(&image(&config, std::slice::from_ref(&inner)));
        inner_content.artifact(REPOSITORY, &["outer"], &outer);
        if as_document {
            inner_content.artifact(REPOSITORY, &["inner"], &inner);
        }
        inner_content.signed()
    };
    book.add(nested(false, false), "ok-M14-manifest-as-layer", "PASS", "a manifest in layers is a leaf");
    book.add(nested(true, true), "ok-M14-document-and-leaf", "PASS", "one digest as document and as leaf");
    book.add(nested(false, true), "M10-below-a-leaf", "FMT", "what a leaf would refer to is not reached");
    book.add(
        nested(true, false),
        "M10-below-a-document-and-leaf",
        "FMT",
        "a document's layer lacks, though it is a leaf too",
    );
    let large = |size: usize| {
        let mut bytes = Content::salt().blobs[0].1.clone();
        bytes.resize(size, b' ');
        Content::salt_as(MANIFEST, &bytes).signed()
    };
    book.add(large(4 << 20), "ok-M5-document-of-4-mib", "PASS", "the largest document");
    book.add(large((4 << 20) + 1), "M5-document-above-4-mib", "FMT", "a document a byte too large");
    let child = |size: usize| {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut bytes = image(&config, &[]).to_string().into_bytes();
        bytes.resize(size, b' ');
        let child = content.put(MANIFEST, &bytes);
        let root = content.document(&index(&[child]));
        content.artifact(REPOSITORY, &["1"], &root);
        content.signed()
    };
    book.add(child(4 << 20), "ok-M5-child-of-4-mib", "PASS", "the largest document, below an index");
    book.add(child((4 << 20) + 1), "M5-child-above-4-mib", "FMT", "a document a byte too large, below an index");
}

fn absences(book: &mut Book) {
    let layer = json!({ "digest": sha256(SALT), "reason": "base", "size": SALT.len() });
    let lacking = |entry: &Value| {
        let mut content = Content::salt();
        content.blobs.pop();
        content.with("absent", json!([entry]))
    };
    let with = |member: &str, value: Value| {
        let mut entry = layer.clone();
        entry[member] = value;
        lacking(&entry)
    };
    let base = lacking(&layer);
    book.add(base.signed(), "ok-M17-base", "PASS", "a layer that the destination is said to have");
    let bases = base.clone().with("bases", json!([sha256(b"a base")]));
    book.add(bases.signed(), "ok-M17-base-and-its-id", "PASS", "the same with a base's id");
    book.add(
        with("repository", json!("registry.example/notes/old")).signed(),
        "ok-M17-base-in-repository",
        "PASS",
        "where it was delivered",
    );
    book.add(with("reason", json!("foreign")).signed(), "ok-M8-foreign", "PASS", "a foreign layer of any type");
    book.add(with("reason", json!("missing")).signed(), "ok-M17-missing", "PASS", "a layer that could not be had");
    for (name, comment, content) in [
        ("M6-leaf-for-platform", "reason platform for a leaf", with("reason", json!("platform"))),
        ("M17-reason-unknown", "a reason that is none", with("reason", json!("lost"))),
        ("M17-size-differs", "an absent layer of another size", with("size", json!(20))),
        ("M17-size-above", "an absent layer of 2^53 bytes", with("size", json!(1_u64 << 53))),
        ("M17-missing-with-repository", "repository stands with base only", {
            let mut entry = layer.clone();
            entry["reason"] = json!("missing");
            entry["repository"] = json!(REPOSITORY);
            lacking(&entry)
        }),
        ("M17-carried-and-absent", "a layer carried and absent", Content::salt().with("absent", json!([layer]))),
        ("M17-absent-not-referenced", "an absence that nothing refers to", {
            let more = json!({ "digest": sha256(b"x"), "reason": "base", "size": 1 });
            let mut both = vec![layer.clone(), more];
            both.sort_by_key(|entry| entry["digest"].to_string());
            base.clone().with("absent", json!(both))
        }),
        ("M17-absent-twice", "an absence listed twice", base.clone().with("absent", json!([layer, layer]))),
        ("M17-bases-out-of-order", "bases not by bytes", {
            let mut ids = vec![sha256(b"1"), sha256(b"2")];
            ids.sort();
            ids.reverse();
            base.clone().with("bases", json!(ids))
        }),
    ] {
        book.add(content.signed(), name, "FMT", comment);
    }
    sparse(book);
}

fn sparse(book: &mut Book) {
    let make = |reason: &str, also_leaf: bool| {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let kept = content.document(&image(&config, &[]));
        let left = describe(MANIFEST, b"left out");
        let root = content.document(&index(&[kept, left.clone()]));
        content.artifact(REPOSITORY, &["1"], &root);
        if also_leaf {
            let root = content.document(&image(&config, std::slice::from_ref(&left)));
            content.artifact(REPOSITORY, &["leaf"], &root);
        }
        content.with("absent", json!([{ "digest": left["digest"], "reason": reason, "size": left["size"] }])).signed()
    };
    book.add(make("platform", false), "ok-M6-platform", "PASS", "a sparse index");
    book.add(make("missing", false), "ok-M6-missing-child", "PASS", "a child that could not be had");
    book.add(make("missing", true), "ok-M6-missing-as-both", "PASS", "missing, as document and as leaf");
    book.add(make("platform", true), "M6-platform-as-both", "FMT", "left out by platform, but a leaf too");
    book.add(make("base", false), "M17-document-for-base", "FMT", "documents are never in a base");
    book.add(make("base", true), "M17-document-and-leaf-for-base", "FMT", "documents are never in a base");
    book.add(make("foreign", false), "M8-document-for-foreign", "FMT", "documents are never foreign");
    let mut content = Content::salt();
    let document = content.blobs.remove(0);
    let entry = json!({ "digest": document.0, "reason": "missing", "size": document.1.len() });
    let content = content.with("absent", json!([entry]));
    book.add(content.signed(), "M17-artifact-missing", "FMT", "an artifact must be carried");
}
