//! A guard's own machine: verify, inspect and cat without network, home, temporary files, `/proc`,
//! locale or anything writable; and the system calls they make.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::world::{command, dir, packmule, stranger, text, var};

/// A root with the guard's program (if it is static) and, next to it, a bundle and two keys.
fn room() -> &'static Path {
    static ROOM: OnceLock<PathBuf> = OnceLock::new();
    ROOM.get_or_init(|| {
        let made = command(&["demo", "room"]).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        dir().join("room")
    })
}

/// Returns the static program of the guard build, or `None` if there is none here.
fn guard() -> Option<String> {
    let program = var("PACKMULE_TEST_GUARD")?;
    if program == "none" {
        eprintln!("!! SKIPPED: no static guard build here");
        return None;
    }
    Some(program)
}

const VERIFY: [&str; 6] = ["verify", "usb/tide", "--key", "keys/anna.pub.pem", "--key", "keys/ben.pub.pem"];

/// Runs the guard's program in its own read-only root, with nothing but it, the bundle and the
/// keys, without network. The flag tells whether one byte of the bundle is wrong.
fn alone(program: &str, name: &str, damage: bool, args: &[&str]) -> Output {
    let root = dir().join(name);
    let copy = format!(
        "mkdir -p {name} && cp -r room/usb room/keys {name}/ && rm {name}/keys/anna.pem {name}/keys/ben.pem && cp {program} {name}/packmule"
    );
    stranger("sh", &["-c", &copy]);
    if damage {
        let volume = root.join("usb/tide.0001.tar.zst");
        let mut bytes = std::fs::read(&volume).unwrap();
        bytes[30_000] ^= 1;
        std::fs::write(&volume, bytes).unwrap();
    }
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && cd \"$1\" && shift && exec chroot . \"$@\"";
    Command::new("unshare")
        .args(["-r", "-n", "-m", "sh", "-ec", script, "sh"])
        .arg(&root)
        .arg("/packmule")
        .args(args)
        .arg("-v")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .expect("unshare runs")
}

#[test]
fn p7_verify_works_in_an_empty_read_only_root() {
    let Some(program) = guard() else { return };
    room();
    let good = alone(&program, "room-good", false, &VERIFY);
    let told = text(&good.stderr);
    assert_eq!(good.status.code(), Some(0), "{told}");
    assert!(text(&good.stdout).starts_with("PASS"), "{}", text(&good.stdout));
    assert!(told.contains("landlock") && told.contains("seccomp"), "{told}");
    let bad = alone(&program, "room-bad", true, &VERIFY);
    assert_eq!(bad.status.code(), Some(11), "{}", text(&bad.stderr));
    assert!(text(&bad.stdout).starts_with("REFUSED"));
}

#[test]
fn p7_inspect_and_cat_work_in_an_empty_read_only_root() {
    let Some(program) = guard() else { return };
    room();
    let inspected = alone(&program, "room-inspect", false, &["inspect", "usb/tide", "--check"]);
    assert_eq!(inspected.status.code(), Some(0), "{}", text(&inspected.stderr));
    assert!(text(&inspected.stdout).contains("agree with the manifest"));
    let stream = alone(&program, "room-cat", false, &["cat", "usb/tide"]);
    let told = text(&stream.stderr);
    assert_eq!(stream.status.code(), Some(0), "{told}");
    assert!(told.contains("confined by landlock: reads below usb only") && told.contains("by seccomp"), "{told}");
    std::fs::write(dir().join("room-cat/stream"), &stream.stdout).unwrap();
    let root = dir().join("room-cat");
    let args = ["verify", "stream", VERIFY[2], VERIFY[3], VERIFY[4], VERIFY[5]];
    let passed = Command::new(&program).args(args).current_dir(&root).output().unwrap();
    assert!(text(&passed.stdout).starts_with("PASS"), "{}", text(&passed.stderr));
}

#[test]
fn the_guard_has_no_other_commands() {
    let Some(program) = guard() else { return };
    let help = text(&stranger(&program, &["--help"]));
    for gone in ["export", "import", "unpack", "sign", "key", "copy", "serve", "demo"] {
        assert!(!help.contains(&format!("\n  {gone} ")), "{help}");
        let ended = Command::new(&program).args([gone, "x"]).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{gone}");
    }
    let listed = help.split("Guard:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["verify", "inspect", "cat"], "{help}");
}

/// A confined run records its verdict in files that were opened before.
#[test]
fn u3_p7_a_confined_verdict_is_noted() {
    let guard = guard();
    for program in [Some(env!("CARGO_BIN_EXE_packmule").to_owned()), guard].into_iter().flatten() {
        drop(std::fs::remove_dir_all(room().join("noted")));
        std::fs::create_dir(room().join("noted")).unwrap();
        let noted = ["--audit", "noted/log", "--state", "noted/state", "-v"];
        let run = |args: &[&str], code| {
            let ended = Command::new(&program).args(args).args(noted).env_clear().current_dir(room()).output().unwrap();
            let told = text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(code), "{told}");
            assert!(told.contains("confined by seccomp:") && !told.contains("not confined by seccomp"), "{told}");
            text(&ended.stdout)
        };
        for _ in 0..2 {
            assert!(run(&VERIFY, 0).starts_with("PASS"));
        }
        // It contains the run's own `begin` line, but not yet its `end` line.
        let told = run(&["inspect", "noted/log", "--check"], 0);
        assert!(told.contains("lines      5, runs without an end: 1"), "{told}");
        std::os::unix::fs::symlink("../noted/log", room().join("usb/link")).unwrap();
        assert!(run(&["inspect", "usb/link"], 0).contains("lines      7"));
        std::fs::remove_file(room().join("usb/link")).unwrap();
        let told = run(&["inspect", "usb/tide", "--check"], 0);
        assert!(told.contains("not authenticated"), "{told}");
        let ended = std::fs::read_to_string(room().join("noted/log")).unwrap();
        assert_eq!(ended.lines().filter(|line| line.contains("\"outcome\":\"PASS\"")).count(), 2);
        assert_eq!(ended.lines().count(), 10);
    }
}

