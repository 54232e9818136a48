//! The limits of a process: little address space, few threads, small files. Each run is the program
//! itself, and ends with a documented exit code and a message.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{key, make_layout, noise};

/// A layout of about 40 MiB, half of which can be packed, and keys.
fn prepare() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    make_layout(
        &dir.path().join("source"),
        &[noise(1, 20 << 20), b"high water 06:12\n".repeat(1_200_000), noise(2, 5000)],
    );
    fs::write(dir.path().join("k.pem"), key(1).to_pem(None).unwrap().as_bytes()).unwrap();
    fs::set_permissions(dir.path().join("k.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(dir.path().join("k.pub.pem"), key(1).public().to_pem()).unwrap();
    dir
}

/// Runs a shell line in which `$P` is the program; returns exit code and output.
fn shell(dir: &Path, line: &str) -> (Option<i32>, String) {
    let ended = Command::new("bash")
        .args(["-c", line])
        .env("P", env!("CARGO_BIN_EXE_packmule"))
        .env("XDG_STATE_HOME", dir.join("state"))
        .current_dir(dir)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    (ended.status.code(), told)
}

#[test]
fn p8_many_jobs_in_little_address_space_do_it_with_fewer() {
    let dir = prepare();
    for (name, words) in [
        ("export", "export oci:source -o usb/b --sign k.pem"),
        ("verify", "verify usb/b --key k.pub.pem"),
        ("import", "import usb/b --key k.pub.pem --to oci:site"),
        ("stream", "cat usb/b > b.tar && \"$P\" verify - --key k.pub.pem -j64 < b.tar"),
        ("unpack", "unpack usb/b --key k.pub.pem out"),
    ] {
        fs::create_dir_all(dir.path().join("usb")).unwrap();
        let (code, told) = shell(dir.path(), &format!("ulimit -v 262144; \"$P\" -j64 {words}"));
        assert_eq!(code, Some(0), "{name}: {told}");
    }
}

#[test]
fn p8_the_end_of_memory_is_an_error_with_its_own_words() {
    let dir = prepare();
    fs::create_dir_all(dir.path().join("usb")).unwrap();
    let export = "export oci:source -o usb/b --sign k.pem";
    // From where the program can just be loaded to where it has enough memory.
    let mut met = 0;
    for space in (40..260).step_by(12) {
        let (code, told) = shell(dir.path(), &format!("ulimit -v {}; exec \"$P\" -j64 {export} --json", space << 10));
        // Before its first line run the loader and the language runtime.
        let Ok(document) = serde_json::from_str::<serde_json::Value>(told.trim()) else {
            assert!(met == 0, "{space} MiB: {code:?} {told}");
            continue;
        };
        assert_eq!(document["exit"], serde_json::json!(code), "{told}");
        match code {
            Some(0) => break,
            Some(22) => {
                met += 1;
                let told = document["error"]["message"].as_str().unwrap();
                assert!(told.starts_with("memory: ") || told.starts_with("threads"), "{space} MiB: {told}");
                assert_eq!(document["retryable"], true);
            }
            _ => panic!("{space} MiB: {code:?} {told}"),
        }
        assert!(!dir.path().join("usb/b.json").exists());
    }
    assert!(met > 1, "memory ended {met} times");
    // With enough memory the same command continues.
    let (code, told) = shell(dir.path(), "\"$P\" verify usb/b --key k.pub.pem");
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn p8_where_the_system_gives_no_thread_the_run_ends_in_words() {
    if rustix::process::getuid().is_root() && !Path::new("/usr/bin/setpriv").exists() {
        eprintln!("!! SKIPPED p8_where_the_system_gives_no_thread_the_run_ends_in_words: as root without setpriv");
        return;
    }
    let dir = prepare();
    fs::create_dir_all(dir.path().join("usb")).unwrap();
    let (code, told) = shell(dir.path(), "\"$P\" export oci:source -o usb/b --sign k.pem");
    assert_eq!(code, Some(0), "{told}");
    // As a separate user: the limit counts all processes of one user.
    for (threads, words) in
        [(1, "verify usb/b --key k.pub.pem"), (2, "verify usb/b --key k.pub.pem"), (4, "inspect usb/b --check")]
    {
        let line = format!(
            "cp \"$P\" ./p; chmod a+rx p .; chmod -R a+rX usb k.pub.pem; \
             setpriv --reuid 54321 --regid 54321 --clear-groups bash -c 'ulimit -u {threads}; exec ./p -j64 {words}'"
        );
        let (code, told) = shell(dir.path(), &line);
        assert!(code == Some(0), "{threads} threads: {code:?} {told}");
    }
}

#[test]
fn x4_a_limit_of_file_sizes_is_named_and_no_signal_kills() {
    let dir = prepare();
    fs::create_dir_all(dir.path().join("usb")).unwrap();
    let export = "export oci:source -o usb/b --sign k.pem";
    // 4 MiB, which is less than what is written.
    let (code, told) = shell(dir.path(), &format!("ulimit -f 4096; exec \"$P\" {export}"));
    assert!(
        code == Some(22) && told.contains("4194304 bytes (ulimit -f)") && told.contains("--volume-size"),
        "{code:?} {told}"
    );
    assert!(!dir.path().join("usb/b.json").exists());
    // A layout only meets the limit while it is written.
    let (code, told) = shell(dir.path(), &format!("\"$P\" {export}"));
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = shell(dir.path(), "ulimit -f 4096; exec \"$P\" import usb/b --key k.pub.pem --to oci:site");
    assert!(code == Some(22) && told.contains("ulimit -f"), "{code:?} {told}");
    assert!(!dir.path().join("site/index.json").exists());
    let (code, told) = shell(dir.path(), "\"$P\" import usb/b --key k.pub.pem --to oci:site");
    assert_eq!(code, Some(0), "{told}");
}
