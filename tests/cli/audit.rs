//! Row U3: the audit log of exports, verdicts, signings and imports; full disks, killed runs,
//! changed logs (`spec/audit.md`).

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::shelf::{Image, noise};
use super::strace::injected;
use super::world::{command, dir, fresh, layout, packmule, refused, sandbox, sha256, text, var};

fn lines(log: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir().join(log)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Makes a bundle below `test` without recording it.
fn small(test: &str) -> String {
    let name = fresh(test);
    layout(&format!("{test}/source"), &[Image::new(vec![noise(8100, 60_000)])]);
    packmule(&["export", &format!("oci:{test}/source"), "-o", &name, "--sign", "k.pem"], 0);
    name
}

#[test]
fn u3_every_export_verdict_signing_and_import_is_noted() {
    drop(fresh("noted"));
    layout("noted/source", &[Image::new(vec![noise(8000, 60_000)])]);
    packmule(&["key", "new", "-o", "noted/two.pem", "--no-passphrase"], 0);
    let noted = ["--audit", "noted/log", "--state", "noted/state"];
    let run = |args: &[&str], code| packmule(&[args, &noted[..]].concat(), code).0;
    let id = |key: &str| packmule(&["key", "id", key], 0).0["result"]["keyid"].as_str().unwrap().to_owned();
    run(&["export", "oci:noted/source", "-o", "noted/b", "--sign", "k.pem"], 0);
    run(&["sign", "noted/b", "--sign", "noted/two.pem"], 0);
    run(&["verify", "noted/b", "--key", "k.pub.pem"], 0);
    let volume = dir().join("noted/b.0001.tar.zst");
    let good = fs::read(&volume).unwrap();
    let mut bad = good.clone();
    bad[30_000] ^= 1;
    fs::write(&volume, bad).unwrap();
    run(&["verify", "noted/b", "--key", "k.pub.pem"], 11);
    fs::write(&volume, good).unwrap();
    run(
        &[
            "import",
            "noted/b",
            "--key",
            "k.pub.pem",
            "--to",
            "oci:noted/site",
            "--receipt",
            "noted/r.json",
            "--sign",
            "k.pem",
        ],
        0,
    );
    run(&["import", "noted/b", "--key", "noted/none.pem", "--to", "oci:noted/site"], 2);
    let lines = lines("noted/log");
    let (begins, ends): (Vec<&Value>, Vec<&Value>) = lines.iter().partition(|line| line["event"] == "begin");
    assert_eq!((begins.len(), ends.len()), (6, 6));
    let member = |name: &str| -> Vec<String> {
        ends.iter().map(|line| line[name].as_str().map_or_else(|| line[name].to_string(), ToOwned::to_owned)).collect()
    };
    assert_eq!(member("command"), ["export", "sign", "verify", "verify", "import", "import"]);
    assert_eq!(member("outcome"), ["ok", "ok", "PASS", "REFUSED", "ok", "usage"]);
    assert_eq!(member("exit"), ["0", "0", "0", "11", "0", "2"]);
    let bundle = sha256(&fs::read(dir().join("noted/b.json")).unwrap());
    assert!(ends[..5].iter().all(|line| line["bundle"] == *bundle && line["name"] == "b"), "{ends:?}");
    let (one, two) = (id("k.pub.pem"), id("noted/two.pub.pem"));
    assert_eq!(ends[0]["keyids"], serde_json::json!([one]));
    assert!(ends[1]["keyids"].as_array().unwrap().contains(&two.into()));
    assert_eq!(ends[2]["signers"], serde_json::json!([one]));
    assert_eq!((&ends[4]["signers"], &ends[4]["keyids"]), (&ends[2]["signers"], &ends[0]["keyids"]));
    assert_eq!((&begins[4]["subject"], &begins[4]["to"]), (&"noted/b".into(), &"oci:noted/site".into()));
    // The receipt names the newest line at that time, and the log names the receipt.
    let receipt: Value = serde_json::from_slice(&fs::read(dir().join("noted/r.json")).unwrap()).unwrap();
    assert_eq!(receipt["audit"]["number"], 9);
    let log = fs::read_to_string(dir().join("noted/log")).unwrap();
    let ninth = format!("{}\n", log.lines().nth(8).unwrap());
    assert_eq!(receipt["audit"]["digest"], sha256(ninth.as_bytes()));
    assert_eq!(ends[4]["receipt"], sha256(&fs::read(dir().join("noted/r.json")).unwrap()));
    let (shown, _) = packmule(&["inspect", "noted/log", "--check", "--state", "noted/state"], 0);
    assert_eq!((&shown["result"]["lines"], &shown["result"]["head"]), (&12.into(), &"compared".into()));
}

#[test]
fn u3_an_edit_a_cut_and_a_torn_line_are_found_and_nothing_is_written_over_them() {
    let bundle = small("harmed");
    let noted = ["--audit", "harmed/log", "--state", "harmed/state"];
    let verify = |code| packmule(&[&["verify", &bundle, "--key", "k.pub.pem"], &noted[..]].concat(), code).0;
    let check = |code| {
        let ended = command(&["inspect", "harmed/log", "--check", "--state", "harmed/state"]).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}{}", text(&ended.stdout), text(&ended.stderr));
        text(&ended.stdout) + &text(&ended.stderr)
    };
    verify(0);
    verify(0);
    assert!(check(0).contains("the state knows the newest line"));
    let good = fs::read(dir().join("harmed/log")).unwrap();
    let write = |bytes: &[u8]| fs::write(dir().join("harmed/log"), bytes).unwrap();
    let end = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let edited = String::from_utf8(good.clone()).unwrap().replace("\"PASS\"", "\"SASS\"");
    for (harm, said) in [
        (&good[..end], "tail was cut off"),
        (&good[..good.len() - 1], "is cut off"),
        (&good[..good.len() - 30], "is cut off"),
        (b"", "tail was cut off"),
        (edited.as_bytes(), "was changed"),
    ] {
        write(harm);
        assert!(check(11).contains(said), "{said}: {}", check(11));
        let ended = verify(22);
        assert!(ended["error"]["message"].as_str().unwrap().contains("as its head says"), "{ended}");
        assert_eq!(ended["result"], Value::Null, "no verdict");
        assert_eq!(fs::read(dir().join("harmed/log")).unwrap(), harm, "it stays as it is");
    }
    // Without the state, only the chain is checked.
    write(&good[..end]);
    packmule(&["inspect", "harmed/log", "--check", "--state", "harmed/none"], 0);
    packmule(&["inspect", "harmed/log"], 0);
    write(edited.as_bytes());
    packmule(&["inspect", "harmed/log", "--check", "--state", "harmed/none"], 11);
    // A copy elsewhere is recognised by its first line.
    fs::write(dir().join("harmed/copy"), &good[..end]).unwrap();
    packmule(&["inspect", "harmed/copy", "--check", "--state", "harmed/state"], 11);
    write(&good);
    verify(0);
}

