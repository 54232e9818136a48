//! Time limits of a policy: ends of keys, a maximum for `expires`, the policy's own version
//! (`spec/policy.md`, `spec/state.md`). Rows S4, S8, S15, S17, S18.

use super::Book;
use super::content::{Content, sha256};
use super::curve::Key;
use super::desk::{POLICY, at, base, changed, held, more, under};
use super::envelope::Envelope;
use super::scene::Scene;
use super::state::{GUARD, REGISTRY, holds, record};
use serde_json::{Value, json};

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    ends(book);
    spoiled(book);
    ceilings(book);
    versions(book);
    records(book);
}

/// Returns the usual policy with `until` as the end of the guard's key.
fn ending(until: &str) -> String {
    changed("role = \"guard\"", &format!("role = \"guard\", until = \"{until}\""))
}

fn timed(mut scene: Scene, now: &str) -> Scene {
    scene.given.time = Some(now.to_owned());
    scene
}

fn ends(book: &mut Book) {
    for (name, expect, comment, until, now) in [
        ("ok-S18-until-day", "PASS", "the last second of a key's last day", "2027-01-31", "2027-01-31T23:59:59Z"),
        (
            "S18-until-day-over",
            "TRUST",
            "the first second after a key's last day",
            "2027-01-31",
            "2027-02-01T00:00:00Z",
        ),
        ("ok-S18-until-leap-day", "PASS", "the last second of a leap day", "2028-02-29", "2028-02-29T23:59:59Z"),
        ("S18-until-leap-day-over", "TRUST", "the first second after a leap day", "2028-02-29", "2028-03-01T00:00:00Z"),
        ("ok-S18-until-last-day", "PASS", "the last second that there is", "9999-12-31", "9999-12-31T23:59:59Z"),
        (
            "ok-S18-until-moment",
            "PASS",
            "one second before a key's end",
            "2027-01-31T12:00:00Z",
            "2027-01-31T11:59:59Z",
        ),
        ("S18-until-moment-now", "TRUST", "at a key's end", "2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
        ("S18-until-years-ago", "TRUST", "years after a key's end", "2027-01-31", "2036-01-01T00:00:00Z"),
        ("S18-until-before-1970", "TRUST", "a key that ended long before 1970", "0001-01-01", "2027-01-01T00:00:00Z"),
    ] {
        let policy = ending(until);
        book.add(timed(base(&policy), now), name, expect, comment);
        if expect == "TRUST" && name == "S18-until-day-over" {
            let mut lifted = timed(base(&policy), now);
            lifted.stale(true);
            let comment = format!("{comment}: --allow-stale does not lift it");
            book.add(lifted, "S18-until-day-over-allowed", expect, &comment);
        }
    }
    for (name, until) in [
        ("text", "\"soon\""),
        ("empty", "\"\""),
        ("no-such-day", "\"2027-02-29\""),
        ("one-digit", "\"2027-1-31\""),
        ("offset", "\"2027-01-31T00:00:00+01:00\""),
        ("fraction", "\"2027-01-31T00:00:00.5Z\""),
        ("lower-case", "\"2027-01-31t00:00:00z\""),
        ("minutes", "\"2027-01-31T00:00Z\""),
        ("toml-date", "2027-01-31"),
        ("toml-time", "2027-01-31T00:00:00Z"),
        ("number", "1801440000"),
        ("list", "[\"2027-01-31\"]"),
    ] {
        let policy = changed("role = \"guard\"", &format!("role = \"guard\", until = {until}"));
        let comment = format!("until is a day or a moment in UTC, as a text: {until}");
        book.add(base(&policy), &format!("S17-policy-until-{name}"), "USAGE", &comment);
    }
    let (before, after) = ("2027-01-31T00:00:00Z", "2027-02-01T00:00:00Z");
    let third = "third = { public = \"3.pem\", holder = \"third desk\", role = \"guard\" }\nguard = {";
    let of_three = ending("2027-01-31").replacen("guard = {", third, 1).replacen(
        "keys = [\"release\", \"guard\"]",
        "keys = [\"release\", \"guard\", \"third\"]\nthreshold = 2",
        1,
    );
    for (name, expect, comment, signers, now) in [
        ("ok-S18-until-others-enough", "PASS", "a key past its end beside two that still count", &[1, 2, 3][..], after),
        ("S18-until-others-too-few", "TRUST", "a key past its end beside one that still counts", &[1, 2], after),
        ("ok-S18-until-before-end", "PASS", "the same before that key's end", &[1, 2], before),
        ("S18-until-alone", "TRUST", "signed by a key past its end alone", &[2], after),
        ("S18-until-beside-unknown", "TRUST", "signed by a key past its end and an unknown one", &[2, 9], after),
    ] {
        book.add(timed(held(&at(0, 7), signers, &of_three), now), name, expect, comment);
    }
    // The threshold is checked against the file, whatever the time.
    let all = ending("0001-01-01").replacen("role = \"release\"", "role = \"release\", until = \"0001-01-01\"", 1);
    book.add(timed(base(&all), after), "S18-until-all", "TRUST", "every key is past its end: a policy all the same");
    let broken = at(0, 7).with("x", json!(1));
    book.add(
        timed(held(&broken, &[2], &of_three), after),
        "S18-until-before-manifest",
        "TRUST",
        "signed by a key past its end alone, and a member too many: the manifest is not read",
    );
    let refusing = ending("2027-01-31") + "threshold = 1\nunknown_signatures = \"refuse\"\n";
    book.add(
        timed(base(&refusing), after),
        "ok-S18-until-is-not-unknown",
        "PASS",
        "unknown keys are refused, but one past its end is known",
    );
    let roles = ending("2027-01-31") + "threshold = 1\nroles = [\"guard\"]\n";
    book.add(
        timed(base(&roles), after),
        "S18-until-role",
        "TRUST",
        "the role that is demanded is that of a key past its end",
    );
    let pair = changed("public = \"2.pem\"", "public = [\"2.pem\", \"3.pem\"], until = \"2027-01-31\"");
    for (name, expect, now) in [("ok-S18-until-pair", "PASS", before), ("S18-until-pair-over", "TRUST", after)] {
        book.add(timed(held(&at(0, 7), &[1, 2, 3], &pair), now), name, expect, "an entry of two keys ends as one");
    }
}

/// Adds invalid signatures by a key that has ended.
fn spoiled(book: &mut Book) {
    for (name, expect, now) in
        [("S8-until-bad", "SIG", "2027-02-01T00:00:00Z"), ("S8-until-bad-before-end", "SIG", "2027-01-31T00:00:00Z")]
    {
        let built = at(0, 7).packed();
        let manifest = built.manifest().to_string();
        let mut envelope = Envelope::over(manifest.as_bytes());
        let message = envelope.message();
        for seed in [1, 2] {
            envelope.add(&Key::of(seed).id(), &Key::of(seed).sign(&message));
        }
        let id = Key::of(2).id();
        for (_, sig) in envelope.signatures.iter_mut().filter(|(keyid, _)| *keyid == id) {
            sig[40] ^= 4;
        }
        let policy = ending("2027-01-31") + "threshold = 1\n";
        let scene = under(built.scene(manifest.as_bytes(), envelope.to_string().as_bytes()), &policy);
        book.add(timed(scene, now), name, expect, "a bad signature under a key with an end is one of a known key");
    }
}

fn ceilings(book: &mut Book) {
    // The bundle was made at 2026-11-21T12:00:00Z.
    let until = |moment: &str| at(0, 7).with("expires", json!(moment));
    let demanded = "require = { bundle = [\"expires\"] }";
    let with = |span: &str| format!("limits = {{ expires = \"{span}\" }}");
    for (name, expect, comment, moment, lines) in [
        (
            "ok-policy-life-default",
            "PASS",
            "366 days, the most where nothing else is said",
            "2027-11-22T12:00:00Z",
            demanded.to_owned(),
        ),
        ("policy-life-default", "POLICY", "366 days and a second", "2027-11-22T12:00:01Z", demanded.to_owned()),
        (
            "policy-life-year-9999",
            "POLICY",
            "expires is demanded, and is the last second that there is",
            "9999-12-31T23:59:59Z",
            demanded.to_owned(),
        ),
        (
            "ok-policy-life-year-9999",
            "PASS",
            "expires is not demanded, and is the last second that there is",
            "9999-12-31T23:59:59Z",
            String::new(),
        ),
        ("ok-policy-life-days", "PASS", "90 days of 90", "2027-02-19T12:00:00Z", with("90d")),
        ("policy-life-days", "POLICY", "a second more than 90 days", "2027-02-19T12:00:01Z", with("90d")),
        ("ok-policy-life-hours", "PASS", "12 hours of 12", "2026-11-22T00:00:00Z", with("12h")),
        ("policy-life-hours", "POLICY", "a second more than 12 hours", "2026-11-22T00:00:01Z", with("12h")),
        ("ok-policy-life-minutes", "PASS", "15 minutes of 15", "2026-11-21T12:15:00Z", with("15m")),
        ("policy-life-minutes", "POLICY", "a second more than 15 minutes", "2026-11-21T12:15:01Z", with("15m")),
        ("ok-policy-life-seconds", "PASS", "90 seconds of 90", "2026-11-21T12:01:30Z", with("90s")),
        ("policy-life-seconds", "POLICY", "91 seconds of 90", "2026-11-21T12:01:31Z", with("90s")),
        (
            "ok-policy-life-longer",
            "PASS",
            "a ceiling above the usual one, and expires demanded",
            "2030-01-01T00:00:00Z",
            with("2000d") + "\n" + demanded,
        ),
        (
            "policy-life-shorter",
            "POLICY",
            "a ceiling below the usual one, and expires demanded",
            "2027-11-21T12:00:00Z",
            with("90d") + "\n" + demanded,
        ),
        ("ok-policy-life-largest", "PASS", "the largest ceiling there is", "9999-12-31T23:59:59Z", with("4294967295d")),
        ("ok-policy-life-over-leap-day", "PASS", "of 2 days, over a leap day", "2028-03-01T12:00:00Z", with("466d")),
        (
            "policy-life-over-leap-day",
            "POLICY",
            "a second more than to the day after a leap day",
            "2028-03-01T12:00:01Z",
            with("466d"),
        ),
    ] {
        let scene = held(&until(moment), &[1, 2], &more(&lines));
        book.add(timed(scene, "2026-11-21T12:00:00Z"), name, expect, comment);
    }
    book.add(
        timed(held(&at(0, 7), &[1, 2], &more(&with("90d"))), "2026-11-21T12:00:00Z"),
        "policy-life-without-expires",
        "POLICY",
        "a ceiling, and a bundle that never expires",
    );
    let mut lifted = held(&until("9999-12-31T23:59:59Z"), &[1, 2], &more(demanded));
    lifted.stale(true);
    book.add(lifted, "policy-life-allowed", "POLICY", "above the ceiling: --allow-stale does not lift it");
    let old = at(0, 7).with("created", json!("0000-02-29T00:00:00Z")).with("expires", json!("0001-03-01T00:00:00Z"));
    let mut old_scene = held(&old, &[1, 2], &more(demanded));
    old_scene.stale(true);
    book.add(old_scene, "ok-policy-life-of-year-0", "PASS", "366 days from the leap day of the year 0 on, long over");
    for (name, span) in [
        ("zero", "\"0d\""),
        ("no-unit", "\"90\""),
        ("weeks", "\"5w\""),
        ("upper-case", "\"90D\""),
        ("sign", "\"+90d\""),
        ("space", "\"90 d\""),
        ("fraction", "\"1.5d\""),
        ("empty", "\"\""),
        ("above-2-to-32", "\"4294967296s\""),
        ("other-digits", "\"\u{0669}\u{0660}d\""),
        ("number", "90"),
    ] {
        let policy = more(&format!("limits = {{ expires = {span} }}"));
        book.add(
            base(&policy),
            &format!("S17-policy-life-{name}"),
            "USAGE",
            &format!("no span of time: {}", span.escape_default()),
        );
    }
    book.add(
        held(&Content::salt(), &[2], &format!("{POLICY}[no_channel]\nkeys = [\"guard\"]\n{}\n", with("90d"))),
        "S17-policy-life-no-channel",
        "USAGE",
        "bundles without a channel never expire: no ceiling",
    );
}

fn versioned(version: &str) -> String {
    format!("version = {version}\n{POLICY}epoch = 1\n")
}

/// Returns a record with the version of a policy.
fn of_policy(destination: &str, version: impl Into<Value>) -> Value {
    let mut record = record(destination, 1, 6, &sha256(b"another bundle"));
    record["policy"] = version.into();
    record
}

fn versions(book: &mut Book) {
    for (name, comment, policy) in [
        ("ok-policy-version-0", "the lowest version", versioned("0")),
        ("ok-policy-version-1", "a version", versioned("1")),
        ("ok-policy-version-largest", "the largest version", versioned("9007199254740991")),
    ] {
        book.add(held(&at(1, 7), &[1, 2], &policy), name, "PASS", comment);
    }
    for (name, version) in [
        ("2-to-53", "9007199254740992"),
        ("negative", "-1"),
        ("text", "\"1\""),
        ("float", "1.0"),
        ("list", "[1]"),
        ("true", "true"),
    ] {
        let comment = format!("a version is a number from 0 to 2^53 - 1: {version}");
        book.add(
            held(&at(1, 7), &[1, 2], &versioned(version)),
            &format!("S17-policy-version-{name}"),
            "USAGE",
            &comment,
        );
    }
}

fn records(book: &mut Book) {
    let unversioned = || format!("{POLICY}epoch = 1\n");
    for (name, expect, comment, policy, records) in [
        ("ok-S15-policy-same", "PASS", "the version that is held", versioned("3"), vec![of_policy(REGISTRY, 3)]),
        ("ok-S15-policy-higher", "PASS", "a version above the one held", versioned("4"), vec![of_policy(REGISTRY, 3)]),
        ("S15-policy-lower", "STALE", "a version below the one held", versioned("2"), vec![of_policy(REGISTRY, 3)]),
        ("S15-policy-none", "STALE", "no version, and one is held", unversioned(), vec![of_policy(REGISTRY, 1)]),
        ("S15-policy-0", "STALE", "version 0, and one is held", versioned("0"), vec![of_policy(REGISTRY, 1)]),
        (
            "S15-policy-one-of-two",
            "STALE",
            "a version below the one that the second destination holds",
            versioned("3"),
            vec![of_policy(REGISTRY, 3), of_policy(GUARD, 4)],
        ),
        (
            "S15-policy-first-of-two",
            "STALE",
            "a version below the one that the first destination holds",
            versioned("3"),
            vec![of_policy(REGISTRY, 4), of_policy(GUARD, 3)],
        ),
        (
            "ok-S15-policy-none-held",
            "PASS",
            "a version, and none is held",
            versioned("3"),
            vec![record(REGISTRY, 1, 6, &sha256(b"another bundle"))],
        ),
        // An invalid record has no effect.
        (
            "ok-S16-policy-0-held",
            "PASS",
            "a record with version 0 is none",
            versioned("0"),
            vec![of_policy(REGISTRY, 0)],
        ),
        (
            "ok-S16-policy-null",
            "PASS",
            "a record with a version of null is none",
            versioned("0"),
            vec![of_policy(REGISTRY, Value::Null)],
        ),
        (
            "ok-S16-policy-text",
            "PASS",
            "a record with a version as text is none",
            versioned("0"),
            vec![of_policy(REGISTRY, "9")],
        ),
        (
            "ok-S16-policy-2-to-53",
            "PASS",
            "a record with a version above 2^53 - 1 is none",
            versioned("0"),
            vec![of_policy(REGISTRY, 1_u64 << 53)],
        ),
    ] {
        let mut scene = held(&at(1, 7), &[1, 2], &policy);
        holds(&mut scene, &records);
        if expect == "STALE" && name == "S15-policy-lower" {
            let mut lifted = scene.clone();
            lifted.stale(true);
            let comment = format!("{comment}: --allow-stale does not lift it");
            book.add(lifted, "S15-policy-lower-allowed", expect, &comment);
        }
        book.add(scene, name, expect, comment);
    }
    let mut keys = at(1, 7).signed();
    holds(&mut keys, &[of_policy(REGISTRY, 3)]);
    book.add(keys, "ok-S15-policy-under-keys", "PASS", "a version is held, and keys alone are given");
}
