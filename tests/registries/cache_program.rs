//! The cache of the built program: `rule sync`, the interval of `sync`, `--cache-size`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::serve_clients::Process;
use super::served::Site;
use super::upstream::{Mood, Upstream};

/// Runs the program in the site's directory; returns its JSON document.
fn run(site: &Site, words: &[&str], code: i32) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.args(words).arg("--json").current_dir(site.dir.path()).env_clear().env("HOME", site.dir.path());
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "{words:?}: {told}");
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{words:?}: {told}"))
}

/// Names of the blobs of a layout.
fn blobs(site: &Site, cache: &str) -> Vec<String> {
    let all = std::fs::read_dir(site.dir.path().join(cache).join("blobs/sha256"));
    all.into_iter().flatten().map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
}

fn status(process: &Process, target: &str) -> u16 {
    let address = format!("http://{}{target}", process.host);
    let got = Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &address]).output().unwrap();
    String::from_utf8(got.stdout).unwrap().parse().unwrap()
}

fn rules(site: &Site, text: &str) {
    std::fs::write(site.dir.path().join("rules.toml"), text).unwrap();
}

#[test]
fn c10_rule_sync_fetches_what_rules_are_to_keep() {
    let (upstream, site) = (Upstream::start(), Site::new());
    let (app, layer) = upstream.image("org/app", &["3.1", "3.2", "4"], 100_001, 1);
    upstream.image("org/other", &["1"], 10, 2);
    let host = upstream.host();
    rules(
        &site,
        &format!(
            "[rule.app]\nsource = \"{host}/org/app\"\ntarget = \"app\"\ntags = {{ include = [\"3.*\"] }}\n\
             [rule.other]\nsource = \"{host}/org/other\"\ntarget = \"other\"\ntags = {{ include = [\"*\"] }}\n"
        ),
    );
    let sync = |more: &[&str], code: i32| {
        let words = ["rule", "sync", "--config", "rules.toml", "--cache", "cache"];
        run(&site, &[&words[..], more].concat(), code)
    };
    let outcomes = |told: &serde_json::Value| -> Vec<(String, String)> {
        let of = |one: &serde_json::Value, key: &str| one[key].as_str().unwrap().to_owned();
        let tags = told["result"]["tags"].as_array().unwrap_or_else(|| panic!("{told}"));
        let mut all: Vec<_> = tags.iter().map(|one| (of(one, "reference"), of(one, "outcome"))).collect();
        all.sort();
        all
    };
    let said = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, outcome)| (format!("{host}/org/{name}"), (*outcome).to_owned())).collect()
    };
    // A dry run of one rule asks, and keeps nothing.
    let dry = sync(&["app", "--dry-run"], 0);
    assert_eq!(outcomes(&dry), said(&[("app:3.1", "to fetch"), ("app:3.2", "to fetch")]));
    assert!(blobs(&site, "cache").is_empty() && upstream.asked("GET", "/blobs/") == 0);
    // One tag; one that the rule leaves out; a rule that is not there.
    let one = sync(&["app", "--tag", "3.2"], 0);
    assert_eq!(outcomes(&one), said(&[("app:3.2", "fetched")]));
    assert_eq!(blobs(&site, "cache").len(), 3);
    let left = sync(&["app", "--tag", "4"], 0);
    assert_eq!(outcomes(&left), said(&[("app:4", "left out")]));
    sync(&["none"], 2);
    // All rules: the same manifest has another tag, the other rule has its own.
    let all = sync(&[], 0);
    let expected = said(&[("app:3.1", "fetched"), ("app:3.2", "current"), ("other:1", "fetched")]);
    assert_eq!(outcomes(&all), expected);
    let again = sync(&["--dry-run"], 0);
    assert!(outcomes(&again).iter().all(|(_, outcome)| outcome == "current"), "{again}");
    // What fails is named, and the code is that of a source.
    upstream.set(Mood::Down);
    let failed = sync(&["app", "--tag", "3.1", "--retries", "0"], 20);
    assert_eq!(outcomes(&failed), said(&[("app:3.1", "FAILED")]));
    // A server has it: locked.
    let process = Process::start(&site, &["--cache", "cache", "--config", "rules.toml", "--retries", "0"]);
    sync(&["app"], 23);
    assert_eq!(status(&process, "/v2/app/manifests/3.1"), 200, "kept");
    assert_eq!(status(&process, &format!("/v2/app/blobs/{}", packmule::oci::Digest::sha256(&layer.0))), 200);
    assert_eq!(status(&process, &format!("/v2/app/manifests/{}", app.digest())), 200);
}

