//! The epoch of a channel, `expires`, and requirements of a policy section (`spec/policy.md`,
//! `spec/state.md`); several faults at once. Rows S15 and T2.

use super::Book;
use super::content::Content;
use super::desk::{POLICY, at, base, held, more};
use super::scene::Scene;
use serde_json::json;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    epoch(book);
    expires(book);
    demands(book);
    several(book);
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
        scene.stale(stale);
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
            scene.stale(stale);
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
    lifted.stale(true);
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
    damaged.stale(true);
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
