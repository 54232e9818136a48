//! Pipelines, from outside: the built binary with layouts, small registries and directories as
//! containers (`spec/pipelines.md`).

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::shelf::{Image, Shelf, noise};
use super::strace::injected;
use super::world::{command, dir, layout, packmule, stride, text, var};

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
            "[key]\nk = {{ public = {key:?} }}\n[no_channel]\nkeys = [\"k\"]\n[channel.apps]\nkeys = [\"k\"]\n"
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
    fn told(&self, args: &[&str], code: i32) -> (Value, String) {
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
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    pub fn runs(&self) -> Vec<Value> {
        let state = self.path("state");
        let listed = packmule(&["runs", "list", "--state", state.to_str().unwrap()], 0).0;
        listed["result"]["runs"].as_array().unwrap().clone()
    }

    fn sign(&self, bundle: &str, key: &str) {
        packmule(&["sign", self.path(bundle).to_str().unwrap(), "--sign", key], 0);
    }
}

/// An export of the source layout into a container, with a channel.
const EXPORT: &str = "[storage]\nlow = { url = \"file://ROOT/out\" }\n\
    [export.monthly]\nstorage = \"low\"\nstage = \"stage\"\nchannel = \"apps\"\nbase = \"last\"\nexpires = \"35d\"\n\
    sign = \"KEY\"\nartifacts = [{ ref = \"oci:source\" }]\n";
const IMPORT: &str = "[import.dark]\ndir = \"out\"\nto = \"oci:site\"\npolicy = \"trust.toml\"\ntag_conflict = \"move\"\n\
    receipt = { dir = \"receipts\" }\n";

