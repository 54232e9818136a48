//! What a section of a policy allows and demands: repositories, types, limits, epoch, `expires` (`spec/policy.md`,
//! `spec/state.md`). Rows S15 and T2.

use super::Book;
use super::content::{Content, DOCKER_MANIFEST, EMPTY, INDEX, MANIFEST, SALT, describe, image, index};
use super::curve::Key;
use super::desk::{POLICY, at, base, held, more, placed, under};
use super::forms;
use super::frame::{packed, stored};
use super::scene::{Entry, Scene};
use serde_json::{Value, json};

/// The config that makes an image.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Adds them all.
pub fn add(book: &mut Book) {
    repositories(book);
    types(book);
    other_forms(book);
    beside(book);
    limits(book);
    epoch(book);
    expires(book);
    demands(book);
    several(book);
}

fn repositories(book: &mut Book) {
    let list = |patterns: &str| more(&format!("repositories = [{patterns}]"));
    for (name, pattern) in [
        ("exact", "registry.example/notes/salt"),
        ("last-part", "registry.example/notes/*"),
        ("star-over-slash", "registry.example/*"),
        ("star", "*"),
        ("star-first", "*/salt"),
        ("star-within", "registry.example/*/salt"),
        ("star-within-a-word", "reg*try.example/no*alt"),
        ("star-for-nothing", "registry.example/notes/salt*"),
        ("stars-side-by-side", "registry.example/**salt"),
        ("star-as-short-as-needed", "*e*e*e*s*t"),
    ] {
        let comment = format!("{pattern} allows registry.example/notes/salt");
        book.add(base(&list(&json!(pattern).to_string())), &format!("ok-policy-repositories-{name}"), "PASS", &comment);
    }
    for (name, pattern) in [
        ("shorter", "registry.example/notes/sal"),
        ("above", "registry.example/notes"),
        ("slash-last", "registry.example/notes/"),
        ("below", "registry.example/notes/salt/*"),
        ("longer", "registry.example/notes/salt2"),
        ("upper-case", "Registry.example/notes/salt"),
        ("question-mark", "registry.example/notes/sal?"),
        ("class", "registry.example/notes/[s]alt"),
        ("braces", "registry.example/notes/{salt,pepper}"),
        ("dot-is-a-dot", "registry?example/*"),
        ("regular", "registry.example/.*"),
        ("without-host", "notes/salt"),
        ("end-of-host", "example/notes/salt"),
        ("empty", ""),
        ("start-alone", "*/notes"),
        ("end-alone", "notes/*"),
        ("overlap", "registry.example/notes/salt*salt"),
        ("space", "registry.example/notes/salt "),
        ("other-order", "*salt*notes*"),
        ("escaped-star", "registry.example/notes/\\*"),
    ] {
        let comment = format!("{} does not allow registry.example/notes/salt", json!(pattern));
        book.add(base(&list(&json!(pattern).to_string())), &format!("policy-repositories-{name}"), "POLICY", &comment);
    }
    let named = |repositories: &[&str]| {
        let mut content = Content::salt();
        let root = content.artifacts.remove(0);
        for repository in repositories {
            content.artifact(repository, &["1"], &root);
        }
        placed(content, 0, 7)
    };
    let (here, there) = ("registry.example/a/b", "registry.example/c");
    for (name, expect, comment, repositories, patterns) in [
        (
            "looks-like-path",
            "POLICY",
            "notesx is not below notes",
            &["registry.example/notesx/salt"][..],
            "\"registry.example/notes/*\"",
        ),
        (
            "looks-like-host",
            "POLICY",
            "a host that begins like the one allowed",
            &["registry.example.evil/notes"],
            "\"registry.example/*\"",
        ),
        ("other-port", "POLICY", "a port is part of the name", &["registry.example:5000/a"], "\"registry.example/*\""),
        (
            "ok-host-by-star",
            "PASS",
            "a star behind the host allows longer ones",
            &["registry.example.org/notes"],
            "\"registry.example*\"",
        ),
        (
            "ok-one-of-two",
            "PASS",
            "the second pattern allows it",
            &[there],
            "\"registry.example/a/*\", \"registry.example/c\"",
        ),
        (
            "ok-two-by-two",
            "PASS",
            "each is allowed by one of two patterns",
            &[here, there],
            "\"registry.example/a/*\", \"registry.example/c\"",
        ),
        ("one-of-two-not", "POLICY", "the second of two is not allowed", &[here, there], "\"registry.example/a/*\""),
        ("first-of-two-not", "POLICY", "the first of two is not allowed", &[here, there], "\"registry.example/c\""),
    ] {
        let name = name
            .strip_prefix("ok-")
            .map_or_else(|| format!("policy-repositories-{name}"), |name| format!("ok-policy-repositories-{name}"));
        book.add(held(&named(repositories), &[1, 2], &list(patterns)), &name, expect, comment);
    }
}

