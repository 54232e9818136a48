//! The manifest's `artifacts` and their names (`spec/manifest.md`): rows M4, M10, M11.
//!
//! Each manifest here has a valid signature; the volumes are those of the example.

use super::Book;
use super::content::{Content, describe, sha256};
use super::manifest::edits;
use serde_json::{Value, json};

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    repositories(book);
    tags(book);
    artifacts(book);
}

fn repositories(book: &mut Book) {
    let long = |length: usize| format!("registry.example/{}", "a".repeat(length - 17));
    let label = |length: usize| format!("{}.example/a", "a".repeat(length));
    let named = |repository: &str| {
        let mut content = Content::salt();
        content.artifacts[0]["repository"] = json!(repository);
        content.signed()
    };
    for (name, repository) in [
        ("localhost", "localhost/a"),
        ("port", "registry.example:5000/a"),
        ("port-of-a-word", "registry:65535/a"),
        ("v6", "[::1]:5000/a/b"),
        ("v6-without-port", "[fe80::1:2]/a"),
        ("v4", "192.0.2.1/a"),
        ("separators", "registry.example/a.b/c_d/e__f/g---h/0"),
        ("short-name-of-docker", "docker.io/alpine"),
        ("of-255-bytes", &long(255)),
        ("label-of-63", &label(63)),
        ("dashes-in-label", "a--b.example/a"),
    ] {
        book.add(
            named(repository),
            &format!("ok-M11-repository-{name}"),
            "PASS",
            "a repository at the bounds of its pattern",
        );
    }
    for (name, repository) in [
        ("dot-env", "registry.example/.env"),
        ("upper-case", "registry.example/A/B"),
        ("of-256-bytes", &long(256)),
        ("dot-dot", "registry.example/.."),
        ("dot-dot-within", "registry.example/a/../b"),
        ("empty-part", "registry.example/a//b"),
        ("slash-last", "registry.example/a/"),
        ("homoglyph", "registry.example/\u{430}pp"),
        ("two-dots", "registry.example/a..b"),
        ("three-underscores", "registry.example/a___b"),
        ("dot-dash", "registry.example/a.-b"),
        ("separator-last", "registry.example/a-"),
        ("without-host", "library/alpine"),
        ("without-path", "registry.example"),
        ("empty", ""),
        ("host-upper-case", "Registry.example/a"),
        ("host-two-dots", "registry..example/a"),
        ("host-dot-last", "registry.example./a"),
        ("host-dash-first", "-registry.example/a"),
        ("host-underscore", "my_registry.example/a"),
        ("label-of-64", &label(64)),
        ("port-0", "registry.example:0/a"),
        ("port-65536", "registry.example:65536/a"),
        ("port-leading-zero", "registry.example:05000/a"),
        ("port-other-digits", "registry.example:\u{665}\u{660}/a"),
        ("port-empty", "registry.example:/a"),
        ("two-ports", "registry.example:1:2/a"),
        ("v6-upper-case", "[FE80::1]/a"),
        ("v6-without-colon", "[12]/a"),
        ("v6-open", "[::1/a"),
        ("v6-zone", "[fe80::1%eth0]/a"),
        ("with-tag", "registry.example/a:1"),
        ("with-scheme", "https://registry.example/a"),
        ("with-line-end", "registry.example/a\n"),
    ] {
        book.add(named(repository), &format!("M11-repository-{name}"), "FMT", "a repository that is none");
    }
}