fn error(document: &Value) -> String {
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
fn t3_an_export_runs_as_its_table_says() {
    let site =
        Site::new("export", &format!("{EXPORT}annotations = {{ ticket = \"CHG-1\" }}\nvolume_size = \"none\"\n"));
    site.source(&[1, 2]);
    // The first of a channel starts it.
    let refused = site.run(&["run", "monthly"], 14);
    assert!(error(&refused).contains("--init-state"), "{refused}");
    assert_eq!((&refused["result"]["state"], site.files("out").len()), (&"failed".into(), 0));
    let dry = site.run(&["run", "monthly", "--init-state", "--dry-run"], 0);
    assert_eq!((dry["result"]["run"].is_null(), site.files("out").len(), site.runs().len()), (true, 0, 1));
    let first = site.run(&["run", "monthly", "--init-state"], 0);
    assert_eq!((&first["result"]["state"], &first["result"]["pipeline"]), (&"done".into(), &"export.monthly".into()));
    assert_eq!(site.files("out"), ["apps-1.0001.tar.zst", "apps-1.json", "apps-1.sha256", "apps-1.sig.json"]);
    assert!(site.files("stage").is_empty(), "{:?}", site.files("stage"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(site.path("out/apps-1.json")).unwrap()).unwrap();
    assert_eq!((&manifest["annotations"]["ticket"], &manifest["channel"]), (&"CHG-1".into(), &"apps".into()));
    assert!(!manifest["expires"].is_null());
    packmule(&["verify", site.path("out/apps-1").to_str().unwrap(), "--key", "k.pub.pem", "--init-state"], 0);
    // The next is a delta over the last.
    site.source(&[1, 2, 3]);
    site.run(&["run", "monthly"], 0);
    let next: Value = serde_json::from_slice(&std::fs::read(site.path("out/apps-2.json")).unwrap()).unwrap();
    assert_eq!((&next["sequence"], next["bases"].as_array().unwrap().len()), (&2.into(), 1));
    let runs = site.runs();
    assert_eq!((runs.len(), &runs[0]["bundle"], &runs[0]["channel"]), (3, &next_id(&site, "apps-2"), &"apps".into()));
    assert_eq!(runs[0]["sequence"], 2);
}

/// Returns the id of a bundle in `out`.
fn next_id(site: &Site, name: &str) -> Value {
    super::world::sha256(&std::fs::read(site.path(&format!("out/{name}.json"))).unwrap()).into()
}

#[test]
fn t3_t6_a_name_is_replaced_only_on_request() {
    let tables = "[export.one]\ndir = \"out\"\nname = \"b\"\nsign = \"KEY\"\nartifacts = [\"oci:source\"]\n";
    let site = Site::new("named", tables);
    let source = format!("oci:{}", site.path("source").display());
    site.source(&[4]);
    let all = tables.replace("oci:source", &source);
    site.configure(&all);
    site.run(&["run", "one"], 0);
    site.source(&[5]);
    let before = next_id(&site, "b");
    assert!(error(&site.run(&["run", "one"], 2)).contains('b'));
    assert_eq!(next_id(&site, "b"), before);
    site.run(&["run", "one", "--again"], 0);
    assert_ne!(next_id(&site, "b"), before);
    // Another name, and another selection than the configured one.
    site.source(&[6, 7]);
    site.run(&["run", "one", "--name", "other", "--artifact", &format!("{source}:example.org/a/b:2")], 0);
    let manifest: Value = serde_json::from_slice(&std::fs::read(site.path("out/other.json")).unwrap()).unwrap();
    assert_eq!(manifest["artifacts"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["artifacts"][0]["tags"][0], "2");
    site.configure(&format!("{all}overwrite = true\n"));
    let before = next_id(&site, "b");
    site.run(&["run", "one"], 0);
    assert_ne!(next_id(&site, "b"), before);
    for (words, said) in [
        (&["run", "one", "--artifact", "a b", "--artifact", "A/c"][..], "A/c"),
        (&["run", "one", "--name", "Not A Name"], "name"),
    ] {
        let told = error(&site.run(words, 2));
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn t3_t21_all_misspelt_artifacts_are_listed_and_partial_bundles_say_so() {
    let image = Image::new(vec![noise(8, 9000)]);
    let shelf = Shelf::plain(&[("app/a", "1", &image)]);
    let refs = ["app/a:1", "app/a:one", "ap/a:1"].map(|name| format!("\"{}/{name}\"", shelf.host())).join(", ");
    let tables = format!("[export.one]\ndir = \"out\"\nname = \"b\"\nsign = \"KEY\"\nartifacts = [{refs}]\n");
    let site = Site::new("partial", &tables);
    let told = error(&site.run(&["run", "one"], 20));
    assert!(told.contains("app/a:one") && told.contains("/ap/a"), "{told}");
    assert!(site.files("out").is_empty());
    site.configure(&format!("{tables}allow_partial = true\n"));
    let partial = site.run(&["run", "one"], 30);
    assert_eq!((&partial["result"]["state"], &site.runs()[0]["state"]), (&"done".into(), &"done".into()));
    let manifest: Value = serde_json::from_slice(&std::fs::read(site.path("out/b.json")).unwrap()).unwrap();
    assert!(manifest["artifacts"].as_array().unwrap().len() == 1, "{manifest}");
}

#[test]
fn t20_nothing_leaves_that_release_does_not_allow() {
    let tables = EXPORT.replace("base = \"last\"", "release = { repositories = [\"docker.io/*\"] }");
    let site = Site::new("repositories", &tables);
    site.source(&[9]);
    let refused = site.run(&["run", "monthly", "--init-state"], 15);
    assert!(error(&refused).contains("example.org/a/b: expected a repository that release allows out"), "{refused}");
    assert!(
        site.files("out").is_empty() && site.files("stage").iter().all(|file| !file.contains(".tar")),
        "{:?}",
        site.files("stage")
    );
    assert!(error(&site.run(&["run", "monthly", "--init-state", "--dry-run"], 15)).contains("example.org/a/b"));
    site.configure(&tables.replace("docker.io/*", "example.org/a/*"));
    site.run(&["run", "monthly", "--init-state"], 0);
    assert_eq!(site.files("out").len(), 4);
}

#[test]
fn t20_a_run_waits_for_signatures_and_goes_on_after_sign() {
    let site = Site::new("waits", &EXPORT.replace("base = \"last\"", "release = { signatures = 2 }"));
    site.source(&[10]);
    packmule(&["key", "new", "-o", site.path("second.pem").to_str().unwrap(), "--no-passphrase"], 0);
    let waiting = site.run(&["run", "monthly", "--init-state"], 15);
    let stage = site.path("stage/apps-1");
    let told = error(&waiting);
    assert!(told.contains(&format!("packmule sign {} --sign KEY", stage.display())), "{told}");
    assert_eq!((&waiting["result"]["state"], &waiting["result"]["signatures"]), (&"waiting".into(), &1.into()));
    assert!(site.files("out").is_empty());
    let run = &site.runs()[0];
    assert_eq!((&run["state"], run["sign"].as_str()), (&"waiting".into(), stage.to_str()));
    // It goes on waiting, as the same run and with the same bundle.
    let still = site.run(&["run", "monthly"], 15);
    assert_eq!(
        (&still["result"]["run"], &still["result"]["id"]),
        (&waiting["result"]["run"], &waiting["result"]["id"])
    );
    assert!(site.files("out").is_empty() && site.runs().len() == 1);
    site.sign("stage/apps-1", site.path("second.pem").to_str().unwrap());
    let done = site.run(&["run", "monthly"], 0);
    assert_eq!((&done["result"]["run"], &done["result"]["state"]), (&waiting["result"]["run"], &"done".into()));
    assert_eq!(site.files("out"), ["apps-1.0001.tar.zst", "apps-1.json", "apps-1.sha256", "apps-1.sig.json"]);
    assert!(site.files("stage").is_empty(), "{:?}", site.files("stage"));
    let signatures: Value = serde_json::from_slice(&std::fs::read(site.path("out/apps-1.sig.json")).unwrap()).unwrap();
    assert_eq!(signatures["signatures"].as_array().unwrap().len(), 2);
    // The next month is another bundle.
    let next = site.run(&["run", "monthly"], 15);
    assert_ne!(next["result"]["run"], done["result"]["run"]);
    assert_eq!(site.files("stage").iter().filter(|file| *file == "apps-2.json").count(), 1);
    // Somebody decides against it: the run ends, and the next one is made.
    for file in site.files("stage") {
        std::fs::remove_file(site.path("stage").join(file)).unwrap();
    }
    let third = site.run(&["run", "monthly"], 15);
    assert_ne!(third["result"]["run"], next["result"]["run"]);
    assert_eq!(site.runs()[1]["state"], "failed");
    assert!(site.path("stage/apps-3.json").exists());
}

#[test]
fn t20_a_bundle_in_a_directory_waits_there() {
    let tables = "[export.stick]\ndir = \"out\"\nchannel = \"apps\"\nrelease = { signatures = 1 }\nartifacts = [\"oci:source\"]\n";
    let site = Site::new("stick", tables);
    site.source(&[11]);
    site.run(&["run", "stick", "--init-state"], 15);
    site.run(&["run", "stick"], 15);
    site.sign("out/apps-1", "k.pem");
    let done = site.run(&["run", "stick"], 0);
    assert_eq!((&done["result"]["signatures"], site.runs().len()), (&1.into(), 1));
    // Done is done: the next run makes the next bundle.
    site.run(&["run", "stick"], 15);
    assert!(site.path("out/apps-2.json").exists() && site.path("out/apps-1.json").exists());
}

#[test]
fn t4_t7_t12_a_bundle_is_imported_by_name_and_deleted_when_all_was_read_back() {
    let tables = format!("{EXPORT}{IMPORT}delete_source = true\n");
    let site = Site::new("import", &tables);
    site.source(&[12, 13]);
    site.run(&["run", "monthly", "--init-state"], 0);
    let listed = error(&site.run(&["run", "dark"], 2));
    assert!(listed.contains("apps-1") && listed.contains("--name"), "{listed}");
    assert!(error(&site.run(&["run", "dark", "--name", "apps-9"], 20)).contains("apps-9"));
    // The first of a channel needs to be told, and nothing is deleted before.
    assert!(error(&site.run(&["run", "dark", "--name", "apps-1"], 14)).contains("init-state"));
    let dry = site.run(&["run", "dark", "--name", "apps-1", "--init-state", "--dry-run"], 0);
    assert_eq!((&dry["result"]["dry_run"], site.path("site").exists()), (&true.into(), false));
    assert_eq!((site.files("out").len(), site.files("receipts").len()), (4, 0));
    let done = site.run(&["run", "dark", "--name", "apps-1", "--init-state"], 0);
    assert_eq!((&done["result"]["deleted"], &done["result"]["state"]), (&true.into(), &"done".into()));
    assert!(site.files("out").is_empty(), "{:?}", site.files("out"));
    let run = done["result"]["run"].as_str().unwrap();
    assert_eq!(site.files("receipts"), [format!("apps-1-{run}.json")]);
    let receipt: Value =
        serde_json::from_slice(&std::fs::read(site.path(&format!("receipts/apps-1-{run}.json"))).unwrap()).unwrap();
    assert_eq!((&receipt["run"], &receipt["bundle"]["id"]), (&run.into(), &done["result"]["id"]));
    let record = &site.runs()[0];
    assert_eq!(
        (&record["bundle"], &record["name"], &record["state"]),
        (&done["result"]["id"], &"apps-1".into(), &"done".into())
    );
    assert!(record["receipt"].as_str().unwrap().ends_with(&format!("apps-1-{run}.json")));
    let (same, _) = packmule(
        &["diff", &format!("oci:{}", site.path("source").display()), &format!("oci:{}", site.path("site").display())],
        0,
    );
    assert_eq!(same["result"]["same"], true, "{same}");
}

#[test]
fn t6_t10_an_id_is_imported_once_and_a_name_with_another_id_again() {
    let tables = format!(
        "[export.one]\ndir = \"out\"\nname = \"b\"\nsign = \"KEY\"\noverwrite = true\nartifacts = [\"oci:source\"]\n{IMPORT}"
    );
    let site = Site::new("again", &tables);
    site.source(&[14]);
    site.run(&["run", "one"], 0);
    let first = site.run(&["run", "dark", "--name", "b"], 0);
    let skipped = site.run(&["run", "dark", "--name", "b"], 0);
    assert_eq!((&skipped["result"]["skipped"], &skipped["result"]["by"]), (&true.into(), &first["result"]["run"]));
    let again = site.run(&["run", "dark", "--name", "b", "--again"], 0);
    assert_eq!((&again["result"]["id"], &again["result"]["state"]), (&first["result"]["id"], &"done".into()));
    assert_eq!(site.runs()[0]["again_of"], first["result"]["run"]);
    assert_eq!(site.files("receipts").len(), 2);
    site.source(&[15]);
    site.run(&["run", "one"], 0);
    let other = site.run(&["run", "dark", "--name", "b"], 0);
    assert_ne!(other["result"]["id"], first["result"]["id"]);
    assert!(other["result"]["skipped"].is_null());
    // Another destination has not got it.
    site.configure(&tables.replace("oci:site", "oci:elsewhere"));
    assert!(site.run(&["run", "dark", "--name", "b"], 0)["result"]["skipped"].is_null());
}

#[test]
fn t12_a_bundle_that_cannot_be_deleted_is_a_warning() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let tables = format!(
        "[export.one]\ndir = \"out\"\nname = \"b\"\nsign = \"KEY\"\nartifacts = [\"oci:source\"]\n{IMPORT}delete_source = true\n"
    );
    let site = Site::new("undeleted", &tables);
    site.source(&[16]);
    site.run(&["run", "one"], 0);
    let options = site.options();
    let args: Vec<&str> =
        ["pipeline", "run", "dark", "--name", "b"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let (code, told) = injected(&strace, "unlinkat", "error=EPERM", 1, &args);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("warning: delete_source"), "{told}");
    let run = &site.runs()[0];
    assert_eq!((&run["state"], run["warnings"].as_array().unwrap().len()), (&"done".into(), 1));
    // The manifest is the first to go.
    assert!(site.path("out/b.json").exists());
}

#[test]
fn t12_a_failed_import_deletes_nothing() {
    let tables = format!(
        "[export.one]\ndir = \"out\"\nname = \"b\"\nsign = \"KEY\"\noverwrite = true\nartifacts = [\"oci:source\"]\n{}delete_source = true\n",
        IMPORT.replace("\"move\"", "\"fail\"")
    );
    let site = Site::new("conflict", &tables);
    site.source(&[17]);
    site.run(&["run", "one"], 0);
    site.run(&["run", "dark", "--name", "b"], 0);
    site.source(&[18]);
    site.run(&["run", "one"], 0);
    let failed = site.run(&["run", "dark", "--name", "b"], 15);
    assert_eq!((&failed["result"]["state"], site.files("out").len()), (&"failed".into(), 4));
    assert!(failed["result"]["deleted"].is_null());
    let run = &site.runs()[0];
    assert_eq!((&run["state"], &run["error"]["class"]), (&"failed".into(), &"policy".into()));
    // `tag_conflict = "move"` lets it in, and then it goes.
    site.configure(&tables.replace("\"fail\"", "\"move\""));
    site.run(&["run", "dark", "--name", "b"], 0);
    assert!(site.files("out").is_empty());
}

#[test]
fn t8_the_id_of_a_run_stands_in_lines_reports_audit_logs_and_receipts() {
    let tables =
        format!("[export.one]\ndir = \"out\"\nname = \"b\"\nsign = \"KEY\"\nartifacts = [\"oci:source\"]\n{IMPORT}");
    let site = Site::new("marked", &tables);
    site.source(&[19]);
    site.run(&["run", "one"], 0);
    let (report, log) = (site.path("report.json"), site.path("audit.jsonl"));
    let options = site.options();
    let ended = command(&["pipeline", "run", "dark", "--name", "b", "-vv", "--progress", "json"])
        .args(&options)
        .arg("--report")
        .arg(&report)
        .arg("--audit")
        .arg(&log)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let run = site.runs()[0]["id"].as_str().unwrap().to_owned();
    assert!(text(&ended.stdout).contains(&format!("run        {run} of import.dark: done")), "{}", text(&ended.stdout));
    let lines: Vec<Value> = text(&ended.stderr).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["run"] == run.as_str()), "{}", text(&ended.stderr));
    let page: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(page["run"], run.as_str());
    let entries = std::fs::read_to_string(log).unwrap();
    let last: Value = serde_json::from_str(entries.lines().last().unwrap()).unwrap();
    assert_eq!((&last["run"], &last["event"]), (&run.as_str().into(), &"end".into()));
    let shown = packmule(&["inspect", site.path(&format!("receipts/b-{run}.json")).to_str().unwrap()], 0).0;
    assert_eq!(shown["result"]["receipt"]["run"], run.as_str());
}

#[test]
fn t3_the_passphrase_of_a_key_is_read_and_never_shown() {
    let site = Site::new("canary", "");
    site.write("pass", "canary-passphrase\n");
    let key = site.path("locked.pem");
    packmule(&["key", "new", "-o", key.to_str().unwrap(), "--passphrase-file", site.path("pass").to_str().unwrap()], 0);
    site.source(&[20]);
    let tables = "[export.one]\ndir = \"out\"\nname = \"b\"\noverwrite = true\nsign = \"locked.pem\"\npassphrase = { env = \"PASS\" }\nartifacts = [\"oci:source\"]\n";
    site.configure(tables);
    let options = site.options();
    let run = |words: &[&str], value: Option<&str>, code: i32| {
        let mut run = command(&["pipeline"]);
        run.args(words).args(&options).arg("-vv");
        value.into_iter().for_each(|value| drop(run.env("PASS", value)));
        let ended = run.output().unwrap();
        let told = text(&ended.stdout) + &text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(!told.contains("canary"), "{told}");
        told
    };
    run(&["run", "one"], Some("canary-passphrase"), 0);
    run(&["check", "one"], Some("canary-passphrase"), 0);
    run(&["show", "one"], Some("canary-passphrase"), 0);
    run(&["run", "one"], Some("canary-wrong"), 2);
    assert!(run(&["check", "one"], Some("canary-wrong"), 2).contains("MISSING    key"));
    assert!(run(&["run", "one"], None, 2).contains("PASS"));
    site.configure(&tables.replace("passphrase = { env = \"PASS\" }\n", ""));
    assert!(run(&["run", "one"], None, 2).contains("set passphrase"));
    for run in std::fs::read_dir(site.path("state/runs")).unwrap() {
        let bytes = std::fs::read(run.unwrap().path()).unwrap();
        assert!(!text(&bytes).contains("canary"));
    }
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
    let policy =
        format!("[key]\nk = {{ public = {:?} }}\n[channel.apps]\nkeys = [\"k\"]\n", site.path("other.pub.pem"));
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

/// Kills the runs of both pipelines at every call of a kind in turn; the same command then goes on, and
/// nothing is lost, doubled or deleted too early.
#[test]
fn t8_t12_t20_a_run_that_is_killed_at_any_step_goes_on() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let tables = format!(
        "{}{IMPORT}delete_source = true\n",
        EXPORT.replace("base = \"last\"", "release = { signatures = 1 }").replace("file://ROOT/out", "file://ROOT/out")
    );
    for (call, step) in [("fsync", 5), ("rename", 3), ("renameat2", 2), ("unlink", 2), ("unlinkat", 1)] {
        let mut nth = 1;
        loop {
            let site = Site::new("killed", &tables);
            site.source(&[30]);
            let options = site.options();
            let words = |words: &[&'static str]| -> Vec<&'static str> { [&["pipeline", "run"][..], words].concat() };
            let hit = |words: Vec<&str>| {
                let args: Vec<&str> = words.into_iter().chain(options.iter().map(String::as_str)).collect();
                injected(&strace, call, "signal=KILL", nth, &args)
            };
            let (exported, told) = hit(words(&["monthly", "--init-state"]));
            let place = format!("{call} {nth}: {exported:?} {told}");
            assert!(matches!(exported, None | Some(0 | 137)), "{place}");
            if exported != Some(0) {
                site.run(&["run", "monthly", "--init-state"], 0);
            }
            assert!(site.path("out/apps-1.json").exists() && !site.path("out/apps-2.json").exists(), "{place}");
            assert!(
                site.files("stage").iter().all(|file| !file.starts_with("apps-1.0")),
                "{place}: {:?}",
                site.files("stage")
            );
            packmule(&["verify", site.path("out/apps-1").to_str().unwrap(), "--key", "k.pub.pem", "--init-state"], 0);
            let (imported, told) = hit(words(&["dark", "--name", "apps-1", "--init-state"]));
            let place = format!("{call} {nth}: {imported:?} {told}");
            assert!(matches!(imported, None | Some(0 | 137)), "{place}");
            if imported != Some(0) && site.path("out/apps-1.json").exists() {
                site.run(&["run", "dark", "--name", "apps-1", "--init-state"], 0);
            }
            let places = ["source", "site"].map(|name| format!("oci:{}", site.path(name).display()));
            assert_eq!(packmule(&["diff", &places[0], &places[1]], 0).0["result"]["same"], true, "{place}");
            assert!(site.files("receipts").iter().any(|file| is_whole(&site.path("receipts").join(file))), "{place}");
            if exported == Some(0) && imported == Some(0) {
                break;
            }
            nth += stride(step);
        }
    }
}

fn is_whole(receipt: &Path) -> bool {
    let bytes = std::fs::read(receipt).unwrap();
    serde_json::from_slice::<Value>(&bytes).is_ok_and(|receipt| receipt["fault"].is_null() && !receipt["run"].is_null())
}
