//! `copy` between real places: everything arrives, nothing is sent twice, names are as requested.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::same_as_source;
use super::world::{command, expected, manifest, packmule, prefix, selectors, sha256, stranger, text, var};

pub fn copy(selectors: &[impl AsRef<str>], more: &[&str], code: i32) -> serde_json::Value {
    let mut args = vec!["copy"];
    args.extend(selectors.iter().map(AsRef::as_ref));
    args.extend(more);
    packmule(&args, code).0
}

/// Copies the whole corpus from one registry to another, twice.
fn arrives(host_var: &str, test: &str) {
    let (Some(source), Some(host), Some(crane)) =
        (var("PACKMULE_TEST_SOURCE"), var(host_var), var("PACKMULE_TEST_CRANE"))
    else {
        return;
    };
    let to = format!("{host}/{}", prefix(test));
    let all = selectors(&source, &expected().unwrap());
    let dry = copy(&all, &["--to", &to, "--dry-run"], 0);
    assert_ne!(dry["result"]["blobs"]["pushed"], 0, "{dry}");
    let done = copy(&all, &["--to", &to], 0);
    assert_ne!(done["result"]["blobs"]["pushed"], 0, "{done}");
    same_as_source(&crane, &to);
    let again = copy(&all, &["--to", &to], 0);
    assert_eq!(again["result"]["blobs"]["pushed"], 0, "{again}");
    let landed = again["result"]["artifacts"].as_array().unwrap();
    assert!(landed.len() >= all.len() && landed.iter().all(|one| one["outcome"] == "present"), "{again}");
}

#[test]
fn i1_i14_the_corpus_arrives_at_distribution_3() {
    arrives("PACKMULE_TEST_DISTRIBUTION2", "copy3");
}

#[test]
fn i1_i14_the_corpus_arrives_at_distribution_2() {
    arrives("PACKMULE_TEST_DOCKER_REGISTRY", "copy2");
}

#[test]
fn i3_new_names_and_none() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let note = format!("{source}/corpus/artifact/note:1");
    let to = format!("{host}/{}", prefix("as"));
    copy(&[&note], &["--to", &to, "--as", "one:a", "--as", "two/three:b", "--as", "bare"], 0);
    let sent = manifest(&crane, &note);
    for name in ["one:a", "two/three:b", &format!("bare@{}", sha256(&sent))] {
        assert_eq!(manifest(&crane, &format!("{to}/{name}")), sent, "{name}");
    }
    let listed = Command::new(&crane).args(["ls", "--insecure", &format!("{to}/bare")]).output().unwrap();
    assert_eq!(text(&listed.stdout), "");
    let two = [note.clone(), format!("{source}/corpus/charts/demo:0.1.0")];
    let refused = copy(&two, &["--to", &to, "--as", "both:1"], 2);
    assert!(refused["error"].to_string().contains("one selected artifact"), "{refused}");
}

#[test]
fn i10_a_tag_that_names_something_else() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let (note, chart) = (format!("{source}/corpus/artifact/note:1"), format!("{source}/corpus/charts/demo:0.1.0"));
    let to = format!("{host}/{}", prefix("conflict"));
    let put = |what: &str, more: &[&str], code| {
        copy(&[what], &[&["--to", &to, "--as", "x:1"], more].concat(), code);
        manifest(&crane, &format!("{to}/x:1"))
    };
    let first = put(&note, &[], 0);
    assert_eq!(put(&chart, &[], 15), first);
    assert_eq!(put(&chart, &["--tag-conflict", "keep"], 0), first);
    assert_eq!(put(&chart, &["--tag-conflict", "move"], 0), manifest(&crane, &chart));
}

