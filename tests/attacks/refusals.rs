//! Refusals before any work: names, keys, outputs, trust. The source gets no request.

use std::os::unix::fs::PermissionsExt as _;

use super::shelf::{Image, Shelf, noise};
use super::world::{command, dir, finals, fresh, packmule, refused, sandbox, text};

/// A registry with `a/b:1`, and the folder of this test.
struct Place {
    shelf: Shelf,
    out: String,
    test: &'static str,
}

impl Place {
    fn new(test: &'static str) -> Self {
        let image = Image::new(vec![noise(20, 5000)]);
        Self { shelf: Shelf::plain(&[("a/b", "1", &image)]), out: fresh(test), test }
    }

    fn name(&self) -> String {
        format!("{}/a/b:1", self.shelf.host())
    }

    /// Checks that an export with these arguments after the selector is refused, without any
    /// request.
    fn refuses(&self, args: &[&str], code: i32) -> String {
        let name = self.name();
        let before = self.shelf.server.requests().len();
        let told = refused(&[&["export", &name], args].concat(), code);
        assert_eq!(self.shelf.server.requests().len(), before, "{args:?}: the network was asked first");
        told
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        dir().join(self.test).join(file)
    }
}

#[test]
fn a_bundle_that_is_there_stays_unless_it_is_to_be_replaced() {
    let place = Place::new("there");
    let (name, out) = (place.name(), place.out.as_str());
    packmule(&["export", &name, "-o", out, "--sign", "k.pem"], 0);
    let before = std::fs::read(place.path("b.json")).unwrap();
    let told = place.refuses(&["-o", out, "--sign", "k.pem"], 2);
    assert!(told.contains("--overwrite"), "{told}");
    let told = place.refuses(&["-o", out, "--sign", "k.pem", "--level", "0"], 2);
    assert!(told.contains("b.json"), "{told}");
    assert_eq!(std::fs::read(place.path("b.json")).unwrap(), before);
    packmule(&["verify", out, "--key", "k.pub.pem"], 0);
    packmule(&["export", &name, "-o", out, "--sign", "k.pem", "--overwrite", "--annotation", "a=b"], 0);
    assert_ne!(std::fs::read(place.path("b.json")).unwrap(), before);
    packmule(&["verify", out, "--key", "k.pub.pem"], 0);
    // A failed replacement leaves the old one unchanged.
    let before = std::fs::read(place.path("b.json")).unwrap();
    let absent = format!("{}/a/b:never", place.shelf.host());
    refused(&["export", &absent, "-o", out, "--sign", "k.pem", "--overwrite"], 20);
    assert_eq!(std::fs::read(place.path("b.json")).unwrap(), before);
    packmule(&["verify", out, "--key", "k.pub.pem"], 0);
    // Volumes without a manifest are also treated as someone's.
    std::fs::remove_file(place.path("b.json")).unwrap();
    let told = place.refuses(&["-o", out, "--sign", "k.pem"], 2);
    assert!(told.contains("b.0001.tar.zst"), "{told}");
}

#[test]
fn an_output_without_a_directory_is_in_this_one() {
    let place = Place::new("bare");
    let run = |args: &[&str]| {
        let ended = command(args).current_dir(dir().join("bare")).output().unwrap();
        assert!(ended.status.success(), "{args:?}: {}", text(&ended.stderr));
    };
    run(&["export", &place.name(), "-o", "b", "--sign", "../k.pem"]);
    run(&["verify", "b", "--key", "../k.pub.pem"]);
    run(&["unpack", "b", "--key", "../k.pub.pem", "l"]);
    run(&["export", "oci:l", "-o", "c", "--sign", "../k.pem"]);
}

#[test]
fn a4_an_output_that_cannot_be_written_is_told_before_the_network_is_asked() {
    let place = Place::new("nowhere");
    std::fs::write(place.path("file"), "mine").unwrap();
    for (out, code) in [
        ("nowhere/absent/b", 22),
        ("nowhere/file/b", 22),
        ("nowhere", 2),
        ("nowhere/b.json", 2),
        ("nowhere/B", 2),
        ("nowhere/a b", 2),
        ("nowhere/con", 2),
        ("nowhere/..", 2),
        ("/proc/b", 22),
    ] {
        let told = place.refuses(&["-o", out, "--sign", "k.pem"], code);
        assert!(told.contains(out.rsplit('/').next().unwrap()) || told.contains("nowhere"), "{out}: {told}");
    }
    assert_eq!(std::fs::read(place.path("file")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(dir().join("nowhere")).unwrap().count(), 1);
    let script = r#"mkdir nowhere/ro && mount -t tmpfs -o ro none nowhere/ro && exec "$P" export "$1" -o nowhere/ro/b --sign k.pem"#;
    let asked = place.shelf.server.requests().len();
    let Some(ended) = sandbox(script, &[&place.name()]) else { return };
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(22), "{told}");
    assert!(told.contains("error: nowhere/ro/b.lock: Read-only file system") && told.contains("\nhelp: "), "{told}");
    assert_eq!(place.shelf.server.requests().len(), asked);
}

