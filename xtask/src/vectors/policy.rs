//! The policy file: its kind, its size and its content (`spec/policy.md`). Rows S4 and S17.
//!
//! The bundle is always valid and signed by both desks.

use super::Book;
use super::curve::Key;
use super::desk::{FILE, POLICY, base, changed, more, pem};
use super::scene::{Entry, Scene};
use serde_json::json;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    files(book);
    bytes(book);
    members(book);
    values(book);
    good(book);
}

/// Returns the valid bundle with the usual policy, with its files changed.
pub fn with(edit: impl FnOnce(&mut Scene)) -> Scene {
    let mut scene = base(POLICY);
    edit(&mut scene);
    scene
}

/// Adds a bundle that is refused because of this policy text.
pub fn refused(book: &mut Book, name: &str, comment: &str, policy: &str) {
    book.add(base(policy), name, "USAGE", comment);
}

fn mode(path: &str, mode: u32) -> Entry {
    Entry::Mode(path.to_owned(), mode)
}

/// Replaces the file by a link to it under another name.
fn linked(scene: &mut Scene, path: &str) {
    let file = scene.entries.iter().find(|entry| matches!(entry, Entry::File(name, _) if name == path)).cloned();
    let Some(Entry::File(_, bytes)) = file else { return };
    scene.instead(
        path,
        &[Entry::File(format!("real-{path}"), bytes), Entry::Link(path.to_owned(), format!("real-{path}"))],
    );
}

/// Replaces the file by a link to it in a new folder.
fn linked_into(scene: &mut Scene, path: &str, folder: &str) {
    let file = scene.entries.iter().find(|entry| matches!(entry, Entry::File(name, _) if name == path)).cloned();
    let Some(Entry::File(_, bytes)) = file else { return };
    let inside = format!("{folder}/{path}");
    scene.instead(
        path,
        &[
            Entry::Directory(folder.to_owned()),
            Entry::File(inside.clone(), bytes),
            Entry::Link(path.to_owned(), inside),
        ],
    );
}

fn files(book: &mut Book) {
    for (path, word) in [(FILE, "policy"), ("1.pem", "key")] {
        let own = path.to_owned();
        let mut add = |end: &str, comment: &str, edit: &dyn Fn(&mut Scene)| {
            book.add(with(|scene| edit(scene)), &format!("S17-{word}-{end}"), "USAGE", comment);
        };
        for (bits, who) in [(0o664, "its group"), (0o646, "others")] {
            add(&format!("link-mode-{bits:04o}"), &format!("a link to a file that {who} can write"), &|scene| {
                linked(scene, path);
                scene.entries.push(mode(&format!("real-{path}"), bits));
            });
        }
        for (bits, who) in [(0o777, "all"), (0o775, "its group"), (0o757, "others")] {
            add(&format!("link-folder-{bits:04o}"), &format!("a link into a folder that {who} can write"), &|scene| {
                linked_into(scene, path, "open");
                scene.entries.push(mode("open", bits));
            });
        }
        add("link-to-itself", "a link to itself", &|scene| {
            scene.instead(path, &[Entry::Link(own.clone(), own.clone())]);
        });
        add("link-to-nothing", "a link to what is not there", &|scene| {
            scene.instead(path, &[Entry::Link(own.clone(), "nothing".to_owned())]);
        });
        add("missing", "it is not there", &|scene| scene.instead(path, &[]));
        add("directory", "a directory in its place", &|scene| {
            scene.instead(path, &[Entry::Directory(own.clone())]);
        });
        add("fifo", "a FIFO in its place", &|scene| scene.instead(path, &[Entry::Fifo(own.clone())]));
        add("empty", "an empty file", &|scene| scene.instead(path, &[Entry::File(own.clone(), Vec::new())]));
        for (bits, who) in
            [(0o664, "its group"), (0o646, "others"), (0o620, "its group"), (0o602, "others"), (0o777, "all")]
        {
            add(&format!("mode-{bits:04o}"), &format!("{who} can write it"), &|scene| {
                scene.entries.push(mode(path, bits));
            });
        }
        let followed = "a link that nobody else can have made";
        book.add(with(|scene| linked(scene, path)), &format!("ok-{word}-link"), "PASS", followed);
        let deep = with(|scene| linked_into(scene, path, "folder"));
        book.add(deep, &format!("ok-{word}-link-folder"), "PASS", "a link into a folder, as mounts of clusters have");
        for bits in [0o600, 0o444, 0o755] {
            let scene = with(|scene| scene.entries.push(mode(path, bits)));
            book.add(scene, &format!("ok-{word}-mode-{bits:04o}"), "PASS", "only its owner can write it");
        }
    }
    let long = |size: u64| with(|scene| scene.entries.push(Entry::Grow(FILE.to_owned(), size)));
    book.add(long((4 << 20) + 1), "S17-policy-above-4-mib", "USAGE", "longer than 4 MiB, by its size (with NUL)");
    book.add(long(1 << 40), "S17-policy-of-1-tib", "USAGE", "a sparse file of 1 TiB, by its size");
    let first = with(|scene| {
        scene.entries.push(mode(FILE, 0o664));
        scene.put("json", b"x");
    });
    book.add(
        first,
        "S17-policy-first",
        "USAGE",
        "others can write it, and the manifest is none: the policy comes first",
    );
    let none = with(|scene| {
        scene.entries.push(mode(FILE, 0o664));
        scene.remove("json");
        scene.remove("sig.json");
    });
    book.add(
        none,
        "S17-policy-before-bundle",
        "USAGE",
        "others can write it, and there is no bundle: the policy comes first",
    );
}

