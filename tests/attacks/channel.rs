//! Rows S15 and S16, and channels at export: whole commands with states of their own. One directory is both sides;
//! `--state out` is the exporter's, `--state in` the importer's.

use std::fs;
use std::path::PathBuf;

use packmule::state::Store;
use serde_json::Value;

use crate::{Bundle, Ended, packmule_at};

pub const NOW: i64 = 1_767_225_600;
pub const DAY: i64 = 86_400;

/// A directory with both sides.
pub struct Site(Bundle);

impl Site {
    /// Creates it with this section for channel apps, and keys 1 and 2.
    pub fn new(section: &str) -> Self {
        let site = Self(Bundle::small("9", &[1]));
        site.policy(section);
        site
    }

    pub fn policy(&self, section: &str) {
        let text = format!(
            "[key]\nrelease = {{ public = \"1.pub.pem\", holder = \"release desk\", role = \"release\" }}\n\
             [channel.apps]\nkeys = [\"release\"]\n{section}\n"
        );
        fs::write(self.path("trust.toml"), text).unwrap();
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.root.path().join(file)
    }

    pub fn run_at(&self, words: &str, clock: i64) -> Ended {
        let words: Vec<&str> = words.split(' ').collect();
        packmule_at(self.0.root.path(), &words, None, clock)
    }

    pub fn run(&self, words: &str, code: u8) -> String {
        let ended = self.run_at(words, NOW);
        assert_eq!(ended.code, code, "{words}: {}{}", ended.stdout, ended.stderr);
        ended.stderr + &ended.stdout
    }

    pub fn export(&self, more: &str, code: u8) -> String {
        self.run(&format!("export oci:source -o usb --sign 1.pem --state out --channel apps {more}"), code)
    }

    pub fn import(&self, bundle: &str, more: &str, code: u8) -> String {
        let words = format!("import usb/{bundle} --policy trust.toml --to oci:site --state in {more}");
        self.run(words.trim_end(), code)
    }

    /// Returns the bytes of the importer's only record.
    pub fn held(&self) -> Vec<u8> {
        fs::read(self.record()).unwrap()
    }

    pub fn record(&self) -> PathBuf {
        let mut entries = fs::read_dir(self.path("in/import/apps")).unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap()
    }

    pub fn manifest(&self, bundle: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(&format!("usb/{bundle}.json"))).unwrap()).unwrap()
    }
}

#[test]
fn an_export_takes_the_next_place_of_its_channel() {
    let site = Site::new("");
    assert!(site.export("--annotation n=1", 14).contains("--init-state"));
    let told = site.export("--annotation n=1 --init-state --expires 35d", 0);
    assert!(told.contains("apps 0/1, expires 2026-02-05T00:00:00Z"), "{told}");
    let first = site.manifest("apps-1");
    assert_eq!((&first["channel"], &first["epoch"], &first["sequence"]), (&"apps".into(), &0.into(), &1.into()));
    assert!(first.get("previous").is_none());
    // Settings that need not be repeated.
    site.export("--annotation n=2 --epoch 1 --expires 2026-03-01T01:00:00+01:00", 0);
    let second = site.manifest("apps-2");
    let id = packmule::oci::Digest::sha256(&fs::read(site.path("usb/apps-1.json")).unwrap());
    assert_eq!(second["previous"], id.to_string());
    assert_eq!((&second["epoch"], &second["expires"]), (&1.into(), &"2026-03-01T00:00:00Z".into()));
    site.export("--annotation n=3", 0);
    assert_eq!(site.manifest("apps-3")["epoch"], 1);
    // Numbers increase, and each is used once.
    for back in ["--sequence 3", "--sequence 1", "--epoch 0", "--epoch 0 --sequence 9"] {
        assert!(site.export(&format!("--annotation n=4 {back}"), 14).contains("expected a place after"), "{back}");
    }
    site.export("--annotation n=4 --sequence 9", 0);
    assert_eq!(site.manifest("apps-9")["sequence"], 9);
    site.run("export oci:source -o usb/mine --sign 1.pem --state out --channel apps", 0);
    assert_eq!(site.manifest("mine")["sequence"], 10);
    // A dry run uses none.
    site.run("export oci:source -o usb --dry-run --state out --channel apps", 0);
    site.export("--annotation n=5", 0);
    assert_eq!(site.manifest("apps-11")["sequence"], 11);
}

