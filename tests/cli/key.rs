//! `packmule key`, checked with OpenSSL.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use packmule::base::fault::Class;
use packmule::cli;
use packmule::cli::world::World;
use packmule::cli::writing::signers::load_signers;

use super::{packmule, refused};

fn openssl(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A file that only its owner can read.
fn secret(dir: &Path, file: &str, text: &str) {
    fs::write(dir.join(file), text).unwrap();
    fs::set_permissions(dir.join(file), fs::Permissions::from_mode(0o600)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn new_writes_two_files_that_openssl_reads() {
    let dir = tempfile::tempdir().unwrap();
    secret(dir.path(), "p", "correct horse\nsecond line\n");
    let ended = packmule(dir.path(), &["key", "new", "-o", "k.pem", "--passphrase-file", "p"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(mode(&dir.path().join("k.pem")), 0o600);
    let public = openssl(dir.path(), &["pkey", "-in", "k.pem", "-passin", "pass:correct horse", "-pubout"]);
    assert_eq!(public, fs::read(dir.path().join("k.pub.pem")).unwrap());
    let der = openssl(dir.path(), &["pkey", "-pubin", "-in", "k.pub.pem", "-outform", "DER"]);
    let id = packmule::oci::Digest::sha256(&der).hex();
    assert!(ended.stdout.contains(&id));
    assert_eq!(packmule(dir.path(), &["key", "id", "k.pub.pem"]).stdout, format!("{id}\n"));
    let shown = packmule(dir.path(), &["key", "public", "k.pem", "--passphrase-file", "p"]).stdout;
    assert_eq!(shown.as_bytes(), public);
    let check = packmule(dir.path(), &["key", "check", "k.pem"]);
    assert!(check.code == 0 && check.stdout.contains("private key, encrypted"), "{}", check.stdout);
    let check = packmule(dir.path(), &["key", "check", "k.pub.pem"]);
    assert!(check.code == 0 && check.stdout.contains("public key") && check.stdout.contains(&id));
}

#[test]
fn new_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    for (there, file) in [("a.pem", "a.pem"), ("b.pub.pem", "b.pem"), ("c.pub.pem", "c")] {
        fs::write(dir.path().join(there), "mine").unwrap();
        refused(dir.path(), &["key", "new", "-o", file, "--no-passphrase"], 2);
        assert_eq!(fs::read(dir.path().join(there)).unwrap(), b"mine");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    refused(dir.path(), &["key", "new", "-o", "absent/k.pem", "--no-passphrase"], 22);
    let stderr = refused(dir.path(), &["key", "new", "-o", "k.pem"], 2);
    assert!(stderr.contains("no terminal") && stderr.contains("--no-passphrase"), "{stderr}");
    secret(dir.path(), "empty", "\n");
    refused(dir.path(), &["key", "new", "-o", "k.pem", "--passphrase-file", "empty"], 2);
    assert!(!dir.path().join("k.pem").exists());
}

#[test]
fn s19_unfit_keys_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    secret(dir.path(), "p", "right");
    secret(dir.path(), "q", "canary");
    assert_eq!(packmule(dir.path(), &["key", "new", "-o", "k.pem", "--passphrase-file", "p"]).code, 0);
    for (args, said) in [
        (&["key", "public", "k.pem", "--passphrase-file", "q"][..], "does not open"),
        (&["key", "public", "k.pem"], "encrypted"),
        (&["key", "public", "k.pem", "--passphrase-file", "systemd:p"], "CREDENTIALS_DIRECTORY"),
        (&["key", "public", "pkcs11:object=a?module-path=/m.so&pin-value=canary"], "pin-value"),
        (&["key", "public", "k.pub.pem"], "found a public one"),
        (&["key", "id", "k.pem"], "found a private one"),
        (&["key", "id", "p"], "PEM"),
        (&["key", "check", "p"], "PEM"),
        (&["key", "check", "absent"], "absent"),
        (&["key", "check", "."], "directory"),
    ] {
        let stderr = refused(dir.path(), args, 2);
        assert!(stderr.contains(said) && !stderr.contains("canary"), "{args:?}: {stderr}");
    }
    fs::set_permissions(dir.path().join("p"), fs::Permissions::from_mode(0o604)).unwrap();
    let stderr = refused(dir.path(), &["key", "public", "k.pem", "--passphrase-file", "p"], 2);
    assert!(stderr.contains("0604") && stderr.contains("chmod 600 p"), "{stderr}");
    fs::set_permissions(dir.path().join("k.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    for args in [
        &["key", "check", "k.pem"][..],
        &["key", "public", "k.pem", "--passphrase-file", "p"],
        &["sign", "absent/b", "--sign", "k.pem"],
        &["sign", "absent/b", "--sign", "k.pem", "-o", "f"],
    ] {
        let stderr = refused(dir.path(), args, 2);
        assert!(stderr.contains("0644") && stderr.contains("chmod 600"), "{stderr}");
    }
    openssl(dir.path(), &["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "rsa.pem"]);
    fs::set_permissions(dir.path().join("rsa.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(refused(dir.path(), &["key", "check", "rsa.pem"], 2).contains("an RSA key"));
}

#[test]
fn a_terminal_is_asked_twice() {
    let dir = tempfile::tempdir().unwrap();
    let run = |answers: &'static [&'static str]| {
        let (world, _, stderr) = World::for_test(&["key", "new", "-o", "k.pem"], dir.path());
        let mut answers = answers.iter();
        let mut world = world.with_prompt(move |_| Ok((*answers.next().expect("asked once too often")).to_owned()));
        (cli::run(&mut world), stderr.text())
    };
    assert_eq!(run(&["one", "two"]).0, 2);
    assert_eq!(run(&[""]).0, 2);
    assert!(!dir.path().join("k.pem").exists());
    assert_eq!(run(&["one", "one"]), (0, String::new()));
    openssl(dir.path(), &["pkey", "-in", "k.pem", "-passin", "pass:one", "-noout"]);
}

#[test]
fn signers_are_loaded_with_their_passphrases_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for (name, passphrase) in [("a", "one"), ("b", "two")] {
        secret(dir.path(), &format!("{name}.txt"), passphrase);
        let (key, file) = (format!("{name}.pem"), format!("{name}.txt"));
        assert_eq!(packmule(dir.path(), &["key", "new", "-o", &key, "--passphrase-file", &file]).code, 0);
    }
    let (mut world, ..) = World::for_test(&[], dir.path());
    let mut load = |keys: &[&str], files: &[&str]| {
        let paths = |names: &[&str]| names.iter().map(Into::into).collect::<Vec<_>>();
        load_signers(&paths(keys), &paths(files), &mut world)
    };
    assert_eq!(load(&["a.pem", "b.pem"], &["a.txt", "b.txt"]).unwrap().len(), 2);
    for (keys, files) in [
        (&["a.pem", "b.pem"][..], &["b.txt", "a.txt"][..]),
        (&["a.pem", "b.pem"], &["a.txt"]),
        (&["a.pem", "a.pem"], &["a.txt", "a.txt"]),
        (&["a.pem"], &["a.txt", "b.txt"]),
        (&["a.pub.pem"], &[]),
    ] {
        assert_eq!(load(keys, files).unwrap_err().class, Class::Usage, "{keys:?} {files:?}");
    }
}

#[test]
fn a_service_takes_its_passphrase_from_systemd() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    secret(&credentials, "release-key", "correct horse\n");
    let run = |args: &[&str]| {
        let mut command = super::command(dir.path(), args);
        super::Ended::from(command.env("CREDENTIALS_DIRECTORY", &credentials).output().unwrap())
    };
    let made = run(&["key", "new", "-o", "k.pem", "--passphrase-file", "systemd:release-key"]);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    openssl(dir.path(), &["pkey", "-in", "k.pem", "-passin", "pass:correct horse", "-noout"]);
    let shown = run(&["key", "public", "k.pem", "--passphrase-file", "systemd:release-key"]);
    assert_eq!(shown.stdout.as_bytes(), fs::read(dir.path().join("k.pub.pem")).unwrap());
    let mut command = super::command(dir.path(), &["key", "public", "k.pem"]);
    command.env("CREDENTIALS_DIRECTORY", &credentials).env("PACKMULE_PASSPHRASE_FILE", "systemd:release-key");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
}
