//! Rows S2, S4, S6, S8, S17 and S18 with a policy file, by whole commands.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use crate::{Bundle, key};

const POLICY: &str = r#"[key]
release = { public = "1.pub.pem", holder = "release desk", role = "release" }
guard = { public = "2.pub.pem", holder = "guard desk", role = "guard" }
deputy = { public = "3.pub.pem", holder = "deputy", role = "release" }
[no_channel]
keys = ["release", "guard", "deputy"]
threshold = 2
roles = ["release", "guard"]
"#;

struct Desk(Bundle);

impl Desk {
    fn new(signers: &[u8], policy: &str) -> Self {
        let desk = Self(Bundle::small("9", signers));
        for seed in [3, 4] {
            fs::write(desk.path(&format!("{seed}.pub.pem")), key(seed).public().to_pem()).unwrap();
            let private = desk.path(&format!("{seed}.pem"));
            fs::write(&private, key(seed).to_pem(None).unwrap().as_bytes()).unwrap();
            fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(desk.path("trust.toml"), policy).unwrap();
        desk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.root.path().join(file)
    }

    fn run(&self, words: &str, code: u8) -> String {
        self.0.run(words, code)
    }

    fn verify(&self, code: u8) -> String {
        self.run("verify usb/b --policy trust.toml", code)
    }

    /// Verifies with this policy; it must be refused with this message.
    fn refused(&self, policy: &[u8], said: &str) {
        let path = self.path("trust.toml");
        fs::remove_file(&path).unwrap();
        fs::write(&path, policy).unwrap();
        let told = self.verify(2);
        assert!(told.contains(said) && told.contains("help: "), "{said}: {told}");
        assert!(!told.contains("REFUSED") && !told.contains("PASS"), "{told}");
        self.run("import usb/b --policy trust.toml --to oci:site", 2);
        fs::write(&path, POLICY).unwrap();
    }
}

#[test]
fn s18_the_second_person_must_be_another_one() {
    let desk = Desk::new(&[1], POLICY);
    assert!(desk.verify(13).contains("2 distinct holders, found 1: release desk"));
    desk.run("sign usb/b --sign 3.pem", 0);
    assert!(desk.verify(13).contains("in the role guard"));
    desk.run("import usb/b --policy trust.toml --to oci:site", 13);
    assert!(!desk.path("site").exists());
    desk.run("sign usb/b --sign 2.pem", 0);
    let told = desk.verify(0);
    for line in ["release desk (release)", "guard desk (guard)", "deputy (release)"] {
        assert!(told.contains(line), "{told}");
    }
    let told = desk.run("verify usb/b --policy trust.toml --json", 0);
    assert!(told.contains("\"section\":\"no_channel\"") || told.contains("\"section\": \"no_channel\""), "{told}");
    desk.run("import usb/b --policy trust.toml --to oci:site", 0);
}

#[test]
fn s2_s8_unknown_signatures_are_shown_or_refused_and_bad_ones_never_pass() {
    let desk = Desk::new(&[1, 2], POLICY);
    desk.run("sign usb/b --sign 4.pem", 0);
    assert!(desk.verify(0).contains(&format!("not counted  {}", key(4).public().id())));
    fs::write(desk.path("trust.toml"), format!("{POLICY}unknown_signatures = \"refuse\"\n")).unwrap();
    assert!(desk.verify(15).contains("unknown key"));
    // A key only in another section of the policy: known, so its signature must be valid; not in
    // this section, so it does not count.
    let other = POLICY.replace("\"release\", \"guard\", \"deputy\"]\nthreshold = 2", "\"release\", \"guard\"]")
        + "[channel.other]\nkeys = [\"deputy\"]\n";
    fs::write(desk.path("trust.toml"), other).unwrap();
    desk.run("sign usb/b --sign 3.pem", 0);
    assert!(desk.verify(0).contains("a key of the policy, but not of this section"));
    let path = desk.path("usb/b.sig.json");
    let mut envelope = packmule::signing::Envelope::parse(&fs::read(&path).unwrap()).unwrap();
    let three = key(3).public().id().to_owned();
    envelope.signatures.iter_mut().find(|one| one.keyid == three).unwrap().sig[0] ^= 1;
    fs::write(&path, envelope.to_bytes()).unwrap();
    desk.verify(12);
}

#[test]
fn s4_s6_s17_a_policy_file_that_cannot_be_trusted_is_refused_with_its_reason() {
    let desk = Desk::new(&[1, 2], POLICY);
    desk.verify(0);
    desk.refused(POLICY.replace('\n', "\r\n").as_bytes(), "trust.toml:1: expected lines that end in LF");
    desk.refused(format!("\u{feff}{POLICY}").as_bytes(), "byte order mark");
    desk.refused(POLICY.replace("threshold = 2", "threshold = 0").as_bytes(), "trust.toml:7: ");
    desk.refused(POLICY.replace("threshold = 2", "threshold = 4").as_bytes(), "from 1 to 3");
    desk.refused(POLICY.replace("3.pub.pem", "1.pub.pem").as_bytes(), "is listed twice in this file");
    desk.refused(POLICY.replace("deputy =", "guard =").as_bytes(), "trust.toml:4: duplicate key");
    desk.refused(POLICY.replace("roles =", "rolls =").as_bytes(), "did you mean roles?");
    desk.refused(POLICY.replace("3.pub.pem", "3.pem").as_bytes(), "found a private one");
    desk.refused(POLICY.replace("3.pub.pem", "5.pub.pem").as_bytes(), "trust.toml:4: key ");
    desk.refused(b"\xff", "not UTF-8");
    desk.refused(&vec![b'#'; 5 << 20], "at most");
    // Row S6: a key that anyone could sign for.
    let low = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
    fs::write(desk.path("5.pub.pem"), low).unwrap();
    desk.refused(POLICY.replace("3.pub.pem", "5.pub.pem").as_bytes(), "weak or non-canonical");
    // Who could have written the file.
    let policy = desk.path("trust.toml");
    for file in ["trust.toml", "1.pub.pem"] {
        for mode in [0o664, 0o646, 0o777] {
            fs::set_permissions(desk.path(file), fs::Permissions::from_mode(mode)).unwrap();
            assert!(desk.verify(2).contains("only its owner can write"));
        }
        fs::set_permissions(desk.path(file), fs::Permissions::from_mode(0o644)).unwrap();
        let moved = desk.path("moved");
        fs::rename(desk.path(file), &moved).unwrap();
        symlink(&moved, desk.path(file)).unwrap();
        desk.verify(0);
        // Others could make it lead elsewhere.
        let folder = desk.path("");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(desk.verify(2).contains("only its owner can write, found mode 0777"));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_file(desk.path(file)).unwrap();
        symlink("none", desk.path(file)).unwrap();
        assert!(desk.verify(2).contains("No such file"));
        fs::remove_file(desk.path(file)).unwrap();
        fs::create_dir(desk.path(file)).unwrap();
        assert!(desk.verify(2).contains("found a directory"));
        fs::remove_dir(desk.path(file)).unwrap();
        assert!(desk.verify(2).contains("No such file"));
        fs::rename(&moved, desk.path(file)).unwrap();
    }
    assert!(policy.is_file());
    desk.verify(0);
    for words in ["--key 1.pub.pem", "--threshold 1"] {
        assert!(desk.run(&format!("verify usb/b --policy trust.toml {words}"), 2).contains("cannot be used with"));
    }
}

#[test]
fn the_machines_own_policy_counts_where_no_key_is_given() {
    let desk = Desk::new(&[1], POLICY);
    desk.run("verify usb/b", 2);
    fs::create_dir_all(desk.path("etc/packmule")).unwrap();
    let usual = desk.path("etc/packmule/trust.toml");
    fs::write(&usual, POLICY.replace("\"1.", "\"../../1.").replace("\"2.", "\"../../2.").replace("\"3.", "\"../../3."))
        .unwrap();
    desk.run("verify usb/b", 13);
    desk.run("verify usb/b --key 1.pub.pem", 0);
    desk.run("sign usb/b --sign 2.pem", 0);
    desk.run("verify usb/b", 0);
    fs::rename(&usual, desk.path("away")).unwrap();
    symlink(desk.path("away"), &usual).unwrap();
    desk.run("verify usb/b", 0);
    // Present but invalid: not treated as missing.
    fs::remove_file(desk.path("away")).unwrap();
    desk.run("verify usb/b", 2);
}

#[test]
fn what_is_not_allowed_or_lacks_is_refused_before_the_first_push() {
    let desk = Desk::new(&[1], POLICY);
    desk.run("demo d", 0);
    // An index with its SBOM, and a model file.
    let export = |name: &str, what: &str| {
        desk.run(&format!("export {what} -o usb/{name} --sign 1.pem --referrers all"), 0);
    };
    export("all", "oci:d/source");
    desk.run("export oci:d/source:docker.io/library/tide:1.4 -o usb/bare --sign 1.pem --referrers none", 0);
    let section = |rules: &str| {
        let policy = POLICY.split("[no_channel]").next().unwrap();
        fs::write(desk.path("trust.toml"), format!("{policy}[no_channel]\nkeys = [\"release\"]\n{rules}\n")).unwrap();
    };
    let both = |bundle: &str, rules: &str, code: u8| {
        section(rules);
        let told = desk.run(&format!("verify usb/{bundle} --policy trust.toml"), code);
        drop(fs::remove_dir_all(desk.path("site")));
        desk.run(&format!("import usb/{bundle} --policy trust.toml --to oci:site"), code);
        assert_eq!(desk.path("site/index.json").exists(), code == 0, "{rules}");
        told
    };
    both("all", "require = { referrers = [\"application/spdx+json\"] }", 0);
    let told = both("bare", "require = { referrers = [\"application/spdx+json\"] }", 15);
    assert!(told.contains("docker.io/library/tide@sha256:"), "{told}");
    assert!(both("all", "require = { referrers = [\"application/vnd.cyclonedx*\"] }", 15).contains("cyclonedx"));
    both("all", "types = [\"application/vnd.*\", \"application/spdx+json\"]", 0);
    assert!(
        both("all", "types = [\"application/vnd.oci.*\", \"application/spdx+json\"]", 15).contains("vnd.example.model")
    );
    both("all", "repositories = [\"docker.io/library/tide\", \"docker.io/models/*\"]", 0);
    assert!(both("all", "repositories = [\"docker.io/library/*\"]", 15).contains("docker.io/models/tide"));
    both("all", "limits = { blob = \"40MiB\", bundle = \"41MiB\" }", 0);
    assert!(both("all", "limits = { blob = \"39MiB\" }", 15).contains("blobs of at most"));
    assert!(both("all", "limits = { bundle = \"40MiB\" }", 15).contains("bytes of blobs"));
}

/// Runs README's section unchanged, except for the places.
#[test]
fn two_people_an_order_an_end_as_the_readme_has_them() {
    let desk = Desk::new(&[1], POLICY);
    desk.run("demo d", 0);
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Two people")).unwrap();
    let block = |kind: &str| section.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    fs::create_dir_all(desk.path("etc/packmule/keys")).unwrap();
    fs::write(desk.path("etc/packmule/trust.toml"), block("toml")).unwrap();
    for (seed, name) in [(1, "release"), (2, "guard")] {
        fs::copy(desk.path(&format!("{seed}.pem")), desk.path(&format!("{name}.pem"))).unwrap();
        fs::copy(desk.path(&format!("{seed}.pub.pem")), desk.path(&format!("etc/packmule/keys/{name}.pem"))).unwrap();
    }
    let mut ran = 0;
    for line in block("sh").lines() {
        let mut words = line.strip_prefix("packmule ").unwrap().to_owned();
        for (written, here) in [
            ("quay.io/team/app:1.4", "oci:d/source:docker.io/library/tide:1.4"),
            ("/media/usb", "medium"),
            ("registry.example:5000/mirror", "oci:site"),
        ] {
            words = words.replace(written, here);
        }
        fs::create_dir_all(desk.path("medium")).unwrap();
        let state = if words.starts_with("verify") { "guard" } else { "own" };
        desk.run(&format!("{words} --state {state}"), 0);
        ran += 1;
    }
    assert_eq!(ran, 4);
    // Without the guard's signature, nothing passes.
    desk.run(
        "export oci:d/source:docker.io/library/tide:1.4 -o medium --channel apps --expires 1d --sign 1.pem --state own",
        0,
    );
    assert!(desk.run("verify medium/apps-2 --state guard", 13).contains("2 distinct holders"));
}
