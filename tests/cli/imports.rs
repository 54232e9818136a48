//! Imports into a registry that logs: how much they ask and send, what they do again, parts, tags
//! that move from month to month, and what stands in the way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::depot::{Content, Depot};
use super::server::{Request, reply};
use super::shelf::{Image, MANIFEST, Shelf, noise};
use super::world::{command, dir, packmule, refused, sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes a layout of several repositories with shared layers, an index and referrers; exports it.
fn several(name: &str) -> String {
    let mut all = Content::default();
    let shared = noise(1, 200_000);
    for number in 0..4_u64 {
        let own = noise(10 + number, 50_000);
        let size = |content: &Content| content.blobs.last().unwrap().len();
        let name = format!("example.org/team/app{number}:v1");
        let digest = all.image(Some(&name), &[&shared, &own], &json!({ "os": "linux", "app": number }));
        let size = size(&all);
        all.referrer(&digest, size, &format!("contents of {number}"));
    }
    let children: Vec<Value> = ["amd64", "arm64"]
        .iter()
        .map(|architecture| {
            let config = json!({ "os": "linux", "architecture": architecture });
            let image = Image::with_config(
                vec![shared.clone(), noise(100 + u64::from(architecture.as_bytes()[1]), 40_000)],
                &config,
            );
            all.blobs.extend(image.blobs.iter().chain([&image.manifest]).cloned());
            json!({ "mediaType": MANIFEST, "digest": image.digest(), "size": image.manifest.len(),
                "platform": { "os": "linux", "architecture": architecture } })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }).to_string();
    all.entry(Some("example.org/team/many:v1"), INDEX, index.as_bytes());
    all.write(&format!("{name}-layout"));
    exported(name, &[])
}

/// Exports the layout of this name; returns the bundle.
fn exported(name: &str, more: &[&str]) -> String {
    let bundle = format!("{name}-usb/b");
    drop(std::fs::remove_dir_all(dir().join(format!("{name}-usb"))));
    std::fs::create_dir_all(dir().join(format!("{name}-usb"))).unwrap();
    let layout = format!("oci:{name}-layout");
    packmule(&[&["export", &layout, "-o", &bundle, "--sign", "k.pem", "--overwrite"], more].concat(), 0);
    bundle
}

fn import(bundle: &str, to: &str, more: &[&str], code: i32) -> (Value, String) {
    packmule(&[&["import", bundle, "--key", "k.pub.pem", "--to", to], more].concat(), code)
}

#[test]
fn requests_of_an_import_stay_within_their_bounds() {
    let (bundle, depot) = (several("bounds"), Depot::plain());
    let to = format!("{}/m", depot.server.host);
    let (told, _) = import(&bundle, &to, &["--dry-run"], 0);
    let dry = depot.requests().len();
    let (plan, artifacts) = (told["result"]["plan"].clone(), told["result"]["artifacts"].as_array().unwrap().len());
    assert!(depot.sent().is_empty() && depot.requests().iter().all(|one| ["GET", "HEAD"].contains(&&*one.method)));

    let (told, _) = import(&bundle, &to, &[], 0);
    let all = depot.requests().split_off(dry);
    let (sent, mounts) = (depot.sent().len(), depot.mounts());
    let count = |what: &dyn Fn(&Request) -> bool| all.iter().filter(|one| what(one)).count();
    let documents = count(&|one| one.method == "PUT" && one.path.contains("/manifests/sha256:"));
    let lists = count(&|one| one.method == "PUT" && one.path.contains("/manifests/sha256-"));
    let (tags, repositories) = (5, 5);
    assert_eq!((sent, mounts, documents, lists, artifacts), (18, 7, 11, 4, 9));
    // One ping, and one question whether there is a referrers API.
    let bound = 2 * sent + mounts + documents + 4 * tags + 3 * lists + repositories + 2;
    assert!(all.len() <= bound, "{} requests, at most {bound}: {:#?}", all.len(), shown(&all));
    assert_eq!(told["result"]["blobs"], json!({ "pushed": sent, "mounted": mounts, "present": 0 }));
    assert_eq!(
        (&plan["blobs"], &plan["mounts"], &plan["manifests"]),
        (&json!(sent), &json!(mounts), &json!(documents))
    );
    let expected = usize::try_from(plan["requests"].as_u64().unwrap()).unwrap();
    // The plan counts what comes after it.
    assert!(
        expected.abs_diff(all.len() - 2 * repositories) <= all.len() / 10,
        "{expected} planned, {} made",
        all.len()
    );
    let before = depot.requests().len();
    let (told, _) = import(&bundle, &to, &[], 0);
    let again = depot.requests().split_off(before);
    let bound = (tags + lists) * 11 / 10 + 2;
    assert!(again.len() <= bound, "{} requests, at most {bound}: {:#?}", again.len(), shown(&again));
    assert_eq!(told["result"]["plan"]["implied"], json!(2), "the images of the index");
    // What is implied is asked for by diff.
    let args = ["diff", &format!("./{bundle}"), &to, "--check", "--content"];
    let (told, _) = packmule(&args, 0);
    assert_eq!((&told["result"]["same"], &told["result"]["content"]), (&json!(true), &json!(true)));
    let blob = depot.store.lock().unwrap().keys().find(|name| name.contains("/blobs/")).cloned().unwrap();
    depot.store.lock().unwrap().get_mut(&blob).unwrap().1[0] ^= 1;
    let (told, _) = packmule(&args, 15);
    assert_eq!(told["result"]["differences"].as_array().unwrap().len(), 1, "{told}");
    packmule(&args[..4], 0);
}

fn shown(all: &[Request]) -> Vec<String> {
    all.iter().map(|one| format!("{} {}", one.method, one.path)).collect()
}

#[test]
fn a_killed_import_sends_only_the_rest_and_nothing_twice() {
    let bundle = several("killed");
    for most in [1, 3, 6, 12, 17] {
        let done = AtomicUsize::new(0);
        let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let depot = Depot::start(Box::new(move |request| {
            let is_upload = request.method == "PUT" && request.path.contains("/blobs/");
            let is_late = is_upload && done.fetch_add(1, Ordering::SeqCst) >= most;
            (is_late && !over.load(Ordering::SeqCst)).then(|| reply(403, r#"{"errors":[{"code":"DENIED"}]}"#))
        }));
        let to = format!("{}/m", depot.server.host);
        import(&bundle, &to, &["-j", "4"], 21);
        let stored = |depot: &Depot| -> HashSet<String> {
            let store = depot.store.lock().unwrap();
            store.keys().filter_map(|name| Some(name.split_once("/blobs/")?.1.to_owned())).collect()
        };
        let kept = stored(&depot);
        let before = depot.requests().len();
        is_over.store(true, Ordering::SeqCst);
        import(&bundle, &to, &["-j", "4"], 0);
        let second: Vec<String> = depot
            .requests()
            .split_off(before)
            .iter()
            .filter(|one| one.method == "PUT" && one.path.contains("/blobs/"))
            .map(|one| sha256(&one.body))
            .collect();
        assert!(kept.len() >= most, "{most}: {} kept", kept.len());
        let twice: Vec<&String> = second.iter().filter(|digest| kept.contains(*digest)).collect();
        assert!(twice.is_empty(), "after {most}: {twice:?} sent again");
        assert_eq!(second.iter().collect::<HashSet<_>>().len(), second.len(), "each once");
        assert_eq!(kept.len() + second.len(), stored(&depot).len());
    }
}

#[test]
fn latest_moves_month_after_month_until_somebody_else_moves_it() {
    let depot = Depot::plain();
    let (to, state) = (format!("{}/m", depot.server.host), dir().join("advance-state"));
    drop(std::fs::remove_dir_all(&state));
    let state = state.display().to_string();
    let month = |number: u64, more: &[&str]| {
        let mut all = Content::default();
        let digest = all.image(Some("example.org/app:latest"), &[&noise(number, 9_000)], &json!({ "month": number }));
        all.write("advance-layout");
        let number = number.to_string();
        (
            exported("advance", &[&["--channel", "apps", "--sequence", &number, "--state", &state], more].concat()),
            digest,
        )
    };
    let advance = ["--tag-conflict", "advance", "--state", &state];
    let name = "m/app/manifests/latest";
    let (bundle, may) = month(1, &["--init-state"]);
    import(&bundle, &to, &advance, 0);
    assert_eq!(depot.tag(name), Some(may.clone()));
    let (bundle, june) = month(2, &[]);
    // Without it, the tag is a conflict; a dry run says that it moves.
    import(&bundle, &to, &["--state", &state], 15);
    let (told, _) = import(&bundle, &to, &[&advance[..], &["--dry-run"]].concat(), 0);
    assert_eq!(told["result"]["artifacts"][0]["plan"]["moved"], json!([{ "tag": "latest", "from": may }]));
    import(&bundle, &to, &advance, 0);
    assert_eq!(depot.tag(name), Some(june.clone()));
    // Under another spelling of the registry it is known as well.
    let (bundle, july) = month(3, &[]);
    import(&bundle, &to.replace("127.0.0.1", "localhost"), &advance, 0);
    assert_eq!(depot.tag(name), Some(july.clone()));
    // Somebody else moves it.
    let held = depot.store.lock().unwrap()[&format!("m/app/manifests/{may}")].clone();
    depot.store.lock().unwrap().insert(name.to_owned(), held);
    let (bundle, august) = month(4, &[]);
    let (told, _) = import(&bundle, &to, &advance, 15);
    let error = told["error"].to_string();
    assert!(error.contains(&july) && error.contains(&may), "{error}");
    // The state is lost: what is there is not known.
    std::fs::remove_dir_all(&state).unwrap();
    let (told, _) = import(&bundle, &to, &advance, 15);
    assert!(told["error"].to_string().contains("does not know"), "{told}");
    import(&bundle, &to, &["--tag-conflict", "move", "--state", &state], 0);
    assert_eq!(depot.tag(name), Some(august));
    let files: Vec<String> = std::fs::read_dir(format!("{state}/import/apps"))
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(files.iter().any(|file| file.contains(".tags")), "{files:?}");
}

#[test]
fn tags_advance_only_with_a_channel() {
    let bundle = several("channelless");
    let depot = Depot::plain();
    let to = format!("{}/m", depot.server.host);
    let told = refused(&["import", &bundle, "--key", "k.pub.pem", "--to", &to, "--tag-conflict", "advance"], 2);
    assert!(told.contains("a bundle of a channel"), "{told}");
    let told = refused(&["copy", "oci:channelless-layout", "--to", &to, "--tag-conflict", "advance"], 2);
    assert!(told.contains("a copy, which has none"), "{told}");
    assert!(depot.requests().is_empty());
}

#[test]
fn a_part_needs_only_the_volumes_that_hold_it() {
    let mut all = Content::default();
    let mut digests = Vec::new();
    for number in 0..3_u64 {
        let name = format!("example.org/team/big{number}:v1");
        let digest = all.image(Some(&name), &[&noise(number, 34 << 20)], &json!({ "app": number }));
        let size = all.blobs.last().unwrap().len();
        all.referrer(&digest, size, &format!("contents of {number}"));
        digests.push(digest);
    }
    all.write("part-layout");
    let bundle = exported("part", &["--volume-size", "36MiB", "--level", "0"]);
    let volumes = |keep: &[usize]| {
        for number in 1..=9 {
            let path = dir().join(format!("part-usb/b.{number:04}.tar.zst"));
            let aside = path.with_extension("aside");
            if keep.contains(&number) && aside.exists() {
                std::fs::rename(&aside, &path).unwrap();
            } else if !keep.contains(&number) && path.exists() {
                std::fs::rename(&path, &aside).unwrap();
            }
        }
    };
    let depot = Depot::plain();
    let to = format!("{}/m", depot.server.host);
    volumes(&[1, 2]);
    import(&bundle, &to, &[], 11);
    let before = depot.requests().len();
    let (told, _) = import(&bundle, &to, &["--select", "example.org/team/big1:v9"], 20);
    assert!(told["error"].to_string().contains("example.org/team/big1:v1"), "{told}");
    assert_eq!(depot.requests().len(), before);
    let present: Vec<&String> = digests
        .iter()
        .filter(|digest| {
            command(&["import", &bundle, "--key", "k.pub.pem", "--to", &to, "--select", digest])
                .output()
                .unwrap()
                .status
                .success()
        })
        .collect();
    assert!(!present.is_empty() && present.len() < 3, "{} of 3 in two volumes", present.len());
    // The referrer came along, and nothing of the others.
    let names: Vec<String> = depot.store.lock().unwrap().keys().cloned().collect();
    assert!(names.iter().any(|name| name.contains("/manifests/sha256-")), "{names:?}");
    let repositories: HashSet<&str> =
        names.iter().map(|name| name.split_once("/blobs/").or(name.split_once("/manifests/")).unwrap().0).collect();
    assert_eq!(repositories.len(), present.len());
    volumes(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let receipt = dir().join("part-receipt.json");
    drop(std::fs::remove_file(&receipt));
    import(&bundle, &to, &["--select", "example.org/team/big2:v1", "--receipt", "part-receipt.json"], 0);
    let receipt: Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    let outcomes: Vec<&str> =
        receipt["artifacts"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!((outcomes.len(), outcomes.iter().filter(|one| **one == "left-out").count()), (6, 4), "{outcomes:?}");
    packmule(&["inspect", "part-receipt.json"], 0);
    drop(std::fs::remove_dir_all(dir().join("part-usb")));
    drop(std::fs::remove_dir_all(dir().join("part-layout")));
}

#[test]
fn a_project_or_repository_that_must_be_made_first_is_said_with_the_command() {
    let bundle = several("unmade");
    let harbor = r#"{"errors":[{"code":"NOT_FOUND","message":"project m not found"}]}"#;
    let ecr = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'm/team/app0' does not exist in the registry with id '123456789012'"}]}"#;
    for (body, command) in
        [(harbor, "/api/v2.0/projects"), (ecr, "aws ecr create-repository --repository-name m/team/app0")]
    {
        let depot = Depot::start(Box::new(move |request| {
            (request.path != "/v2/").then(|| reply(404, if request.method == "HEAD" { "" } else { body }))
        }));
        let to = format!("{}/m", depot.server.host);
        let (told, _) = import(&bundle, &to, &[], 21);
        assert!(told["error"].to_string().replace("\\\"", "\"").contains(command), "{told}");
        // A dry run pushes nothing, and knows it where the project is missing.
        let dry = if body == harbor { 21 } else { 0 };
        let (told, _) = import(&bundle, &to, &["--dry-run"], dry);
        assert_eq!(told.to_string().contains("api/v2.0/projects"), dry == 21, "{told}");
        let (told, _) = import(&bundle, &to, &[], 21);
        // Every repository is named, before anything is sent.
        assert_eq!(told["error"]["others"].as_array().unwrap().len(), 4, "{told}");
        assert!(depot.sent().is_empty());
    }
}

#[test]
fn what_was_selected_by_digest_alone_gets_the_tag_of_as() {
    let image = Image::new(vec![noise(3, 5_000)]);
    let digest = image.digest();
    let source = Shelf::plain(&[("team/app", "other", &image)]);
    let bundle = "by-digest-usb/b";
    drop(std::fs::remove_dir_all(dir().join("by-digest-usb")));
    std::fs::create_dir_all(dir().join("by-digest-usb")).unwrap();
    let selector = format!("{}/team/app@{digest},as=example.org/team/app:kept", source.host());
    packmule(&["export", &selector, "-o", bundle, "--sign", "k.pem"], 0);
    let depot = Depot::plain();
    let to = format!("{}/m", depot.server.host);
    let (told, _) = import(bundle, &to, &[], 0);
    assert_eq!(depot.tag("m/team/app/manifests/kept"), Some(digest.clone()));
    assert_eq!(told["result"]["artifacts"][0]["tags"], json!(["kept"]));
    // Another name at the destination keeps it.
    import(bundle, &to, &["--map", "example.org/team/app=site/web"], 0);
    assert_eq!(depot.tag("m/site/web/manifests/kept"), Some(digest));
}
