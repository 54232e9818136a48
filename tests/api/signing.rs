//! `sign` in all its ways and `--signatures`: signatures made separately, elsewhere or by OpenSSL,
//! and merged. Rows S2, S8, S9 and S10 for each of these ways.

use std::fs;
use std::process::Command;

use packmule::bundle::open;
use packmule::signing::envelope::Signature;
use packmule::signing::{Envelope, pae};

use crate::{Bundle, Ended, key, packmule};

fn run(bundle: &Bundle, words: &str, code: u8) -> Ended {
    let words: Vec<&str> = words.split(' ').collect();
    let ended = packmule(bundle.root.path(), &words);
    assert_eq!(ended.code, code, "{words:?}: {}{}", ended.stdout, ended.stderr);
    if code != 0 && !words.contains(&"--json") {
        assert!(ended.stderr.contains("error: ") && ended.stderr.contains("\nhelp: "), "{}", ended.stderr);
    }
    ended
}

fn envelope(bundle: &Bundle, file: &str) -> Envelope {
    Envelope::parse(&fs::read(bundle.root.path().join(file)).unwrap()).unwrap()
}

fn files(bundle: &Bundle) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(bundle.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Makes another bundle, signed by key 2, and puts its signature file as `other.sig.json` next to
/// this one's keys.
fn other(bundle: &Bundle) {
    let other = Bundle::new(&[b"low water 00:20\n".to_vec()], &[], &[1, 2]);
    fs::copy(other.path("b.sig.json"), bundle.root.path().join("other.sig.json")).unwrap();
}

const BOTH: &str = "verify usb/b --key 1.pub.pem --key 2.pub.pem";

#[test]
fn signed_apart_and_joined_is_as_signed_in_place() {
    let bundle = Bundle::small("9", &[]);
    let before = files(&bundle);
    run(&bundle, "sign usb/b --sign 2.pem -o two.sig.json", 0);
    run(&bundle, "sign usb/b --sign 1.pem -o one.sig.json", 0);
    assert_eq!((files(&bundle), envelope(&bundle, "usb/b.sig.json").signatures.len()), (before, 0));
    assert_eq!(envelope(&bundle, "one.sig.json").keyids().collect::<Vec<_>>(), [key(1).public().id()]);
    // Nothing is overwritten.
    let ended = run(&bundle, "sign usb/b --sign 1.pem -o two.sig.json", 2);
    assert!(ended.stderr.contains("two.sig.json"), "{}", ended.stderr);
    assert_eq!(envelope(&bundle, "two.sig.json").keyids().collect::<Vec<_>>(), [key(2).public().id()]);
    run(&bundle, "sign usb/b --sign 1.pem -o absent/f", 22);
    // Separate, and merged by a third person who has no key.
    run(&bundle, BOTH, 12);
    run(&bundle, &format!("{BOTH} --signatures one.sig.json"), 13);
    run(&bundle, &format!("{BOTH} --signatures one.sig.json --signatures two.sig.json"), 0);
    run(&bundle, "sign usb/b --merge one.sig.json --merge two.sig.json -o both.sig.json", 0);
    run(&bundle, &format!("{BOTH} --signatures both.sig.json"), 0);
    run(&bundle, BOTH, 12);
    run(&bundle, "sign usb/b --merge two.sig.json", 0);
    run(&bundle, "sign usb/b --merge one.sig.json --merge two.sig.json", 0);
    run(&bundle, BOTH, 0);
    let in_place = Bundle::small("9", &[2, 1]);
    let both = fs::read(bundle.path("b.sig.json")).unwrap();
    assert_eq!(both, fs::read(in_place.path("b.sig.json")).unwrap());
    assert_eq!(both, fs::read(bundle.root.path().join("both.sig.json")).unwrap());
}

#[test]
fn s2_s8_s10_what_is_merged_is_this_bundles_and_of_two_under_one_key_the_good_one() {
    let bundle = Bundle::small("9", &[1]);
    other(&bundle);
    let good = fs::read(bundle.path("b.sig.json")).unwrap();
    let unchanged = |words: &str, code: u8, said: &str| {
        let ended = run(&bundle, words, code);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert_eq!(fs::read(bundle.path("b.sig.json")).unwrap(), good);
    };
    unchanged("sign usb/b --merge other.sig.json", 12, "over another");
    unchanged("sign usb/b --merge absent", 22, "absent");
    unchanged("sign usb/b --merge 1.pub.pem", 10, "DSSE envelope");
    let mut two = envelope(&bundle, "usb/b.sig.json");
    two.signatures[0].sig[7] ^= 1;
    fs::write(bundle.root.path().join("spoilt"), two.to_bytes()).unwrap();
    unchanged("sign usb/b --merge spoilt", 12, "two that differ");
    run(&bundle, "sign usb/b --merge spoilt --key 1.pub.pem", 0);
    assert_eq!(fs::read(bundle.path("b.sig.json")).unwrap(), good);
    // The bad one is the bundle's: replaced by the good one.
    fs::write(bundle.root.path().join("good"), &good).unwrap();
    fs::write(bundle.path("b.sig.json"), two.to_bytes()).unwrap();
    run(&bundle, "sign usb/b --merge good", 12);
    run(&bundle, "sign usb/b --merge good --key 1.pub.pem --key 2.pub.pem", 0);
    assert_eq!(fs::read(bundle.path("b.sig.json")).unwrap(), good);
    // Another bundle's signature file next to this manifest: no signature is added to that.
    fs::copy(bundle.root.path().join("other.sig.json"), bundle.path("b.sig.json")).unwrap();
    run(&bundle, "sign usb/b --sign 2.pem", 12);
    run(&bundle, "sign usb/b --merge good", 12);
    run(&bundle, "sign usb/b --sign 2.pem -o apart", 0);
}

#[test]
fn s9_no_more_signatures_than_a_reader_takes() {
    let bundle = Bundle::small("9", &[1]);
    let mut full = envelope(&bundle, "usb/b.sig.json");
    let one = full.signatures.remove(0);
    full.signatures = (0..32).map(|n| Signature { keyid: format!("{n:064x}"), sig: vec![1; 64] }).collect();
    fs::write(bundle.root.path().join("full"), full.to_bytes()).unwrap();
    let ended = run(&bundle, "sign usb/b --merge full", 2);
    assert!(ended.stderr.contains("at most 32 signatures"), "{}", ended.stderr);
    full.signatures.push(Signature { keyid: "f".repeat(64), ..one });
    fs::write(bundle.root.path().join("full"), full.to_bytes()).unwrap();
    run(&bundle, "sign usb/b --merge full", 10);
    run(&bundle, "verify usb/b --key 1.pub.pem --signatures full", 10);
    // Each small enough, but together larger than a file may be.
    for (name, from) in [("half", 0), ("rest", 16)] {
        let some = (from..from + 15).map(|n| Signature { keyid: format!("{n:064x}"), sig: vec![1; 60_000] });
        full.signatures = some.collect();
        fs::write(bundle.root.path().join(name), full.to_bytes()).unwrap();
    }
    let ended = run(&bundle, "sign usb/b --merge half --merge rest", 2);
    assert!(ended.stderr.contains("at most 2097152 bytes"), "{}", ended.stderr);
    run(&bundle, "verify usb/b --key 1.pub.pem --signatures half --signatures rest", 0);
    let large = bundle.root.path().join("large");
    fs::write(&large, vec![b' '; (2 << 20) + 1]).unwrap();
    run(&bundle, "sign usb/b --merge large", 10);
    run(&bundle, "verify usb/b --key 1.pub.pem --signatures large", 10);
    run(&bundle, "verify usb/b --key 1.pub.pem", 0);
}

#[test]
fn s2_s10_openssl_signs_the_payload_and_only_a_good_signature_is_attached() {
    let bundle = Bundle::small("9", &[1]);
    let root = bundle.root.path();
    let payload = run(&bundle, "sign usb/b --payload", 0).stdout;
    assert_eq!(payload.as_bytes(), pae(&open(&bundle.dir()).unwrap().statement()));
    fs::write(root.join("payload"), &payload).unwrap();
    let openssl = |args: &[&str]| {
        let ended = Command::new("openssl").args(args).current_dir(root).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "2.pem", "-in", "payload", "-out", "raw"]);
    for (words, code, said) in [
        ("--attach raw", 2, "--key"),
        ("--attach raw --key 1.pub.pem", 12, "Ed25519 under key"),
        ("--attach raw --key 1.pub.pem --key 2.pub.pem", 2, "one --key"),
        ("--attach 2.pem --key 2.pub.pem", 12, "that are not one"),
        ("--attach absent --key 2.pub.pem", 22, "absent"),
        ("--attach raw --key 2.pem", 2, "found a private one"),
        ("--attach raw --key 2.pub.pem --sign 1.pem", 2, "cannot be used with"),
        ("--payload --json", 2, "--json"),
        ("--payload --key 2.pub.pem", 2, "--attach"),
        ("--sign 2.pem --key 2.pub.pem", 2, "--attach"),
        ("--key 2.pub.pem", 2, "required"),
    ] {
        let ended = run(&bundle, &format!("sign usb/b {words}"), code);
        let told = if words.contains("--json") { ended.stdout + &ended.stderr } else { ended.stderr };
        assert!(told.contains(said), "{words}: {told}");
        assert_eq!(envelope(&bundle, "usb/b.sig.json").signatures.len(), 1, "{words}");
    }
    // Signatures over the manifest itself or another bundle's payload, not over this one.
    openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "2.pem", "-in", "usb/b.json", "-out", "wrong"]);
    run(&bundle, "sign usb/b --attach wrong --key 2.pub.pem", 12);
    run(&bundle, "sign usb/b --attach raw --key 2.pub.pem -o apart", 0);
    run(&bundle, &format!("{BOTH} --signatures apart"), 0);
    run(&bundle, BOTH, 13);
    run(&bundle, "sign usb/b --attach raw --key 2.pub.pem", 0);
    run(&bundle, BOTH, 0);
}