#[test]
fn channel_options_that_cannot_be_are_refused_before_any_work() {
    let site = Site::new("");
    site.run("export oci:source -o usb --sign 1.pem", 2);
    for wrong in [
        "--channel Apps",
        "--channel -",
        "--sequence 1",
        "--expires 35d",
        "--channel a --sequence last",
        "--channel a --sequence 9007199254740992",
        "--channel a --expires 35",
        "--channel a --expires 35y",
        "--channel a --expires 99999999999d",
        "--channel a --expires 2026-01-01T00:00:00Z",
        "--channel a --expires 0d",
        "--channel a --epoch -1",
    ] {
        site.run(&format!("export oci:source -o usb/x --sign 1.pem --state out --init-state {wrong}"), 2);
    }
    assert!(!site.path("usb/x.json").exists());
}

#[test]
fn c1_two_exports_of_one_channel() {
    let site = Site::new("");
    let store = Store::new(site.path("out"), String::new());
    let series = store.series("apps").unwrap();
    assert!(site.export("--init-state", 23).contains("another run"));
    drop(series);
    site.export("--init-state", 0);
}

#[test]
fn p1_an_export_killed_beside_its_state_gives_no_number_twice() {
    let site = Site::new("");
    site.export("--annotation n=1 --init-state", 0);
    let (last, next) = (site.path("out/export/apps.json"), site.path("out/export/apps.next.json"));
    let first = fs::read(&last).unwrap();
    // Published but not recorded: the next run detects it.
    site.export("--annotation n=2", 0);
    fs::rename(&last, &next).unwrap();
    fs::write(&last, &first).unwrap();
    let previous = packmule::oci::Digest::sha256(&fs::read(site.path("usb/apps-2.json")).unwrap());
    site.export("--annotation n=3", 0);
    assert_eq!(site.manifest("apps-3")["previous"], previous.to_string());
    // Signed, with unknown outcome: its number is spent.
    fs::rename(&last, &next).unwrap();
    fs::write(&last, fs::read(site.path("usb/apps-2.json")).unwrap()).unwrap();
    fs::remove_file(site.path("usb/apps-3.json")).unwrap();
    site.export("--annotation n=4", 0);
    assert_eq!(site.manifest("apps-4")["previous"], previous.to_string());
    assert!(!next.exists());
    // A damaged state does not count as a first export.
    fs::write(&last, &first[..first.len() - 9]).unwrap();
    site.export("--annotation n=5", 14);
    site.export("--annotation n=5 --init-state", 14);
    site.export("--annotation n=5 --init-state --sequence 5", 0);
}

#[test]
fn s15_order_at_import() {
    let site = Site::new("require = { bundle = [\"sequence\"] }");
    for n in 1..=3 {
        site.export(&format!("--init-state --annotation n={n}"), 0);
    }
    site.run(
        "export oci:source -o usb/twin --sign 1.pem --state elsewhere --channel apps --sequence 2 --init-state",
        0,
    );
    site.run(
        "export oci:source -o usb/epoch --sign 1.pem --state far --channel apps --epoch 1 --sequence 9 --init-state",
        0,
    );
    assert!(site.import("apps-1", "", 14).contains("--init-state"));
    assert!(!site.path("site/index.json").exists());
    assert!(site.import("apps-1", "--init-state", 0).contains("the first one here"));
    assert!(site.import("apps-2", "--dry-run", 0).contains("above 0/1"));
    assert!(String::from_utf8(site.held()).unwrap().contains("\"sequence\":1"));
    site.import("apps-2", "", 0);
    let held = site.held();
    assert!(String::from_utf8(held.clone()).unwrap().contains("\"sequence\":2"));
    // The same bundle again: the import runs, and the record stays.
    assert!(site.import("apps-2", "", 0).contains("already held"));
    for (bundle, said) in
        [("apps-1", "an older one"), ("twin", "two bundles are signed"), ("epoch", "epoch 0, found 1")]
    {
        for more in ["", "--init-state", "--dry-run"] {
            assert!(site.import(bundle, more, 14).contains(said), "{bundle} {more}");
        }
        let told = site.run(&format!("verify usb/{bundle} --policy trust.toml --state in"), 14);
        assert!(told.contains("REFUSED") && told.contains(said), "{told}");
    }
    // An older bundle is accepted on request; two bundles of one number or another epoch never.
    let told = site.import("apps-1", "--allow-stale", 0);
    assert!(told.contains("warning") && told.contains("OLDER than 0/2"), "{told}");
    for bundle in ["twin", "epoch"] {
        site.import(bundle, "--allow-stale", 14);
    }
    assert_eq!(site.held(), held);
    site.import("apps-3", "", 0);
    // Keys alone require no state, but compare with an existing one.
    site.run("import usb/apps-1 --key 1.pub.pem --to oci:site --state in", 14);
    site.run("import usb/apps-1 --key 1.pub.pem --to oci:other --state in", 0);
    site.run("unpack usb/apps-1 --key 1.pub.pem plain --state in", 14);
    assert!(site.run("unpack usb/apps-1 --key 1.pub.pem plain --state in --allow-stale", 0).contains("overlooked"));
    assert_eq!(
        fs::read_dir(site.path("in/import/apps")).unwrap().count(),
        6,
        "two records, their tags and their locks"
    );
}

