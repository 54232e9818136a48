//! Row U1: no spelling of a secret in an argument reaches a log, a report, the JSON document or a
//! terminal, and memory that holds secrets reaches no core dump.

use std::fs;
use std::path::Path;

use super::shelf::{Image, noise};
use super::world::{command, dir, fresh, layout, packmule, text};

const CANARY: &str = "s3cretCanary";

/// Returns whether any file below `path` contains the secret.
fn holds(path: &Path) -> Option<String> {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = holds(&path) {
                return Some(found);
            }
        } else if fs::read(&path).unwrap().windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            return Some(path.display().to_string());
        }
    }
    None
}

fn small(test: &str) -> String {
    let name = fresh(test);
    layout(&format!("{test}/source"), &[Image::new(vec![noise(8200, 6_000)])]);
    packmule(&["export", &format!("oci:{test}/source"), "-o", &name, "--sign", "k.pem"], 0);
    name
}

#[test]
fn u1_no_spelling_of_a_typed_secret_is_written_anywhere() {
    let test = "typed-secrets";
    let bundle = small(test);
    let key = ["--key", "k.pub.pem"];
    let places = [
        "robot:s3cretCanary@host.example/m",
        "robot:s3cretCanary@host.example",
        "robot:x/s3cretCanary@host.example/m",
        "robot:x@s3cretCanary@host.example/m",
        "robot%3As3cretCanary%40host.example/m",
        "https://robot:s3cretCanary@host.example/m",
        "https://s3cretCanary@host.example/m",
        "https://host.example/c?sv=2022&sig=s3cretCanary",
        "host.example/c?sig=s3cretCanary",
        "host.example/c?X-Amz-Signature=s3cretCanary",
        "host.example/ghp_s3cretCanary0123456789",
        "oci:dir:robot:s3cretCanary@host.example",
    ];
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut add = |words: &[&str]| lines.push(words.iter().map(|word| (*word).to_owned()).collect());
    for place in places {
        add(&[&["import", &bundle, "--to", place][..], &key].concat());
        add(&[&["import", &bundle, &format!("--to={place}")][..], &key].concat());
        add(&[&["import", place, "--to", "oci:typed-secrets/site"][..], &key].concat());
        add(&[&["import", &bundle, "--to", "h.example", "--map", &format!("a.example/b={place}")][..], &key].concat());
        add(&["export", place, "-o", "typed-secrets/n", "--sign", "k.pem"]);
        add(&["export", &format!("h.example/a:1,as={place}"), "-o", "typed-secrets/n", "--sign", "k.pem"]);
        add(&["export", "oci:typed-secrets/source", "-o", place, "--sign", "k.pem"]);
        add(&["copy", place, "--to", place]);
        add(&["diff", place, &bundle]);
        add(&["ls", place]);
        add(&["login", place, "-u", "robot", "--password-stdin"]);
        add(&[&["verify", place][..], &key].concat());
        add(&["inspect", place]);
    }
    for annotation in
        ["url=https://robot:s3cretCanary@h.example", "url=https://h/c?sig=s3cretCanary", "pat=ghp_s3cretCanary0123"]
    {
        add(&[
            "export",
            "oci:typed-secrets/source",
            "-o",
            "typed-secrets/n",
            "--sign",
            "k.pem",
            "--annotation",
            annotation,
        ]);
    }
    for words in [
        &["--password", CANARY][..],
        &["--password=s3cretCanary"],
        &["-p", CANARY],
        &["-ps3cretCanary"],
        &["--token", CANARY],
        &["--token=s3cretCanary"],
    ] {
        add(&[&["login", "h.example", "-u", "robot"][..], words].concat());
        add(&[&["import", &bundle, "--to", "oci:typed-secrets/site"][..], &key, words].concat());
        add(&[&["export", "h.example/a:1", "-o", "typed-secrets/n", "--sign", "k.pem"][..], words].concat());
    }
    add(&["credential", "set", "c", "password=s3cretCanary", "--config", "typed-secrets/none.toml"]);
    let always = ["--audit", "typed-secrets/log", "--state", "typed-secrets/state", "-vvv"];
    let forms = [&[][..], &["--json"], &["--report", "typed-secrets/r.html", "--report", "typed-secrets/r.json"]];
    for (line, form) in lines.iter().zip(forms.iter().cycle()) {
        let words: Vec<&str> = line.iter().map(String::as_str).chain(always).chain(form.iter().copied()).collect();
        let ended = command(&words).output().unwrap();
        let told = text(&ended.stdout) + &text(&ended.stderr);
        assert!(!matches!(ended.status.code(), Some(0 | 1) | None), "{line:?}: {told}");
        assert!(!told.contains(CANARY), "{line:?}: {told}");
    }
    assert_eq!(holds(&dir().join(test)), None);
    let log = fs::read_to_string(dir().join("typed-secrets/log")).unwrap();
    assert!(log.contains("\"to\":\"***@host.example/m\""), "what is no secret of it is noted");
    packmule(&["inspect", "typed-secrets/log", "--check", "--state", "typed-secrets/state"], 0);
}