#[test]
fn s2_s8_s10_signatures_from_elsewhere_do_no_more_than_those_beside_the_bundle() {
    let bundle = Bundle::small("9", &[1]);
    other(&bundle);
    let root = bundle.root.path().to_owned();
    run(&bundle, "sign usb/b --sign 2.pem -o two", 0);
    let mut spoilt = envelope(&bundle, "two");
    spoilt.signatures[0].sig[3] ^= 1;
    fs::write(root.join("spoilt"), spoilt.to_bytes()).unwrap();
    let mut forged = envelope(&bundle, "two");
    forged.signatures[0].keyid = key(1).public().id().to_owned();
    fs::write(root.join("forged"), forged.to_bytes()).unwrap();
    fs::write(root.join("nothing"), b"").unwrap();
    std::os::unix::fs::symlink(root.join("two"), root.join("link")).unwrap();
    let all = |more: &str, code: u8, said: &str| {
        drop(fs::remove_dir_all(root.join("site")));
        for command in ["verify usb/b", "import usb/b --to oci:site", "unpack usb/b site"] {
            let ended = run(&bundle, &format!("{command} {more}"), code);
            assert!((ended.stderr + &ended.stdout).contains(said), "{command} {more}");
        }
        assert_eq!(root.join("site/index.json").exists(), code == 0, "{more}");
    };
    let both = "--key 1.pub.pem --key 2.pub.pem";
    all(both, 13, "found 1");
    all(&format!("{both} --signatures two"), 0, "");
    all(&format!("{both} --signatures two --signatures two"), 0, "");
    // A bad one spoils everything, wherever it is, unless its key is unknown.
    all(&format!("{both} --signatures spoilt"), 12, "bad signature");
    all(&format!("{both} --signatures two --signatures spoilt"), 12, "bad signature");
    all("--key 1.pub.pem --signatures forged", 12, "bad signature");
    all("--key 1.pub.pem --signatures spoilt", 0, "");
    all(&format!("{both} --signatures two --signatures other.sig.json"), 12, "over another");
    all(&format!("{both} --signatures two --signatures 1.pub.pem"), 10, "DSSE envelope");
    // The form of all files is checked before the content of any.
    let retyped = fs::read_to_string(root.join("two")).unwrap().replace("statement.v1", "statement.v2");
    fs::write(root.join("retyped"), retyped).unwrap();
    all(&format!("{both} --signatures two --signatures retyped"), 12, "expected signatures over");
    all(&format!("{both} --signatures retyped --signatures 1.pub.pem"), 10, "DSSE envelope");
    for (file, said) in
        [("absent", "absent"), ("nothing", "nothing"), ("link", "symbolic link"), ("usb", "a directory")]
    {
        all(&format!("{both} --signatures two --signatures {file}"), 22, said);
    }
    // Missing trust is reported first, whatever else was given.
    all("--signatures two", 2, "no trust given");
    // The bundle's own file is bad: no signature from elsewhere fixes it.
    let own = fs::read(bundle.path("b.sig.json")).unwrap();
    let mut bad = envelope(&bundle, "usb/b.sig.json");
    bad.signatures[0].sig[3] ^= 1;
    fs::write(root.join("one"), &own).unwrap();
    fs::write(bundle.path("b.sig.json"), bad.to_bytes()).unwrap();
    all(&format!("{both} --signatures one --signatures two"), 12, "bad signature");
    fs::write(bundle.path("b.sig.json"), b"{}").unwrap();
    all(&format!("{both} --signatures one --signatures two"), 10, "signature file");
    // In place of the bundle's own file.
    fs::remove_file(bundle.path("b.sig.json")).unwrap();
    all(both, 12, "missing");
    all(&format!("{both} --signatures one --signatures two"), 0, "");
    let told = run(&bundle, "verify usb/b --key 1.pub.pem --signatures one --signatures two", 0);
    assert!(told.stdout.contains(&format!("not counted  {}", key(2).public().id())), "{}", told.stdout);
}

