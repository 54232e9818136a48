//! Bundles that were accepted earlier (`spec/state.md`, At verify). Row S15.

use super::Book;
use super::content::sha256;
use super::desk::{at, held, more};
use super::scene::{Entry, Scene, hex};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Destination of a guard's own state.
pub const GUARD: &str = "guard";
/// Destination of a registry.
pub const REGISTRY: &str = "registry:harbor.dark.example/mirror";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    turns(book);
    previous(book);
    destinations(book);
}

/// Returns the bundle with epoch 1 and number 7, with a policy of epoch 1.
pub fn bundle(lines: &str) -> Scene {
    held(&at(1, 7), &[1, 2], &more(&format!("epoch = 1\n{lines}")))
}

/// Like [`bundle`], but verified with keys only.
fn under_keys() -> Scene {
    at(1, 7).signed()
}

fn id(scene: &Scene) -> String {
    sha256(&scene.bytes("json"))
}

/// Returns a record.
pub fn record(destination: &str, epoch: u64, sequence: u64, id: &str) -> Value {
    json!({
        "channel": "apps", "destination": destination, "epoch": epoch, "format": "packmule.state.v1", "id": id,
        "machine": "", "sequence": sequence,
    })
}

/// Returns the path of a destination's record.
pub fn place(destination: &str) -> String {
    format!("state/import/apps/{}.json", &hex(&Sha256::digest(destination))[..32])
}

/// Adds a directory of states with these files to the scene.
pub fn keep(scene: &mut Scene, files: &[(String, Vec<u8>)]) {
    for directory in ["state", "state/import", "state/import/apps"] {
        scene.entries.push(Entry::Directory(directory.to_owned()));
    }
    for (path, bytes) in files {
        scene.lay(path, bytes);
    }
    scene.given.state = Some("state".to_owned());
}

/// Adds these records at the paths of their destinations.
pub fn holds(scene: &mut Scene, records: &[Value]) {
    let files: Vec<_> = (records.iter())
        .map(|record| (place(record["destination"].as_str().unwrap_or_default()), record.to_string().into_bytes()))
        .collect();
    keep(scene, &files);
}

fn turns(book: &mut Book) {
    let other = sha256(b"another bundle");
    for (name, comment, (epoch, sequence), same, expect, allowed) in [
        ("next", "one above the one held", (1, 6), false, "PASS", "PASS"),
        ("far-above", "far above the one held", (1, 1), false, "PASS", "PASS"),
        ("same", "the one that is held", (1, 7), true, "PASS", "PASS"),
        (
            "same-place",
            "another bundle of the same place is held: one number was given twice",
            (1, 7),
            false,
            "STALE",
            "STALE",
        ),
        ("lower", "one below the one held", (1, 8), false, "STALE", "PASS"),
        ("far-below", "far below the one held", (1, (1 << 53) - 1), false, "STALE", "PASS"),
        ("lower-same-id", "the one held has this very id and a higher place", (1, 8), true, "STALE", "PASS"),
        ("above-same-id", "the one held has this very id and a lower place", (1, 6), true, "PASS", "PASS"),
        ("epoch-above", "a higher epoch than the one held, a lower number", (0, 9), false, "PASS", "PASS"),
        ("epoch-below", "a lower epoch than the one held, a higher number", (2, 1), false, "STALE", "PASS"),
        ("epoch-below-same-number", "a lower epoch than the one held, the same number", (2, 7), false, "STALE", "PASS"),
        ("epoch-above-same-number", "a higher epoch than the one held, the same number", (0, 7), false, "PASS", "PASS"),
    ] {
        for (way, mut scene) in [
            ("", bundle("")),
            ("-under-keys", under_keys()),
            ("-demanded", bundle("require = { bundle = [\"sequence\"] }")),
        ] {
            if way == "-under-keys" && !["next", "same", "same-place", "lower"].contains(&name)
                || way == "-demanded" && !["next", "same-place", "lower"].contains(&name)
            {
                continue;
            }
            let id = if same { id(&scene) } else { other.clone() };
            holds(&mut scene, &[record(REGISTRY, epoch, sequence, &id)]);
            let mut lifted = scene.clone();
            lifted.stale(true);
            let named = |expect: &str, end: &str| {
                if expect == "PASS" { format!("ok-S15-{name}{way}{end}") } else { format!("S15-{name}{way}{end}") }
            };
            book.add(scene, &named(expect, ""), expect, comment);
            if expect != "PASS" || name == "same" {
                let comment = format!("{comment}; with --allow-stale");
                book.add(lifted, &named(allowed, "-allowed"), allowed, &comment);
            }
        }
    }
}