#[test]
fn s15_a_gap_is_seen_where_previous_is_demanded() {
    let site = Site::new("require = { bundle = [\"previous\"] }");
    for n in 1..=4 {
        site.export(&format!("--init-state --annotation n={n}"), 0);
    }
    site.import("apps-1", "--init-state", 0);
    let told = site.import("apps-3", "", 14);
    assert!(told.contains("expected a bundle that follows"), "{told}");
    assert!(site.run("verify usb/apps-3 --policy trust.toml --state in", 14).contains("follows"));
    site.import("apps-2", "", 0);
    let told = site.import("apps-4", "--allow-stale", 0);
    assert!(told.contains("NOT FOLLOW") && told.contains("overlooked"), "{told}");
    assert!(site.import("apps-3", "", 14).contains("older"));
}

#[test]
fn stale_from_its_expiry_on() {
    let site = Site::new("require = { bundle = [\"expires\"] }");
    site.export("--init-state --expires 35d", 0);
    site.export("--annotation n=2", 0);
    let at = |words: &str, clock| site.run_at(words, clock);
    for how in ["--policy trust.toml", "--key 1.pub.pem"] {
        let verify = format!("verify usb/apps-1 {how} --state in");
        assert_eq!(at(&verify, NOW + 35 * DAY - 1).code, 0);
        let late = at(&verify, NOW + 35 * DAY);
        assert_eq!(late.code, 14, "{}", late.stderr);
        assert!(late.stderr.contains("expired at 2026-02-05T00:00:00Z, the clock says 2026-02-05T00:00:00Z"));
        let late = at(&format!("{verify} --allow-stale --json"), NOW + 99 * DAY);
        assert!(late.code == 0 && late.stdout.contains("overlooked"), "{}", late.stdout);
    }
    assert_eq!(at("import usb/apps-1 --policy trust.toml --to oci:site --state in", NOW + 36 * DAY).code, 14);
    assert!(!site.path("site/index.json").exists());
    // If it is required, it must be there.
    assert!(site.run("verify usb/apps-2 --policy trust.toml --state in", 15).contains("with expires"));
}

#[test]
fn t2_a_clock_behind_the_exporters_is_told_with_both_times() {
    let site = Site::new("require = { bundle = [\"expires\"] }");
    site.export("--init-state --expires 35d", 0);
    for command in ["verify usb/apps-1", "import usb/apps-1 --to oci:site"] {
        let early = site.run_at(&format!("{command} --policy trust.toml --state in"), NOW - DAY);
        assert_eq!(early.code, 0, "{}", early.stderr);
        for time in ["2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z"] {
            assert!(early.stderr.contains(time), "{command}: {}", early.stderr);
        }
    }
}