fn bytes(book: &mut Book) {
    refused(book, "S17-policy-crlf", "lines that end in CR LF", &POLICY.replace('\n', "\r\n"));
    refused(book, "S17-policy-carriage-return", "one line that ends in CR LF", &POLICY.replacen('\n', "\r\n", 1));
    refused(book, "S17-policy-byte-order-mark", "a byte order mark in front", &format!("\u{feff}{POLICY}"));
    for (name, comment, tail) in [
        ("not-utf-8", "a byte in a comment that is no UTF-8", &b"# \xff\n"[..]),
        ("surrogate", "a surrogate in a comment", b"# \xed\xa0\x80\n"),
        ("nul", "NUL in a comment", b"# \0\n"),
        ("nul-last", "NUL behind the last line", b"\0"),
    ] {
        let scene = with(|scene| {
            scene.instead(FILE, &[Entry::File(FILE.to_owned(), [POLICY.as_bytes(), tail].concat())]);
        });
        book.add(scene, &format!("S17-policy-{name}"), "USAGE", comment);
    }
    for (name, comment, policy) in [
        ("not-toml", "no TOML", "whoever signs\n".to_owned()),
        ("json", "JSON in place of TOML", json!({"key": {}, "channel": {}}).to_string()),
        ("cut", "cut in the middle of its last line", POLICY[..POLICY.len() - 4].to_owned()),
        ("text-behind", "a word behind a value", changed("role = \"guard\" }", "role = \"guard\" } x")),
        ("unquoted", "a text without quotes", changed("\"guard desk\"", "guard")),
        ("entry-twice", "a key of the file stands twice", changed("guard = {", "release = {")),
        ("section-twice", "a section stands twice", format!("{POLICY}[channel.apps]\nthreshold = 2\n")),
        ("member-twice", "a member of a section stands twice", more("keys = [\"guard\"]")),
        (
            "holder-twice",
            "a member of an entry stands twice",
            changed("holder = \"guard desk\"", "holder = \"a\", holder = \"guard desk\""),
        ),
        ("key-twice-by-spelling", "the same key, quoted and bare", more("\"keys\" = [\"guard\"]")),
        ("table-twice", "the table of keys is opened twice", format!("{POLICY}[key]\n")),
    ] {
        refused(book, &format!("S17-policy-{name}"), comment, &policy);
    }
}

fn members(book: &mut Book) {
    let only_keys = &POLICY[..POLICY.find("\n[channel").unwrap_or_default()];
    let only_channel = &POLICY[POLICY.find("[channel").unwrap_or_default()..];
    for (name, comment, policy) in [
        ("unknown-table", "a table that is not named", more("[keys]\nx = 1")),
        ("unknown-member", "a member of the file that is not named", format!("issue = 1\n{POLICY}")),
        (
            "unknown-in-entry",
            "a member of an entry that is not named",
            changed("role = \"guard\"", "role = \"guard\", email = \"g\""),
        ),
        ("unknown-in-section", "a member of a section that is not named", more("rolls = [\"release\"]")),
        ("unknown-upper-case", "a member of a section in upper case", more("Threshold = 2")),
        ("unknown-in-limits", "a limit that is not named", more("limits = { volume = \"4GiB\" }")),
        ("unknown-in-require", "a demand that is not named", more("require = { annotations = [\"x\"] }")),
        (
            "unknown-in-no-channel",
            "a member of [no_channel] that is not named",
            more("[no_channel]\nkeys = [\"guard\"]\nchannel = \"x\""),
        ),
        ("without-public", "an entry without public", changed("public = \"2.pem\", ", "")),
        ("without-holder", "an entry without holder", changed("holder = \"guard desk\", ", "")),
        ("without-role", "an entry without role", changed(", role = \"guard\"", "")),
        ("without-keys", "a section without keys", changed("keys = [\"release\", \"guard\"]", "threshold = 1")),
        ("without-key-table", "no table of keys", only_channel.to_owned()),
        ("without-entries", "a table of keys without entries", format!("[key]\n{only_channel}")),
        ("without-sections", "no section: every bundle would be refused", only_keys.to_owned()),
        ("empty-channel-table", "no section in the table of channels", format!("{only_keys}[channel]\n")),
        ("no-channel-without-keys", "[no_channel] without keys", more("[no_channel]")),
    ] {
        refused(book, &format!("S17-policy-{name}"), comment, &policy);
    }
}

