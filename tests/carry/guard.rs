//! A guard's own machine: verify without network, home, temporary files, `/proc`, locale and anything to write to;
//! and what it asks of the kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::world::{command, dir, stranger, text, var};

/// A root with the guard's program (where it is static) and, beside it, a bundle and two keys.
fn room() -> &'static Path {
    static ROOM: OnceLock<PathBuf> = OnceLock::new();
    ROOM.get_or_init(|| {
        let made = command(&["demo", "room"]).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        dir().join("room")
    })
}

/// The static program of the guard build; `none` where the toolchain for it is not to be had.
fn guard() -> Option<String> {
    let program = var("PACKMULE_TEST_GUARD")?;
    if program == "none" {
        eprintln!("!! SKIPPED: no static guard build here");
        return None;
    }
    Some(program)
}

const VERIFY: [&str; 6] = ["verify", "usb/tide", "--key", "keys/anna.pub.pem", "--key", "keys/ben.pub.pem"];

/// Runs the guard's program in a room of its own: a root with nothing but it, the bundle and the keys, read-only, no
/// network. The flag tells whether one byte of the bundle is wrong.
fn alone(program: &str, name: &str, damage: bool) -> Output {
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
        .args(VERIFY)
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
    let good = alone(&program, "room-good", false);
    let told = text(&good.stderr);
    assert_eq!(good.status.code(), Some(0), "{told}");
    assert!(text(&good.stdout).starts_with("PASS"), "{}", text(&good.stdout));
    assert!(told.contains("landlock") && told.contains("seccomp"), "{told}");
    let bad = alone(&program, "room-bad", true);
    assert_eq!(bad.status.code(), Some(11), "{}", text(&bad.stderr));
    assert!(text(&bad.stdout).starts_with("REFUSED"));
}

#[test]
fn the_guard_has_no_other_commands() {
    let Some(program) = guard() else { return };
    let help = text(&stranger(&program, &["--help"]));
    for gone in ["export", "import", "unpack", "sign", "key", "copy", "demo"] {
        assert!(!help.contains(&format!("\n  {gone} ")), "{help}");
        let ended = Command::new(&program).args([gone, "x"]).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{gone}");
    }
    for there in ["verify", "inspect"] {
        assert!(help.contains(&format!("\n  {there} ")), "{help}");
    }
}

/// What the program asks of the kernel; one call a line.
fn calls(strace: &str, program: &str, args: &[&str]) -> String {
    let trace = dir().join("guard.trace");
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
        for args in [&VERIFY[..], &["inspect", "usb/tide", "--check"]] {
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