/// Runs README's section unchanged, except for the places.
#[test]
fn keys_that_stay_where_they_are_as_the_readme_has_them() {
    let bundle = Bundle::small("9", &[1]);
    let root = bundle.root.path();
    for (seed, name) in [(1, "release"), (2, "guard"), (3, "hsm")] {
        let private = root.join(format!("{name}.pem"));
        fs::write(&private, key(seed).to_pem(None).unwrap().as_bytes()).unwrap();
        fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(root.join(format!("{name}.pub.pem")), key(seed).public().to_pem()).unwrap();
    }
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Keys that stay")).unwrap();
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut ran = 0;
    for line in block.lines() {
        let words = line.replace("/media/usb/november", "usb/b");
        if let Some(words) = words.strip_prefix("packmule ") {
            let (words, file) = words.split_once(" > ").unwrap_or((words, "out"));
            fs::write(root.join(file), run(&bundle, words, 0).stdout).unwrap();
        } else {
            let mut words = words.split(' ');
            let ended = Command::new(words.next().unwrap()).args(words).current_dir(root).status().unwrap();
            assert!(ended.success(), "{line}");
        }
        ran += 1;
    }
    assert_eq!(ran, 6);
    run(&bundle, "verify usb/b --key release.pub.pem --key guard.pub.pem --key hsm.pub.pem", 0);
}