/// Appends `count` lines to a log, chained to the last one and naming the state that wrote it.
fn forge(log: &str, count: usize) {
    let path = dir().join(log);
    let mut text = fs::read_to_string(&path).unwrap();
    for _ in 0..count {
        let last = format!("{}\n", text.lines().last().unwrap());
        let mut line: Value = serde_json::from_str(&last).unwrap();
        line["number"] = (line["number"].as_u64().unwrap() + 1).into();
        line["previous"] = sha256(last.as_bytes()).into();
        line["outcome"] = "PASS".into();
        text.push_str(&format!("{line}\n"));
    }
    fs::write(path, text).unwrap();
}

#[test]
fn u3_lines_that_were_put_on_are_found_and_no_run_adopts_them() {
    let bundle = small("forged");
    let verify = |state: &str, code| {
        packmule(&["verify", &bundle, "--key", "k.pub.pem", "--audit", "forged/log", "--state", state], code).0
    };
    let check = |state: &str, code| packmule(&["inspect", "forged/log", "--check", "--state", state], code).0;
    let (guard, site) = ("forged/guard", "forged/site");
    verify(guard, 0);
    verify(site, 0);
    assert_eq!((check(guard, 0)["exit"].as_u64(), check(site, 0)["exit"].as_u64()), (Some(0), Some(0)));
    let ids: Vec<Value> = lines("forged/log").iter().map(|line| line["state"].clone()).collect();
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2], "{ids:?}");
    // One line may come from a killed run.
    forge("forged/log", 1);
    check(site, 0);
    forge("forged/log", 4);
    let before = fs::read(dir().join("forged/log")).unwrap();
    let found = check(site, 11);
    assert!(found["error"]["message"].as_str().unwrap().contains("found 5: lines were added"), "{found}");
    // All of the guard's own lines are there.
    check(guard, 0);
    for _ in 0..2 {
        let ended = verify(site, 22);
        assert!(ended["error"]["message"].as_str().unwrap().contains("past line 4, as its head says"), "{ended}");
        assert_eq!(ended["result"], Value::Null, "no verdict");
        assert_eq!(fs::read(dir().join("forged/log")).unwrap(), before, "none is adopted");
    }
    check(site, 11);
}

#[test]
fn u3_a_log_that_cannot_be_written_is_said_before_any_work() {
    let bundle = small("nolog");
    fs::create_dir_all(dir().join("nolog/folder")).unwrap();
    fs::write(dir().join("nolog/file"), "").unwrap();
    // The head must match too.
    let state = "nolog/state";
    for (log, state) in
        [("nolog/folder", state), ("nolog/none/log", state), ("/dev/full", state), ("nolog/log", "nolog/file")]
    {
        let import = ["import", &bundle, "--key", "k.pub.pem", "--to", "oci:nolog/site"];
        refused(&[&import[..], &["--audit", log, "--state", state]].concat(), 22);
        assert!(!dir().join("nolog/site").exists(), "{log}");
    }
}

