//! Outputs that are no plain files. A9: devices, pipes and `/dev/stdout` are written to and never
//! replaced · A10: nothing is written in place of a missing medium · A11: a FIFO under any opened
//! name blocks nothing (`spec/considerations.md`).

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::outputs::{content, two};
use super::world::{command, dir, packmule, refused, sandbox, text};

#[test]
fn a9_devices_and_pipes_are_written_to_and_never_replaced() {
    two("devices");
    let script = r#"
        set -e
        cd devices; mkdir dev; mount -t tmpfs none dev
        mknod dev/null c 1 3; mknod dev/full c 1 7; mknod dev/r.json c 1 3; mknod dev/disk b 7 99; mkfifo dev/pipe dev/page.json
        run() { code=$1; shift; got=0; "$P" "$@" --state state >out 2>err || got=$?
                [ "$got" = "$code" ] || { echo "$* ended with $got"; cat err; exit 90; }; }
        lacks="import d --key ../k.pub.pem --to oci:site"
        run 15 $lacks --wanted-out dev/null
        run 15 $lacks --wanted-out dev/full; grep -q 'No space left' err
        run 15 $lacks --wanted-out /dev/stdout; grep -q '^example.org/a/b:2@sha256:' out
        cat dev/pipe >list & run 15 $lacks --wanted-out dev/pipe; wait; grep -q '^example.org/a/b:2@sha256:' list
        run 22 $lacks --wanted-out dev/disk
        run 22 $lacks --wanted-out dev/pipe; grep -q 'expected a program that reads it' err
        run 0 import b --key ../k.pub.pem --to oci:site --receipt dev/r.json
        run 2 import b --key ../k.pub.pem --to oci:site --receipt dev/r.json --sign ../k.pem
        run 0 import b --key ../k.pub.pem --to oci:site --receipt /dev/stdout; grep -q '^{"artifacts":\[' out
        cat dev/page.json >page & run 0 verify b --key ../k.pub.pem --report dev/page.json; wait; grep -q '"verdict":"PASS"' page
        run 0 sign b --sign ../k.pem -o /dev/stdout; grep -q '^{"payload"' out
        run 0 sign b --sign ../k.pem -o dev/null
        for name in null pipe disk; do
            run 2 key new --no-passphrase -o dev/$name
            run 2 export oci:source -o dev/$name --sign ../k.pem
            run 22 inspect b --audit dev/$name
        done
        for name in null full r.json; do [ -c dev/$name ] || { echo "$name is no device"; exit 91; }; done
        [ -b dev/disk ] && [ -p dev/pipe ] && [ -p dev/page.json ]
        [ "$(ls dev | wc -l)" = 6 ]
    "#;
    let Some(ended) = sandbox(script, &[]) else { return };
    assert!(ended.status.success(), "{}{}", text(&ended.stdout), text(&ended.stderr));
}

#[test]
fn a10_a_medium_that_is_not_there_is_not_written_beside() {
    let test = "medium";
    two(test);
    let source = format!("oci:{test}/source:example.org/a/b:1");
    let channel = ["--channel", "apps", "--state", "medium/state", "--sign", "k.pem"];
    let export = |out: &str, more: &[&str]| [&["export", &source, "-o", out], &channel[..], more].concat().join(" ");
    let before = content(&dir().join(test));
    for out in [
        "medium/usb/",
        "medium/usb/.",
        "medium/usb/..",
        "medium/usb/b",
        "/dev/sdq1",
        "/dev/sdq",
        "/proc/b",
        "/sys/b",
        "/dev/null",
    ] {
        let line = export(out, &["--init-state"]);
        let ended = command(&line.split(' ').collect::<Vec<_>>()).output().unwrap();
        let told = text(&ended.stderr);
        assert!(matches!(ended.status.code(), Some(2 | 22)) && told.contains("help: "), "{out}: {told}");
        let after: Vec<_> = content(&dir().join(test)).into_keys().filter(|path| !path.contains("/state/")).collect();
        assert_eq!(after, before.keys().cloned().collect::<Vec<_>>(), "{out}");
    }
    fs::create_dir(dir().join("medium/usb")).unwrap();
    let line = export("medium/usb/", &["--init-state"]);
    packmule(&line.split(' ').collect::<Vec<_>>(), 0);
    assert!(dir().join("medium/usb/apps-1.json").exists(), "no number was spent");
    for to in ["/dev/site", "/proc/site"] {
        refused(&["unpack", "medium/b", to, "--key", "k.pub.pem"], 22);
        refused(&["import", "medium/b", "--to", &format!("oci:{to}"), "--key", "k.pub.pem"], 22);
    }
}