fn tags(book: &mut Book) {
    let hex = "0".repeat(64);
    let tagged = |tag: &str| {
        let mut content = Content::salt();
        content.artifacts[0]["tags"] = json!([tag]);
        content.signed()
    };
    for (name, tag) in [
        ("one-character", "_"),
        ("of-128", &"t".repeat(128)),
        ("dots-and-dashes", "V1.0-rc_1.."),
        ("cosign", &format!("sha256-{hex}.sig")),
        ("short-hex", &format!("sha256-{}", &hex[1..])),
        ("sha384", &format!("sha384-{hex}")),
        ("upper-case-hex", &format!("sha256-{}", "A".repeat(64))),
        ("long-hex", &format!("sha512-{hex}{}", "0".repeat(57))),
    ] {
        book.add(tagged(tag), &format!("ok-M11-tag-{name}"), "PASS", "a tag at the bounds of its pattern");
    }
    for (name, tag) in [
        ("line-end", "latest\n"),
        ("of-129", &"t".repeat(129)),
        ("dash-first", "-x"),
        ("dot-first", ".x"),
        ("empty", ""),
        ("slash", "a/b"),
        ("colon", "a:b"),
        ("homoglyph", "l\u{430}test"),
        ("fallback", &format!("sha256-{hex}")),
        ("fallback-sha512", &format!("sha512-{hex}")),
    ] {
        book.add(tagged(tag), &format!("M11-tag-{name}"), "FMT", "a tag that is none, or a referrers list's");
    }
    let many = |tags: Value| {
        let mut content = Content::salt();
        content.artifacts[0]["tags"] = tags;
        content.signed()
    };
    book.add(many(json!(["1.0", "1.1", "_", "a"])), "ok-tags-of-one", "PASS", "four tags in order");
    book.add(many(json!([])), "ok-no-tags", "PASS", "an artifact without tags");
    book.add(many(json!(["1.1", "1.0"])), "M11-tags-out-of-order", "FMT", "tags not by bytes");
    book.add(many(json!(["1.0", "1.0"])), "M11-tag-twice", "FMT", "a tag twice in an artifact");
    book.add(many(json!([1])), "M11-tag-number", "FMT", "a tag that is no string");
}

fn artifacts(book: &mut Book) {
    let two = |first: (&str, &[&str]), second: (&str, &[&str])| {
        let mut content = Content::salt();
        let root = content.artifacts.remove(0);
        content.artifact(first.0, first.1, &root).artifact(second.0, second.1, &root);
        content
    };
    let (one, other) = ("registry.example/a", "registry.example/b");
    book.add(
        two((one, &["1"]), (other, &["1"])).signed(),
        "ok-one-document-in-two-repositories",
        "PASS",
        "the same digest twice",
    );
    book.add(
        two((one, &[]), (other, &[])).signed(),
        "ok-untagged-in-two-repositories",
        "PASS",
        "index.json has the same entry twice",
    );
    book.add(two((one, &["1"]), (one, &["2"])).signed(), "M10-artifact-twice", "FMT", "repository and digest twice");
    let swapped = two((one, &["1"]), (other, &["1"])).packed().signed_with(|m| {
        m["artifacts"] = json!([m["artifacts"][1], m["artifacts"][0]]);
    });
    book.add(swapped, "B6-artifacts-out-of-order", "FMT", "artifacts not by repository");
    // As text '.' sorts before '/': a.b.example/c is before a.b/c.
    let dotted = two(("a.b/c", &["1"]), ("a.b.example/c", &["1"]));
    book.add(dotted.signed(), "ok-artifacts-by-bytes", "PASS", "repositories are ordered as whole strings");
    let mut differ = two((one, &["1"]), (other, &["1"]));
    differ.artifacts[1]["artifactType"] = json!("text/html");
    book.add(differ.signed(), "M10-artifacts-differ", "FMT", "one document with two artifactTypes");
    let mut clash = Content::salt();
    let config = clash.blobs[1].1.clone();
    let second = clash.document(&super::content::image(&describe(super::content::EMPTY, &config), &[]));
    clash.artifact("registry.example/notes/salt", &["1.0"], &second);
    let mut apart = clash.clone();
    apart.artifacts[1]["tags"] = json!(["2.0"]);
    book.add(clash.signed(), "M10-tag-of-two", "FMT", "a tag names two artifacts of a repository");
    book.add(apart.signed(), "ok-two-artifacts-in-one-repository", "PASS", "two documents, ordered by digest");
    edits(
        book,
        &[
            ("M10-artifact-not-carried", "FMT", "an artifact that is not among the blobs", |m| {
                m["artifacts"][0]["digest"] = json!(sha256(b"x"));
            }),
            ("M4-artifact-size-0", "FMT", "an artifact of no bytes", |m| m["artifacts"][0]["size"] = json!(0)),
            ("M4-artifact-above-4-mib", "FMT", "an artifact above the limit of a document", |m| {
                m["artifacts"][0]["size"] = json!((4 << 20) + 1);
            }),
            ("M10-blob-twice", "FMT", "a digest twice in blobs", |m| m["blobs"][2] = m["blobs"][1].clone()),
            ("B6-absent-out-of-order", "FMT", "absent not by digest", |m| {
                let entry = |n: u8| json!({"digest": sha256(&[n]), "reason": "base", "size": 1});
                let mut both = vec![entry(1), entry(2)];
                both.sort_by_key(|entry| std::cmp::Reverse(entry["digest"].to_string()));
                m["absent"] = json!(both);
            }),
        ],
    );
}
