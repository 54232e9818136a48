//! The manifest's own rules (`spec/manifest.md`): rows B6, B7, B9, B10, M3, M4, M11, M12 and S15's bounds.
//!
//! Each manifest here is rightly signed; the volumes are those of the example.

use super::Book;
use super::content::{Built, Content, describe, sha256, sha512};
use super::frame::packed;
use serde_json::{Value, json};

type Edit = fn(&mut Value);

fn base() -> Built {
    Content::salt().packed()
}

/// Adds them all.
pub fn add(book: &mut Book) {
    spelling(book);
    members(book);
    text_members(book);
    channel(book);
    repositories(book);
    tags(book);
    artifacts(book);
    digests(book);
    sums(book);
}

fn edits(book: &mut Book, cases: &[(&str, &'static str, &str, Edit)]) {
    for (name, expect, comment, edit) in cases {
        book.add(base().signed_with(edit), name, expect, comment);
    }
}

fn remove(value: &mut Value, member: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(member);
    }
}

/// Other spellings of a right manifest.
fn spelling(book: &mut Book) {
    let text = base().manifest().to_string();
    for (name, comment, from, to) in [
        ("space-behind-colon", "white space outside of strings", "\"absent\":", "\"absent\": "),
        ("line-end", "a line end between members", ",\"bases\"", ",\n\"bases\""),
        ("order", "members not in order", "\"absent\":[],\"artifacts\"", "\"artifacts\""),
        (
            "order-in-artifact",
            "members of an artifact not in order",
            "\"size\":386,\"tags\":[\"1.0\"]",
            "\"tags\":[\"1.0\"],\"size\":386",
        ),
        ("number-float", "386.0 for 386", "\"size\":386", "\"size\":386.0"),
        ("number-exponent", "386e0 for 386", "\"size\":386", "\"size\":386e0"),
        ("number-leading-zero", "0386 for 386", "\"size\":386", "\"size\":0386"),
        ("number-plus", "+386 for 386", "\"size\":386", "\"size\":+386"),
        ("escape-slash", "an escaped slash", "registry.example/notes", "registry.example\\/notes"),
        ("escape-letter", "an escaped letter", "\"name\":\"salt\"", "\"name\":\"s\\u0061lt\""),
        ("escape-in-member", "an escaped letter in a member's name", "\"name\":", "\"n\\u0061me\":"),
        ("member-twice", "a member stands twice, equal", "\"name\":\"salt\"", "\"name\":\"salt\",\"name\":\"salt\""),
        ("format-twice", "format stands twice, the first wrong", "\"format\":", "\"format\":\"x\",\"format\":"),
        ("null-member", "an optional member is null", "\"bases\":[],", "\"annotations\":null,\"bases\":[],"),
        ("trailing-comma", "a comma behind the last entry", "\"requires\":[]", "\"requires\":[,]"),
        ("comment", "a comment", "\"requires\":[]", "\"requires\":[]/**/"),
        ("single-quotes", "a string in single quotes", "\"salt\"", "'salt'"),
        ("lone-surrogate", "an escaped lone surrogate", "packmule 0.1.0", "packmule \\ud800"),
    ] {
        assert!(text.contains(from), "{name}: {from}");
        let changed = match name {
            "order" => text.replacen("\"absent\":[],", "", 1).replacen("\"bases\":", "\"absent\":[],\"bases\":", 1),
            _ => text.replacen(from, to, 1),
        };
        book.add(base().signed_as(&changed), &format!("B6-{name}"), "FMT", comment);
    }
    for (name, comment, text) in [
        ("empty-object", "an object without members", "{}".to_owned()),
        ("not-json", "begins and ends as an object, but is none", "{not json}".to_owned()),
        ("two-objects", "two manifests, one behind the other", format!("{text}{text}")),
        ("nesting", "nested more deeply than 8 levels", format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))),
        (
            "nesting-without-end",
            "nested without an end",
            format!("{{\"a\":{}{}}}", "[".repeat(15_000), "]".repeat(15_000)),
        ),
    ] {
        book.add(base().signed_as(&text), &format!("B6-{name}"), "FMT", comment);
    }
    let mut bytes = text.replacen("packmule 0.1.0", "packmule #", 1).into_bytes();
    if let Some(place) = bytes.iter().position(|byte| *byte == b'#') {
        bytes[place] = 0xff;
    }
    book.add(base().signed_bytes(&bytes), "B6-not-utf-8", "FMT", "a byte that is no UTF-8");
}