#[test]
fn a10_an_empty_mount_point_is_warned_of() {
    two("mounts");
    let script = r#"
        set -e
        mount -t tmpfs none /run; mkdir -p /run/media/u/stick /run/media/u/empty; mount -t tmpfs none /run/media/u/stick
        said() { grep -q 'expected a medium mounted there' err; }
        from="export oci:mounts/source --sign k.pem"
        "$P" $from -o /run/media/u/stick/b 2>err; ! said || exit 90
        "$P" $from -o /run/media/u/empty/b 2>err; said || exit 91
        for at in stick empty; do
            to=/run/media/u/$at
            for line in "unpack mounts/b $to/site" "import mounts/b --to oci:$to/layout" "import mounts/b --to oci:mounts/l --receipt $to/r.json" \
                "import mounts/b --to oci:mounts/l --wanted-out $to/list" "verify mounts/b --report $to/page.html" "verify mounts/b --audit $to/log"
            do
                "$P" $line --key k.pub.pem --state mounts/state 2>err
                if said; then found=empty; else found=stick; fi
                [ $found = $at ] || { echo "$line: $found"; cat err; exit 92; }
            done
        done
        ! "$P" unpack mounts/b /run/media/u/gone/site --key k.pub.pem 2>err && [ ! -e /run/media/u/gone ]
    "#;
    let Some(ended) = sandbox(script, &[]) else { return };
    assert!(ended.status.success(), "{:?} {}{}", ended.status, text(&ended.stdout), text(&ended.stderr));
}

/// Runs it under `timeout`, which exits with 124 when time is up.
fn timely(args: &[&str]) -> (Option<i32>, String) {
    let mut run = Command::new("timeout");
    run.arg("60").arg(env!("CARGO_BIN_EXE_packmule")).args(args).current_dir(dir()).env_clear();
    let ended = run.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).output().unwrap();
    (ended.status.code(), text(&ended.stderr))
}

fn pipe(path: &Path) {
    drop(fs::remove_file(path));
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).unwrap();
}

#[test]
fn a11_a_fifo_under_a_name_that_is_opened_holds_nothing_up() {
    let test = "fifos";
    two(test);
    let at = |name: &str| dir().join(test).join(name);
    let source = format!("oci:{test}/source:example.org/a/b:1");
    let channel = ["--channel", "apps", "--state", "fifos/state", "--sign", "k.pem"];
    let export = |more: &[&'static str]| {
        let first = ["export", "oci:fifos/source:example.org/a/b:1", "-o", "fifos"];
        [&first[..], &channel[..], more].concat()
    };
    packmule(&export(&["--init-state"]), 0);
    let import = ["import", "fifos/apps-1", "--key", "k.pub.pem", "--to", "oci:fifos/site", "--state", "fifos/state"];
    packmule(&[&import[..], &["--init-state", "--receipt", "fifos/r.json", "--sign", "k.pem"]].concat(), 0);
    let states =
        content(&at("state")).into_keys().filter(|path| Path::new(path).extension().is_some_and(|end| end == "lock"));
    let locks: Vec<String> = states.map(|path| path.replace(&format!("{}/", dir().display()), "")).collect();
    assert_eq!(locks.len(), 2, "{locks:?}");
    let (b, x) = ("fifos/b", "fifos/x");
    let verify = ["verify", b, "--key", "k.pub.pem"];
    let mut rows: Vec<(String, Vec<&str>)> = vec![
        ("fifos/b.lock".into(), vec!["sign", b, "--sign", "k.pem"]),
        ("fifos/x.lock".into(), vec!["export", &source, "-o", x, "--sign", "k.pem"]),
        ("fifos/x.plan.partial".into(), vec!["export", &source, "-o", x, "--sign", "k.pem"]),
        ("fifos/y.json.partial".into(), [&import[..], &["--receipt", "fifos/y.json"]].concat()),
        ("fifos/key".into(), vec!["verify", b, "--key", "fifos/key"]),
        ("fifos/key".into(), vec!["sign", b, "--sign", "fifos/key"]),
        ("fifos/list".into(), vec!["export", "--wanted", "fifos/list", "-o", x, "--sign", "k.pem"]),
        ("fifos/maps".into(), [&import[..], &["--map", "@fifos/maps"]].concat()),
        ("fifos/auth".into(), vec!["ls", "127.0.0.1:9", "--authfile", "fifos/auth", "--retries", "0"]),
        ("fifos/ca".into(), vec!["ls", "127.0.0.1:9", "--ca", "fifos/ca", "--retries", "0"]),
        ("fifos/log".into(), [&verify[..], &["--audit", "fifos/log"]].concat()),
        ("fifos/page.html".into(), [&verify[..], &["--report", "fifos/page.html"]].concat()),
        ("fifos/r.sig.json".into(), vec!["inspect", "fifos/r.json"]),
        ("fifos/trust.toml".into(), vec!["verify", b, "--policy", "fifos/trust.toml"]),
    ];
    for lock in &locks {
        let is_export = lock.contains("/export/");
        rows.push((lock.clone(), if is_export { export(&[]) } else { import.to_vec() }));
    }
    for (name, args) in rows {
        pipe(&dir().join(&name));
        let (code, told) = timely(&args);
        assert!(matches!(code, Some(2 | 20 | 22)), "{name}, {args:?}: {code:?} {told}");
        assert!(dir().join(&name).symlink_metadata().unwrap().file_type().is_fifo(), "{name}, {args:?}");
        fs::remove_file(dir().join(&name)).unwrap();
        // The cause is fixed.
        assert_eq!(timely(&["verify", b, "--key", "k.pub.pem"]).0, Some(0), "{name}");
    }
    assert_eq!(timely(&export(&[])).0, Some(0));
}
