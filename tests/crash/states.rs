//! Rows P2, S15 and C2 for the state of a channel: an import is killed, or its disk fails, at every
//! system call of a kind; the record is of the old bundle or the new one, and no tag is set that
//! the state does not know.

use std::path::PathBuf;

use packmule::state::{Found, Store};

use super::shelf::{Image, noise};
use super::strace::injected;
use super::world::{command, dir, fresh, layout, packmule, stride, text, var};

/// Makes two bundles of channel apps below `test`, and a state in which the first one was accepted.
fn two(test: &str) {
    drop(fresh(test));
    for n in 1..=2 {
        layout(&format!("{test}/source"), &[Image::new(vec![noise(90 + n, 90_000)])]);
        let (source, state) = (format!("oci:{test}/source"), format!("{test}/out"));
        let args = ["export", &source, "-o", test, "--sign", "k.pem", "--channel", "apps", "--state", &state];
        packmule(&[&args[..], &["--init-state"]].concat(), 0);
    }
    let policy = "[key]\nrelease = { public = \"../k.pub.pem\", holder = \"desk\", role = \"release\" }\n\
                  [channel.apps]\nkeys = [\"release\"]\nrequire = { bundle = [\"previous\"] }\n";
    std::fs::write(dir().join(test).join("trust.toml"), policy).unwrap();
    let own = import(test, "apps-1");
    packmule(&[&words(&own)[..], &["--init-state"]].concat(), 0);
}

fn import(test: &str, bundle: &str) -> Vec<String> {
    let (bundle, policy) = (format!("{test}/{bundle}"), format!("{test}/trust.toml"));
    let (site, state) = (format!("oci:{test}/site"), format!("{test}/in"));
    let args = ["import", &bundle, "--policy", &policy, "--to", &site, "--state", &state, "-j", "2"];
    [&args[..], &["--tag-conflict", "move"]].concat().into_iter().map(str::to_owned).collect()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn record(test: &str) -> PathBuf {
    let folder = dir().join(test).join("in/import/apps");
    let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap()
}

fn survives(test: &str, what: &str, calls: &[(&str, usize)]) {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    two(test);
    let (path, args) = (record(test), import(test, "apps-2"));
    let old = std::fs::read(&path).unwrap();
    let site = dir().join(test).join("site");
    let before = std::fs::read(site.join("index.json")).unwrap();
    packmule(&words(&args), 0);
    let new = std::fs::read(&path).unwrap();
    let after = std::fs::read(site.join("index.json")).unwrap();
    assert!(old != new && before != after);
    let mut seen = [0; 2];
    for &(call, step) in calls {
        for nth in (1..80).step_by(stride(step)) {
            std::fs::write(&path, &old).unwrap();
            std::fs::write(site.join("index.json"), &before).unwrap();
            let (code, told) = injected(&strace, call, what, nth, &words(&args));
            let place = format!("{call} {nth} {what}: {code:?} {told}");
            let held = std::fs::read(&path).unwrap();
            assert!(held == old || held == new, "{place}: {}", text(&held));
            let index = std::fs::read(site.join("index.json")).unwrap();
            assert!(index == before || held == new, "{place}: tagged before it was held");
            if code == Some(0) {
                assert_eq!(held, new, "{place}");
                break;
            }
            if what.starts_with("error") {
                assert!(matches!(code, Some(1 | 2 | 22 | 127)), "{place}");
            }
            seen[usize::from(held == new)] += 1;
            packmule(&words(&args), 0);
            assert_eq!(std::fs::read(&path).unwrap(), new, "{place}");
        }
    }
    assert!(seen[0] > 1 && seen[1] > 0, "{seen:?}");
}

#[test]
fn p2_an_import_killed_at_any_call_holds_the_old_or_the_new() {
    survives(
        "held-at",
        "signal=KILL",
        &[("/^rename", 1), ("write", 1), ("fsync", 1), ("/^unlink", 1), ("flock", 1), ("openat", 5)],
    );
}

#[test]
fn x5_an_import_whose_state_cannot_be_made_durable_sets_no_tag() {
    survives("held-fails", "error=EIO", &[("/^rename", 1), ("fsync", 1)]);
    survives("held-full", "error=ENOSPC", &[("/^rename", 1), ("fsync", 1)]);
}

#[test]
fn c2_of_two_imports_at_once_one_works_and_the_other_waits_its_turn() {
    two("held-twice");
    let args = import("held-twice", "apps-2");
    let store = Store::new(dir().join("held-twice/in"), String::new());
    let text_of = |path: PathBuf| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap();
    let destination = text_of(record("held-twice"))["destination"].as_str().unwrap().to_owned();
    let seat = store.take("apps", &destination).unwrap();
    let ended = command(&words(&args)).output().unwrap();
    assert_eq!(ended.status.code(), Some(23), "{}", text(&ended.stderr));
    drop(seat);
    // Many at once: each works or is told to wait, and the record is that of the bundle.
    let runs: Vec<_> =
        (0..6).map(|_| command(&words(&args)).stderr(std::process::Stdio::null()).spawn().unwrap()).collect();
    let codes: Vec<_> = runs.into_iter().map(|mut run| run.wait().unwrap().code()).collect();
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 23))) && codes.contains(&Some(0)), "{codes:?}");
    assert!(!matches!(store.look("apps", &destination), Found::Nothing | Found::Damaged(_)));
    packmule(&words(&args), 0);
    // Older than the record: refused in any case.
    packmule(&words(&import("held-twice", "apps-1")), 14);
}

#[test]
fn trust_is_never_the_environments_and_the_state_may_be() {
    two("held-env");
    let run = |name: &str, value: &str, args: &[&str]| {
        let ended = command(args).env(name, value).output().unwrap();
        (ended.status.code(), text(&ended.stdout) + &text(&ended.stderr))
    };
    let verify = ["verify", "held-env/apps-1"];
    assert_eq!(run("PACKMULE_POLICY", "held-env/trust.toml", &verify).0, Some(2));
    let late = ["import", "held-env/apps-2", "--policy", "held-env/trust.toml", "--to", "oci:held-env/late"];
    let (code, told) = run("PACKMULE_STATE", "held-env/in", &[&late[..], &["--init-state"]].concat());
    assert_eq!(code, Some(0), "{told}");
    let other = ["import", "held-env/apps-2", "--policy", "held-env/trust.toml", "--to", "oci:held-env/other"];
    for name in ["PACKMULE_INIT_STATE", "PACKMULE_ALLOW_STALE"] {
        let args = [&other[..], &["--state", "held-env/in"]].concat();
        assert_eq!(run(name, "1", &args).0, Some(14), "{name}");
    }
}