fn members(book: &mut Book) {
    edits(
        book,
        &[
            ("B6-format-v2", "FMT", "another format", |m| m["format"] = json!("packmule.bundle.v2")),
            ("B6-format-upper-case", "FMT", "another format", |m| m["format"] = json!("packmule.bundle.V1")),
            ("B6-format-absent", "FMT", "no format", |m| remove(m, "format")),
            ("B6-format-number", "FMT", "format is no string", |m| m["format"] = json!(1)),
            ("B6-requires-unknown", "FMT", "needs a feature that no reader of v1 knows", |m| {
                m["requires"] = json!(["recipes"])
            }),
            ("B6-requires-two", "FMT", "needs two features", |m| m["requires"] = json!(["a", "b"])),
            ("B6-requires-no-word", "FMT", "an entry of requires that is no word", |m| m["requires"] = json!(["A b"])),
            ("B6-requires-empty-string", "FMT", "an empty entry of requires", |m| m["requires"] = json!([""])),
            ("B6-requires-number", "FMT", "an entry of requires that is no string", |m| m["requires"] = json!([1])),
            ("B6-requires-string", "FMT", "requires is no array", |m| m["requires"] = json!("recipes")),
            ("B6-requires-absent", "FMT", "a required member is absent", |m| remove(m, "requires")),
            ("B6-requires-and-unknown-member", "FMT", "a later reader's bundle", |m| {
                m["requires"] = json!(["recipes"]);
                m["recipes"] = json!([]);
            }),
            ("B6-unknown-member", "FMT", "an unknown member", |m| m["x"] = json!(1)),
            ("B6-unknown-member-in-artifact", "FMT", "an unknown member", |m| m["artifacts"][0]["x"] = json!(1)),
            ("B6-unknown-member-in-blob", "FMT", "an unknown member", |m| m["blobs"][0]["mediaType"] = json!("x")),
            ("B6-unknown-member-in-frame", "FMT", "an unknown member", |m| m["frames"][0]["offset"] = json!(0)),
            ("B6-unknown-member-in-volume", "FMT", "an unknown member", |m| m["volumes"][0]["name"] = json!("salt")),
            ("B6-absent-absent", "FMT", "a required member is absent", |m| remove(m, "absent")),
            ("B6-bases-null", "FMT", "a required array is null", |m| m["bases"] = json!(null)),
            ("B6-blobs-object", "FMT", "blobs is no array", |m| m["blobs"] = json!({})),
            ("B6-form-absent", "FMT", "no form", |m| remove(m, "form")),
            ("B6-form-unknown", "FMT", "another form", |m| m["form"] = json!("stream")),
            ("B6-form-flat-with-frames", "FMT", "form flat has no frames and volumes", |m| m["form"] = json!("flat")),
            ("B6-name-other", "FMT", "name is not the file's", |m| m["name"] = json!("pepper")),
            ("B6-name-upper-case", "FMT", "name is no NAME", |m| m["name"] = json!("Salt")),
            ("B6-name-absent", "FMT", "no name", |m| remove(m, "name")),
            ("B6-created-absent", "FMT", "no created", |m| remove(m, "created")),
            ("B6-tool-absent", "FMT", "no tool", |m| remove(m, "tool")),
            ("B6-annotations-empty", "FMT", "an optional member is empty", |m| m["annotations"] = json!({})),
            ("B6-annotations-array", "FMT", "annotations is no object", |m| m["annotations"] = json!(["a"])),
            ("B6-annotation-number", "FMT", "an annotation that is no string", |m| m["annotations"] = json!({"a": 1})),
            ("B6-artifacts-empty", "FMT", "no artifact", |m| m["artifacts"] = json!([])),
            ("B6-blobs-empty", "FMT", "no blob", |m| m["blobs"] = json!([])),
            ("B6-artifact-type-empty", "FMT", "an optional member is empty", |m| {
                m["artifacts"][0]["artifactType"] = json!("")
            }),
            ("B6-artifact-tags-absent", "FMT", "a required array is absent", |m| {
                remove(&mut m["artifacts"][0], "tags")
            }),
        ],
    );
}

