//! Checks that are split: shards of real bundles, their tallies, and what a join refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use packmule::base::shard::Shard;
use packmule::bundle::check::seen::Seen;
use packmule::bundle::open;
use packmule::operate::tallies::statement_of;
use packmule::signing::{Envelope, Policy};
use serde_json::{Value, json};

use crate::{Bundle, Ended, key, noise, packmule};

/// Runs `verify usb/b` under key 1 with more words.
fn verify(bundle: &Bundle, more: &str) -> Ended {
    let words = format!("verify usb/b --key 1.pub.pem {more}");
    packmule(bundle.root.path(), &words.split_whitespace().collect::<Vec<_>>())
}

/// Runs it, expects `code`, and returns the JSON document.
fn told(bundle: &Bundle, more: &str, code: u8) -> Value {
    let ended = verify(bundle, &format!("{more} --json"));
    assert_eq!(ended.code, code, "{more}: {}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Makes the tallies of all shards of `count` in the directory `t`, which is emptied.
fn tallies(bundle: &Bundle, count: u32) -> Vec<Value> {
    let dir = bundle.root.path().join("t");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir(&dir).unwrap();
    (1..=count).map(|index| told(bundle, &format!("--shard {index}/{count} -o t"), 0)).collect()
}

/// Returns what a join refuses with, and asserts that it does.
fn refused(bundle: &Bundle, more: &str, code: u8) -> String {
    let ended = verify(bundle, more);
    assert_eq!(ended.code, code, "{more}: {}{}", ended.stdout, ended.stderr);
    assert!(!ended.stdout.contains("PASS"), "{}", ended.stdout);
    ended.stderr
}

/// A bundle of two volumes, and one of plain files.
fn two() -> [Bundle; 2] {
    let layers: Vec<Vec<u8>> = (1..=5_usize).map(|seed| noise(seed as u64, (7 << 20) + 1000 * seed)).collect();
    let small: Vec<Vec<u8>> = (1..=9_usize).map(|seed| noise(seed as u64, 20_000 * seed)).collect();
    [
        Bundle::new(&[layers, small.clone()].concat(), &["--volume-size", "32MiB"], &[1]),
        Bundle::new(&small, &["--flat"], &[1]),
    ]
}

#[test]
fn every_split_of_a_bundle_joins_to_a_pass() {
    for bundle in two() {
        let whole = told(&bundle, "", 0);
        for count in [1, 3, 12] {
            let parts = tallies(&bundle, count);
            let sum =
                |member: &str| parts.iter().map(|one| one["result"]["shard"][member].as_u64().unwrap()).sum::<u64>();
            assert!(parts.iter().all(|part| part["result"]["verdict"] == "PART" && part["result"]["bytes"].is_null()));
            assert_eq!((sum("blobs"), sum("bytes")), {
                let of = |member: &str| whole["result"][member].as_u64().unwrap();
                (of("blobs"), of("bytes"))
            });
            let joined = told(&bundle, "--join t", 0);
            for member in ["verdict", "id", "blobs", "members", "frames", "bytes", "artifacts"] {
                assert_eq!(joined["result"][member], whole["result"][member], "{member}");
            }
            assert_eq!(joined["result"]["tallies"].as_array().unwrap().len(), count as usize);
        }
    }
}

#[test]
fn shards_of_a_bundle_are_balanced_and_lie_in_as_few_volumes_as_they_can() {
    let [bundle, _] = two();
    let parts = tallies(&bundle, 2);
    let bytes: Vec<u64> = parts.iter().map(|one| one["result"]["shard"]["bytes"].as_u64().unwrap()).collect();
    assert!(bytes[0].abs_diff(bytes[1]) <= 8 << 20, "{bytes:?}: at most one layer apart");
    assert_eq!(parts[0]["result"]["shard"]["volumes"], json!([1]), "{parts:?}");
    let text = verify(&bundle, "--shard 1/2 -o t").stdout;
    assert!(text.starts_with("PART  b\n") && text.contains("shard      1/2 is intact: "), "{text}");
    assert!(text.contains(" in volume 1; the others were not checked\n"), "{text}");
    assert!(text.contains("b.1-of-2.json, signed by nobody\n"), "{text}");
}

#[test]
fn a_shard_needs_only_the_volumes_that_hold_it() {
    let [bundle, _] = two();
    let parts = tallies(&bundle, 4);
    let volumes = |part: &Value| -> Vec<u64> {
        part["result"]["shard"]["volumes"].as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).collect()
    };
    assert!(volumes(&parts[0]) == [1] && volumes(&parts[3]) == [2], "{parts:?}");
    for missing in [1, 2] {
        let (path, aside) = (bundle.path(&format!("b.000{missing}.tar.zst")), bundle.path("aside"));
        fs::rename(&path, &aside).unwrap();
        for (index, part) in (1..).zip(&parts) {
            let more = format!("--shard {index}/4 -o t");
            if volumes(part).contains(&missing) {
                let document = told(&bundle, &more, 11);
                assert_eq!(document["result"]["again"], json!([format!("b.000{missing}.tar.zst")]));
                // Made again below.
                assert_eq!(fs::read(bundle.root.path().join(format!("t/b.{index}-of-4.json"))).unwrap(), b"");
            } else {
                told(&bundle, &more, 0);
            }
        }
        // Where the tallies are joined, the bundle must be whole.
        assert!(refused(&bundle, "--join t", 10).contains("found an empty file"));
        fs::rename(&aside, &path).unwrap();
        tallies(&bundle, 4);
        fs::rename(&path, &aside).unwrap();
        assert!(refused(&bundle, "--join t", 11).contains(&format!("need volume {missing}")));
        fs::rename(&aside, &path).unwrap();
    }
    told(&bundle, "--join t", 0);
}

#[test]
fn damage_is_found_by_the_shard_that_has_it_and_by_no_other() {
    let [bundle, flat] = two();
    let volume = bundle.path("b.0002.tar.zst");
    let blob = fs::read_dir(flat.path("b.oci/blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let blob = blob.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    for (bundle, path) in [(&bundle, volume), (&flat, blob)] {
        tallies(bundle, 3);
        let good = fs::read(&path).unwrap();
        let mut wrong = good.clone();
        let at = wrong.len() / 2;
        wrong[at] ^= 1;
        fs::write(&path, &wrong).unwrap();
        let code = |index: u32| i32::from(verify(bundle, &format!("--shard {index}/3 -o t")).code);
        let codes: Vec<i32> = (1..=3).map(code).collect();
        assert_eq!(codes.iter().filter(|code| **code == 11).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 2, "{codes:?}");
        let stderr = refused(bundle, "--join t", 10);
        assert!(stderr.contains("expected a tally, found an empty file: its shard has not ended, or was refused"));
        // Shards that were checked before the damage vouch for what they have read.
        fs::write(&path, &good).unwrap();
        tallies(bundle, 3);
        fs::write(&path, &wrong).unwrap();
        told(bundle, "--join t", 0);
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn what_the_shards_do_not_see_the_join_does() {
    let bundle = Bundle::small("9", &[1]);
    tallies(&bundle, 2);
    fs::write(bundle.path("b.0007.tar.zst"), "x").unwrap();
    assert!(refused(&bundle, "--join t", 11).contains("b.0007.tar.zst: extra"));
    fs::remove_file(bundle.path("b.0007.tar.zst")).unwrap();
    let volume = bundle.path("b.0001.tar.zst");
    let good = fs::read(&volume).unwrap();
    // A document in the first frame: without it nothing is known of the closure.
    fs::write(&volume, [&good[..40], &[good[40] ^ 1], &good[41..]].concat()).unwrap();
    assert_eq!(verify(&bundle, "--join t").code, 11);
    fs::write(&volume, &good).unwrap();
    told(&bundle, "--join t", 0);
    bundle.run("verify usb/b --key 2.pub.pem --join t", 13);
    assert!(bundle.run("verify usb/b --join t", 2).contains("no trust given"));
}

#[test]
fn each_tally_that_does_not_fit_is_refused_by_name() {
    let bundle = Bundle::small("0", &[1]);
    let other = Bundle::small("9", &[1]);
    let at = |name: &str| bundle.root.path().join(name);
    tallies(&other, 2);
    fs::copy(other.root.path().join("t/b.2-of-2.json"), at("strange.json")).unwrap();
    fs::write(at("odd.json"), "{}").unwrap();
    tallies(&bundle, 3);
    fs::rename(at("t"), at("three")).unwrap();
    tallies(&bundle, 2);
    let [one, two] = ["t/b.1-of-2.json", "t/b.2-of-2.json"];
    told(&bundle, &format!("--join {one} {two}"), 0);
    told(&bundle, &format!("--join {two} --join {one}"), 0);
    for (files, code, said) in [
        (one.to_owned(), 11, "shard 2/2: expected its tally, found none"),
        (format!("{one} {one} {two}"), 11, "expected each shard once, found shard 1/2 again"),
        (format!("{one} strange.json"), 11, "strange.json: expected one of bundle sha256:"),
        (format!("{one} three/b.2-of-3.json"), 11, "expected a shard of 2, found shard 2/3"),
        (format!("{one} odd.json"), 10, "odd.json: expected a tally: "),
        (format!("{one} usb/b.json"), 12, "usb/b.json: signature file: expected signatures over this tally"),
        (format!("{one} none.json"), 2, "none.json: No such file"),
        ("usb".to_owned(), 2, "expected the tallies of the shards, found none"),
        ("x.sig.json".to_owned(), 2, "expected the tallies of the shards, found none"),
    ] {
        let stderr = refused(&bundle, &format!("--join {files}"), code);
        assert!(stderr.contains(said), "{files}: {stderr}");
    }
    // Changed by its owner: the gate counts.
    let text = fs::read_to_string(at(two)).unwrap();
    let seen: Value = serde_json::from_str(&text).unwrap();
    let last = seen["units"][0][1].as_u64().unwrap();
    for (from, to, said) in [
        (format!("\"bytes\":{}", seen["bytes"]), "\"bytes\":1".to_owned(), "final gate: expected"),
        (
            format!("\"units\":[[{},{last}]]", seen["units"][0][0]),
            format!("\"units\":[[{0},{0}]]", last + 1),
            "final gate",
        ),
        (format!("\"units\":[[{}", seen["units"][0][0]), "\"units\":[[0".to_owned(), "another shard has counted"),
        ("\"shard\":\"2/2\"".to_owned(), "\"shard\":\"1/2\"".to_owned(), "found shard 1/2 again"),
    ] {
        let changed = text.replace(&from, &to);
        assert_ne!(changed, text, "{from}");
        fs::write(at(two), changed).unwrap();
        let stderr = refused(&bundle, "--join t", 11);
        assert!(stderr.contains(said), "{from}: {stderr}");
    }
    fs::write(at(two), &text[..text.len() / 2]).unwrap();
    assert!(refused(&bundle, "--join t", 10).contains("expected a tally: "));
    fs::write(at(two), &text).unwrap();
    told(&bundle, "--join t", 0);
}

#[test]
fn a_tally_that_somebody_else_could_have_written_needs_a_signature() {
    let bundle = Bundle::small("0", &[1]);
    let at = |name: &str| bundle.root.path().join(name);
    tallies(&bundle, 2);
    let two = at("t/b.2-of-2.json");
    for mode in [0o664, 0o646] {
        fs::set_permissions(&two, fs::Permissions::from_mode(mode)).unwrap();
        assert!(refused(&bundle, "--join t", 2).contains("expected a file that only its owner can write"));
    }
    let both = "--key 2.pub.pem --threshold 1";
    told(&bundle, &format!("{both} --shard 2/2 -o t --sign 2.pem"), 0);
    let document = told(&bundle, &format!("{both} --join t"), 0);
    let tallies = &document["result"]["tallies"];
    assert_eq!((&tallies[0]["keyids"], &tallies[1]["keyids"]), (&json!([]), &json!([key(2).public().id()])));
    let text = verify(&bundle, &format!("{both} --join t")).stdout;
    assert!(text.contains("shards     2 tallies, 1 signed and 1 of this machine's user or root"), "{text}");
    // Without its key it counts for nothing, although the file is ours.
    assert!(refused(&bundle, "--join t", 13).contains("expected a signature by "));
    let signed = at("t/b.2-of-2.sig.json");
    let good = fs::read(&signed).unwrap();
    let mut envelope = Envelope::parse(&good).unwrap();
    envelope.signatures[0].sig[0] ^= 1;
    fs::write(&signed, envelope.to_bytes()).unwrap();
    assert!(refused(&bundle, &format!("{both} --join t"), 12).contains("bad signature under key"));
    let mut envelope = Envelope::new(statement_of(b"another"));
    envelope.sign(&key(2));
    fs::write(&signed, envelope.to_bytes()).unwrap();
    assert!(refused(&bundle, &format!("{both} --join t"), 12).contains("found them over something else"));
    // A key signs what it is given: the gate still counts.
    fs::write(&signed, &good).unwrap();
    fs::write(&two, fs::read(at("t/b.1-of-2.json")).unwrap()).unwrap();
    assert_eq!(verify(&bundle, &format!("{both} --join t")).code, 12);
    // A new tally that is not signed takes the signatures of the old one away.
    told(&bundle, "--shard 2/2 -o t", 0);
    assert_eq!(fs::read(&signed).unwrap(), b"");
    fs::set_permissions(&two, fs::Permissions::from_mode(0o644)).unwrap();
    told(&bundle, "--join t", 0);
}

#[test]
fn a_key_of_the_policy_outside_every_section_vouches_for_tallies() {
    let bundle = Bundle::small("0", &[1]);
    let policy = "[key]\nrelease = { public = \"1.pub.pem\", holder = \"a\", role = \"r\" }\n\
                  guard = { public = \"2.pub.pem\", holder = \"b\", role = \"g\" }\n[no_channel]\nkeys = [\"release\"]\n";
    fs::write(bundle.root.path().join("trust.toml"), policy).unwrap();
    fs::create_dir(bundle.root.path().join("t")).unwrap();
    bundle.run("verify usb/b --policy trust.toml --shard 1/1 -o t --sign 2.pem", 0);
    fs::set_permissions(bundle.root.path().join("t/b.1-of-1.json"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(bundle.run("verify usb/b --policy trust.toml --join t", 0).contains("PASS  b\n"));
    // It does not sign bundles.
    let strange = Bundle::small("0", &[2]);
    fs::write(strange.root.path().join("trust.toml"), policy).unwrap();
    strange.run("verify usb/b --policy trust.toml", 13);
}

#[test]
fn only_empty_files_and_tallies_are_written_over() {
    let bundle = Bundle::small("0", &[1]);
    let at = |name: &str| bundle.root.path().join(name);
    let run = |more: &str, code: u8| refused(&bundle, &format!("--shard 1/1 {more}"), code);
    fs::write(at("notes.json"), "{\"mine\":1}").unwrap();
    symlink("notes.json", at("link.json")).unwrap();
    for (more, code, said) in [
        ("-o notes.json", 2, "expected no file or an earlier tally, found another file"),
        ("-o link.json", 22, "found a symbolic link"),
        ("-o usb/b.json", 2, "it is a file of the bundle"),
        ("-o t.txt", 2, "a name that ends in .json but not in .sig.json"),
        ("-o t.sig.json", 2, "a name that ends in .json but not in .sig.json"),
        ("-o none/t.json", 22, "No such file"),
        ("", 2, "--output"),
        ("-o t.json --join t.json", 2, "cannot be used with"),
        ("-o t.json --volume 1", 2, "cannot be used with"),
        ("-o t.json --record", 2, "cannot be used with"),
        ("-o t.json --base usb/b", 2, "cannot be used with"),
        ("-o t.json --scan true", 2, "cannot be used with"),
        ("-o t.json --sign pkcs11:object=a", 2, "which a confined process cannot use"),
        ("-o t.json --sign 1.pub.pem", 2, "found a public one"),
    ] {
        let stderr = run(more, code);
        assert!(stderr.contains(said), "{more}: {stderr}");
        assert!(!at("t.json").exists(), "{more}");
    }
    assert_eq!(fs::read(at("notes.json")).unwrap(), b"{\"mine\":1}");
    for words in ["--sign 1.pem", "-o t.json"] {
        assert!(refused(&bundle, words, 2).contains("--shard"), "{words}");
    }
    fs::write(at("t.json"), "").unwrap();
    run("-o t.json", 0);
    fs::write(at("t.sig.json"), "mine").unwrap();
    assert!(run("-o t.json --sign 1.pem", 2).contains("found another file"));
    fs::remove_file(at("t.sig.json")).unwrap();
    run("-o t.json --sign 1.pem", 0);
    assert!(Envelope::parse(&fs::read(at("t.sig.json")).unwrap()).is_ok());
    // A stream has no parts.
    fs::write(at("stream"), crate::stream_of(&bundle)).unwrap();
    for more in ["--shard 1/1 -o s.json", "--join t.json"] {
        let words = format!("verify stream --key 1.pub.pem {more}");
        assert!(bundle.run(&words, 2).contains("a stream can only be checked as a whole"), "{more}");
    }
    assert!(bundle.run("verify stream --key 1.pub.pem --shard 1/1 -o usb", 2).contains("found a stream"));
}

#[test]
fn a_join_records_and_reports_and_a_shard_does_not() {
    let bundle = Bundle::new(&[noise(1, 100_000)], &["--channel", "c", "--init-state", "--state", "x"], &[1]);
    tallies(&bundle, 2);
    let report = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(bundle.root.path().join(name)).unwrap()).unwrap()
    };
    told(&bundle, "--shard 2/2 -o t --report part.json --report part.html", 0);
    let part = report("part.json");
    assert_eq!((&part["verdict"], &part["ok"]), (&json!("PART"), &json!(true)));
    let summary = part["summary"].as_str().unwrap();
    assert!(summary.contains("shard 2/2") && summary.contains("does not approve"), "{summary}");
    assert!(
        part["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| { check["name"] == "Every byte as signed" && check["result"] == "open" })
    );
    told(&bundle, "--join t --record --init-state --state guard --report whole.json", 0);
    let whole = report("whole.json");
    assert_eq!(whole["verdict"], "PASS");
    let bytes =
        whole["checks"].as_array().unwrap().iter().find(|check| check["name"] == "Every byte as signed").unwrap();
    assert!(bytes["result"] == "passed" && bytes["detail"].as_str().unwrap().contains("one of 2 shards"), "{bytes}");
    let unproven = whole["unproven"].to_string();
    assert!(unproven.contains("their tallies say what they have read"), "{unproven}");
    let again = told(&bundle, "--record --state guard", 0);
    assert_eq!(again["result"]["order"]["state"], "same");
    // A refused join records nothing.
    fs::remove_file(bundle.root.path().join("t/b.1-of-2.json")).unwrap();
    told(&bundle, "--join t --record --init-state --state other --report gone.json", 11);
    assert_eq!(report("gone.json")["verdict"], "REFUSED");
    assert_eq!(told(&bundle, "--record --state other", 0)["result"]["order"]["state"], "first");
}

#[test]
fn a_tally_is_what_its_shard_has_seen() {
    let bundle = Bundle::small("0", &[1]);
    tallies(&bundle, 1);
    let seen = Seen::parse(&fs::read(bundle.root.path().join("t/b.1-of-1.json")).unwrap()).unwrap();
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    let trusted = open(&bundle.dir()).unwrap().authenticate(&policy).unwrap();
    assert_eq!((seen.bundle(), seen.shard()), (trusted.id(), Shard::new(1, 1).unwrap()));
    assert_eq!(seen.units().iter().collect::<Vec<_>>(), [(0, trusted.offsets().units.len())]);
    assert_eq!(seen.ended().to_string(), "2026-01-01T00:00:00Z");
}