fn values(book: &mut Book) {
    let no_channel = |lines: &str| more(&format!("[no_channel]\nkeys = [\"guard\"]\n{lines}"));
    for (name, comment, lines) in [
        ("S4-policy-threshold-0", "a threshold that nothing must reach", "threshold = 0"),
        ("S4-policy-threshold-3", "a threshold above the distinct holders", "threshold = 3"),
        ("S4-policy-threshold-negative", "a negative threshold", "threshold = -1"),
        ("S4-policy-threshold-2-to-32-and-1", "a threshold of 2^32 + 1", "threshold = 4294967297"),
        ("S17-policy-threshold-text", "a threshold that is no number", "threshold = \"2\""),
        ("S17-policy-threshold-float", "a threshold that is no integer", "threshold = 2.0"),
        ("S17-policy-threshold-true", "a threshold that is no number", "threshold = true"),
        ("S17-policy-threshold-list", "a threshold that is no number", "threshold = [2]"),
        ("S17-policy-roles-text", "roles that are no list", "roles = \"guard\""),
        ("S17-policy-roles-number", "a role that is no text", "roles = [1]"),
        ("S17-policy-roles-unknown", "a role that no key of the section has", "roles = [\"auditor\"]"),
        (
            "S17-policy-roles-upper-case",
            "a role that no key of the section has: roles are compared as they stand",
            "roles = [\"Guard\"]",
        ),
        ("S17-policy-repositories-text", "repositories that are no list", "repositories = \"registry.example/*\""),
        ("S17-policy-repositories-number", "a pattern that is no text", "repositories = [1]"),
        ("S17-policy-repositories-empty", "no pattern: every bundle would be refused", "repositories = []"),
        ("S17-policy-types-text", "types that are no list", "types = \"*\""),
        ("S17-policy-types-empty", "no pattern: every bundle would be refused", "types = []"),
        ("S17-policy-limits-text", "limits that are no table", "limits = \"1GiB\""),
        ("S17-policy-limits-list", "a list in the place of the table of limits", "limits = [\"1GiB\", \"1GiB\"]"),
        ("S17-policy-limit-number", "a limit that is no text", "limits = { bundle = 1000 }"),
        ("S17-policy-limit-empty", "a limit without digits", "limits = { bundle = \"\" }"),
        ("S17-policy-limit-unit-alone", "a limit without digits", "limits = { blob = \"GiB\" }"),
        ("S17-policy-limit-unit", "a limit in no unit", "limits = { bundle = \"1XiB\" }"),
        ("S17-policy-limit-lower-case", "a limit in no unit", "limits = { bundle = \"1gib\" }"),
        ("S17-policy-limit-negative", "a negative limit", "limits = { blob = \"-1\" }"),
        ("S17-policy-limit-plus", "a limit with a sign", "limits = { blob = \"+1\" }"),
        ("S17-policy-limit-fraction", "a limit with a fraction", "limits = { blob = \"1.5GiB\" }"),
        ("S17-policy-limit-2-to-64", "a limit above 2^64 - 1", "limits = { bundle = \"18446744073709551616\" }"),
        ("S17-policy-limit-overflow", "a limit above 2^64 - 1", "limits = { bundle = \"16777216TiB\" }"),
        ("S17-policy-epoch-negative", "a negative epoch", "epoch = -1"),
        ("S17-policy-epoch-text", "an epoch that is no number", "epoch = \"0\""),
        ("S17-policy-epoch-float", "an epoch that is no integer", "epoch = 0.0"),
        ("S17-policy-require-list", "a list in the place of the table of demands", "require = [[\"expires\"], []]"),
        ("S17-policy-require-text", "a demand that is no list", "require = { bundle = \"expires\" }"),
        ("S17-policy-require-unknown", "a demand that there is not", "require = { bundle = [\"created\"] }"),
        ("S17-policy-require-upper-case", "a demand in upper case", "require = { bundle = [\"Expires\"] }"),
        ("S17-policy-require-tables", "a demand that is no text", "require = { bundle = [{ expires = {} }] }"),
        ("S17-policy-referrers-text", "types of referrers that are no list", "require = { referrers = \"*\" }"),
        ("S17-policy-unknown-word", "a word that there is not", "unknown_signatures = \"hide\""),
        ("S17-policy-unknown-true", "no text", "unknown_signatures = true"),
        ("S17-policy-unknown-as-table", "no text", "unknown_signatures = { refuse = {} }"),
    ] {
        refused(book, name, comment, &more(lines));
    }
    for (name, comment, policy) in [
        ("no-channel-epoch", "[no_channel] with an epoch", no_channel("epoch = 0")),
        ("no-channel-expires", "[no_channel] with require.bundle", no_channel("require = { bundle = [\"expires\"] }")),
        (
            "no-channel-sequence",
            "[no_channel] with require.bundle",
            no_channel("require = { bundle = [\"sequence\"] }"),
        ),
        ("no-channel-empty", "[no_channel] with require.bundle, an empty one", no_channel("require = { bundle = [] }")),
        ("keys-empty", "a section of no keys", changed("[\"release\", \"guard\"]", "[]")),
        ("keys-text", "keys that are no list", changed("[\"release\", \"guard\"]", "\"release\"")),
        ("keys-number", "a name that is no text", changed("[\"release\", \"guard\"]", "[1]")),
        ("keys-unknown", "a name that no entry has", changed("[\"release\", \"guard\"]", "[\"release\", \"guards\"]")),
        (
            "keys-upper-case",
            "a name that no entry has: names are compared as they stand",
            changed("[\"release\", \"guard\"]", "[\"release\", \"Guard\"]"),
        ),
        (
            "keys-file",
            "a file in the place of an entry's name",
            changed("[\"release\", \"guard\"]", "[\"release\", \"2.pem\"]"),
        ),
        ("keys-twice", "a name twice", changed("[\"release\", \"guard\"]", "[\"release\", \"guard\", \"guard\"]")),
        ("holder-empty", "a holder without a name", changed("\"guard desk\"", "\"\"")),
        ("holder-spaces", "a holder without a name", changed("\"guard desk\"", "\"  \"")),
        ("holder-line-end", "a control character in a holder's name", changed("guard desk", "guard\\ndesk")),
        ("holder-number", "a holder that is no text", changed("\"guard desk\"", "2")),
        ("holder-date", "a holder that is no text", changed("\"guard desk\"", "2026-11-21")),
        ("role-empty", "a role without a name", changed("role = \"guard\"", "role = \"\"")),
        ("role-list", "a role that is no text", changed("role = \"guard\"", "role = [\"guard\"]")),
        ("public-empty", "a list of no files", changed("\"2.pem\"", "[]")),
        ("public-number", "no file", changed("\"2.pem\"", "2")),
        ("public-numbers", "a list of no files", changed("\"2.pem\"", "[\"2.pem\", 2]")),
        ("public-table", "no file", changed("\"2.pem\"", "{ file = \"2.pem\" }")),
        (
            "entry-list",
            "a list in the place of an entry",
            changed(
                "{ public = \"2.pem\", holder = \"guard desk\", role = \"guard\" }",
                "[\"2.pem\", \"guard desk\", \"guard\"]",
            ),
        ),
        (
            "entry-text",
            "a file in the place of an entry",
            changed("{ public = \"2.pem\", holder = \"guard desk\", role = \"guard\" }", "\"2.pem\""),
        ),
        ("sections-list", "an array of sections", changed("[channel.apps]", "[[channel.apps]]")),
        ("section-text", "no section", more("[channel]\nother = \"guard\"")),
        ("channel-upper-case", "a name that no channel can have", more("[channel.Apps]\nkeys = [\"guard\"]")),
        (
            "channel-32",
            "a name that no channel can have",
            more(&format!("[channel.{}]\nkeys = [\"guard\"]", "a".repeat(32))),
        ),
        ("channel-empty", "a name that no channel can have", more("[channel.\"\"]\nkeys = [\"guard\"]")),
        ("channel-dash-first", "a name that no channel can have", more("[channel.-a]\nkeys = [\"guard\"]")),
        ("channel-dot", "a name that no channel can have", more("[channel.\"a.b\"]\nkeys = [\"guard\"]")),
        ("channel-star", "a pattern in the place of a channel's name", more("[channel.\"*\"]\nkeys = [\"guard\"]")),
    ] {
        refused(book, &format!("S17-policy-{name}"), comment, &policy);
    }
    let other = more("[channel.other]\nkeys = [\"guards\"]");
    refused(book, "S17-policy-other-section-wrong", "a wrong section that this bundle does not need", &other);
}

