//! Rules of the manifest (`spec/manifest.md`): rows B6, B7, B9, B10, M3, M4, M11, M12 and S15's
//! bounds.
//!
//! Each manifest here has a valid signature; the volumes are those of the example.

use super::Book;
use super::content::{Built, Content, sha256};
use serde_json::{Value, json};

/// A change of a manifest.
pub type Edit = fn(&mut Value);

/// Returns the example, to be changed.
pub fn base() -> Built {
    Content::salt().packed()
}

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    spelling(book);
    members(book);
    text_members(book);
    channel(book);
}

/// Adds the example several times, each with one change of its manifest.
pub fn edits(book: &mut Book, cases: &[(&str, &'static str, &str, Edit)]) {
    for (name, expect, comment, edit) in cases {
        book.add(base().signed_with(edit), name, expect, comment);
    }
}

/// Removes a member.
pub fn remove(value: &mut Value, member: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(member);
    }
}

/// Adds other spellings of a valid manifest.
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
                m["requires"] = json!(["recipes"]);
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
                m["artifacts"][0]["artifactType"] = json!("");
            }),
            ("B6-artifact-tags-absent", "FMT", "a required array is absent", |m| {
                remove(&mut m["artifacts"][0], "tags");
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
            ("S15-sequence-true", "FMT", "true is no integer", |m| {
                m["channel"] = json!("a");
                m["epoch"] = json!(0);
                m["sequence"] = json!(true);
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