fn previous(book: &mut Book) {
    let (one, other) = (sha256(b"one"), sha256(b"other"));
    let demanded = "epoch = 1\nrequire = { bundle = [\"previous\"] }";
    for (name, expect, comment, follows, at_place, lines, allowed) in [
        ("ok-S15-previous", "PASS", "it follows the one held, as demanded", Some(&one), (1, 6), demanded, false),
        (
            "ok-S15-previous-gap",
            "PASS",
            "it follows the one held, as demanded, though numbers were left out",
            Some(&one),
            (1, 2),
            demanded,
            false,
        ),
        (
            "ok-S15-previous-over-epoch",
            "PASS",
            "it follows the one held, of a lower epoch",
            Some(&one),
            (0, 9),
            demanded,
            false,
        ),
        ("S15-previous-other", "STALE", "it follows another than the one held", Some(&other), (1, 6), demanded, false),
        (
            "S15-previous-none",
            "STALE",
            "it says of none that it follows it, which is demanded",
            None,
            (1, 6),
            demanded,
            false,
        ),
        (
            "S15-previous-over-epoch",
            "STALE",
            "it follows another than the one held, of a lower epoch",
            Some(&other),
            (0, 9),
            demanded,
            false,
        ),
        (
            "ok-S15-previous-other-allowed",
            "PASS",
            "it follows another than the one held; with --allow-stale",
            Some(&other),
            (1, 6),
            demanded,
            true,
        ),
        (
            "ok-S15-previous-none-allowed",
            "PASS",
            "it says of none that it follows it; with --allow-stale",
            None,
            (1, 6),
            demanded,
            true,
        ),
        (
            "ok-S15-previous-not-demanded",
            "PASS",
            "it follows another than the one held, which is not demanded",
            Some(&other),
            (1, 6),
            "epoch = 1",
            false,
        ),
        (
            "ok-S15-sequence-only",
            "PASS",
            "it follows another than the one held; its place alone is demanded",
            Some(&other),
            (1, 6),
            "epoch = 1\nrequire = { bundle = [\"sequence\"] }",
            false,
        ),
        (
            "S15-previous-lower",
            "STALE",
            "it follows the one held, by its own words, and is below it",
            Some(&one),
            (1, 8),
            demanded,
            false,
        ),
        (
            "S15-previous-same-place",
            "STALE",
            "it follows the one held, by its own words, and has its place",
            Some(&one),
            (1, 7),
            demanded,
            false,
        ),
    ] {
        let mut content = at(1, 7);
        if let Some(id) = follows {
            content = content.with("previous", json!(id));
        }
        let mut scene = held(&content, &[1, 2], &more(lines));
        holds(&mut scene, &[record(REGISTRY, at_place.0, at_place.1, &one)]);
        scene.stale(allowed);
        book.add(scene, name, expect, comment);
    }
    let mut same = held(&at(1, 7).with("previous", json!(other)), &[1, 2], &more(demanded));
    let own = id(&same);
    holds(&mut same, &[record(REGISTRY, 1, 7, &own)]);
    book.add(same, "ok-S15-previous-same", "PASS", "the one that is held, which need not follow itself");
}

fn destinations(book: &mut Book) {
    let other = sha256(b"another bundle");
    let own = id(&bundle(""));
    let layout = "oci:/srv/mirror";
    for (name, expect, comment, records) in [
        (
            "ok-S15-two-lower",
            "PASS",
            "two destinations are below",
            vec![record(REGISTRY, 1, 6, &other), record(GUARD, 1, 5, &other)],
        ),
        (
            "S15-one-higher",
            "STALE",
            "one destination of two is above",
            vec![record(REGISTRY, 1, 6, &other), record(GUARD, 1, 8, &other)],
        ),
        (
            "S15-other-higher",
            "STALE",
            "the other destination of two is above",
            vec![record(REGISTRY, 1, 8, &other), record(GUARD, 1, 6, &other)],
        ),
        (
            "S15-higher-beside-same",
            "STALE",
            "one destination holds this bundle, another is above",
            vec![record(REGISTRY, 1, 7, &own), record(GUARD, 1, 8, &other)],
        ),
        (
            "ok-S15-same-beside-lower",
            "PASS",
            "one destination holds this bundle, another is below",
            vec![record(REGISTRY, 1, 7, &own), record(GUARD, 1, 6, &other)],
        ),
        (
            "S15-same-place-beside-lower",
            "STALE",
            "one destination holds another of this place, another is below",
            vec![record(REGISTRY, 1, 7, &other), record(GUARD, 1, 6, &own)],
        ),
        (
            "S15-same-place-beside-same",
            "STALE",
            "one destination holds another of this place, another this one",
            vec![record(REGISTRY, 1, 7, &other), record(GUARD, 1, 7, &own)],
        ),
        (
            "S15-same-beside-same-place",
            "STALE",
            "one destination holds this one, another holds another of this place",
            vec![record(REGISTRY, 1, 7, &own), record(GUARD, 1, 7, &other)],
        ),
        (
            "ok-S15-same-three-times",
            "PASS",
            "three destinations hold this bundle",
            vec![record(REGISTRY, 1, 7, &own), record(GUARD, 1, 7, &own), record(layout, 1, 7, &own)],
        ),
        (
            "S15-higher-epoch-beside",
            "STALE",
            "a higher epoch counts before a higher number",
            vec![record(REGISTRY, 2, 1, &other), record(layout, 0, 9, &other)],
        ),
        (
            "ok-S15-lower-epochs",
            "PASS",
            "lower epochs, higher numbers",
            vec![record(REGISTRY, 0, 9, &other), record(layout, 0, 100, &other)],
        ),
    ] {
        let mut scene = bundle("");
        holds(&mut scene, &records);
        book.add(scene, name, expect, comment);
    }
    // With --allow-stale the highest one counts too.
    let mut lifted = bundle("");
    holds(&mut lifted, &[record(REGISTRY, 1, 7, &other), record(GUARD, 1, 8, &other)]);
    lifted.stale(true);
    book.add(
        lifted,
        "ok-S15-higher-beside-same-place-allowed",
        "PASS",
        "the highest is above, which --allow-stale lifts; the other is not looked at",
    );
}