fn text_members(book: &mut Book) {
    let time = |book: &mut Book, name: &str, expect: &'static str, text: &str| {
        let scene = base().signed_with(|m| m["created"] = json!(text));
        book.add(scene, name, expect, "a time");
    };
    for (name, text) in [
        ("year-0", "0000-01-01T00:00:00Z"),
        ("year-9999", "9999-12-31T23:59:59Z"),
        ("leap-day", "2000-02-29T12:00:00Z"),
        ("old-leap-day", "0000-02-29T00:00:00Z"),
    ] {
        time(book, &format!("ok-time-{name}"), "PASS", text);
    }
    for (name, text) in [
        ("fraction", "2026-11-21T12:00:00.0Z"),
        ("offset", "2026-11-21T12:00:00+00:00"),
        ("lower-case", "2026-11-21t12:00:00z"),
        ("space", "2026-11-21 12:00:00Z"),
        ("no-seconds", "2026-11-21T12:00Z"),
        ("date", "2026-11-21"),
        ("february-30", "2026-02-30T12:00:00Z"),
        ("february-29-of-1900", "1900-02-29T12:00:00Z"),
        ("month-13", "2026-13-01T12:00:00Z"),
        ("day-0", "2026-11-00T12:00:00Z"),
        ("hour-24", "2026-11-21T24:00:00Z"),
        ("minute-60", "2026-11-21T12:60:00Z"),
        ("leap-second", "2016-12-31T23:59:60Z"),
        ("year-of-five-digits", "+12026-11-21T12:00:00Z"),
        ("other-digits", "２026-11-21T12:00:00Z"),
    ] {
        time(book, &format!("B6-time-{name}"), "FMT", text);
    }
    let long = "x".repeat(65_536);
    for (name, expect, comment, key, value) in [
        ("ok-M12-annotation", "PASS", "a plain annotation", "site", "north"),
        ("ok-M12-rtl-override", "PASS", "no control character, but to be escaped when shown", "site", "\u{202e}htron"),
        ("ok-M12-empty-value", "PASS", "an annotation's value may be empty", "site", ""),
        (
            "ok-M12-quote-and-backslash",
            "PASS",
            "what is escaped in a string",
            "si\"t\\e ",
            "a\"b\\c/d\u{2028}\u{1f419}",
        ),
        ("ok-M12-value-of-64-kib", "PASS", "the longest value", "site", &long),
        ("M12-escape", "FMT", "a control character", "site", "\u{1b}[31m"),
        ("M12-nul", "FMT", "a control character", "site", "a\0"),
        ("M12-line-end", "FMT", "a control character", "site", "a\n"),
        ("M12-delete", "FMT", "U+007F", "site", "\u{7f}"),
        ("M12-c1", "FMT", "U+0085", "site", "\u{85}"),
        ("M12-value-too-long", "FMT", "65,537 bytes", "site", &format!("{long}x")),
        ("M12-key-empty", "FMT", "a key without characters", "", "x"),
        ("M12-key-too-long", "FMT", "129 characters", &long[..129], "x"),
        ("M12-key-not-ascii", "FMT", "a key beyond ASCII", "ört", "x"),
        ("M12-key-control", "FMT", "a key with a control character", "a\tb", "x"),
    ] {
        let mut annotations = json!({});
        annotations[key] = json!(value);
        book.add(base().signed_with(|m| m["annotations"] = annotations), name, expect, comment);
    }
    for (name, expect, tool) in [
        ("ok-tool-of-another-version", "PASS", "packmule 99.0.0-rc.1+x (some one's) é"),
        ("ok-tool-of-100-bytes", "PASS", &format!("packmule {}", "9".repeat(91))),
        ("B6-tool-of-101-bytes", "FMT", &format!("packmule {}", "9".repeat(92))),
        ("B6-tool-other", "FMT", "mulepack 1"),
        ("B6-tool-without-version", "FMT", "packmule "),
        ("B6-tool-control", "FMT", "packmule 1\u{9b}"),
    ] {
        book.add(base().signed_with(|m| m["tool"] = json!(tool)), name, expect, "the writer's name");
    }
    for (name, expect, text) in [
        ("ok-artifact-type-of-255-bytes", "PASS", "t".repeat(255)),
        ("M12-artifact-type-of-256-bytes", "FMT", "t".repeat(256)),
        ("M12-artifact-type-control", "FMT", "text/\u{7f}".to_owned()),
    ] {
        let mut content = Content::salt_with(|d| d["artifactType"] = json!(text));
        content.artifacts[0]["artifactType"] = json!(text);
        book.add(content.signed(), name, expect, "an artifactType");
    }
}