/// Returns the program's system calls, one per line.
fn calls(strace: &str, program: &str, args: &[&str]) -> String {
    static TRACES: AtomicUsize = AtomicUsize::new(0);
    let trace = dir().join(format!("guard.{}.trace", TRACES.fetch_add(1, Ordering::Relaxed)));
    let ended = Command::new(strace)
        .args(["-f", "-qq", "-e", "trace=%file,%network,seccomp,landlock_restrict_self", "-e", "signal=none", "-o"])
        .arg(&trace)
        .arg(program)
        .args(args)
        .env_clear()
        .current_dir(room())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    std::fs::read_to_string(trace).unwrap()
}

#[test]
fn p7_no_socket_no_file_to_write_and_walls_before_the_first_byte() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let guard = guard();
    for program in [Some(env!("CARGO_BIN_EXE_packmule").to_owned()), guard].into_iter().flatten() {
        for args in [&VERIFY[..], &["inspect", "usb/tide", "--check"], &["cat", "usb/tide"]] {
            let trace = calls(&strace, &program, args);
            for call in trace.lines() {
                for network in ["socket", "connect", "bind(", "sendto", "sendmsg", "listen"] {
                    assert!(!call.contains(network), "{call}");
                }
                for writing in ["O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "unlink", "rename", "chmod"] {
                    assert!(!call.contains(writing), "{call}");
                }
            }
            let at = |what: &str| trace.lines().position(|line| line.contains(what));
            let bundle = trace.lines().position(|line| line.contains("open") && line.contains("tide.json"));
            let bundle = bundle.unwrap_or_else(|| panic!("{trace}"));
            for wall in ["seccomp(", "landlock_restrict_self("] {
                let stands = |line: &str| line.contains(wall) && line.ends_with("= 0");
                let wall = trace.lines().position(stands).unwrap_or_else(|| panic!("no {wall}: {trace}"));
                assert!(wall < bundle, "{trace}");
            }
            if let Some(key) = at("keys/ben.pub.pem") {
                assert!(key < at("seccomp(").unwrap(), "{trace}");
            }
        }
    }
}

#[test]
fn a_guards_own_state_is_all_that_is_written() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    room();
    std::fs::create_dir_all(dir().join("room/channel")).unwrap();
    let made = ["export", "oci:room/source", "-o", "room/channel", "--channel", "tide", "--init-state"];
    packmule(&[&made[..], &["--state", "room/source-state", "--sign", "k.pem"]].concat(), 0);
    for (own, program) in [("own-full", Some(env!("CARGO_BIN_EXE_packmule").to_owned())), ("own-guard", guard())] {
        let Some(program) = program else { continue };
        let state = format!("{own}/state");
        let args = ["verify", "channel", "--key", "../k.pub.pem", "--record", "--init-state", "--state", &state];
        let trace = calls(&strace, &program, &args);
        let mut writes = 0;
        for call in trace.lines() {
            let writing = ["O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "unlink", "rename", "chmod", "link"];
            if writing.iter().any(|word| call.contains(word)) && !call.contains("readlink") {
                assert!(call.contains(own), "{call}");
                writes += 1;
            }
        }
        assert!(writes > 0 && room().join(&state).join("import/tide").is_dir(), "{trace}");
    }
}

/// A drive at a terminal: the first medium is replaced by the second while the process is confined.
const DRIVE: &str = r#"
program=$1; cd "$2"
mount -t tmpfs one drive
cp usb/tide.json usb/tide.sig.json usb/tide.0001.tar.zst drive/
exec 3<> answers
script -qefc "$program verify drive/tide --key keys/anna.pub.pem --key keys/ben.pub.pem --volume-dir drive -v" log < answers > shown &
tries=0
until grep -q 'need volume 2' log; do sleep 0.1; tries=$((tries + 1)); test $tries -lt 600; done
umount drive
mount -t tmpfs two drive
for volume in usb/*.tar.zst; do test $volume = usb/tide.0001.tar.zst || cp $volume drive/; done
echo >&3
wait $!
"#;

#[test]
fn media_are_changed_before_a_confined_process() {
    room();
    for (name, program) in [("full", Some(env!("CARGO_BIN_EXE_packmule").to_owned())), ("guard", guard())] {
        let Some(program) = program else { continue };
        let root = dir().join(format!("room-drive-{name}"));
        std::fs::create_dir_all(root.join("drive")).unwrap();
        let copy = "cp -r room/usb room/keys \"$1\"; mkfifo \"$1/answers\"";
        stranger("sh", &["-ec", copy, "sh", &root.display().to_string()]);
        let root = root.display().to_string();
        let ended = Command::new("timeout")
            .args(["120", "unshare", "-r", "-m", "bash", "-ec", DRIVE, "bash", &program, &root])
            .output()
            .unwrap();
        let log = std::fs::read_to_string(Path::new(&root).join("log")).unwrap_or_default();
        assert!(ended.status.success() && log.contains("PASS"), "{log}{}", text(&ended.stderr));
        assert!(log.contains("confined by landlock: reads below drive"), "{log}");
        assert!(log.contains("confined by seccomp"), "{log}");
    }
}
