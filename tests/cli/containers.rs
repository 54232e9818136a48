//! Bundles in containers, from outside: the built binary over a directory as the container.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use super::shelf::Image;
use super::strace::injected;
use super::world::{command, dir, layout, packmule, refused, stride, text, var};

#[path = "../support/container.rs"]
pub mod suite;

/// Two bundles named `b`: one of two volumes, and one of a single small one. Their layouts are next
/// to them.
pub fn bundles() -> (&'static str, &'static str) {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        let large = Image::new(vec![suite::content(20_000_000, 11), suite::content(20_000_000, 12)]);
        layout("containers/large-layout", &[large]);
        layout("containers/small-layout", &[Image::new(vec![suite::content(50_000, 13)])]);
        for name in ["large", "small"] {
            std::fs::create_dir_all(dir().join(format!("containers/{name}"))).unwrap();
            let (source, out) = (format!("oci:containers/{name}-layout"), format!("containers/{name}/b"));
            packmule(&["export", &source, "-o", &out, "--sign", "k.pem", "--volume-size", "32MiB"], 0);
        }
    });
    ("containers/large/b", "containers/small/b")
}

/// An empty directory of a test, and its address as a container.
pub fn container(test: &str) -> (PathBuf, String) {
    let folder = dir().join("containers").join(test);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    let address = format!("file://{}", folder.display());
    (folder, address)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn same_files(one: &Path, two: &Path) {
    assert_eq!(names(one), names(two));
    for name in names(one) {
        assert!(std::fs::read(one.join(&name)).unwrap() == std::fs::read(two.join(&name)).unwrap(), "{name}");
    }
}

fn verifies(address: &str) -> Value {
    packmule(&["verify", &format!("{address}/b"), "--key", "k.pub.pem"], 0).0
}

#[test]
fn t17_a_bundle_goes_into_a_container_and_out_of_it() {
    let (large, _) = bundles();
    let (folder, address) = container("round");
    let bundle = format!("{address}/b");
    let (sent, _) = packmule(&["upload", large, &address], 0);
    assert_eq!((&sent["result"]["sent"], &sent["result"]["was_there"]), (&sent["result"]["bytes"], &false.into()));
    let (again, _) = packmule(&["upload", large, &address], 0);
    assert_eq!((&again["result"]["sent"], &again["result"]["was_there"]), (&0.into(), &true.into()));

    assert_eq!(verifies(&address)["result"]["id"], sent["result"]["id"]);
    let (shown, _) = packmule(&["inspect", &bundle, "--check"], 0);
    assert_eq!((&shown["result"]["id"], &shown["result"]["checked"]), (&sent["result"]["id"], &true.into()));
    let streams = [large, &bundle].map(|from| command(&["cat", from]).output().unwrap());
    assert!(streams[0].status.success() && streams[0].stdout == streams[1].stdout && streams[0].stdout.len() > 1000);
    packmule(&["unpack", &bundle, "--key", "k.pub.pem", "containers/round-unpacked"], 0);
    packmule(&["import", &bundle, "--key", "k.pub.pem", "--to", "oci:containers/round-site"], 0);
    let (same, _) = packmule(&["diff", &bundle, "oci:containers/round-site", "--content", "--check"], 0);
    assert_eq!(same["result"]["same"], true);
    packmule(&["diff", &format!("./{large}"), &bundle, "--check"], 0);

    // To another container as a stream, and down again.
    let (_, other) = container("round-other");
    packmule(&["upload", &bundle, &other], 0);
    let (down, _) = container("round-down");
    packmule(&["download", &format!("{other}/b"), down.to_str().unwrap()], 0);
    same_files(&down, &dir().join("containers/large"));
    packmule(&["download", &format!("{other}/b"), down.to_str().unwrap()], 0);

    let (removed, _) = packmule(&["rm", &bundle], 0);
    assert_eq!(removed["result"]["objects"][0]["name"], "b.json", "the manifest first");
    assert_eq!(names(&folder), [""; 0]);
    assert!(refused(&["rm", &bundle], 21).contains("expected a bundle, found none"));
    assert!(refused(&["verify", &bundle, "--key", "k.pub.pem"], 22).contains("no such bundle"));
}

#[test]
fn t17_an_export_goes_into_a_container_through_a_stage() {
    let (large, small) = bundles();
    let (folder, address) = container("export");
    let (folder_of_stage, _) = container("export-stage");
    let stage_at = folder_of_stage.to_str().unwrap();
    let to = format!("{address}/b");
    let export = |source: &str, code: i32, more: &[&str]| {
        let source = format!("oci:containers/{source}-layout");
        let args = ["export", &source, "-o", &to, "--stage", stage_at, "--sign", "k.pem", "--volume-size", "32MiB"];
        packmule(&[&args[..], more].concat(), code).0
    };
    let done = export("large", 0, &[]);
    assert_eq!(done["result"]["to"], *to);
    assert_eq!(names(&folder_of_stage), [""; 0], "everything has left the stage");
    same_files(&folder, &dir().join(large).with_file_name(""));
    verifies(&address);
    assert!(export("small", 2, &[])["error"]["message"].as_str().unwrap().contains("expected no bundle, found one"));
    export("small", 0, &["--overwrite"]);
    let verified = verifies(&address);
    assert_eq!(std::fs::metadata(folder.join("b.0002.tar.zst")).unwrap().len(), 0, "emptied, not removed");
    let (id, _) = packmule(&["inspect", small], 0);
    assert_eq!(verified["result"]["id"], id["result"]["id"]);
    let missing = refused(&["export", "oci:containers/small-layout", "-o", &to, "--sign", "k.pem"], 2);
    assert!(missing.contains("--stage DIR"), "{missing}");
}

#[test]
fn t17_a_channel_names_the_bundle_in_a_container() {
    bundles();
    let (folder, address) = container("channel");
    let (stage, _) = container("channel-stage");
    let kept = dir().join("containers/channel-state");
    drop(std::fs::remove_dir_all(&kept));
    let mut args = vec!["export", "oci:containers/small-layout", "-o", &address, "--stage", stage.to_str().unwrap()];
    args.extend(["--sign", "k.pem", "--channel", "apps", "--state", kept.to_str().unwrap()]);
    packmule(&[&args[..], &["--init-state"]].concat(), 0);
    packmule(&args, 0);
    let manifests: Vec<String> = names(&folder).into_iter().filter(|name| !name.contains(".sig")).collect();
    assert!(manifests.contains(&"apps-1.json".to_owned()) && manifests.contains(&"apps-2.json".to_owned()));
}

#[test]
fn t17_an_upload_that_was_killed_goes_on_and_leaves_nothing_else() {
    let (large, _) = bundles();
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let (folder, address) = container("killed");
    // The first volume is whole, and the second is not.
    let (code, _) = injected(&strace, "fsync", "signal=KILL", 1, &["upload", large, &address]);
    assert_eq!(code, None);
    let (listed, _) = packmule(&["ls", &address], 0);
    assert!(!listed["result"]["uploads"].as_array().unwrap().is_empty(), "{listed}");
    let (would, _) = packmule(&["rm", &address, "--incomplete", "--dry-run"], 0);
    assert_eq!(would["result"]["uploads"], listed["result"]["uploads"]);
    let before = names(&folder);
    let (sent, _) = packmule(&["upload", large, &address], 0);
    let number = |name: &str| sent["result"][name].as_u64().unwrap();
    assert!(number("sent") < number("bytes") / 2, "{sent}, {before:?}");
    verifies(&address);
    same_files(&folder, &dir().join(large).with_file_name(""));
    // What is given up is removed, and no more than that.
    packmule(&["rm", &format!("{address}/b")], 0);
    injected(&strace, "fsync", "signal=KILL", 1, &["upload", large, &address]);
    std::fs::write(folder.join("of-others.txt"), "x").unwrap();
    let (removed, _) = packmule(&["rm", &address, "--incomplete"], 0);
    assert_ne!(removed["result"]["bytes"], 0);
    assert_eq!(names(&folder), ["of-others.txt"]);
}

/// Kills an export into a container at every rename and fsync. Nothing that was sent is sent again.
#[test]
fn t11_t17_an_export_killed_at_any_call_goes_on() {
    bundles();
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let (folder, address) = container("export-killed");
    let (stage, _) = container("export-killed-stage");
    let to = format!("{address}/b");
    let mut args = vec!["export", "oci:containers/large-layout", "-o", &to, "--stage", stage.to_str().unwrap()];
    args.extend(["--sign", "k.pem", "--volume-size", "32MiB", "-j", "2", "--overwrite"]);
    let mut hit = 0;
    for call in ["/^rename", "fsync", "/^unlink"] {
        for nth in (1..40).step_by(stride(2)) {
            let (code, told) = injected(&strace, call, "signal=KILL", nth, &args);
            let place = format!("{call} {nth}: {told}");
            let is_there = std::fs::metadata(folder.join("b.json")).is_ok_and(|found| found.len() > 0);
            if is_there {
                verifies(&address);
            }
            if code == Some(0) {
                break;
            }
            hit += 1;
            let volume = folder.join("b.0001.tar.zst");
            let left = stage.join("b.sent.partial").exists();
            let before = std::fs::metadata(&volume).and_then(|found| found.modified()).ok().filter(|_| left);
            packmule(&args, 0);
            verifies(&address);
            let after = std::fs::metadata(&volume).and_then(|found| found.modified()).ok();
            assert!(before.is_none() || before == after, "{place}: sent again");
            assert_eq!(names(&stage), [""; 0], "{place}");
            for name in names(&folder) {
                std::fs::remove_file(folder.join(name)).unwrap();
            }
        }
    }
    assert!(hit > 4, "only {hit} times");
}

#[test]
fn t11_another_bundle_is_replaced_only_on_request() {
    let (large, small) = bundles();
    let (folder, address) = container("replaced");
    packmule(&["upload", large, &address], 0);
    let told = refused(&["upload", small, &address], 2);
    assert!(told.contains("expected no bundle, found one") && told.contains("--overwrite"), "{told}");
    verifies(&address);
    packmule(&["upload", small, &address, "--overwrite"], 0);
    verifies(&address);
    assert_eq!(std::fs::metadata(folder.join("b.0002.tar.zst")).unwrap().len(), 0);
    let (down, _) = container("replaced-down");
    packmule(&["download", &format!("{address}/b"), down.to_str().unwrap()], 0);
    same_files(&down, &dir().join(small).with_file_name(""));
    // A directory with another bundle of the name is left alone.
    packmule(&["upload", large, &address, "--overwrite"], 0);
    let told = refused(&["download", &format!("{address}/b"), down.to_str().unwrap()], 2);
    assert!(told.contains("name another directory") && !told.contains("--overwrite"), "{told}");
}

#[test]
fn t22_a_list_tells_what_is_complete_and_what_is_missing() {
    let (large, small) = bundles();
    let (folder, address) = container("listed");
    for (below, bundle) in [("one", large), ("two/deep", small), ("three", large), ("four", small)] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
        packmule(&["upload", bundle, &format!("{address}/{below}")], 0);
    }
    std::fs::write(folder.join("one/b.0002.tar.zst"), "short").unwrap();
    std::fs::remove_file(folder.join("three/b.json")).unwrap();
    std::fs::write(folder.join("four/b.json"), "{\"absent\":[]}").unwrap();
    std::fs::write(folder.join("readme.txt"), "not a bundle's").unwrap();
    let (listed, _) = packmule(&["ls", &address], 0);
    let all = listed["result"]["bundles"].as_array().unwrap();
    let states: Vec<_> = all.iter().map(|one| (one["name"].as_str().unwrap(), one["complete"] == true)).collect();
    assert_eq!(states, [("four/b", false), ("one/b", false), ("three/b", false), ("two/deep/b", true)]);
    assert!(all[0]["unreadable"].is_string() && all[2].get("id").is_none(), "{listed}");
    assert_eq!(all[1]["missing"], serde_json::json!(["one/b.0002.tar.zst"]));
    let (whole, _) = packmule(&["inspect", small], 0);
    assert_eq!(all[3]["id"], whole["result"]["id"]);
    let lines = command(&["ls", &address]).output().unwrap();
    let lines = text(&lines.stdout);
    assert!(
        lines.contains("complete    two/deep/b  ") && lines.contains("incomplete  three/b  no manifest"),
        "{lines}"
    );
    // A broken bundle is found when it is read, too.
    let told = refused(&["download", &format!("{address}/one/b"), "containers"], 11);
    assert!(told.contains("b.0002.tar.zst: expected"), "{told}");
    let verdict = command(&["verify", &format!("{address}/one/b"), "--key", "k.pub.pem"]).output().unwrap();
    assert_eq!(verdict.status.code(), Some(11), "{}", text(&verdict.stderr));
}

