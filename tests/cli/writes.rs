//! Writes to disk: verify and import write nothing at all, export only to its own folder and no
//! more than the bundle and the spooled documents.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::world::{dir, expected, packmule, prefix, sandbox, selectors, text, var};

/// System calls that only read.
const LOOKS: [&str; 16] = [
    "access",
    "execve",
    "faccessat",
    "faccessat2",
    "fstatfs",
    "getcwd",
    "getxattr",
    "lgetxattr",
    "lstat",
    "newfstatat",
    "readlink",
    "readlinkat",
    "stat",
    "statfs",
    "statx",
    "chdir",
];

/// Runs packmule with these arguments under strace, which must succeed; returns its calls on named
/// files, one per line. HOME and TMPDIR are the folder `own`, which stays empty.
fn traced(strace: &str, own: &str, args: &[&str]) -> String {
    let (own, trace) = (dir().join(own), dir().join(format!("{own}.trace")));
    std::fs::create_dir_all(&own).unwrap();
    let calls =
        "trace=%file,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,copy_file_range,sendfile,fchmod";
    let ended = Command::new(strace)
        .args(["-f", "-qq", "-y", "-s", "0", "-e", calls, "-e", "signal=none", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_packmule"))
        .args(args)
        .env_clear()
        .envs([("HOME", &own), ("TMPDIR", &own), ("XDG_STATE_HOME", &own), ("XDG_CONFIG_HOME", &own)])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .current_dir(dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{args:?}: {}", text(&ended.stderr));
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0, "{args:?}");
    std::fs::read_to_string(trace).unwrap()
}

/// Returns the calls that change a file, or may: all that are not known to be harmless.
fn changes(trace: &str) -> Vec<&str> {
    let harmless = |line: &&str| {
        let call = line.split_once(char::is_whitespace).map_or(*line, |(_, call)| call).trim_start();
        // The second half of an interrupted call, whose first half names the file; or a thread's
        // end.
        if call.starts_with("<... ") || call.starts_with("+++") {
            return true;
        }
        let Some((name, rest)) = call.split_once('(') else { return false };
        match name {
            // A thread that ended while strace examined it.
            "???" => true,
            "open" | "openat" | "openat2" => {
                let reads =
                    !["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| rest.contains(flag));
                reads || ["\"/dev/null\"", "\"/dev/tty\""].iter().any(|path| rest.contains(path))
            }
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendfile" => {
                // Standard streams are pipes here; sockets and eventfds have no path.
                rest.split_once('<').is_some_and(|(_, path)| !path.starts_with('/') || path.starts_with("/dev/null"))
            }
            other => LOOKS.contains(&other),
        }
    };
    trace.lines().filter(|line| !harmless(line)).collect()
}

#[test]
fn verify_and_import_write_nothing() {
    let (Some(bundle), Some(strace)) = (super::whole(), var("PACKMULE_TEST_STRACE")) else { return };
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION2") else { return };
    let own = "writes-nothing";
    // The check itself must see a write.
    let seen = traced(&strace, own, &["key", "new", "-o", "writes-nothing.pem", "--no-passphrase"]);
    assert!(changes(&seen).iter().any(|line| line.contains("writes-nothing.pem")), "{seen}");
    let to = format!("{host}/{}", prefix("traced"));
    for args in [
        &["verify", bundle, "--key", "k.pub.pem"][..],
        &["verify", bundle, "--key", "k.pub.pem", "--volume", "1", "--json"],
        &["inspect", bundle, "--check"],
        &["import", bundle, "--key", "k.pub.pem", "--to", &to],
        &["import", bundle, "--key", "k.pub.pem", "--to", &to, "--dry-run"],
    ] {
        let trace = traced(&strace, own, args);
        assert!(trace.contains("corpus.json"), "{args:?}: nothing was traced");
        assert_eq!(changes(&trace), Vec::<&str>::new(), "{args:?}");
    }
}

#[test]
fn p7_verify_works_where_nothing_can_be_written() {
    let Some(bundle) = super::whole() else { return };
    // No writable file system, no /tmp, no /proc, no environment. The failing touch proves it.
    let script = r#"
        awk '{ print $2 }' /proc/self/mounts | while read -r at; do mount -o remount,bind,ro "$at" 2>&-; done
        umount -l /proc
        touch "$PWD/canary" "$PWD/whole/canary" 2>&- && exit 99
        exec env -i "$P" verify "$1" --key k.pub.pem
    "#;
    let Some(ended) = sandbox(script, &[bundle]) else { return };
    let told = text(&ended.stdout) + &text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{told}");
    assert!(told.starts_with("PASS"), "{told}");
}

/// Returns the bytes of the files in a folder: all, and those of the spooled documents.
fn held(folder: &Path) -> (u64, u64) {
    let (mut all, mut documents) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        // A file that was renamed or removed meanwhile is counted next time.
        let size = entry.metadata().map_or(0, |found| found.len());
        all += size;
        documents += if entry.file_name().to_string_lossy().ends_with(".docs.partial") { size } else { 0 };
    }
    (all, documents)
}

#[test]
fn the_peak_disk_of_an_export_is_the_bundle_and_its_documents() {
    let (Some(source), Some(entries)) = (var("PACKMULE_TEST_SOURCE"), expected()) else { return };
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let folder = dir().join("peak");
    std::fs::create_dir_all(&folder).unwrap();
    let mut args = vec!["export".to_owned()];
    args.extend(selectors(&source, &entries));
    args.extend(["-o", "peak/b", "--sign", "k.pem", "--volume-size", "32MiB"].map(ToOwned::to_owned));
    let export =
        std::thread::spawn(move || traced(&strace, "peak-own", &args.iter().map(String::as_str).collect::<Vec<_>>()));
    let (mut peak, mut spooled) = (0, 0);
    while !export.is_finished() {
        let (all, documents) = held(&folder);
        (peak, spooled) = (peak.max(all), spooled.max(documents));
        std::thread::sleep(Duration::from_millis(2));
    }
    let trace = export.join().unwrap();
    let (bundle, _) = held(&folder);
    assert!(bundle > 10 << 20 && spooled > 0 && peak >= bundle - (64 << 10), "{bundle} {spooled} {peak}");
    // The plan, the journal and the lock are the constant part.
    assert!(peak <= bundle + spooled + (256 << 10), "{peak} of {bundle} and {spooled}");
    // And nothing is written elsewhere.
    let made = changes(&trace);
    assert!(made.iter().any(|line| line.contains("b.0001.tar.zst")), "{made:?}");
    let elsewhere: Vec<&&str> = made.iter().filter(|line| !line.contains("peak/b.")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    packmule(&["verify", "peak/b", "--key", "k.pub.pem"], 0);
}

#[test]
fn a_trace_with_a_write_in_it_is_seen_however_it_is_cut() {
    for harmless in [
        r#"7 openat(AT_FDCWD</w>, "a", O_RDONLY|O_CLOEXEC) = 3</w/a>"#,
        "7 writev(9<socket:[5]>, [{iov_base=\"\"..., iov_len=9}], 1) = 9",
        "7 writev(9<socket:[5]>,  <unfinished ...>",
        "7 <... writev resumed>) = -1 EAGAIN (Resource temporarily unavailable)",
        "7 +++ exited with 0 +++",
    ] {
        assert_eq!(changes(harmless), Vec::<&str>::new());
    }
    for write in [
        r#"7 openat(AT_FDCWD</w>, "a", O_RDWR|O_CREAT, 0644 <unfinished ...>"#,
        "7 write(3</w/a>, \"\"..., 5) = 5",
        "7 write(3</w/a>,  <unfinished ...>",
        "7 write(3, \"\"..., 5) = 5",
        r#"7 renameat(5</w>, "a", 5</w>, "b") = 0"#,
        r#"7 mkdir("a", 0777) = 0"#,
        "7 ftruncate(3</w/a>, 0) = 0",
    ] {
        assert_eq!(changes(write), [write]);
    }
}