/// Waits until `is_so`, for at most 20 s.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn c10_the_server_synchronizes_at_its_start_and_at_each_interval() {
    let (upstream, site) = (Upstream::start(), Site::new());
    let (_, first) = upstream.image("org/app", &["1"], 10_001, 1);
    let host = upstream.host();
    rules(
        &site,
        &format!(
            "[rule.app]\nsource = \"{host}/org/app\"\ntarget = \"app\"\nrefresh = \"1s\"\n\
             sync = {{ every = \"2s\" }}\ntags = {{ include = [\"*\"] }}\n\
             [rule.passive]\nsource = \"{host}/org/passive\"\ntarget = \"passive\"\ntags = {{ include = [\"*\"] }}\n"
        ),
    );
    upstream.image("org/passive", &["1"], 20_001, 7);
    let process = Process::start(&site, &["--cache", "cache", "--config", "rules.toml"]);
    let has = |bytes: &[u8]| blobs(&site, "cache").contains(&packmule::oci::Digest::sha256(bytes).hex());
    wait("the first round", || has(&first.0));
    // The tag moves, and another comes: both are there at the next interval, and nobody has pulled.
    let (_, second) = upstream.image("org/app", &["1", "2"], 10_002, 2);
    wait("the second round", || has(&second.0));
    assert!(upstream.requests().iter().all(|request| !request.path.contains("passive")), "only who asks for it");
    upstream.set(Mood::Down);
    assert_eq!(status(&process, "/v2/app/manifests/2"), 200, "kept");
    assert_eq!(process.end("-TERM").0, Some(143));
}

#[test]
fn c12_the_size_of_a_cache_is_kept_by_the_program() {
    let (upstream, site) = (Upstream::start(), Site::new());
    let images: Vec<_> = (1..=4).map(|seed| upstream.image(&format!("a{seed}"), &["1"], 400_000, seed)).collect();
    rules(&site, &format!("[rule.up]\nsource = \"{}/*\"\ntarget = \"up/*\"\n", upstream.host()));
    let args = ["--cache", "cache", "--cache-size", "1MiB", "--config", "rules.toml"];
    let process = Process::start(&site, &args);
    let pull = |number: usize| {
        let digest = packmule::oci::Digest::sha256(&images[number - 1].1.0);
        assert_eq!(status(&process, &format!("/v2/up/a{number}/manifests/1")), 200);
        assert_eq!(status(&process, &format!("/v2/up/a{number}/blobs/{digest}")), 200);
        wait("it is kept", || blobs(&site, "cache").contains(&digest.hex()));
    };
    let kept = || {
        let digest = |number: usize| packmule::oci::Digest::sha256(&images[number - 1].1.0).hex();
        let all = blobs(&site, "cache");
        (1..=4).filter(|number| all.contains(&digest(*number))).collect::<Vec<usize>>()
    };
    pull(1);
    pull(2);
    assert_eq!(kept(), [1, 2]);
    // The first is used once more, so the second goes.
    pull(1);
    pull(3);
    wait("room", || kept() == [1, 3]);
    pull(4);
    wait("room", || kept() == [3, 4]);
    let occupied = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum();
    let bytes: u64 = occupied(&site.dir.path().join("cache/blobs/sha256"));
    assert!(bytes <= 1 << 20, "{bytes}");
    assert_eq!(process.end("-TERM").0, Some(143));
    // A smaller one removes what is too much at its start.
    let smaller = Process::start(&site, &["--cache", "cache", "--cache-size", "500kB", "--config", "rules.toml"]);
    assert_eq!(kept(), [4]);
    drop(smaller);
    run(&site, &["serve", "--cache", "cache", "--cache-size", "much", "--config", "rules.toml"], 2);
}