#[test]
fn u3_a_full_disk_ends_the_run_before_or_makes_it_no_success() {
    let bundle = small("fulllog");
    // The log is on a disk with room for only some lines.
    let script = r#"
        mkdir -p fulllog/mnt && mount -t tmpfs -o size=4k none fulllog/mnt || exit 90
        for n in 1 2 3 4 5 6 7 8 9 10; do
            "$P" verify "$1" --key k.pub.pem --audit fulllog/mnt/log --state fulllog/state > fulllog/out 2> fulllog/err
            code=$?; [ $code = 0 ] || break
            grep -q ^PASS fulllog/out || exit 91
        done
        cat fulllog/out fulllog/err
        [ $code = 22 ] || exit 92
        grep -q "^error: audit log" fulllog/err && grep -q "^help: " fulllog/err || exit 93
        grep -q PASS fulllog/out && exit 94
        # A part of the line that found no room may be there: a confined process cuts nothing off. The next run does.
        mount -o remount,size=64k fulllog/mnt || exit 96
        "$P" verify "$1" --key k.pub.pem --audit fulllog/mnt/log --state fulllog/state || exit 97
        "$P" inspect fulllog/mnt/log --check --state fulllog/state || exit 95
        "$P" inspect fulllog/mnt/log --check --state fulllog/state | grep -q "without an end: 1" && echo late
        exit 0
    "#;
    let Some(ended) = sandbox(script, &[&bundle]) else { return };
    assert_eq!(ended.status.code(), Some(0), "{}{}", text(&ended.stdout), text(&ended.stderr));
}

#[test]
fn u3_a_disk_that_fails_at_any_write_is_told_and_the_log_stays_whole() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let bundle = small("failing");
    let args = [
        "verify",
        &bundle,
        "--key",
        "k.pub.pem",
        "--audit",
        "failing/log",
        "--state",
        "failing/state",
        "--progress",
        "none",
    ];
    packmule(&args, 0);
    let check = || packmule(&["inspect", "failing/log", "--check", "--state", "failing/state"], 0).0;
    for (call, what) in
        [("write", "error=ENOSPC"), ("fsync", "error=EIO"), ("write", "signal=KILL"), ("fsync", "signal=KILL")]
    {
        let mut hit = 0;
        for nth in 1..12 {
            let (code, told) = injected(&strace, call, what, nth, &args);
            if code == Some(0) {
                break;
            }
            hit += 1;
            if what.starts_with("error") {
                assert_eq!(code, Some(22), "{call} {nth}: {told}");
            }
            // However often: the head never lags by more than one line.
            injected(&strace, call, what, nth, &args);
            // The next run takes up what was left.
            packmule(&args, 0);
            assert_eq!(check()["result"]["head"], "compared", "{call} {nth} {what}");
        }
        assert!(hit >= 3, "{call} {what}: {hit}");
    }
    let open = check()["result"]["open"].as_array().unwrap().len();
    assert!(open > 0, "runs that were killed in their work show");
}

#[test]
fn u3_many_runs_write_one_log() {
    let bundle = small("manylog");
    let args = ["verify", &bundle, "--key", "k.pub.pem", "--audit", "manylog/log", "--state", "manylog/state"];
    let mut all: Vec<_> =
        (0..6).map(|_| command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()).collect();
    assert!(all.iter_mut().all(|child| child.wait().unwrap().code() == Some(0)));
    let (shown, _) = packmule(&["inspect", "manylog/log", "--check", "--state", "manylog/state"], 0);
    assert_eq!((&shown["result"]["lines"], &shown["result"]["open"]), (&12.into(), &serde_json::json!([])));
}

#[test]
fn u1_what_may_be_a_secret_is_not_noted() {
    let bundle = small("canary");
    let noted = ["--audit", "canary/log", "--state", "canary/state"];
    packmule(
        &[&["import", &bundle, "--key", "k.pub.pem", "--to", "https://me:canary@site.example/x"], &noted[..]].concat(),
        2,
    );
    packmule(&[&["verify", "https://me:canary@site.example/x", "--key", "k.pub.pem"], &noted[..]].concat(), 2);
    let log = fs::read_to_string(dir().join("canary/log")).unwrap();
    assert!(log.lines().count() == 4 && !log.contains("canary@"), "{log}");
    let mut command = command(&["verify", "canary/\u{1b}[31m", "--key", "k.pub.pem"]);
    let ended = command.args(noted).output().unwrap();
    assert_ne!(ended.status.code(), Some(0));
    assert!(!fs::read_to_string(dir().join("canary/log")).unwrap().contains('\u{1b}'));
    packmule(&["inspect", "canary/log", "--check", "--state", "canary/state"], 0);
}
