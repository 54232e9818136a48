//! Pipelines, from outside: the built binary with layouts, small registries and directories as
//! containers (`spec/pipelines.md`).

mod exports;
mod imports;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::shelf::{Image, Shelf, noise};
use super::world::{dir, layout, packmule};

/// A folder of a test with a configuration, a policy, and directories `stage`, `out`, `receipts`.
pub struct Site {
    name: String,
}

impl Site {
    /// Makes a site whose configuration has these tables. `ROOT` in them is the site's folder.
    pub fn new(test: &str, tables: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let site = Self { name: format!("pipelines/{test}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)) };
        drop(std::fs::remove_dir_all(site.path("")));
        for folder in ["stage", "out", "receipts"] {
            std::fs::create_dir_all(site.path(folder)).unwrap();
        }
        let key = dir().join("k.pub.pem");
        let policy = format!(
            "[key]\nk = {{ public = \"{}\", holder = \"desk\", role = \"release\" }}\n[no_channel]\nkeys = [\"k\"]\n[channel.apps]\nkeys = [\"k\"]\n\
             require = {{ bundle = [\"sequence\"] }}\n",
            key.display()
        );
        site.write("trust.toml", &policy);
        site.configure(tables);
        site
    }

    pub fn configure(&self, tables: &str) {
        let root = self.path("");
        let tables = tables.replace("ROOT", root.to_str().unwrap().trim_end_matches('/'));
        self.write("packmule.toml", &tables.replace("KEY", dir().join("k.pem").to_str().unwrap()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        dir().join(&self.name).join(name)
    }

    /// Writes a file that nobody else may read.
    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn options(&self) -> [String; 4] {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        ["--config".to_owned(), path("packmule.toml"), "--state".to_owned(), path("state")]
    }

    /// Runs `pipeline …` and expects `code`; returns the JSON document.
    pub fn run(&self, args: &[&str], code: i32) -> Value {
        self.told(args, code).0
    }

    /// Like `run`; returns also standard error.
    pub fn told(&self, args: &[&str], code: i32) -> (Value, String) {
        let options = self.options();
        let all: Vec<&str> =
            ["pipeline"].iter().chain(args).copied().chain(options.iter().map(String::as_str)).collect();
        // Editing commands have no state of their own, but the option is everywhere.
        packmule(&all, code)
    }

    /// Makes the source layout with one image per seed; its tags are 1, 2, ….
    pub fn source(&self, seeds: &[u64]) {
        let images: Vec<Image> = seeds.iter().map(|seed| Image::new(vec![noise(*seed, 40_000)])).collect();
        layout(&format!("{}/source", self.name), &images);
    }

    /// Returns the names of the files in a folder.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.contains(".lock"));
        names.sort();
        names
    }

    pub fn runs(&self) -> Vec<Value> {
        let state = self.path("state");
        let listed = packmule(&["runs", "list", "--state", state.to_str().unwrap()], 0).0;
        listed["result"]["runs"].as_array().unwrap().clone()
    }

    pub fn sign(&self, bundle: &str, key: &str) {
        packmule(&["sign", self.path(bundle).to_str().unwrap(), "--sign", key], 0);
    }
}

/// An export of the source layout into a container, with a channel.
pub const EXPORT: &str = "[storage]\nlow = { url = \"file://ROOT/out\" }\n\
    [export.monthly]\nstorage = \"low\"\nstage = \"stage\"\nchannel = \"apps\"\nbase = \"last\"\nexpires = \"2999-01-01T00:00:00Z\"\n\
    sign = \"KEY\"\nartifacts = [{ ref = \"oci:source\" }]\n";
pub const IMPORT: &str = "[import.dark]\ndir = \"out\"\nto = \"oci:site\"\npolicy = \"trust.toml\"\ntag_conflict = \"move\"\n\
    receipt = { dir = \"receipts\" }\n";

pub fn error(document: &Value) -> String {
    let error = &document["error"];
    let others = error["others"].as_array().into_iter().flatten();
    let all = std::iter::once(error).chain(others);
    all.map(|one| format!("{} | {}\n", one["message"].as_str().unwrap(), one["help"].as_str().unwrap())).collect()
}

#[test]
fn t5_pipelines_are_set_shown_listed_and_deleted_and_comments_stay() {
    let site = Site::new("set", "# of the site\n[storage]\nlow = { url = \"file://ROOT/out\" } # low side\n");
    let made = site.run(
        &[
            "set",
            "export.monthly",
            "storage=low",
            "stage=stage",
            "channel=apps",
            "base=last",
            "expires=35d",
            "sign=k.pem",
            "passphrase.env=PASS",
            "release.signatures=2",
            "release.repositories=docker.io/library/*,localhost/models/*",
            "platforms=linux/amd64,linux/arm64",
            "annotations.org.example.ticket=CHG-1",
            "artifacts=docker.io/library/alpine:3.20,platform=linux/amd64",
            "artifacts.images_in=list.yaml",
            "artifacts=quay.io/a/*,latest=3",
            "allow_partial=true",
        ],
        0,
    );
    assert_eq!(made["result"]["pipeline"], "export.monthly");
    let file = std::fs::read_to_string(site.path("packmule.toml")).unwrap();
    for part in [
        "# of the site",
        "# low side",
        "signatures = 2",
        "\"org.example.ticket\" = \"CHG-1\"",
        "images_in = \"list.yaml\"",
    ] {
        assert!(file.contains(part), "{part}: {file}");
    }
    let shown = site.run(&["show", "monthly"], 0)["result"].clone();
    assert_eq!(shown["artifacts"][1], "quay.io/a/*,latest=3");
    assert_eq!((&shown["passphrase"], &shown["channel"]), (&"variable PASS".into(), &"apps".into()));
    // The same again changes nothing; a key alone changes only itself; an empty one goes.
    site.run(&["set", "export.monthly", "channel=apps", "expires=35d"], 0);
    assert_eq!(std::fs::read_to_string(site.path("packmule.toml")).unwrap(), file);
    site.run(
        &["update", "export.monthly", "expires=", "allow_partial=", "release.repositories=", "passphrase.file=pass"],
        0,
    );
    let file = std::fs::read_to_string(site.path("packmule.toml")).unwrap();
    assert!(!file.contains("expires") && !file.contains("repositories") && !file.contains("PASS"), "{file}");
    assert!(file.contains("signatures = 2") && file.contains("passphrase = { file = \"pass\" }"), "{file}");
    site.run(
        &[
            "create",
            "import.dark",
            "dir=in",
            "to=harbor.example/mirror",
            "map=rules,a.example/apps/*=apps/*",
            "delete_source=true",
            "receipt.dir=receipts",
            "receipt.sign=site.pem",
            "receipt.passphrase.systemd=site",
            "receipt.emit.containerd=certs.d",
            "interval=2m",
        ],
        0,
    );
    let listed = site.run(&["list"], 0);
    let names: Vec<&str> =
        listed["result"]["pipelines"].as_array().unwrap().iter().map(|one| one["pipeline"].as_str().unwrap()).collect();
    assert_eq!(names, ["export.monthly", "import.dark"]);
    let before = std::fs::read_to_string(site.path("packmule.toml")).unwrap();
    for (words, said) in [
        (&["set", "monthly", "channel=x"][..], "export.N or import.N"),
        (&["set", "export.a b", "channel=x"], "name"),
        (&["set", "export.monthly", "colour=red"], "known key"),
        (&["set", "export.monthly", "chanel=x"], "did you mean channel?"),
        (&["set", "export.monthly", "storage=none"], "no storage"),
        (&["set", "export.monthly", "name=x"], "name or channel"),
        (&["set", "export.monthly", "release.signatures=two"], "a number"),
        (&["set", "export.monthly", "overwrite=perhaps"], "true or false"),
        (&["set", "export.monthly", "release=x"], "one of its keys"),
        (&["set", "export.monthly", "artifacts="], "artifacts"),
        (&["set", "import.dark", "receipt.dir="], "dir"),
        (&["set", "import.dark", "receipt.emit.helm=x"], "helm"),
        (&["set", "import.dark", "tag_conflict=win"], "win"),
        (&["set", "import.new", "dir=x"], "to"),
        (&["show", "nothing"], "pipeline list"),
        (&["delete", "nothing"], "pipeline list"),
    ] {
        let told = error(&site.run(words, 2));
        assert!(told.contains(said), "{words:?}: {told}");
        assert_eq!(std::fs::read_to_string(site.path("packmule.toml")).unwrap(), before, "{words:?}");
    }
    site.run(&["delete", "monthly"], 0);
    site.run(&["delete", "import.dark"], 0);
    assert_eq!(site.run(&["list"], 0)["result"]["pipelines"].as_array().unwrap().len(), 0);
    assert!(std::fs::read_to_string(site.path("packmule.toml")).unwrap().contains("# low side"));
}

#[test]
fn t21_check_lists_all_that_is_missing_at_once() {
    let image = Image::new(vec![noise(21, 9000)]);
    let shelf = Shelf::plain(&[("app/a", "1", &image)]);
    let good = format!(
        "[export.one]\ndir = \"out\"\nchannel = \"apps\"\nsign = \"KEY\"\nartifacts = [\"{0}/app/a:1\"]\n\
         [import.dark]\ndir = \"out\"\nto = \"{0}/mirror\"\npolicy = \"trust.toml\"\nreceipt = {{ dir = \"receipts\" }}\n",
        shelf.host()
    );
    let site = Site::new("check", &good);
    let checked = site.run(&["check", "one"], 0);
    let steps: Vec<&str> =
        checked["result"]["steps"].as_array().unwrap().iter().map(|one| one["step"].as_str().unwrap()).collect();
    for step in ["state", "channel", "key", "place", "right to list", "right to write", "artifact"] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    assert!(site.files("out").is_empty(), "nothing is left: {:?}", site.files("out"));
    site.run(&["check", "dark"], 0);
    site.run(&["run", "one", "--init-state"], 0);
    let admitted = site.run(&["check", "dark"], 0);
    assert!(admitted["result"]["steps"].to_string().contains("admission"), "{admitted}");
    // Everything is wrong, and all of it is told.
    let bad = good
        .replace("sign = \"KEY\"", "sign = [\"KEY\", \"nokey.pem\"]")
        .replace("app/a:1\"", "app/a:1\", \"HOST/app/a:9\", \"HOST/app/none:1\"")
        .replace("HOST", shelf.host())
        .replace("[export.one]\ndir = \"out\"", "[export.one]\ndir = \"nowhere\"");
    site.configure(&bad);
    let told = error(&site.run(&["check", "one"], 2));
    for said in ["nokey.pem", "app/a:9", "app/none:1", "nowhere"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let bad = good
        .replace("policy = \"trust.toml\"", "policy = \"none.toml\"")
        .replace("dir = \"receipts\"", "dir = \"noreceipts\"");
    site.configure(&bad);
    let told = error(&site.run(&["check", "dark"], 2));
    for said in ["none.toml", "noreceipts"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    // The policy does not let the bundle in.
    site.configure(&good);
    packmule(&["key", "new", "-o", site.path("other.pem").to_str().unwrap(), "--no-passphrase"], 0);
    let policy = format!(
        "[key]\nk = {{ public = {:?}, holder = \"desk\", role = \"release\" }}\n[channel.apps]\nkeys = [\"k\"]\n",
        site.path("other.pub.pem")
    );
    site.write("trust.toml", &policy);
    assert!(error(&site.run(&["check", "dark"], 13)).contains("admission"));
}

#[test]
fn a_month_of_six_exports_and_imports_by_two_pipelines_alone() {
    let tables = format!("{EXPORT}{IMPORT}delete_source = true\n");
    let site = Site::new("month", &tables);
    let mut carried = Vec::new();
    for month in 1..=6_u64 {
        site.source(&(1..=month + 1).map(|seed| 100 + seed).collect::<Vec<_>>());
        let start: &[&str] = if month == 1 { &["--init-state"] } else { &[] };
        let export = site.run(&[&["run", "monthly"][..], start].concat(), 0);
        assert_eq!(export["result"]["channel"]["sequence"], month);
        carried.push(export["result"]["bytes"].as_u64().unwrap());
        let name = format!("apps-{month}");
        let import = site.run(&[&["run", "dark", "--name", &name][..], start].concat(), 0);
        assert_eq!((&import["result"]["deleted"], &import["result"]["id"]), (&true.into(), &export["result"]["id"]));
        let places = ["source", "site"].map(|name| format!("oci:{}", site.path(name).display()));
        assert_eq!(packmule(&["diff", &places[0], &places[1]], 0).0["result"]["same"], true, "{month}");
    }
    // Later months carry only what is new.
    assert!(carried[5] < carried[0], "{carried:?}");
    let runs = site.runs();
    assert_eq!((runs.len(), runs.iter().filter(|run| run["state"] == "done").count()), (12, 12));
    assert!(site.files("out").is_empty() && site.files("stage").is_empty());
    assert_eq!(site.files("receipts").len(), 6);
}
