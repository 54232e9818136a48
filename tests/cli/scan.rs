//! Row U4: content goes to scanners (scripts, and ClamAV with one hand-made signature) before a
//! verdict and before a push. Row A1 for `--scan-files`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::shelf::{Image, MANIFEST, noise};
use super::world::{command, dir, fresh, layout, packmule, refused, sha256, text, var};

pub(super) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The test string that every scanner knows, assembled here so that no scanner finds it in our own
/// files.
fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*"].concat().into_bytes()
}

/// A layer with these files.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image with layers of these types.
pub(super) fn image(layers: &[(&str, Vec<u8>)]) -> Image {
    let config = json!({ "os": "linux", "architecture": "amd64", "layers": layers.len() }).to_string().into_bytes();
    let describe =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() });
    let described: Vec<Value> = layers.iter().map(|(kind, bytes)| describe(kind, bytes)).collect();
    let config_type = "application/vnd.oci.image.config.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(config_type, &config), "layers": described,
    });
    let blobs = layers.iter().map(|(_, bytes)| bytes.clone()).chain([config]).collect();
    Image { manifest: manifest.to_string().into_bytes(), blobs }
}

/// Makes a bundle of these images, in the test's own folder.
pub(super) fn bundle(test: &str, images: &[Image]) -> String {
    let name = fresh(test);
    layout(&format!("{test}/source"), images);
    packmule(&["export", &format!("oci:{test}/source"), "-o", &name, "--sign", "k.pem"], 0);
    name
}

/// A scanner script in the test's own folder; its input is saved next to it.
pub(super) fn script(test: &str, lines: &str) -> String {
    let path = dir().join(test).join("scanner");
    std::fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{lines}\n")).unwrap();
    std::process::Command::new("chmod").arg("755").arg(&path).status().unwrap();
    path.display().to_string()
}

/// A scanner that saves its input under its digest and finds nothing.
pub(super) fn keeper(test: &str) -> String {
    let kept = dir().join(test).join("kept");
    std::fs::create_dir_all(&kept).unwrap();
    let keep = "if [ \"$1\" = --version ]; then echo Keeper 1/2; exit; fi\n\
                cd \"$(dirname \"$0\")/kept\"; cat >$$.new; mv $$.new $(sha256sum <$$.new | cut -c1-64).$$";
    script(test, keep)
}