/// One artifact in the channel.
fn one(edit: impl FnOnce(&mut Content) -> Value) -> Content {
    let mut content = Content::new();
    let root = edit(&mut content);
    content.artifact("registry.example/notes/salt", &["1"], &root);
    placed(content, 0, 7)
}

/// A document with this config, and the members that `edit` sets.
fn document(content: &mut Content, config: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let config = content.put(config, b"{}");
    let layer = content.put("text/plain", SALT);
    let mut document = image(&config, &[layer]);
    edit(&mut document);
    content.document(&document)
}

/// A plain image.
pub fn plain_image(content: &mut Content) -> Value {
    document(content, IMAGE_CONFIG, |_| ())
}

fn types(book: &mut Book) {
    let salt = at(0, 7);
    let typed = |kind: Value| {
        one(|content| {
            let root = document(content, IMAGE_CONFIG, |document| document["artifactType"] = kind);
            let kind = serde_json::from_slice::<Value>(&content.blobs[2].1).unwrap_or_default()["artifactType"].clone();
            if kind.as_str().is_some_and(|kind| !kind.is_empty()) {
                let mut root = root;
                root["artifactType"] = kind;
                return root;
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
    let empty_list = one(|content| content.document(&index(&[])));
    let cases: [(&str, &'static str, &str, &Content, &str); 28] = [
        ("ok-exact", "PASS", "the artifactType is allowed", &salt, "text/plain"),
        ("ok-star", "PASS", "a pattern allows the artifactType", &salt, "text/*"),
        ("other", "POLICY", "the artifactType is not allowed", &salt, "text/html"),
        ("shorter", "POLICY", "the pattern is but the start of the type", &salt, "text/"),
        ("upper-case", "POLICY", "types are compared as they stand", &salt, "Text/Plain"),
        (
            "config-beside-artifact-type",
            "POLICY",
            "the config's type is allowed, the artifactType goes before it",
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
            "ok-artifact-type-of-image",
            "PASS",
            "an image's artifactType goes before its config's type",
            &typed(json!("x/y")),
            "x/y",
        ),
        (
            "artifact-type-of-image",
            "POLICY",
            "an image's artifactType goes before its config's type",
            &typed(json!("x/y")),
            IMAGE_CONFIG,
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

/// The same in the other forms.
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
        stream.entries.iter_mut().for_each(|entry| match entry {
            Entry::File(path, bytes) if path == "salt.tar" => bytes.truncate(bytes.len() - 2048),
            _ => {}
        });
        let comment = format!("{comment}; the stream ends early, behind the manifest");
        book.add(stream, &format!("policy-{name}-before-end-of-stream"), "POLICY", &comment);
    }
    let mut cut = forms::streamed(base(&more("types = [\"text/html\"]")));
    cut.entries.iter_mut().for_each(|entry| match entry {
        Entry::File(path, bytes) if path == "salt.tar" => bytes.truncate(bytes.len() - 1024),
        _ => {}
    });
    book.add(
        cut,
        "policy-types-and-end-of-stream",
        "INT",
        "a forbidden type, and the stream's end lacks: the lowest class",
    );
}

/// A forbidden type beside something else that is wrong.
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

fn limits(book: &mut Book) {
    let bundle = |size: &str| more(&format!("limits = {{ bundle = \"{size}\" }}"));
    let blob = |size: &str| more(&format!("limits = {{ blob = \"{size}\" }}"));
    let total: usize = at(0, 7).blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    let largest = at(0, 7).blobs.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or_default();
    for (name, expect, comment, policy) in [
        ("ok-policy-limit-bundle", "PASS", "just as many bytes as all blobs may have", bundle(&total.to_string())),
        ("policy-limit-bundle", "POLICY", "one byte more than all blobs may have", bundle(&(total - 1).to_string())),
        ("policy-limit-bundle-0", "POLICY", "no byte allowed", bundle("0")),
        ("ok-policy-limit-blob", "PASS", "just as many bytes as one blob may have", blob(&largest.to_string())),
        ("policy-limit-blob", "POLICY", "one byte more than one blob may have", blob(&(largest - 1).to_string())),
        ("policy-limit-blob-0", "POLICY", "no byte allowed", blob("0")),
        ("ok-policy-limit-2-to-64-less-1", "PASS", "the largest limit", bundle("18446744073709551615")),
        ("ok-policy-limit-tib", "PASS", "the largest limit in TiB", blob("16777215TiB")),
        ("ok-policy-limit-leading-zeros", "PASS", "zeros in front of a limit", bundle("0001000")),
        ("ok-policy-limit-bytes", "PASS", "a limit in bytes, with its unit", bundle(&format!("{total}B"))),
        (
            "policy-limit-bytes",
            "POLICY",
            "one byte more than a limit in bytes, with its unit",
            bundle(&format!("{} B", total - 1)),
        ),
    ] {
        book.add(base(&policy), name, expect, comment);
    }
    let sized = |size: usize| {
        one(|content| {
            let config = content.put(EMPTY, b"{}");
            let layer = content.put("x/layer", &vec![b'a'; size]);
            content.document(&image(&config, &[layer]))
        })
    };
    for (unit, size) in [("kB", 1000), ("KB", 1000), ("KiB", 1024)] {
        for (more_than, expect) in [(0, "PASS"), (1, "POLICY")] {
            let name = format!(
                "policy-limit-1-{}",
                if unit == "KB" { "kb-upper-case".to_owned() } else { unit.to_lowercase() }
            );
            let (name, comment) = if more_than == 0 {
                (format!("ok-{name}"), "as many bytes as the unit has")
            } else {
                (name, "one byte more than the unit has")
            };
            book.add(held(&sized(size + more_than), &[1, 2], &blob(&format!("1{unit}"))), &name, expect, comment);
        }
    }
    for (unit, size) in [("MB", 1_000_000), ("MiB", 1 << 20)] {
        let scene = |size| {
            let built = sized(size).lay().each(packed).under(&[Key::of(1), Key::of(2)]);
            under(built.signed(), &blob(&format!("1{unit}")))
        };
        book.add(
            scene(size),
            &format!("ok-policy-limit-1-{}", unit.to_lowercase()),
            "PASS",
            "as many bytes as the unit has",
        );
        book.add(
            scene(size + 1),
            &format!("policy-limit-1-{}", unit.to_lowercase()),
            "POLICY",
            "one byte more than the unit has",
        );
    }
    // What is absent is not carried.
    let absent = one(|content| {
        let config = content.put(EMPTY, b"{}");
        content.document(&image(&config, &[describe("x/layer", b"elsewhere")]))
    });
    let absent = absent
        .with("absent", json!([{ "digest": super::content::sha256(b"elsewhere"), "reason": "missing", "size": 9 }]));
    let carried: usize = absent.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    book.add(
        held(&absent, &[1, 2], &bundle(&carried.to_string())),
        "ok-policy-limit-absent",
        "PASS",
        "what is absent does not count",
    );
}

fn epoch(book: &mut Book) {
    let big = (1_u64 << 53) - 1;
    let with = |epoch: u64| more(&format!("epoch = {epoch}"));
    for (name, expect, comment, bundle, policy, stale) in [
        (
            "ok-S15-epoch-default",
            "PASS",
            "epoch 0, which is the policy's where it names none",
            0,
            POLICY.to_owned(),
            false,
        ),
        ("ok-S15-epoch-0", "PASS", "the policy's epoch", 0, with(0), false),
        ("ok-S15-epoch-1", "PASS", "the policy's epoch", 1, with(1), false),
        ("ok-S15-epoch-largest", "PASS", "the largest epoch there is", big, with(big), false),
        ("S15-epoch-lower", "STALE", "an epoch below the policy's", 0, with(1), false),
        ("S15-epoch-higher", "STALE", "an epoch above the policy's", 2, with(1), false),
        (
            "S15-epoch-not-default",
            "STALE",
            "an epoch above 0, which is the policy's where it names none",
            1,
            POLICY.to_owned(),
            false,
        ),
        (
            "S15-epoch-lower-allowed",
            "STALE",
            "an epoch below the policy's: --allow-stale does not lift it",
            0,
            with(1),
            true,
        ),
        (
            "S15-epoch-higher-allowed",
            "STALE",
            "an epoch above the policy's: --allow-stale does not lift it",
            2,
            with(1),
            true,
        ),
        ("S15-epoch-of-no-bundle", "STALE", "an epoch in the policy that no bundle can have", 0, with(1 << 53), false),
        (
            "S15-epoch-2-to-63-less-1",
            "STALE",
            "the largest epoch that a policy can have",
            0,
            with((1 << 63) - 1),
            false,
        ),
        ("S17-policy-epoch-2-to-63", "USAGE", "an epoch above 2^63 - 1", 0, with(1 << 63), false),
        (
            "S17-policy-epoch-2-to-64",
            "USAGE",
            "an epoch above 2^63 - 1",
            0,
            more("epoch = 18446744073709551616"),
            false,
        ),
    ] {
        let mut scene = held(&at(bundle, 7), &[1, 2], &policy);
        if stale {
            scene.given.options.push("allow-stale");
        }
        book.add(scene, name, expect, comment);
    }
    let no_channel = more("[no_channel]\nkeys = [\"guard\"]");
    book.add(
        held(&Content::salt(), &[2], &no_channel),
        "ok-S15-no-epoch",
        "PASS",
        "a bundle without a channel has no epoch",
    );
}

fn expires(book: &mut Book) {
    let until = |moment: &str| at(0, 7).with("expires", json!(moment));
    let usual = "2026-12-01T00:00:00Z";
    for (name, expect, comment, moment, now, stale) in [
        ("ok-expires-a-second-later", "PASS", "expires one second later", usual, "2026-11-30T23:59:59Z", false),
        ("expires-now", "STALE", "expires at this very second", usual, usual, false),
        ("expires-a-second-ago", "STALE", "expired one second ago", usual, "2026-12-01T00:00:01Z", false),
        ("expires-years-ago", "STALE", "expired years ago", usual, "2036-12-01T00:00:00Z", false),
        (
            "ok-expires-now-allowed",
            "PASS",
            "expires at this very second, which --allow-stale lifts",
            usual,
            usual,
            true,
        ),
        (
            "ok-expires-years-ago-allowed",
            "PASS",
            "expired years ago, which --allow-stale lifts",
            usual,
            "2036-12-01T00:00:00Z",
            true,
        ),
        (
            "ok-expires-last-second",
            "PASS",
            "expires in the last second that there is",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:58Z",
            false,
        ),
        (
            "expires-last-second",
            "STALE",
            "it is the last second that there is",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            false,
        ),
        (
            "expires-before-1970",
            "STALE",
            "expired long before 1970",
            "0001-01-01T00:00:00Z",
            "2026-12-01T00:00:00Z",
            false,
        ),
        (
            "ok-expires-clock-before-1970",
            "PASS",
            "expires in 1969, the clock stands before",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:58Z",
            false,
        ),
        (
            "expires-leap-day",
            "STALE",
            "expired with the leap day",
            "2028-02-29T23:59:59Z",
            "2028-03-01T00:00:00Z",
            false,
        ),
        (
            "ok-expires-leap-day",
            "PASS",
            "expires after the leap day",
            "2028-03-01T00:00:00Z",
            "2028-02-29T23:59:59Z",
            false,
        ),
        (
            "expires-before-created",
            "STALE",
            "expired before it was made, by its own words",
            "2026-11-21T11:59:59Z",
            "2026-11-21T12:00:00Z",
            false,
        ),
    ] {
        let give = |mut scene: Scene| {
            scene.given.time = Some(now.to_owned());
            if stale {
                scene.given.options.push("allow-stale");
            }
            scene
        };
        book.add(give(held(&until(moment), &[1, 2], POLICY)), name, expect, comment);
        if name.contains("second") && !name.contains("last") || name.contains("now") {
            let name = format!("{name}-under-keys");
            book.add(give(until(moment).signed()), &name, expect, &format!("{comment}; under a key alone"));
        }
    }
    let timed = |content: &Content, now: &str, policy: &str| {
        let mut scene = held(content, &[1, 2], policy);
        scene.given.time = Some(now.to_owned());
        scene
    };
    let early = "2020-01-01T00:00:00Z";
    book.add(
        timed(&at(0, 7), early, POLICY),
        "ok-T2-clock-before-created",
        "PASS",
        "the clock stands before the bundle was made",
    );
    book.add(
        timed(&at(0, 7), "9999-12-31T23:59:59Z", POLICY),
        "ok-expires-never",
        "PASS",
        "without expires it does not expire",
    );
    let late = "2027-01-01T00:00:00Z";
    let demanded = more("require = { bundle = [\"expires\"] }");
    book.add(
        timed(&until(usual), early, &demanded),
        "ok-policy-require-expires",
        "PASS",
        "expires is demanded and there",
    );
    book.add(
        timed(&until(usual), late, &demanded),
        "policy-require-expires-expired",
        "STALE",
        "expires is demanded and there, and over",
    );
    book.add(
        timed(&at(0, 7), early, &demanded),
        "policy-require-expires",
        "POLICY",
        "expires is demanded and not there",
    );
    let mut lifted = timed(&at(0, 7), early, &demanded);
    lifted.given.options.push("allow-stale");
    book.add(
        lifted,
        "policy-require-expires-allowed",
        "POLICY",
        "expires is demanded and not there: --allow-stale does not lift it",
    );
    let mut one = held(&until(usual), &[1], POLICY);
    one.given.time = Some(late.to_owned());
    book.add(one, "S18-expired-and-too-few", "TRUST", "expired, and a signature too few: who signed comes first");
    let elsewhere = more("repositories = [\"registry.example/x\"]");
    book.add(
        timed(&until(usual), late, &elsewhere),
        "policy-expired-and-repository",
        "POLICY",
        "expired, and a repository that is not allowed: the section comes first",
    );
    let mut damaged = timed(&until(usual), late, POLICY);
    damaged.edit("0001.tar.zst", |bytes| bytes.truncate(100));
    book.add(damaged, "expires-before-volumes", "STALE", "expired, and a volume is cut: no volume is looked at");
    let mut damaged = timed(&until(usual), late, POLICY);
    damaged.edit("0001.tar.zst", |bytes| bytes.truncate(100));
    damaged.given.options.push("allow-stale");
    book.add(damaged, "expires-allowed-and-damage", "INT", "expired, which --allow-stale lifts, and a volume is cut");
}

fn demands(book: &mut Book) {
    for (name, comment, what) in [
        ("sequence", "a place is demanded, which the bundle has; no state is looked at", "\"sequence\""),
        ("previous", "following is demanded; no state is looked at", "\"previous\""),
        ("twice", "a demand twice", "\"sequence\", \"sequence\""),
    ] {
        let policy = more(&format!("require = {{ bundle = [{what}] }}"));
        book.add(base(&policy), &format!("ok-policy-require-{name}"), "PASS", comment);
    }
}

fn several(book: &mut Book) {
    let place = |epoch: u64| at(epoch, 7);
    let elsewhere = "repositories = [\"registry.example/x\"]";
    for (name, expect, comment, content, signers, lines) in [
        (
            "repository-and-limit",
            "POLICY",
            "a repository and a size that are not allowed",
            place(0),
            &[1, 2][..],
            "limits = { bundle = \"1B\" }",
        ),
        (
            "repository-and-epoch",
            "STALE",
            "a repository that is not allowed, and another epoch: the lowest class",
            place(1),
            &[1, 2],
            "",
        ),
        (
            "repository-and-unknown",
            "POLICY",
            "a repository that is not allowed, and an unknown key",
            place(0),
            &[1, 2, 9],
            "unknown_signatures = \"refuse\"",
        ),
        (
            "repository-and-too-few",
            "TRUST",
            "a repository that is not allowed, and a signature too few",
            place(0),
            &[1],
            "",
        ),
        ("epoch-and-too-few", "TRUST", "another epoch, and a signature too few", place(1), &[2], ""),
        (
            "repository-and-type",
            "POLICY",
            "a repository and a type that are not allowed",
            place(0),
            &[1, 2],
            "types = [\"x/y\"]",
        ),
    ] {
        let policy = more(&format!("{elsewhere}\n{lines}"));
        book.add(held(&content, signers, &policy), &format!("policy-{name}"), expect, comment);
    }
    let mut damaged = base(&more(elsewhere));
    damaged.edit("0001.tar.zst", |bytes| bytes.truncate(100));
    book.add(
        damaged,
        "policy-before-volumes",
        "POLICY",
        "a repository that is not allowed, and a volume is cut: no volume is looked at",
    );
    let broken = place(1).with("x", json!(1));
    book.add(
        held(&broken, &[1, 2], POLICY),
        "policy-after-manifest",
        "FMT",
        "another epoch, and a member too many: the manifest comes first",
    );
}
