//! Repositories and tags that a section of a policy allows (`spec/policy.md`, `repositories`, `tags`).

use super::Book;
use super::content::{Content, describe};
use super::desk::{base, held, more, placed};
use serde_json::json;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    repositories(book);
    sources(book);
    mounted(book);
    tags(book);
}

/// Adds artifacts under another name than their source's.
fn sources(book: &mut Book) {
    let renamed = |source: &str| {
        let mut content = Content::salt();
        content.artifacts[0]["source"] = json!(source);
        placed(content, 0, 7)
    };
    for (name, expect, comment, source, patterns) in [
        (
            "allowed",
            "PASS",
            "name and source are allowed",
            "quay.example/x",
            "\"registry.example/*\", \"quay.example/*\"",
        ),
        ("by-the-same-pattern", "PASS", "one pattern allows both", "registry.example/x", "\"registry.example/*\""),
        ("not-allowed", "POLICY", "the name is allowed, the source is not", "quay.example/x", "\"registry.example/*\""),
        (
            "name-not-allowed",
            "POLICY",
            "the source is allowed, the name is not",
            "quay.example/x",
            "\"quay.example/*\"",
        ),
        ("neither-allowed", "POLICY", "neither name nor source is allowed", "quay.example/x", "\"docker.io/*\""),
        (
            "host-without-star",
            "POLICY",
            "a pattern of the source's host alone allows no repository of it",
            "quay.example/x",
            "\"registry.example/*\", \"quay.example\"",
        ),
    ] {
        let name = if expect == "PASS" { format!("ok-policy-source-{name}") } else { format!("policy-source-{name}") };
        let policy = more(&format!("repositories = [{patterns}]"));
        book.add(held(&renamed(source), &[1, 2], &policy), &name, expect, comment);
    }
    book.add(
        held(&renamed("quay.example/x"), &[1, 2], &more("")),
        "ok-policy-source-any",
        "PASS",
        "no pattern, any source",
    );
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

/// Adds repositories from which an import would mount base content.
fn mounted(book: &mut Book) {
    let lacking = describe("text/plain", b"delivered earlier");
    let with = |repository: Option<&str>, reason: &str| {
        let mut content = Content::salt_with(|document| {
            document["layers"] = json!([lacking]);
        });
        content.blobs.retain(|(_, bytes)| bytes != super::content::SALT);
        let mut absent = json!({ "digest": lacking["digest"], "reason": reason, "size": lacking["size"] });
        if let Some(repository) = repository {
            absent["repository"] = json!(repository);
        }
        placed(content.with("absent", json!([absent])), 0, 7)
    };
    let only = "\"registry.example/notes/*\"";
    for (name, comment, passes, repository, patterns) in [
        ("mounted", "base content of a repository that is allowed", true, Some("registry.example/notes/base"), only),
        (
            "mounted-own",
            "base content of the artifact's own repository",
            true,
            Some("registry.example/notes/salt"),
            only,
        ),
        ("mounted-nowhere", "base content that names no repository", true, None, only),
        (
            "mounted-by-second-pattern",
            "base content of a repository that the second pattern allows",
            true,
            Some("registry.example/secret/app"),
            "\"registry.example/notes/*\", \"*/secret/*\"",
        ),
        (
            "mounted-not",
            "base content of a repository that is not allowed",
            false,
            Some("registry.example/secret/app"),
            only,
        ),
        (
            "mounted-other-host",
            "base content of another host's repository",
            false,
            Some("other.example/notes/salt"),
            only,
        ),
        (
            "mounted-longer",
            "base content of a repository that only begins like one",
            false,
            Some("registry.example/notesx/salt"),
            only,
        ),
    ] {
        let policy = more(&format!("repositories = [{patterns}]"));
        let (name, expect) = if passes {
            (format!("ok-policy-repositories-{name}"), "PASS")
        } else {
            (format!("policy-repositories-{name}"), "POLICY")
        };
        book.add(held(&with(repository, "base"), &[1, 2], &policy), &name, expect, comment);
    }
    for (name, expect, repository) in [
        ("ok-policy-repositories-mounted-no-channel", "PASS", "registry.example/notes/base"),
        ("policy-repositories-mounted-no-channel", "POLICY", "registry.example/secret/app"),
    ] {
        let mut content = with(Some(repository), "base");
        content.more.retain(|member, _| member == "absent");
        let policy = more(&format!("[no_channel]\nkeys = [\"guard\"]\nrepositories = [{only}]"));
        book.add(held(&content, &[2], &policy), name, expect, "base content of a bundle without a channel");
    }
    let any = held(&with(Some("registry.example/secret/app"), "base"), &[1, 2], &more(""));
    book.add(any, "ok-policy-repositories-mounted-any", "PASS", "base content, and any repository is allowed");
}

fn tags(book: &mut Book) {
    let tagged = |tags: &[&str]| {
        let mut content = Content::salt();
        let root = content.artifacts.remove(0);
        content.artifact("registry.example/notes/salt", tags, &root);
        placed(content, 0, 7)
    };
    for (name, comment, passes, tags, patterns) in [
        ("exact", "the tag is allowed", true, &["1.0"][..], "\"1.0\""),
        ("star", "a pattern allows the tag", true, &["1.0"], "\"1.*\""),
        ("both", "each tag is allowed by one of two patterns", true, &["1.0", "latest"], "\"1.*\", \"latest\""),
        ("none", "an artifact without a tag", true, &[], "\"1.*\""),
        ("other", "the tag is not allowed", false, &["2.0"], "\"1.*\""),
        ("one-of-two", "the second of two tags is not allowed", false, &["1.0", "latest"], "\"1.*\""),
        ("upper-case", "the case of letters counts", false, &["LATEST"], "\"latest\""),
        ("shorter", "the pattern is but the start of the tag", false, &["1.0"], "\"1\""),
    ] {
        let policy = more(&format!("tags = [{patterns}]"));
        let (name, expect) =
            if passes { (format!("ok-policy-tags-{name}"), "PASS") } else { (format!("policy-tags-{name}"), "POLICY") };
        book.add(held(&tagged(tags), &[1, 2], &policy), &name, expect, comment);
    }
    for (name, lines) in [("empty", "tags = []"), ("text", "tags = \"1.0\""), ("number", "tags = [1]")] {
        book.add(
            base(&more(lines)),
            &format!("S17-policy-tags-{name}"),
            "USAGE",
            "tags is a list of patterns, not empty",
        );
    }
}
