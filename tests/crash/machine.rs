//! The machine's influence on a run: umasks, odd temporary folders, caches, and a concurrent
//! signer.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::shelf::{Image, Shelf, noise};
use super::world::{command, dir, packmule, text, var};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Creates fresh folders below this run's, with a layout of one image in the first.
fn fresh(test: &str) -> String {
    std::fs::create_dir_all(dir().join(test)).unwrap();
    let shelf = Shelf::plain(&[("a/b", "1", &Image::new(vec![noise(1, 300_000), noise(2, 40_000_000)]))]);
    packmule(&["copy", &format!("{}/a/b:1", shelf.host()), "--to", &format!("oci:{test}/source")], 0);
    test.to_owned()
}

#[test]
fn a6_a_careless_umask_and_a_temporary_folder_that_cannot_be_used() {
    let test = fresh("umask");
    let binary = env!("CARGO_BIN_EXE_packmule");
    let script = format!(
        "set -e; umask 000\n\
         {binary} key new -o {test}/k.pem --no-passphrase\n\
         {binary} export oci:{test}/source -o {test} --channel apps --init-state --state {test}/out --sign {test}/k.pem\n\
         {binary} verify {test}/apps-1 --key {test}/k.pub.pem --state {test}/in --record --init-state\n\
         {binary} import {test}/apps-1 --key {test}/k.pub.pem --state {test}/in --to oci:{test}/site\n"
    );
    let ended = Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir())
        .env("TMPDIR", "/nowhere")
        .env("XDG_STATE_HOME", dir().join(&test).join("home"))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let root = dir().join(&test);
    assert_eq!(mode(&root.join("k.pem")), 0o600);
    let mut records = 0;
    let mut folders = vec![root.join("out"), root.join("in")];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                records += 1;
            }
        }
    }
    assert!(records >= 2, "{records} records");
    let left: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn c4_an_import_while_a_signer_signs_sees_the_old_file_or_the_new_one() {
    let test = fresh("signing");
    let bundle = format!("{test}/b");
    packmule(&["export", &format!("oci:{test}/source"), "-o", &bundle, "--sign", "k.pem"], 0);
    let keys: Vec<String> = (0..8).map(|n| format!("{test}/{n}")).collect();
    for key in &keys {
        packmule(&["key", "new", "-o", &format!("{key}.pem"), "--no-passphrase"], 0);
    }
    std::thread::scope(|scope| {
        let signer = scope.spawn(|| {
            for key in &keys {
                packmule(&["sign", &bundle, "--sign", &format!("{key}.pem")], 0);
            }
        });
        let mut runs = 0;
        while !signer.is_finished() || runs == 0 {
            packmule(&["import", &bundle, "--key", "k.pub.pem", "--to", &format!("oci:{test}/site")], 0);
            runs += 1;
        }
        signer.join().unwrap();
    });
    let mut all: Vec<String> = keys.iter().flat_map(|key| ["--key".to_owned(), format!("{key}.pub.pem")]).collect();
    all.extend(["--key", "k.pub.pem"].map(ToOwned::to_owned));
    let ended = command(&["verify", &bundle]).args(all).output().unwrap();
    assert!(ended.status.success(), "every signature is in it: {}", text(&ended.stderr));
}

#[test]
fn x9_what_is_read_back_is_read_from_the_medium() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let test = fresh("cache");
    let trace = dir().join(format!("{test}.trace"));
    let ended = Command::new(strace)
        .args(["-f", "-qq", "-y", "-e", "trace=fadvise64,fsync,pread64", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_packmule"))
        .args(["export", &format!("oci:{test}/source"), "-o", &format!("{test}/b"), "--sign", "k.pem"])
        .args(["--volume-size", "32MiB"])
        .current_dir(dir())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    for volume in ["b.0001", "b.0002"] {
        // Synced, then dropped from the cache, and read only after that.
        let at = |call: &str| lines.iter().position(|line| line.contains(call) && line.contains(volume));
        let (sync, drop, read) = (at("fsync("), at("fadvise64("), at("pread64("));
        assert!(sync.is_some() && sync < drop && drop < read, "{volume}: {sync:?} {drop:?} {read:?}");
        assert!(lines[drop.unwrap()].contains("POSIX_FADV_DONTNEED"), "{}", lines[drop.unwrap()]);
    }
}

#[test]
fn x4_a_file_system_that_takes_no_larger_file() {
    let test = fresh("largest");
    // As on FAT32 at 4 GiB - 1: a write beyond the limit is EFBIG.
    let limited = |volume_size: &str| {
        let export = format!(
            "trap '' XFSZ; ulimit -f 73728; exec {} export oci:{test}/source -o {test}/b --sign k.pem --volume-size {volume_size}",
            env!("CARGO_BIN_EXE_packmule")
        );
        let ended = Command::new("sh").args(["-c", &export]).current_dir(dir()).output().unwrap();
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, told) = limited("none");
    assert!(code == Some(22) && told.contains("--volume-size"), "{code:?}: {told}");
    assert!(told.contains("at most 37748736 bytes (ulimit -f)"), "{told}");
    assert!(!dir().join(&test).join("b.json").exists());
    assert_eq!(limited("32MiB").0, Some(0));
    packmule(&["verify", &format!("{test}/b"), "--key", "k.pub.pem"], 0);
}