#[test]
fn a_container_is_named_by_its_table() {
    let (large, _) = bundles();
    let (folder, _) = container("table");
    let config = dir().join("containers/table.toml");
    std::fs::write(&config, format!("[storage.low]\nurl = \"file://{}\"\n", folder.display())).unwrap();
    let config = config.to_str().unwrap();
    packmule(&["upload", large, "storage:low/apps", "--config", config], 0);
    assert!(folder.join("apps/b.json").exists());
    packmule(&["verify", "storage:low/apps/b", "--key", "k.pub.pem", "--config", config], 0);
    let told = refused(&["ls", "storage:hihg", "--config", config], 2);
    assert!(told.contains("expected [storage.hihg], found none") && told.contains("low"), "{told}");
    // The process that reads the container has the configuration, and its errors come through.
    let told = refused(&["verify", "storage:none/b", "--key", "k.pub.pem", "--config", config], 2);
    assert!(told.contains("expected [storage.none], found none"), "{told}");
}

#[test]
fn p7_who_reads_a_container_is_confined_and_another_process_reads_it() {
    let (large, _) = bundles();
    let (_, address) = container("confined");
    packmule(&["upload", large, &address], 0);
    let ended = command(&["verify", &format!("{address}/b"), "--key", "k.pub.pem", "-v"]).output().unwrap();
    let told = text(&ended.stderr);
    assert!(ended.status.success() && told.contains("confined by seccomp: no sockets"), "{told}");
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    // Only the other process opens the volumes.
    let traced = std::process::Command::new(strace)
        .args(["-f", "-qq", "-e", "trace=openat,execve", env!("CARGO_BIN_EXE_packmule"), "verify"])
        .args([&format!("{address}/b"), "--key", "k.pub.pem"])
        .env_clear()
        .current_dir(dir())
        .output()
        .unwrap();
    let calls = text(&traced.stderr);
    let of = |what: &str| calls.lines().filter(|line| line.contains(what)).count();
    assert!(of("container-reader") == 1 && of("b.0001.tar.zst") > 0, "{calls}");
    // A line of the process that strace started itself has no number as long as it is alone; from
    // the start of the reader on all have one.
    let process =
        |line: &str| line.strip_prefix("[pid").and_then(|rest| rest.trim().split(']').next().map(str::to_owned));
    let started = calls.lines().find(|line| line.contains("container-reader")).and_then(process);
    let opens = calls.lines().filter(|line| line.contains("b.0001.tar.zst") || line.contains("b.json"));
    for line in opens {
        assert!(process(line).is_some() && started.is_some(), "{line}");
    }
}

