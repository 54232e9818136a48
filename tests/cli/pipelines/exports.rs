//! Runs of export pipelines: keys, names, releases, passphrases.

use serde_json::Value;

use super::{EXPORT, Site, error};
use crate::shelf::{Image, Shelf, noise};
use crate::world::{command, packmule, sha256, text};

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
    sha256(&std::fs::read(site.path(&format!("out/{name}.json"))).unwrap()).into()
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
    let site = Site::new("waits", &format!("{EXPORT}release = {{ signatures = 2 }}\n"));
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
    // Nothing builds on what never left.
    let manifest = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(site.path(name)).unwrap()).unwrap() };
    assert_eq!(manifest("stage/apps-3.json")["bases"].as_array().map_or(0, Vec::len), 0);
    site.sign("stage/apps-3", site.path("second.pem").to_str().unwrap());
    site.run(&["run", "monthly"], 0);
    site.run(&["run", "monthly"], 15);
    assert_eq!(manifest("stage/apps-4.json")["bases"].as_array().unwrap().len(), 1);
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
fn t3_the_passphrase_of_a_key_is_read_and_never_shown() {
    let site = Site::new("locked", "");
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
        run.envs(value.map(|value| ("PASS", value)));
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