#[test]
fn s19_unfit_keys_are_refused_before_any_work() {
    let place = Place::new("keys");
    let out = place.out.as_str();
    for (file, text) in [("right", "right"), ("wrong", "canary"), ("junk", "not a key\n")] {
        std::fs::write(place.path(file), text).unwrap();
        std::fs::set_permissions(place.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    packmule(&["key", "new", "-o", "keys/locked.pem", "--passphrase-file", "keys/right"], 0);
    packmule(&["key", "new", "-o", "keys/open.pem", "--no-passphrase"], 0);
    std::fs::set_permissions(place.path("open.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let no_token = if cfg!(feature = "pkcs11") { "/absent.so" } else { "this build knows no PKCS#11" };
    for (key, more, said) in [
        ("keys/absent.pem", &[][..], "absent.pem"),
        ("keys", &[], "keys"),
        ("keys/junk", &[], "PEM"),
        ("k.pub.pem", &[], "found a public one"),
        ("keys/open.pem", &[], "chmod 600"),
        ("keys/locked.pem", &["--passphrase-file", "keys/wrong"], "does not open"),
        ("keys/locked.pem", &["--passphrase-file", "keys/absent"], "absent"),
        ("keys/locked.pem", &[], "encrypted"),
        ("pkcs11:object=a?module-path=/absent.so", &[], no_token),
        ("pkcs11:object=a?module-path=/absent.so&pin-value=canary", &[], "pin-value"),
    ] {
        let told = place.refuses(&[&["-o", out, "--sign", key], more].concat(), 2);
        assert!(told.contains(said) && !told.contains("canary"), "{key}: {told}");
        assert!(finals(out).is_empty());
    }
    let told = place.refuses(&["-o", out], 2);
    assert!(told.contains("--sign"), "{told}");
    for (option, value) in
        [("--volume-size", "1KiB"), ("--volume-size", "much"), ("--platform", "X"), ("--annotation", "x")]
    {
        place.refuses(&["-o", out, "--sign", "k.pem", option, value], 2);
    }
    packmule(&["export", &place.name(), "-o", out, "--sign", "keys/locked.pem", "--passphrase-file", "keys/right"], 0);
    let mut verified = vec!["keys/absent.pem", "keys", "keys/junk", "keys/open.pem", "k.pem"];
    for key in verified.drain(..) {
        for command in [&["verify", out][..], &["import", out, "--to", place.shelf.host()], &["unpack", out, "keys/d"]]
        {
            let told = refused(&[command, &["--key", key]].concat(), 2);
            assert!(told.contains(key), "{told}");
        }
    }
    assert!(!place.path("d").exists());
    // Signed, but by another key.
    for command in [&["verify", out][..], &["import", out, "--to", place.shelf.host()], &["unpack", out, "keys/d"]] {
        let ended = self::command(&[command, &["--key", "k.pub.pem"]].concat()).output().unwrap();
        assert_eq!(ended.status.code(), Some(13), "{}", text(&ended.stderr));
    }
    assert!(!place.path("d").exists());
}

#[test]
fn without_trust_the_key_ids_are_listed_and_nothing_is_done() {
    let place = Place::new("trust");
    let out = place.out.as_str();
    packmule(&["key", "new", "-o", "trust/two.pem", "--no-passphrase"], 0);
    packmule(&["export", &place.name(), "-o", out, "--sign", "k.pem", "--sign", "trust/two.pem"], 0);
    let ids =
        ["k.pub.pem", "trust/two.pub.pem"].map(|key| text(&command(&["key", "id", key]).output().unwrap().stdout));
    for command in [&["verify", out][..], &["import", out, "--to", place.shelf.host()], &["unpack", out, "trust/d"]] {
        let told = refused(command, 2);
        assert!(ids.iter().all(|id| told.contains(id.trim())) && told.contains("--key"), "{told}");
    }
    assert!(!place.path("d").exists());
    // An unreadable one does not hide that trust is missing.
    std::fs::write(place.path("b.sig.json"), "{").unwrap();
    assert!(refused(&["verify", out], 2).contains("--key"));
}

#[test]
fn names_that_are_none_are_refused() {
    let out = fresh("names");
    for name in [
        "",
        "a/B:1",
        "a/b:tag with space",
        "a/b@sha256:12",
        "a/b@md5:0123456789abcdef0123456789abcdef",
        "a//b",
        "https://host/a/b:1",
        "host/a/b:1,as=X Y",
        "host/a/b:1,nonsense=1",
        "host/a/b:1,as",
        "oci:",
        "oci:dir:",
        "host/a/\u{1b}[2J:1",
        "host/a/b:\u{202e}",
    ] {
        let told = refused(&["export", name, "-o", &out, "--sign", "k.pem"], 2);
        assert!(!told.contains(['\u{1b}', '\u{202e}']), "{name:?}: {told}");
    }
    // A secret in an argument is not shown.
    let told = refused(&["export", "https://mule:canary@host/a:1", "-o", &out, "--sign", "k.pem"], 2);
    assert!(!told.contains("canary") && told.contains("--authfile"), "{told}");
    for to in ["", "HOST/", "host/A", "oci:", "https://host", "host//x"] {
        let told = refused(&["import", "names/b", "--key", "k.pub.pem", "--to", to], 2);
        assert!(told.contains("help: "), "{told}");
    }
    for bundle in ["names/b", "names/absent/b", "names"] {
        let told = text(&command(&["verify", bundle, "--key", "k.pub.pem"]).output().unwrap().stderr);
        assert!(told.starts_with("error: ") && told.contains("\nhelp: "), "{bundle}: {told}");
    }
    assert!(finals(&out).is_empty());
}