pub(super) fn kept(test: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir().join(test).join("kept")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().split('.').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn all_blobs(images: &[Image]) -> Vec<String> {
    let blobs = images.iter().flat_map(|image| image.blobs.iter().chain([&image.manifest]));
    let mut all: Vec<String> = blobs.map(|bytes| sha256(bytes)["sha256:".len()..].to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

pub(super) const KEY: [&str; 2] = ["--key", "k.pub.pem"];

#[test]
fn u4_every_blob_is_given_once_and_what_is_given_is_the_blob() {
    let test = "scan-each";
    let images = [Image::new(vec![noise(1, 300_000), Vec::new(), vec![7; 9]]), Image::new(vec![noise(1, 300_000)])];
    let name = bundle(test, &images);
    let scanner = keeper(test);
    let (done, _) = packmule(&[&["verify", &name, "--scan", &scanner][..], &KEY].concat(), 0);
    let scan = &done["result"]["scan"];
    assert_eq!(kept(test), all_blobs(&images));
    assert_eq!((&scan["clean"], &scan["blobs"]), (&json!(true), &json!(all_blobs(&images).len())), "{done}");
    assert_eq!((&scan["version"], &scan["files"]), (&json!("Keeper 1/2"), &Value::Null), "{done}");
    assert_eq!(scan["bytes"], done["result"]["scan"]["bytes"]);
    let told = command(&[&["verify", &name, "-v", "--scan", &scanner][..], &KEY].concat()).output().unwrap();
    let (out, detail) = (text(&told.stdout), text(&told.stderr));
    assert!(out.starts_with("PASS") && out.contains("(Keeper 1/2): clean"), "{out}");
    // The confinement is active; the threads that start scanners are reported as unconfined.
    for line in ["confined by seccomp", "not confined: what starts the scanner"] {
        assert!(detail.contains(line), "{detail}");
    }
}

#[test]
fn u4_a_stream_is_scanned_as_it_passes() {
    let test = "scan-stream";
    let images = [Image::new(vec![noise(2, 3 << 20), Vec::new(), noise(3, 70_000)])];
    let name = bundle(test, &images);
    let through = |args: &[&str]| {
        let mut cat = command(&["cat", &name]).stdout(Stdio::piped()).spawn().unwrap();
        // Gone when the scanner has ended: it holds our end of the pipe.
        let ended = command(args).args(KEY).stdin(cat.stdout.take().unwrap()).output().unwrap();
        drop(cat.wait());
        (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
    };
    let scanner = keeper(test);
    let (code, out, error) = through(&["verify", "-", "--scan", &scanner]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("scanned    5 blobs"), "{out}");
    assert_eq!(kept(test), all_blobs(&images));
    let picky = script(test, "[ \"$1\" = --version ] || [ \"$(wc -c)\" != 70000 ]");
    let (code, out, error) = through(&["verify", "-", "--scan", &picky]);
    assert_eq!(code, Some(15), "{out}{error}");
    assert!(out.starts_with("REFUSED") && out.contains("1 finding\n"), "{out}");
    assert!(error.contains(&sha256(&images[0].blobs[2])) && error.contains("example.org/a/b:1"), "{error}");
    // Options that are impossible with a stream are refused, with advice.
    for args in [
        &["verify", "-", "--scan", &scanner, "--scan-files"][..],
        &["import", "-", "--to", "oci:x", "--scan", &scanner],
    ] {
        let (code, _, error) = through(args);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("tar x"), "{error}");
    }
}

#[test]
fn u4_exit_2_killed_timeout_and_absent_are_policy_and_all_are_listed() {
    let test = "scan-ends";
    let images = [Image::new(vec![noise(4, 1000)]), Image::new(vec![noise(5, 1000)])];
    let name = bundle(test, &images);
    let blobs = all_blobs(&images);
    for (line, found) in [
        ("exit 2", "status 0, found 2"),
        ("cat >/dev/null; kill -9 $$", "signal 9"),
        ("sleep 60", "within 1 s"),
        ("printf '\\033[31mLIMITS exceeded'; exit 1", "\\u{1b}[31mLIMITS exceeded"),
    ] {
        let scanner = script(test, &format!("[ \"$1\" = --version ] && exit; {line}"));
        let args = [&["verify", &name, "--scan", &scanner, "--scan-timeout", "1s"][..], &KEY].concat();
        let told = refused(&args, 15);
        assert_eq!(told.lines().filter(|line| line.starts_with("error: scan: blob")).count(), blobs.len(), "{told}");
        assert!(blobs.iter().all(|blob| told.contains(blob)) && told.contains(found), "{told}");
        assert!(told.contains("example.org/a/b:1") && told.contains("example.org/a/b:2"), "{told}");
        assert!(!told.contains('\x1b'));
        let (done, _) = packmule(&args, 15);
        let scan = &done["result"]["scan"];
        assert_eq!((&scan["clean"], &done["result"]["verdict"]), (&json!(false), &json!("REFUSED")), "{done}");
        assert_eq!(scan["findings"].as_array().unwrap().len(), blobs.len(), "{done}");
    }
    let (done, _) = packmule(&[&["verify", &name, "--scan", "no-such-scanner"][..], &KEY].concat(), 15);
    assert!(done["error"]["message"].as_str().unwrap().contains("not found"), "{done}");
    // Only the first finding, if requested.
    let scanner = script(test, "[ \"$1\" = --version ] || exit 1");
    let (done, _) =
        packmule(&[&["verify", &name, "--fail-fast", "-j", "1", "--scan", &scanner][..], &KEY].concat(), 15);
    assert_eq!(done["result"]["scan"]["findings"].as_array().unwrap().len(), 1, "{done}");
    for wrong in [["--scan", "'"], ["--scan-timeout", "5s"], ["--scan-timeout", "5"]] {
        refused(&[&["verify", &name, wrong[0], wrong[1]][..], &KEY].concat(), 2);
    }
    refused(&[&["verify", &name, "--scan", &scanner, "--volume", "1"][..], &KEY].concat(), 2);
}

#[test]
fn u4_no_program_is_started_from_the_medium_or_the_current_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let test = "scan-path";
    let name = bundle(test, &[Image::new(vec![noise(40, 1000)])]);
    for planted in ["clamdscan", "bin/clamdscan"] {
        let path = dir().join(test).join(planted);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\necho run >> {}/{test}/ran\n", dir().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (bundle, key) = (format!("../{name}"), "../k.pub.pem");
    let run = |scanner: &str, path: &str| {
        let args = ["verify", &bundle, "--key", key, "--scan", scanner];
        command(&args).current_dir(dir().join(test)).env("PATH", path).output().unwrap()
    };
    for path in ["", ".", ":/usr/bin:/bin", "/usr/bin:/bin:", "/usr/bin:.:/bin", "bin:/usr/bin:/bin", "./bin"] {
        let ended = run("clamdscan", path);
        let told = text(&ended.stderr);
        assert!(ended.status.code() == Some(15) && told.contains("not found"), "{path:?}: {told}");
        // Nor by a program that is started.
        let ended = run("/bin/sh -c 'cat >/dev/null; clamdscan; exit 1'", path);
        assert_eq!(ended.status.code(), Some(15), "{path:?}");
        assert!(!dir().join(test).join("ran").exists(), "{path:?}");
    }
    // In a directory that PATH names absolutely, or by a path that was typed, it is intended.
    let full = format!("{}/{test}/bin", dir().display());
    for (scanner, path) in [("clamdscan", &*full), ("./clamdscan", "/usr/bin"), ("bin/clamdscan", "")] {
        assert_eq!(run(scanner, path).status.code(), Some(0), "{scanner} {path}: {}", text(&run(scanner, path).stderr));
        std::fs::remove_file(dir().join(test).join("ran")).unwrap();
    }
}

#[test]
fn u4_nothing_is_pushed_before_all_is_scanned() {
    let test = "scan-push";
    let images = [Image::new(vec![noise(6, 1000), noise(7, 500)])];
    let name = bundle(test, &images);
    let import = |to: &str, scanner: &str, code| {
        packmule(&[&["import", &name, "--to", to, "--scan", scanner][..], &KEY].concat(), code).0
    };
    let picky = script(test, "[ \"$1\" = --version ] || [ \"$(wc -c)\" != 500 ]");
    let done = import("oci:scan-push/refused", &picky, 15);
    assert_eq!(done["result"]["scan"]["findings"][0]["blob"], json!(sha256(&images[0].blobs[1])), "{done}");
    assert_eq!(done["result"]["scan"]["findings"][0]["problem"], json!({ "exit": 1 }), "{done}");
    for blob in all_blobs(&images) {
        assert!(!dir().join("scan-push/refused/blobs/sha256").join(blob).exists());
    }
    // A blob that differs from what was signed is reported as such, and is neither clean nor
    // pushed.
    let volume = dir().join(format!("{name}.0001.tar.zst"));
    let good = std::fs::read(&volume).unwrap();
    let at = good.windows(64).position(|part| part == &images[0].blobs[0][500..564]).expect("stored as it is");
    let mut bad = good.clone();
    bad[at] ^= 1;
    std::fs::write(&volume, bad).unwrap();
    let scanner = keeper(test);
    import("oci:scan-push/damaged", &scanner, 11);
    assert!(!dir().join("scan-push/damaged/blobs/sha256").join(&sha256(&images[0].blobs[1])[7..]).exists());
    std::fs::write(&volume, good).unwrap();
    let done = import("oci:scan-push/site", &scanner, 0);
    assert_eq!(
        (&done["result"]["scan"]["clean"], &done["result"]["scan"]["blobs"]),
        (&json!(true), &json!(4)),
        "{done}"
    );
    assert!(dir().join("scan-push/site/blobs/sha256").join(&sha256(&images[0].blobs[1])[7..]).exists());
}

#[test]
fn u4_receipt_and_report_say_who_scanned() {
    let test = "scan-told";
    let name = bundle(test, &[Image::new(vec![noise(16, 1000)])]);
    let scanner = script(test, "if [ \"$1\" = --version ]; then echo 'Looker 3/7'; else cat > /dev/null; fi");
    let read =
        |file: &str| -> Value { serde_json::from_slice(&std::fs::read(dir().join(test).join(file)).unwrap()).unwrap() };
    let (receipt, report) = (format!("{test}/r.json"), format!("{test}/p.json"));
    let import = ["import", &name, "--to", "oci:scan-told/site", "--scan", &scanner, "--receipt", &receipt];
    packmule(&[&import[..], &["--report", &report], &KEY].concat(), 0);
    assert_eq!(read("r.json")["scan"], json!({ "clean": true, "scanner": scanner, "version": "Looker 3/7" }));
    let check = |file: &str| {
        let page = read(file);
        let checks = page["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["name"] == "Search for malware").cloned().collect::<Vec<_>>()
    };
    assert!(check("p.json")[0]["detail"].as_str().unwrap().contains("Looker 3/7"), "{:?}", check("p.json"));
    // A scanner's refusal is not attributed to the policy.
    let refusing = script(test, "cat > /dev/null; exit 1");
    let report = format!("{test}/q.json");
    packmule(&[&["verify", &name, "--scan", &refusing, "--report", &report][..], &KEY].concat(), 15);
    assert_eq!(check("q.json")[0]["result"], "failed");
    let failed = read("q.json")["checks"].as_array().unwrap().iter().filter(|one| one["result"] == "failed").count();
    assert_eq!(failed, 1);
}

/// ClamAV with one signature, that of the test string: its size, and its MD5 as `md5sum` prints it.
fn clamav(test: &str, more: &str) -> Option<String> {
    let program = var("PACKMULE_TEST_CLAMSCAN")?;
    let folder = dir().join(test);
    std::fs::write(folder.join("eicar.com"), eicar()).unwrap();
    let ended = std::process::Command::new("md5sum").arg(folder.join("eicar.com")).output().unwrap();
    std::fs::remove_file(folder.join("eicar.com")).unwrap();
    let sum = text(&ended.stdout)[..32].to_owned();
    let database = folder.join("own.hdb");
    std::fs::write(&database, format!("{sum}:{}:Test.Eicar\n", eicar().len())).unwrap();
    Some(format!("{program} --no-summary --stdout --database={} {more} -", database.display()))
}

#[test]
fn u4_clamav_finds_the_test_string_in_a_layer() {
    let test = "scan-clamav";
    let layer = gzip(&tar(&[("bin/fine", b"fine"), ("var/lib/evil", &eicar())]));
    let name = bundle(test, &[image(&[(GZIP, layer.clone())])]);
    let Some(scanner) = clamav(test, "") else { return };
    // Whole: ClamAV unpacks it itself. File by file: it need not.
    for (files, path) in [(&[][..], Value::Null), (&["--scan-files"], json!("var/lib/evil"))] {
        let args = [&["verify", &name, "--scan", &scanner][..], files, &KEY].concat();
        let (done, _) = packmule(&args, 15);
        let findings = done["result"]["scan"]["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{done}");
        assert_eq!((&findings[0]["path"], &findings[0]["problem"]), (&path, &json!({ "exit": 1 })), "{done}");
        assert_eq!(findings[0]["blob"], json!(sha256(&layer)));
        assert!(findings[0]["said"].as_str().unwrap().contains("Test.Eicar"), "{done}");
        assert!(done["result"]["scan"]["version"].as_str().unwrap().starts_with("ClamAV "), "{done}");
    }
    let args = [&["import", &name, "--to", "oci:scan-clamav/site", "--scan", &scanner][..], &KEY].concat();
    packmule(&args, 15);
    assert!(!dir().join("scan-clamav/site/blobs/sha256").join(&sha256(&layer)[7..]).exists());
    let clean = bundle(test, &[image(&[(GZIP, gzip(&tar(&[("bin/fine", b"fine")])))])]);
    let scanner = clamav(test, "").unwrap();
    for files in [&[][..], &["--scan-files"]] {
        packmule(&[&["verify", &clean, "--scan", &scanner][..], files, &KEY].concat(), 0);
    }
    packmule(&[&["import", &clean, "--to", "oci:scan-clamav/site", "--scan", &scanner][..], &KEY].concat(), 0);
}

#[test]
fn u4_limits_exceeded_is_not_clean() {
    let test = "scan-limits";
    let name = bundle(test, &[image(&[(GZIP, gzip(&tar(&[("large", &noise(9, 400_000))])))])]);
    let Some(scanner) = clamav(test, "--alert-exceeds-max=yes --max-filesize=100K --max-scansize=100K") else { return };
    for files in [&[][..], &["--scan-files"]] {
        let told = refused(&[&["verify", &name, "--scan", &scanner][..], files, &KEY].concat(), 15);
        assert!(told.contains("Limits.Exceeded"), "{told}");
    }
    // A missing database: the scanner's own error, not a clean file.
    let broken = format!("{}/no.hdb", dir().join(test).display());
    let program = var("PACKMULE_TEST_CLAMSCAN").unwrap();
    let scanner = format!("{program} --no-summary --database={broken} -");
    refused(&[&["verify", &name, "--scan", &scanner][..], &KEY].concat(), 15);
}

/// The static program of the guard build also has it, and starts nothing without `--scan`.
#[test]
fn u4_the_guard_scans() {
    let Some(program) = var("PACKMULE_TEST_GUARD").filter(|program| program != "none") else { return };
    let test = "scan-guard";
    let images = [image(&[(GZIP, gzip(&tar(&[("a", b"findme"), ("b", b"other")])))])];
    let name = bundle(test, &images);
    let run = |scanner: &str| {
        let mut guard = std::process::Command::new(&program);
        guard.args(["verify", &name, "-v", "--scan-files", "--scan", scanner]).args(KEY).current_dir(dir());
        let ended = guard.output().unwrap();
        (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
    };
    let (code, out, error) = run(&keeper(test));
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("2 files in layers") && error.contains("confined by seccomp"), "{out}{error}");
    assert_eq!(kept(test).len(), 4);
    let (code, out, error) = run(&script(test, "[ \"$1\" = --version ] || [ \"$(cat)\" != findme ]"));
    assert_eq!(code, Some(15), "{out}{error}");
}
