//! Repositories that a section of a policy allows (`spec/policy.md`, `repositories`).

use super::Book;
use super::content::Content;
use super::desk::{base, held, more, placed};
use serde_json::json;

/// Adds them all.
pub fn add(book: &mut Book) {
    repositories(book);
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
