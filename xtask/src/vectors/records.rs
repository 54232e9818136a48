//! Usable and unusable records (`spec/state.md`, Record), and the priority of the state among other
//! faults. Rows S15 and S16.

use super::Book;
use super::content::{Content, sha256};
use super::desk::{at, held, more};
use super::scene::{Entry, hex};
use super::state::{GUARD, REGISTRY, bundle, holds, keep, place, record};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Machine of the vectors, as in machine-id(5).
const MACHINE: &str = "6f2a4c1b9d3e4f708192a3b4c5d6e7f8";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    damaged(book);
    machines(book);
    elsewhere(book);
    order(book);
}

/// Adds states without a usable record: "not checked".
fn damaged(book: &mut Book) {
    let higher = || record(REGISTRY, 1, 8, &sha256(b"another bundle"));
    let text = || higher().to_string();
    let with = |member: &str, value: Value| {
        let mut record = higher();
        record[member] = value;
        record.to_string()
    };
    let without = |member: &str| {
        let mut record = higher();
        if let Some(members) = record.as_object_mut() {
            members.remove(member);
        }
        record.to_string()
    };
    let long = |size: usize| {
        let mut scene = bundle("");
        let head = record(&format!("oci:/{}", "a".repeat(10)), 1, 8, &sha256(b"another bundle")).to_string().len() - 10;
        holds(&mut scene, &[record(&format!("oci:/{}", "a".repeat(size - head)), 1, 8, &sha256(b"another bundle"))]);
        scene
    };
    for (name, comment, text) in [
        ("empty", "an empty file", String::new()),
        ("truncated", "its second half lacks", text()[..text().len() / 2].to_owned()),
        ("text", "no JSON", "1/8\n".to_owned()),
        ("list", "a list of it", format!("[{}]", text())),
        ("line-end", "a line end behind", text() + "\n"),
        ("space", "white space inside", text().replacen(':', ": ", 1)),
        (
            "order",
            "members not in order",
            text().replacen('{', "{\"sequence\":8,", 1).replacen(",\"sequence\":8}", "}", 1),
        ),
        ("twice", "a member twice", text().replacen('{', "{\"channel\":\"apps\",", 1)),
        (
            "escape",
            "an escape that need not be",
            text().replacen("guard", "gu\\u0061rd", 1).replacen("harbor", "h\\u0061rbor", 1),
        ),
        ("unknown-member", "a member that is none of it", with("x", json!(1))),
        ("without-machine", "a member lacks", without("machine")),
        ("without-format", "a member lacks", without("format")),
        ("format", "another format", with("format", json!("packmule.state.v2"))),
        ("sequence-text", "a number as text", with("sequence", json!("8"))),
        ("sequence-float", "a number with a fraction", text().replacen("\"sequence\":8", "\"sequence\":8.0", 1)),
        ("sequence-2-to-53", "a number above 2^53 - 1", with("sequence", json!(1_u64 << 53))),
        ("epoch-2-to-53", "an epoch above 2^53 - 1", with("epoch", json!(1_u64 << 53))),
        ("epoch-negative", "a negative epoch", with("epoch", json!(-1))),
        ("id-sha512", "an id of another algorithm", with("id", json!(super::content::sha512(b"another bundle")))),
        ("id-upper-case", "an id in upper case", with("id", json!(sha256(b"x").to_uppercase()))),
        ("id-hex", "an id without its algorithm", with("id", json!(sha256(b"x")["sha256:".len()..]))),
        ("machine-null", "no machine at all", with("machine", json!(null))),
        ("other-channel", "another channel's record in this channel's directory", with("channel", json!("other"))),
        ("other-destination", "another destination's record under this one's name", with("destination", json!(GUARD))),
        ("destination-line-end", "a control character in its destination", with("destination", json!("oci:/srv\n"))),
    ] {
        let mut scene = bundle("");
        let mut path = place(REGISTRY);
        if name == "destination-line-end" {
            path = place("oci:/srv\n");
        }
        keep(&mut scene, &[(path, text.into_bytes())]);
        book.add(
            scene,
            &format!("ok-S16-record-{name}"),
            "PASS",
            &format!("no record that can be used, not checked: {comment}"),
        );
    }
    let special = |entries: &dyn Fn(&str) -> Vec<Entry>| {
        let mut scene = bundle("");
        keep(&mut scene, &[]);
        scene.entries.extend(entries(&place(REGISTRY)));
        scene
    };
    let file = |path: &str| Entry::File(path.to_owned(), text().into_bytes());
    for (name, comment, scene) in [
        (
            "link",
            "a link to a good one",
            special(&|path| vec![file("state/real.json"), Entry::Link(path.to_owned(), "../../real.json".to_owned())]),
        ),
        ("fifo", "a FIFO in its place", special(&|path| vec![Entry::Fifo(path.to_owned())])),
        ("directory", "a directory in its place", special(&|path| vec![Entry::Directory(path.to_owned())])),
        ("mode-0664", "its group can write it", special(&|path| vec![file(path), Entry::Mode(path.to_owned(), 0o664)])),
        ("mode-0602", "others can write it", special(&|path| vec![file(path), Entry::Mode(path.to_owned(), 0o602)])),
        ("above-64-kib", "64 KiB and a byte", long((64 << 10) + 1)),
    ] {
        book.add(
            scene,
            &format!("ok-S16-record-{name}"),
            "PASS",
            &format!("no record that can be used, not checked: {comment}"),
        );
    }
    for mode in [0o600, 0o640, 0o444] {
        let scene = special(&|path| vec![file(path), Entry::Mode(path.to_owned(), mode)]);
        book.add(
            scene,
            &format!("S16-record-mode-{mode:04o}"),
            "STALE",
            "only its owner can write the record, which is above",
        );
    }
    book.add(long(64 << 10), "S16-record-of-64-kib", "STALE", "the longest record, which is above");
    // A usable record counts next to damaged ones.
    for (name, expect, comment, sequence) in [
        ("S16-damaged-beside-higher", "STALE", "a damaged record beside one that is above", 8),
        ("ok-S16-damaged-beside-lower", "PASS", "a damaged record beside one that is below", 6),
    ] {
        let mut scene = bundle("");
        let good = record(GUARD, 1, sequence, &sha256(b"another bundle"));
        keep(&mut scene, &[(place(GUARD), good.to_string().into_bytes()), (place(REGISTRY), b"{".to_vec())]);
        book.add(scene, name, expect, comment);
    }
}

