//! Runs of import pipelines: by name, again, with deletion; and runs that are killed.

use std::path::Path;

use serde_json::Value;

use super::{EXPORT, IMPORT, Site, error};
use crate::strace::injected;
use crate::world::{command, packmule, stride, text, var};

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
    // A part of a bundle does not count as the bundle.
    site.source(&[15, 16]);
    site.run(&["run", "one"], 0);
    let part = site.run(&["run", "dark", "--name", "b", "--artifact", "example.org/a/b:2"], 0);
    let artifacts = |run: &Value| run["result"]["artifacts"].as_array().unwrap().len();
    assert_eq!((artifacts(&part), &site.runs()[0]["state"]), (1, &"done".into()), "{part}");
    let all = site.run(&["run", "dark", "--name", "b"], 0);
    assert_eq!((artifacts(&all), all["result"]["skipped"].is_null()), (2, true), "{all}");
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
    let (run, state) = (site.runs()[0]["id"].as_str().unwrap().to_owned(), site.path("state"));
    let shown = packmule(&["runs", "show", &run, "--state", state.to_str().unwrap()], 0).0;
    assert!(shown["result"]["state"] == "done" && shown.to_string().contains("delete_source"), "{shown}");
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

/// Kills the runs of both pipelines at every call of a kind in turn; the same command then goes on, and
/// nothing is lost, doubled or deleted too early.
#[test]
fn t8_t12_t20_a_run_that_is_killed_at_any_step_goes_on() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let tables =
        format!("{}{IMPORT}delete_source = true\n", EXPORT.replace("base = \"last\"", "release = { signatures = 1 }"));
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