#[test]
fn u1_a_scanners_secret_is_neither_recorded_nor_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let bundle = small("scan-secrets");
    let script = dir().join("scan-secrets/scanner");
    fs::write(&script, "#!/bin/sh\n[ \"$2\" = s3cretCanary ] && cat >/dev/null\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let scan = format!("{} --password s3cretCanary", script.display());
    let to = ["--to", "oci:scan-secrets/site", "--receipt", "scan-secrets/receipt.json", "--sign", "k.pem"];
    let more = ["--scan", &scan, "--audit", "scan-secrets/log", "--state", "scan-secrets/state"];
    let pages = ["--report", "scan-secrets/r.html", "--report", "scan-secrets/r.json"];
    let args = [&["import", &bundle, "--key", "k.pub.pem"][..], &to, &more, &pages].concat();
    let (done, stderr) = packmule(&args, 0);
    assert!(!done.to_string().contains(CANARY) && !stderr.contains(CANARY), "{done}{stderr}");
    let shown = done["result"]["scan"]["scanner"].as_str().unwrap();
    assert!(shown.ends_with("scanner --password ***"), "{shown}");
    fs::remove_file(script).unwrap();
    assert_eq!(holds(&dir().join("scan-secrets")), None);
}

#[test]
fn u1_a_list_with_a_secret_is_not_repeated() {
    let bundle = small("listed-secrets");
    for line in
        ["robot:s3cretCanary@h.example/a=b", "a.example/b=robot:s3cretCanary@h.example/a", "x ?sig=s3cretCanary"]
    {
        fs::write(dir().join("listed-secrets/maps"), format!("# maps\n{line}\n")).unwrap();
        for json in [&[][..], &["--json"]] {
            let words = ["import", &bundle, "--key", "k.pub.pem", "--to", "h.example", "--map", "@listed-secrets/maps"];
            let ended = command(&[&words[..], json].concat()).output().unwrap();
            let told = text(&ended.stdout) + &text(&ended.stderr);
            assert!(ended.status.code() == Some(2) && !told.contains(CANARY), "{line}: {told}");
        }
    }
}

#[test]
fn u1_no_core_dump_is_written_of_it_or_of_what_it_starts() {
    let bundle = small("cores");
    // The limit also applies to programs that it starts.
    let scan = "/bin/sh -c 'cat >&2; grep \"Max core\" /proc/self/limits /proc/$PPID/limits; exit 1'";
    let (done, _) = packmule(&["verify", &bundle, "--key", "k.pub.pem", "--scan", scan], 15);
    let told = done.to_string();
    let limits = told.matches("Max core file size").count();
    assert!(limits > 0, "{told}");
    let zero = |part: &str| part.split_whitespace().take(2).all(|word| word == "0");
    assert!(told.split("Max core file size").skip(1).all(zero), "{told}");
}