fn machines(book: &mut Book) {
    let ours = hex(&Sha256::digest(format!("packmule state\n{MACHINE}")));
    let theirs = hex(&Sha256::digest("packmule state\nanother"));
    for (name, expect, comment, here, there) in [
        ("S16-machine-own", "STALE", "this machine's record, which is above", Some(&ours), ours.as_str()),
        ("ok-S16-machine-other", "PASS", "another machine's record, which is above: not checked", Some(&ours), &theirs),
        (
            "ok-S16-machine-none-there",
            "PASS",
            "a record without a machine, on one that has an id: not checked",
            Some(&ours),
            "",
        ),
        (
            "ok-S16-machine-none-here",
            "PASS",
            "another machine's record, on one without an id: not checked",
            None,
            &theirs,
        ),
        (
            "ok-S16-machine-upper-case",
            "PASS",
            "machines are compared as they stand: not checked",
            Some(&ours),
            &ours.to_uppercase(),
        ),
        (
            "ok-S16-machine-plain-id",
            "PASS",
            "the machine's id itself is not what a record names: not checked",
            Some(&ours),
            MACHINE,
        ),
    ] {
        let mut scene = bundle("");
        let mut record = record(REGISTRY, 1, 8, &sha256(b"another bundle"));
        record["machine"] = json!(there);
        holds(&mut scene, &[record]);
        scene.given.machine = here.cloned();
        book.add(scene, name, expect, comment);
    }
    let mut both = bundle("");
    let mut foreign = record(REGISTRY, 1, 6, &sha256(b"another bundle"));
    foreign["machine"] = json!(theirs);
    let mut own = record(GUARD, 1, 8, &sha256(b"another bundle"));
    own["machine"] = json!(ours);
    holds(&mut both, &[foreign, own]);
    both.given.machine = Some(ours);
    book.add(
        both,
        "S16-machine-other-beside-own",
        "STALE",
        "another machine's record beside this one's, which is above",
    );
}