#[test]
fn blobs_are_mounted_where_both_are_one_registry() {
    let (Some(source), Some(crane)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_CRANE")) else { return };
    let to = format!("{source}/{}", prefix("mount"));
    let db = format!("{source}/corpus/app/db:2.1");
    let done = copy(&[&db], &["--to", &to], 0);
    assert_eq!((&done["result"]["bytes"], &done["result"]["blobs"]["pushed"]), (&0.into(), &0.into()), "{done}");
    assert_ne!(done["result"]["blobs"]["mounted"], 0, "{done}");
    assert_eq!(manifest(&crane, &format!("{to}/corpus/app/db:2.1")), manifest(&crane, &db));
}

#[test]
fn into_a_layout_and_out_of_it() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let db = format!("{source}/corpus/app/db:2.1");
    copy(&[&db], &["--to", "oci:copied", "--platform", "linux/amd64"], 0);
    if let Some(skopeo) = var("PACKMULE_TEST_SKOPEO") {
        stranger(&skopeo, &["inspect", "--raw", "oci:copied:corpus/app/db:2.1"]);
    }
    let to = format!("{host}/{}", prefix("layout"));
    copy(&["oci:copied"], &["--to", &to], 0);
    let index: serde_json::Value = serde_json::from_slice(&manifest(&crane, &db)).unwrap();
    let amd = index["manifests"].as_array().unwrap().iter().find(|one| one["platform"]["architecture"] == "amd64");
    let there = sha256(&manifest(&crane, &format!("{to}/corpus/app/db:2.1")));
    assert_eq!(there, amd.unwrap()["digest"].as_str().unwrap());
}

#[test]
fn all_that_fails_is_told_and_nothing_is_tagged() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let to = format!("{host}/{}", prefix("copyfail"));
    let name = |end: &str| format!("{source}/corpus/{end}");
    let args = ["copy", &name("artifact/note:1"), &name("base:never"), &name("nowhere:1"), "--to", &to];
    let ended = command(&args).output().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(20), "{told}");
    assert!(told.contains("base:never") && told.contains("nowhere:1"), "{told}");
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let listed =
        Command::new(crane).args(["ls", "--insecure", &format!("{to}/corpus/artifact/note")]).output().unwrap();
    assert!(!listed.status.success(), "{}", text(&listed.stdout));
}

/// Forwards requests without bodies to `host` and counts them.
fn counted(host: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, host) = (listener.local_addr().unwrap().to_string(), host.to_owned());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(&host).unwrap();
            let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                let mut far = far;
                for line in BufReader::new(near).split(b'\n').map_while(Result::ok) {
                    counter.fetch_add(usize::from(line.ends_with(b" HTTP/1.1\r")), Ordering::Relaxed);
                    if far.write_all(&[&line, &b"\n"[..]].concat()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, count)
}

#[test]
fn with_nothing_to_do_two_requests_a_manifest_are_enough() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let (near, asked) = counted(&source);
    let (far, told) = counted(&host);
    let place = prefix("again");
    // Alone, without referrers, tagged twice, with platforms, with referrers of referrers.
    for (all, manifests) in [
        (vec!["corpus/artifact/note:1"], 1),
        (vec!["corpus/app/raw:1", "corpus/app/pig:2024-01", "corpus/charts/demo:0.1.0"], 3),
        (vec!["corpus/docker/multi:1"], 3),
    ] {
        let at = |host: &str| all.iter().map(|name| format!("{host}/{name}")).collect::<Vec<_>>();
        copy(&at(&source), &["--to", &format!("{host}/{place}")], 0);
        for (referrers, most) in [("none", 2 * manifests), ("all", 2 * manifests + all.len())] {
            asked.store(0, Ordering::Relaxed);
            told.store(0, Ordering::Relaxed);
            let to = format!("{far}/{place}");
            let again = copy(&at(&near), &["--to", &to, "--referrers", referrers], 0);
            assert!(again["result"]["artifacts"].as_array().unwrap().iter().all(|one| one["outcome"] == "present"));
            // Plus one ping each, and one check of the whole source for the referrers API.
            let own = 2 + usize::from(referrers == "all");
            let found = asked.load(Ordering::Relaxed) + told.load(Ordering::Relaxed);
            assert!(found <= most + own, "{all:?}, referrers {referrers}: {found} of {most} requests");
        }
    }
}