fn channel(book: &mut Book) {
    const MOST: u64 = (1 << 53) - 1;
    edits(
        book,
        &[
            ("ok-channel", "PASS", "a channel with all its members; no policy asks for an order", |m| {
                m["channel"] = json!("stable-1_x");
                m["epoch"] = json!(0);
                m["expires"] = json!("9999-12-31T23:59:59Z");
                m["previous"] = json!(sha256(b"before"));
                m["sequence"] = json!(MOST);
            }),
            ("ok-channel-alone", "PASS", "a channel without previous and expires", |m| {
                m["channel"] = json!("a");
                m["epoch"] = json!(MOST);
                m["sequence"] = json!(0);
            }),
            ("S15-sequence-2-to-the-53", "FMT", "sequence above 2^53 - 1", |m| {
                m["channel"] = json!("a");
                m["epoch"] = json!(0);
                m["sequence"] = json!(MOST + 1);
            }),
            ("S15-epoch-2-to-the-53", "FMT", "epoch above 2^53 - 1", |m| {
                m["channel"] = json!("a");
                m["epoch"] = json!(MOST + 1);
                m["sequence"] = json!(1);
            }),
            ("S15-channel-without-epoch", "FMT", "epoch stands with channel", |m| {
                m["channel"] = json!("a");
                m["sequence"] = json!(1);
            }),
            ("S15-channel-without-sequence", "FMT", "sequence stands with channel", |m| {
                m["channel"] = json!("a");
                m["epoch"] = json!(0);
            }),
            ("S15-epoch-without-channel", "FMT", "epoch stands with channel only", |m| m["epoch"] = json!(0)),
            ("S15-sequence-without-channel", "FMT", "sequence stands with channel only", |m| m["sequence"] = json!(1)),
            ("S15-expires-without-channel", "FMT", "expires stands with channel only", |m| {
                m["expires"] = json!("9999-12-31T23:59:59Z");
            }),
            ("S15-previous-without-channel", "FMT", "previous stands with channel only", |m| {
                m["previous"] = json!(sha256(b"before"));
            }),
            ("S15-sequence-negative", "FMT", "a sequence below 0", |m| {
                m["channel"] = json!("a");
                m["epoch"] = json!(0);
                m["sequence"] = json!(-1);
            }),
        ],
    );
    for (name, channel) in [
        ("empty", ""),
        ("upper-case", "Stable"),
        ("dash-first", "-a"),
        ("dot", "a.b"),
        ("of-32", &"a".repeat(32)),
        ("slash", "../a"),
    ] {
        let scene = base().signed_with(|m| {
            m["channel"] = json!(channel);
            m["epoch"] = json!(0);
            m["sequence"] = json!(1);
        });
        book.add(scene, &format!("S15-channel-{name}"), "FMT", "a channel that is no word");
    }
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
    // As text '.' stands before '/': a.b.example/c is before a.b/c.
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

fn digests(book: &mut Book) {
    let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    for (name, digest) in [
        ("upper-case", format!("sha256:{}", hex.to_uppercase())),
        ("63-digits", format!("sha256:{}", &hex[1..])),
        ("65-digits", format!("sha256:{hex}0")),
        ("path", "sha256:../../etc/passwd".to_owned()),
        ("md5", "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        ("sha384", format!("sha384:{hex}{}", &hex[..32])),
        ("blake3", format!("blake3:{hex}")),
        ("sha512-of-64-digits", format!("sha512:{hex}")),
        ("without-algorithm", hex.to_owned()),
        ("algorithm-upper-case", format!("SHA256:{hex}")),
        ("space", format!("sha256: {}", &hex[1..])),
    ] {
        let scene = base().signed_with(|m| m["blobs"][1]["digest"] = json!(digest));
        book.add(scene, &format!("M3-digest-{name}"), "FMT", "a digest that is none, or of an unknown algorithm");
    }
    let long = json!(sha512(b"x"));
    let cases: [(&str, fn(&mut Value, Value)); 4] = [
        ("frame", |m, long| m["frames"][0]["digest"] = long),
        ("volume", |m, long| m["volumes"][0]["digest"] = long),
        ("base", |m, long| m["bases"] = json!([long])),
        ("previous", |m, long| {
            m["channel"] = json!("a");
            m["epoch"] = json!(0);
            m["sequence"] = json!(1);
            m["previous"] = long;
        }),
    ];
    for (name, edit) in cases {
        let scene = base().signed_with(|m| edit(m, long.clone()));
        book.add(scene, &format!("M3-sha512-of-{name}"), "FMT", "frames, volumes and bundles have sha256 digests");
    }
}

fn sums(book: &mut Book) {
    let numbers = [
        ("0", json!(0)),
        ("2-to-the-31", json!(1_u64 << 31)),
        ("2-to-the-53", json!(1_u64 << 53)),
        ("2-to-the-63", json!(1_u64 << 63)),
        ("most", json!(u64::MAX)),
        ("negative", json!(-1)),
    ];
    for (place, member) in [("frames", "plain"), ("frames", "size"), ("volumes", "size"), ("volumes", "frames")] {
        for (name, number) in &numbers {
            let scene = base().signed_with(|m| m[place][0][member] = number.clone());
            book.add(scene, &format!("B7-{place}-{member}-{name}"), "FMT", "a number that no sum allows");
        }
        let scene = base().signed_with(|m| m[place][0][member] = json!(m[place][0][member].as_u64().unwrap_or(0) + 1));
        book.add(scene, &format!("B7-{place}-{member}-one-more"), "FMT", "a number that no sum allows");
    }
    for (name, number) in &numbers[1..] {
        let scene = base().signed_with(|m| m["blobs"][2]["size"] = number.clone());
        book.add(scene, &format!("M4-blob-size-{name}"), "FMT", "a blob's size that no sum allows");
    }
    edits(
        book,
        &[
            ("M4-blob-size-0", "FMT", "a size of 0 for a blob of 19 bytes, the sums not made to fit", |m| {
                m["blobs"][2]["size"] = json!(0)
            }),
            ("M4-blob-size-one-more", "FMT", "20 for 19: the stream is as long, but the descriptor says 19", |m| {
                m["blobs"][2]["size"] = json!(20)
            }),
            ("M4-blob-size-one-less", "FMT", "18 for 19: the stream is as long, but the descriptor says 19", |m| {
                m["blobs"][2]["size"] = json!(18)
            }),
            ("B10-blob-sizes-overflow", "FMT", "sizes that add up to more than 64 bits in blocks of 512", |m| {
                for blob in 0..3 {
                    m["blobs"][blob]["size"] = json!((1_u64 << 53) - 1);
                }
            }),
            ("B9-frame-listed-twice", "FMT", "a frame is listed twice", |m| {
                m["frames"] = json!([m["frames"][0], m["frames"][0], m["frames"][1]]);
                m["volumes"][0]["frames"] = json!(3);
            }),
            ("B9-frame-not-listed", "FMT", "the end is not listed", |m| {
                m["frames"] = json!([m["frames"][0]]);
                m["volumes"][0]["frames"] = json!(1);
            }),
            ("B9-frames-swapped", "FMT", "the end stands first", |m| {
                m["frames"] = json!([m["frames"][1], m["frames"][0]])
            }),
            ("B9-frames-empty", "FMT", "no frames", |m| m["frames"] = json!([])),
            ("B9-volumes-empty", "FMT", "no volumes", |m| m["volumes"] = json!([])),
            ("B9-frame-without-plain", "FMT", "an entry without plain", |m| remove(&mut m["frames"][1], "plain")),
            ("B9-frame-size-without-digest", "FMT", "a packed frame must have a digest", |m| {
                remove(&mut m["frames"][0], "digest")
            }),
            ("B9-frame-empty", "FMT", "an entry without members", |m| m["frames"][1] = json!({})),
            ("B10-volume-of-no-frames", "FMT", "a second volume without frames", |m| {
                let empty = json!({"digest": sha256(b""), "frames": 0, "size": 0});
                m["volumes"] = json!([m["volumes"][0], empty]);
            }),
            ("B10-volume-sizes-swapped", "FMT", "the sum is right, each volume's size is not", |m| {
                let size = m["volumes"][0]["size"].as_u64().unwrap_or(0);
                m["volumes"] = json!([
                    {"digest": sha256(b"1"), "frames": 1, "size": 1041},
                    {"digest": sha256(b"2"), "frames": 1, "size": size - 1041},
                ]);
            }),
        ],
    );
    let salt = Content::salt().lay();
    let misplaced: [(&str, &[usize], &str); 3] = [
        ("end-and-start", &[1500, 3620], "a frame holds the end of one member and the start of the next"),
        ("members-and-start", &[2100, 3020], "a frame holds two members and the start of a third"),
        ("part-and-next", &[1024, 512, 1024, 2560], "a frame holds the rest of a member and the next one"),
    ];
    for (name, lengths, comment) in misplaced {
        book.add(salt.cut(lengths, packed).signed(), &format!("B9-cut-{name}"), "FMT", comment);
    }
    ends(book);
}

fn ends(book: &mut Book) {
    let salt = Content::salt().lay();
    let mut with_end = salt.clone();
    let last = with_end.members.len() - 1;
    with_end.members[last].extend([0; 512]);
    with_end.end.truncate(512);
    book.add(with_end.each(packed).signed(), "B9-end-cut", "FMT", "half of the end in the frame before");
    let mut packed_end = salt.built(packed);
    packed_end.frames[1] = packed(&[0; 1024]);
    book.add(packed_end.signed(), "B9-end-packed", "FMT", "the end is not stored");
    let mut two_ends = salt.built(packed);
    two_ends.frames.truncate(1);
    two_ends.frames.extend([super::frame::stored(&[0; 512]), super::frame::stored(&[0; 512])]);
    book.add(two_ends.in_volumes(&[3]).signed(), "B9-end-of-two-frames", "FMT", "the end in two frames");
    let mut long = salt.built(packed);
    let rest: usize = 10_240 - salt.plain().len();
    long.frames[1] = super::frame::stored(&vec![0; rest]);
    book.add(long.signed(), "B9-end-filled-to-a-record", "FMT", "the end filled as GNU tar does");
    let mut none = salt.built(packed);
    none.frames.truncate(1);
    book.add(none.in_volumes(&[1]).signed(), "B9-no-end", "FMT", "a stream without an end");
    let fat = salt.each(packed).signed_with(|m| {
        let plain = m["frames"][2]["plain"].as_u64().unwrap_or(0);
        m["frames"][2]["size"] = json!(14 + plain + 3);
        let rest: u64 = m["volumes"][0]["size"].as_u64().unwrap_or(0);
        m["volumes"][0]["size"] = json!(rest + 14 + plain + 3);
    });
    book.add(fat, "B7-packed-as-large-as-stored", "FMT", "a packed frame that is not smaller than the stored one");
}