fn elsewhere(book: &mut Book) {
    let higher = record(REGISTRY, 1, 8, &sha256(b"another bundle")).to_string().into_bytes();
    let named = |name: &str| format!("state/import/apps/{name}");
    let stem = hex(&Sha256::digest(REGISTRY));
    for (name, comment, path) in [
        ("other-name", "a file of another name", named("backup.json")),
        ("longer-name", "a name of all 64 digits", named(&format!("{stem}.json"))),
        ("shorter-name", "a name of 31 digits", named(&format!("{}.json", &stem[..31]))),
        ("upper-case-name", "a name in upper case", named(&format!("{}.json", stem[..32].to_uppercase()))),
        ("new", "what a write that did not end has left", named(&format!("{}.json.new", &stem[..32]))),
        ("lock", "what a lock is named", named(&format!("{}.lock", &stem[..32]))),
        ("above", "a directory too high", format!("state/import/{}.json", &stem[..32])),
    ] {
        let mut scene = bundle("");
        keep(&mut scene, &[(path, higher.clone())]);
        book.add(scene, &format!("ok-S16-file-{name}"), "PASS", &format!("no record of this channel: {comment}"));
    }
    let mut other = bundle("");
    keep(&mut other, &[]);
    other.entries.push(Entry::Directory("state/import/other".to_owned()));
    let mut record = record(REGISTRY, 1, 8, &sha256(b"another bundle"));
    record["channel"] = json!("other");
    other.lay(&place(REGISTRY).replace("/apps/", "/other/"), record.to_string().as_bytes());
    book.add(other, "ok-S16-other-channel", "PASS", "another channel's record, which is above");
    let mut exported = bundle("");
    keep(&mut exported, &[]);
    exported.entries.push(Entry::Directory("state/export".to_owned()));
    exported.lay("state/export/apps.json", at(1, 9).packed().manifest().to_string().as_bytes());
    book.add(
        exported,
        "ok-S16-export",
        "PASS",
        "what was exported last, which is above, is no record of what was accepted",
    );
    for lines in ["", "require = { bundle = [\"sequence\"] }", "require = { bundle = [\"previous\"] }"] {
        let word = lines.split('"').nth(1).map(|word| format!("-{word}-demanded")).unwrap_or_default();
        let mut none = bundle(lines);
        none.given.state = Some("state".to_owned());
        book.add(none, &format!("ok-S16-no-directory{word}"), "PASS", "no directory of states: not checked");
        let mut empty = bundle(lines);
        keep(&mut empty, &[]);
        book.add(empty, &format!("ok-S16-no-record{word}"), "PASS", "no record: not checked");
    }
    let mut file = bundle("");
    file.lay("state", b"x");
    file.given.state = Some("state".to_owned());
    book.add(file, "ok-S16-state-is-a-file", "PASS", "a file in the place of the directory of states: not checked");
    let mut plain = Content::salt().signed();
    keep(&mut plain, &[(place(REGISTRY), higher)]);
    book.add(plain, "ok-S16-no-channel", "PASS", "a bundle without a channel has no order");
}

/// Adds cases for the priority of the state among other faults.
fn order(book: &mut Book) {
    let higher = || record(REGISTRY, 1, 8, &sha256(b"another bundle"));
    let with = |mut scene: super::scene::Scene| {
        holds(&mut scene, &[higher()]);
        scene
    };
    let few = held(&at(1, 7), &[1], &more("epoch = 1"));
    book.add(
        with(few),
        "S15-lower-and-too-few",
        "TRUST",
        "below the one held, and a signature too few: who signed comes first",
    );
    book.add(
        with(bundle("repositories = [\"x/y\"]")),
        "S15-lower-and-repository",
        "POLICY",
        "below the one held, and a repository that is not allowed: the section comes first",
    );
    book.add(
        with(bundle("types = [\"x/y\"]")),
        "S15-lower-and-type",
        "STALE",
        "below the one held, and a type that is not allowed: documents come later",
    );
    let mut damaged = with(bundle(""));
    damaged.edit("0001.tar.zst", |bytes| bytes.truncate(100));
    book.add(
        damaged,
        "S15-lower-and-damage",
        "STALE",
        "below the one held, and a volume is cut: no volume is looked at",
    );
    let mut lifted = with(bundle("types = [\"x/y\"]"));
    lifted.stale(true);
    book.add(
        lifted,
        "S15-lower-allowed-and-type",
        "POLICY",
        "below the one held, which --allow-stale lifts, and a type that is not allowed",
    );
    let other_epoch = held(&at(1, 7), &[1, 2], &more("epoch = 2"));
    let mut other_epoch = with(other_epoch);
    other_epoch.stale(true);
    book.add(
        other_epoch,
        "S15-lower-allowed-and-epoch",
        "STALE",
        "below the one held, which --allow-stale lifts, and another epoch than the policy's, which it does not",
    );
    let until = at(1, 7).with("expires", json!("2026-12-01T00:00:00Z"));
    for (name, expect, comment, sequence, allowed) in [
        ("S15-next-and-expired", "STALE", "above the one held, and expired", 6, false),
        (
            "S15-same-place-and-expired-allowed",
            "STALE",
            "another bundle of the same place is held, and expired, which --allow-stale lifts",
            7,
            true,
        ),
        (
            "ok-S15-lower-and-expired-allowed",
            "PASS",
            "below the one held, and expired: --allow-stale lifts both",
            8,
            true,
        ),
    ] {
        let mut scene = held(&until, &[1, 2], &more("epoch = 1"));
        holds(&mut scene, &[record(REGISTRY, 1, sequence, &sha256(b"another bundle"))]);
        scene.given.time = Some("2026-12-02T00:00:00Z".to_owned());
        scene.stale(allowed);
        book.add(scene, name, expect, comment);
    }
}