#[test]
fn t14_u1_a_secret_in_an_argument_is_refused_and_not_repeated() {
    for args in [
        &["upload", "x/b", "https://acc.blob.core.windows.net/c?sv=1&sig=canary"][..],
        &["download", "https://acc.blob.core.windows.net/c/b?sig=canary", "."],
        &["ls", "az://key:canary@acc/c"],
        &["rm", "storage:low/b?sig=canary"],
        &["verify", "https://acc.blob.core.windows.net/c/b?sig=canary", "--key", "k.pub.pem"],
        &["import", "s3://key:canary@bucket/b", "--key", "k.pub.pem", "--to", "oci:x"],
        &["export", "oci:x", "-o", "https://acc.blob.core.windows.net/c/b?sig=canary", "--stage", ".", "--unsigned"],
    ] {
        for more in [&[][..], &["-v"]] {
            let ended = command(&[args, more].concat()).output().unwrap();
            let told = text(&ended.stdout) + &text(&ended.stderr);
            assert_eq!(ended.status.code(), Some(2), "{args:?}: {told}");
            assert!(told.contains("secret") && !told.contains("canary"), "{args:?}: {told}");
        }
    }
}

#[test]
fn plain_files_are_not_exported_into_a_container() {
    bundles();
    let (folder, address) = container("flat");
    let (out, stage) = (format!("{address}/b"), format!("{}/..", folder.display()));
    let args = ["export", "oci:containers/small-layout", "-o", &out, "--stage", &stage, "--unsigned", "--flat"];
    let told = refused(&args, 2);
    assert!(told.contains("--flat: expected -o with a directory, found the container file://"), "{told}");
    assert!(names(&folder).is_empty());
}