#[test]
fn s16_a_state_that_is_gone_cut_or_another_machines() {
    let site = Site::new("require = { bundle = [\"sequence\"] }");
    for n in 1..=3 {
        site.export(&format!("--init-state --annotation n={n}"), 0);
    }
    site.import("apps-2", "--init-state", 0);
    let (path, good) = (site.record(), site.held());
    let verify = |code| site.run("verify usb/apps-3 --policy trust.toml --state in", code);
    assert!(verify(0).contains("above 0/2"));
    let unchecked = |why: &str| {
        let told = verify(0);
        assert!(told.contains("not checked") && told.contains(why), "{told}");
        site.import("apps-3", "", 14);
        site.import("apps-3", "--allow-stale", 14);
        assert!(site.run("verify usb/apps-3 --policy trust.toml --state in --record", 14).contains("--init-state"));
    };
    fs::remove_file(&path).unwrap();
    unchecked("no state of this channel");
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    unchecked("cannot be read");
    fs::write(&path, b"").unwrap();
    unchecked("cannot be read");
    fs::write(&path, &good).unwrap();
    fs::create_dir_all(site.path("etc")).unwrap();
    fs::write(site.path("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    unchecked("another machine's");
    // Once taken over with `--init-state`, it still counts.
    assert!(site.import("apps-1", "--init-state", 14).contains("older"));
    site.import("apps-2", "--init-state", 0);
    site.import("apps-3", "", 0);
    // Nothing can be written: reported before the first push.
    fs::write(site.path("flat"), b"").unwrap();
    let told = site.run("import usb/apps-3 --policy trust.toml --to oci:late --state flat --init-state", 22);
    assert!(told.contains("--state") && !site.path("late/index.json").exists(), "{told}");
}

#[test]
fn a_guard_keeps_its_own_state() {
    let site = Site::new("require = { bundle = [\"previous\"] }");
    for n in 1..=3 {
        site.export(&format!("--init-state --annotation n={n}"), 0);
    }
    let verify = |bundle: &str, more: &str, code| {
        site.run(format!("verify usb/{bundle} --policy trust.toml --state guard {more}").trim_end(), code)
    };
    assert!(verify("apps-1", "", 0).contains("not checked"));
    assert!(!site.path("guard").exists(), "verify without --record writes nothing");
    verify("apps-1", "--record", 14);
    verify("apps-1", "--record --init-state", 0);
    verify("apps-3", "", 14);
    verify("apps-2", "", 0);
    verify("apps-3", "--record", 14);
    // A bundle that does not pass is not recorded.
    let volume = site.path("usb/apps-2.0001.tar.zst");
    let good = fs::read(&volume).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    fs::write(&volume, bad).unwrap();
    verify("apps-2", "--record", 11);
    fs::write(&volume, good).unwrap();
    verify("apps-3", "--record", 14);
    verify("apps-2", "--record", 0);
    verify("apps-1", "", 14);
    verify("apps-3", "--record", 0);
    let volumes = site.run("verify usb/apps-3 --policy trust.toml --state guard --record --volume 1", 2);
    assert!(volumes.contains("cannot be used with"), "{volumes}");
}

#[test]
fn c2_two_imports_into_one_place() {
    let site = Site::new("require = { bundle = [\"sequence\"] }");
    site.export("--init-state", 0);
    site.import("apps-1", "--init-state", 0);
    let text = String::from_utf8(site.held()).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    let store = Store::new(site.path("in"), String::new());
    let seat = store.take("apps", record["destination"].as_str().unwrap()).unwrap();
    assert!(site.import("apps-1", "", 23).contains("another run"));
    // Verifying takes no lock, and another destination has its own.
    site.import("apps-1", "--dry-run", 0);
    site.run("verify usb/apps-1 --policy trust.toml --state in", 0);
    site.run("import usb/apps-1 --policy trust.toml --to oci:other --state in --init-state", 0);
    drop(seat);
    site.import("apps-1", "", 0);
}

#[test]
fn g7_a_bundle_of_which_nothing_arrives_is_not_the_last_one() {
    let site = Site::new("require = { bundle = [\"sequence\"] }");
    site.export("--init-state", 0);
    site.import("apps-1", "--init-state", 0);
    let held = site.held();
    crate::make_layout(&site.path("source"), &[b"low water 00:20 and 12:31\n".repeat(20)]);
    site.export("--annotation n=2", 0);
    // Every name already has another digest there.
    assert!(site.import("apps-2", "--keep-going", 30).contains("tag exists"));
    assert_eq!(site.held(), held);
    site.import("apps-2", "--keep-going --tag-conflict move", 0);
    assert_ne!(site.held(), held);
}