fn good(book: &mut Book) {
    let inline = "key.release = { public = [\"1.pem\"], holder = 'release desk', role = \"release\" } # one of a list\n\
                  key.guard.public = \"2.pem\"\nkey.guard.holder = \"\"\"guard desk\"\"\"\nkey.guard.\"role\" = \"gu\\u0061rd\"\n\n\
                  channel = { apps = { keys = [\n  \"release\", # both\n  \"guard\",\n], threshold = 0x2 } }";
    for (name, comment, policy) in [
        (
            "spelled-otherwise",
            "dotted keys, inline tables, other kinds of text, comments, no last line end",
            inline.to_owned(),
        ),
        (
            "everything",
            "every member of a section",
            more(
                "threshold = 2\nroles = [\"release\", \"guard\"]\nrepositories = [\"registry.example/*\"]\ntypes = [\"*\"]\n\
             limits = { bundle = \"1GiB\", blob = \"1 MB\" }\nepoch = 0\nrequire = { bundle = [], referrers = [] }\n\
             unknown_signatures = \"refuse\"\n[no_channel]\nkeys = [\"guard\"]\nrequire = { referrers = [] }\nlimits = {}",
            ),
        ),
        ("empty-lists", "lists that may be empty", more("roles = []\nlimits = {}\nrequire = {}")),
        (
            "channel-31",
            "the longest name of a channel beside",
            more(&format!("[channel.{}]\nkeys = [\"guard\"]", "0".repeat(31))),
        ),
        (
            "entry-of-no-section",
            "an entry that no section names",
            changed(
                "[channel.apps]",
                "spare = { public = \"3.pem\", holder = \"spare\", role = \"x\" }\n[channel.apps]",
            ),
        ),
        (
            "entry-of-any-name",
            "an entry's name with a space and a dot",
            POLICY.replace("guard = {", "\"the guard.\" = {").replace("\"guard\"]", "\"the guard.\"]"),
        ),
        ("role-twice", "a role that is named twice", more("roles = [\"guard\", \"guard\"]")),
        ("no-break-space", "a holder's name beyond ASCII", changed("guard desk", "Wache \u{00fc}ber\u{00a0}Nacht")),
    ] {
        book.add(base(&policy), &format!("ok-policy-{name}"), "PASS", comment);
    }
    let mut literal = base(&changed("\"2.pem\"", "\"$HOME~*.pem\""));
    literal.lay("$HOME~*.pem", pem(&Key::of(2).public).as_bytes());
    book.add(literal, "ok-policy-nothing-expanded", "PASS", "a file's name is what stands there");
    let mut below = base(&POLICY.replace("\"1.pem\"", "\"keys/a.pem\"").replace("\"2.pem\"", "\"../b.pem\""));
    below.instead(FILE, &[]);
    below.entries.push(Entry::Directory("trust".to_owned()));
    below.entries.push(Entry::Directory("trust/keys".to_owned()));
    let text = POLICY.replace("\"1.pem\"", "\"keys/a.pem\"").replace("\"2.pem\"", "\"../b.pem\"");
    below.lay("trust/site.toml", text.as_bytes());
    below.lay("trust/keys/a.pem", pem(&Key::of(1).public).as_bytes());
    below.lay("b.pem", pem(&Key::of(2).public).as_bytes());
    below.given.policy = Some("trust/site.toml".to_owned());
    book.add(below, "ok-policy-names-relative-to-it", "PASS", "names of files are relative to the policy's directory");
    for (size, name, expect, comment) in [
        (64 << 10, "ok-key-of-64-kib", "PASS", "the longest file of a key"),
        ((64 << 10) + 1, "S17-key-above-64-kib", "USAGE", "a key's file of 64 KiB and a byte"),
    ] {
        let mut bytes = pem(&Key::of(1).public).into_bytes();
        bytes.resize(size, b'\n');
        let scene = with(|scene| scene.instead("1.pem", &[Entry::File("1.pem".to_owned(), bytes)]));
        book.add(scene, name, expect, comment);
    }
    let mut spaces = with(|_| ());
    spaces.instead(
        "1.pem",
        &[Entry::File("1.pem".to_owned(), format!("\n {}\n\n", pem(&Key::of(1).public)).into_bytes())],
    );
    book.add(spaces, "ok-key-white-space-around", "PASS", "white space around the block");
}
