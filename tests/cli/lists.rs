//! Lists with `-f`, `--list`, `--lock`, and selectors that stand for many tags.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::server::reply;
use super::shelf::{Image, Shelf, noise};
use super::sources::{holding, names};
use super::world::{command, dir, fresh, packmule, sha256, text, var};

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

fn write(test: &str, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = format!("{test}/{name}");
    fs::write(dir().join(&path), content).unwrap();
    path
}

#[test]
fn a_list_is_shown_without_output_keys_or_a_network() {
    drop(fresh("listed"));
    let list = write("listed", "images.txt", "quay.io/a/b:1\nquay.io/a/b:1 # again\nhttps://quay.io/a/c:2\n");
    let (done, _) = packmule(&["export", "--list", "-f", &list, "nginx"], 0);
    assert_eq!(
        texts(&done["result"]["references"]),
        ["docker.io/library/nginx:latest", "quay.io/a/b:1", "quay.io/a/c:2"]
    );
    assert_eq!(done["result"]["passed_over"][0]["place"], "line 3", "{done}");
    assert_eq!(done["result"]["refused"], serde_json::json!([]));

    let plain = command(&["export", "--list", "-f", &list]).output().unwrap();
    let shown = text(&plain.stdout);
    assert!(shown.starts_with("quay.io/a/b:1\nquay.io/a/c:2\n# passed over: "), "{shown}");
    let mut again = command(&["export", "--list", "--json", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    again.stdin.take().unwrap().write_all(shown.as_bytes()).unwrap();
    let again = again.wait_with_output().unwrap();
    assert!(again.status.success() && text(&again.stdout).contains("quay.io/a/c:2"), "{}", text(&again.stdout));
}

#[test]
fn every_wrong_line_is_named_and_nothing_is_fetched() {
    drop(fresh("wrong"));
    let shelf = Shelf::plain(&[]);
    let line = |number: usize| match number {
        3 => "quay.io/Team/App:1".to_owned(),
        250 => "quay.io/a/b@1111111111111111111111111111111111111111111111111111111111111111".to_owned(),
        499 => "three words here".to_owned(),
        other => format!("{}/a/b:{other}", shelf.host()),
    };
    let content: String = (1..=500).map(|number| line(number) + "\n").collect();
    let list = write("wrong", "images.txt", content);
    let (done, _) = packmule(&["export", "-f", &list, "-o", "wrong/b", "--unsigned"], 2);
    let error = done["error"].to_string();
    for number in [3, 250, 499] {
        assert!(error.contains(&format!("line {number}: ")), "{error}");
    }
    assert!(shelf.server.all_requests().is_empty() && !dir().join("wrong/b.json").exists());
    let (done, _) = packmule(&["export", "--list", "-f", &list], 2);
    let places: Vec<&Value> = done["result"]["refused"].as_array().unwrap().iter().map(|one| &one["line"]).collect();
    assert_eq!(places, [3, 250, 499]);
    assert_eq!(done["result"]["references"].as_array().unwrap().len(), 497);
    let (done, _) = packmule(&["export", "--list", "-f", "wrong/none.txt"], 22);
    assert!(done["error"].to_string().contains("none.txt"), "{done}");
}

#[test]
fn a_lock_of_layouts_and_a_registry_gives_the_same_bundle_again() {
    let test = "locks";
    drop(fresh(test));
    let images = [9101, 9102, 9103].map(|seed| Image::new(vec![noise(seed, 3_000)]));
    let one = holding(test, "one", "one.example/a:v1", &images[0]);
    let shelf = Shelf::plain(&[("c/d", "v3", &images[1])]);
    let online = format!("{}/c/d:v3", shelf.host());
    let list = write(test, "list.txt", format!("{online},as=localhost/d\noci:{one}\n"));
    let (dry, _) = packmule(&["export", "-f", &list, "--dry-run", "--lock", "locks/lock.txt"], 0);
    assert_eq!(dry["result"]["volumes"], 1, "{dry}");
    let lock = fs::read_to_string(dir().join("locks/lock.txt")).unwrap();
    assert!(lock.contains(&images[0].digest()) && lock.contains(&images[1].digest()), "{lock}");
    let (first, _) = packmule(&["export", "-f", &list, "-o", "locks/first", "--unsigned"], 0);
    // The tag moves; the lock names what it was.
    shelf.add("c/d", "v3", &images[2]);
    let (second, _) = packmule(
        &["export", "-f", "locks/lock.txt", "-o", "locks/second", "--unsigned", "--lock", "locks/lock.txt"],
        0,
    );
    assert_eq!(first["result"]["artifacts"], second["result"]["artifacts"]);
    assert_eq!(fs::read_to_string(dir().join("locks/lock.txt")).unwrap(), lock, "a lock of a lock is the same");
    assert_eq!(names(&second["result"]["artifacts"]), ["localhost/d:v3", "one.example/a:v1"]);
    // Only an earlier lock is replaced.
    packmule(&["export", "-f", &list, "--dry-run", "--lock", &list], 2);
    assert!(fs::read_to_string(dir().join(&list)).unwrap().contains("oci:"));
}

/// A registry with a list of tags and one of repositories.
fn tagged(images: &[(&str, &str, &Image)], catalog: bool) -> Shelf {
    let lists: Vec<(String, String)> =
        images.iter().map(|(name, tag, _)| ((*name).to_owned(), (*tag).to_owned())).collect();
    Shelf::start(
        images,
        Box::new(move |request| {
            let path = request.path.split('?').next().unwrap_or_default();
            if path == "/v2/_catalog" {
                let all: std::collections::BTreeSet<&String> = lists.iter().map(|(name, _)| name).collect();
                let body = serde_json::json!({"repositories": all}).to_string();
                return Some(if catalog { reply(200, body) } else { reply(404, "") });
            }
            let name = path.strip_prefix("/v2/")?.strip_suffix("/tags/list")?;
            let tags: Vec<&String> = lists.iter().filter(|(own, _)| own == name).map(|(_, tag)| tag).collect();
            Some(reply(200, serde_json::json!({"name": name, "tags": tags}).to_string()))
        }),
    )
}

#[test]
fn globs_versions_and_namespaces_select_tags() {
    drop(fresh("globs"));
    let image = Image::new(vec![noise(9201, 500)]);
    let cosign = format!("sha256-{}.sig", "0".repeat(64));
    let all = ["1.0.0", "1.2.0", "1.10.0", "2.0.0", "2.1.0-rc1", "latest"];
    let mut held: Vec<(&str, &str, &Image)> = all.iter().map(|tag| ("ns/app", *tag, &image)).collect();
    held.push(("ns/app", &cosign, &image));
    held.push(("ns/sub/web", "v1.3", &image));
    held.push(("other/x", "1.0.0", &image));
    let shelf = tagged(&held, true);
    let host = shelf.host();
    let taken = |selector: &str| -> Vec<String> {
        let (done, _) = packmule(&["export", "--dry-run", &format!("{host}/{selector}")], 0);
        let artifacts = done["result"]["artifacts"].as_array().unwrap().iter();
        let mut tags: Vec<String> = artifacts
            .flat_map(|one| {
                let name = one["repository"].as_str().unwrap().rsplit_once('/').unwrap().1;
                texts(&one["tags"]).into_iter().map(move |tag| format!("{name}:{tag}")).collect::<Vec<_>>()
            })
            .collect();
        tags.sort();
        tags
    };
    assert_eq!(taken("ns/app:*").len(), 6, "referrer tags are not artifacts");
    assert_eq!(taken("ns/app:1.*"), ["app:1.0.0", "app:1.10.0", "app:1.2.0"]);
    assert_eq!(taken("ns/app,semver=^1.1"), ["app:1.10.0", "app:1.2.0"]);
    assert_eq!(taken("ns/app,latest=2"), ["app:1.10.0", "app:2.0.0"]);
    assert_eq!(taken("ns/app,regex=^2\\.,exclude=*-rc*"), ["app:2.0.0"]);
    assert_eq!(taken("ns/*,semver=>=1.3.0"), ["app:1.10.0", "app:2.0.0", "web:v1.3"]);
    assert_eq!(taken("ns/*:1.0.0"), ["app:1.0.0"]);

    let wrong = [
        format!("{host}/ns/app:9.*"),
        format!("{host}/ns/app,semver=^9"),
        format!("{host}/ns/app,regex=^l,latest=1"),
        format!("{host}/none/*"),
    ];
    let mut args = vec!["export", "--dry-run"];
    args.extend(wrong.iter().map(String::as_str));
    let (done, _) = packmule(&args, 20);
    for selector in &wrong {
        assert!(done["error"].to_string().contains(selector.as_str()), "{selector}: {done}");
    }
    let closed = tagged(&held, false);
    let (done, _) = packmule(&["export", "--dry-run", &format!("{}/ns/*", closed.host())], 20);
    assert!(done["error"].to_string().contains("name repositories instead"), "{done}");
}

#[test]
fn filters_of_tags_apply_to_layouts() {
    let test = "layout-tags";
    drop(fresh(test));
    let image = Image::new(vec![noise(9301, 500)]);
    let one = holding(test, "one", "one.example/a:v1.2", &image);
    let (done, _) = packmule(&["export", "--dry-run", &format!("oci:{one},semver=^1")], 0);
    assert_eq!(done["result"]["artifacts"].as_array().unwrap().len(), 1);
    packmule(&["export", "--dry-run", &format!("oci:{one},semver=^2")], 20);
}

#[test]
fn dry_runs_show_the_largest_first() {
    let test = "largest";
    drop(fresh(test));
    let images = [(9401, 2_000), (9402, 90_000), (9403, 8_000)].map(|(seed, size)| Image::new(vec![noise(seed, size)]));
    let shelf = Shelf::plain(&[("a", "1", &images[0]), ("b", "1", &images[1]), ("c", "1", &images[2])]);
    let names: Vec<String> = ["a", "b", "c"].iter().map(|name| format!("{}/{name}:1", shelf.host())).collect();
    let mut args = vec!["export", "--dry-run", "--volume-size", "32MiB"];
    args.extend(names.iter().map(String::as_str));
    let (done, _) = packmule(&args, 0);
    let order: Vec<&str> = done["result"]["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["repository"].as_str().unwrap().rsplit_once('/').unwrap().1)
        .collect();
    assert_eq!((order, done["result"]["volumes"].as_u64()), (vec!["b", "c", "a"], Some(1)));
}

#[test]
fn what_helm_prints_is_read() {
    let Some(helm) = var("PACKMULE_TEST_HELM") else { return };
    drop(fresh("helm"));
    let run = |args: &[&str]| {
        let done = Command::new(&helm).args(args).current_dir(dir().join("helm")).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        done.stdout
    };
    run(&["create", "tide"]);
    let extra = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: job}\nspec:\n  schedule: '@daily'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          initContainers: [{name: i, image: 'busybox:1.36'}]\n          containers:\n            - name: j\n              image: {{ .Values.jobImage | quote }}\n              args: ['--image=quay.io/op/worker:v1']\n          volumes: [{name: m, image: {reference: 'ghcr.io/team/model:7b'}}]\n";
    fs::write(dir().join("helm/tide/templates/job.yaml"), extra).unwrap();
    let printed =
        run(&["template", "x", "tide", "--set", "jobImage=ghcr.io/team/job:2", "--set-string", "image.tag=1.10"]);
    let list = write("helm", "rendered.yaml", &printed);
    let (done, _) = packmule(&["export", "--list", "-f", &list], 0);
    let mut found = texts(&done["result"]["references"]);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "docker.io/library/busybox:1.36",
            "docker.io/library/busybox:latest",
            "docker.io/library/nginx:1.10",
            "ghcr.io/team/job:2",
            "ghcr.io/team/model:7b"
        ]
    );
    assert!(done["result"]["passed_over"].to_string().contains("quay.io/op/worker:v1"), "{done}");
    // The template itself is refused whole.
    let (done, _) = packmule(&["export", "--list", "-f", "helm/tide/templates/job.yaml"], 2);
    assert_eq!(
        (&done["result"]["references"], &done["result"]["refused"][0]["line"]),
        (&serde_json::json!([]), &serde_json::json!(0))
    );
}

#[test]
fn what_kustomize_prints_is_read() {
    let Some(kustomize) = var("PACKMULE_TEST_KUSTOMIZE") else { return };
    let test = "kustomize";
    drop(fresh(test));
    fs::create_dir_all(dir().join("kustomize/base")).unwrap();
    fs::create_dir_all(dir().join("kustomize/site")).unwrap();
    let app = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: app}\nspec:\n  template:\n    spec:\n      initContainers: [{name: i, image: busybox}]\n      containers:\n        - {name: a, image: ghcr.io/team/app}\n        - {name: b, image: 'ghcr.io/team/side:1.10'}\n";
    write(test, "base/app.yaml", app);
    write(test, "base/kustomization.yaml", "resources: [app.yaml]\n");
    let digest = sha256(b"side");
    let site = format!(
        "resources: [../base]\nnamePrefix: far-\nimages:\n  - {{name: ghcr.io/team/app, newName: registry.example:5000/app, newTag: '2.0'}}\n  - {{name: ghcr.io/team/side, digest: '{digest}'}}\n"
    );
    let kustomization = write(test, "site/kustomization.yaml", &site);
    let done = Command::new(&kustomize).args(["build", "site"]).current_dir(dir().join(test)).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let list = write(test, "rendered.yaml", &done.stdout);
    let (done, _) = packmule(&["export", "--list", "-f", &list], 0);
    let mut found = texts(&done["result"]["references"]);
    found.sort_unstable();
    let pinned = format!("ghcr.io/team/side@{digest}");
    assert_eq!(found, ["docker.io/library/busybox:latest", &*pinned, "registry.example:5000/app:2.0"]);
    // The kustomization itself says what it sets, and what is not followed.
    let (done, _) = packmule(&["export", "--list", "-f", &kustomization], 0);
    assert_eq!(texts(&done["result"]["references"]), ["registry.example:5000/app:2.0", &*pinned]);
    assert!(done["result"]["passed_over"].to_string().contains("resources"), "{done}");
}

#[test]
fn other_lists_are_read_with_images_in() {
    let test = "included";
    drop(fresh(test));
    write(test, "rendered.yaml", "kind: Pod\nspec: {containers: [{name: a, image: 'quay.io/a/b:1'}]}\n");
    write(test, "extra.txt", "quay.io/c/d:2\nquay.io/c/e:3,platform=linux/arm64\n");
    let list = write(
        test,
        "all.toml",
        "artifacts = [\n  { ref = \"quay.io/x/y:1\" },\n  { images_in = \"included/rendered.yaml\" },\n  { images_in = \"included/extra.txt\", platforms = [\"linux/amd64\"], referrers = \"none\" },\n]\n",
    );
    let (done, _) = packmule(&["export", "--list", "-f", &list], 0);
    assert_eq!(
        texts(&done["result"]["references"]),
        [
            "quay.io/x/y:1",
            "quay.io/a/b:1",
            "quay.io/c/d:2,platform=linux/amd64,referrers=none",
            "quay.io/c/e:3,platform=linux/arm64,referrers=none"
        ]
    );
    // A wrong line of such a list is named with both lists.
    write(test, "extra.txt", "quay.io/c/d:2\nquay.io/Wrong/e:3\n");
    let (done, _) = packmule(&["export", "--dry-run", "-f", &list], 2);
    let error = done["error"].to_string();
    for word in ["extra.txt", "all.toml line 4", "line 2"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    fs::remove_file(dir().join(test).join("extra.txt")).unwrap();
    let (done, _) = packmule(&["export", "--list", "-f", &list], 22);
    assert!(done["error"].to_string().contains("extra.txt"), "{done}");
    let outer = write(test, "outer.toml", "artifacts = [{ images_in = \"included/all.toml\" }]\n");
    write(test, "extra.txt", "quay.io/c/d:2\n");
    let (done, _) = packmule(&["export", "--list", "-f", &outer], 2);
    assert!(done["error"].to_string().contains("images_in"), "{done}");
}

/// Returns how many requests of each kind a plan makes, without pings: of `count` images, each in a
/// repository of its own or all in one.
fn asked_for(count: usize, is_one: bool, has_api: bool) -> BTreeMap<&'static str, usize> {
    let images: Vec<Image> =
        (0..count).map(|number| Image::new(vec![format!("layer {number}").into_bytes()])).collect();
    let place = |number: usize| if is_one { "one".to_owned() } else { format!("app{number}") };
    let names: Vec<(String, String)> = (0..count).map(|number| (place(number), format!("v{number}"))).collect();
    let held: Vec<(&str, &str, &Image)> =
        names.iter().zip(&images).map(|((name, tag), image)| (name.as_str(), tag.as_str(), image)).collect();
    let lists = names.clone();
    let shelf = Shelf::start(
        &held,
        Box::new(move |request| {
            let path = request.path.split('?').next().unwrap_or_default();
            if path.contains("/referrers/") {
                let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
                return Some(if has_api { reply(200, index).with("Content-Type", INDEX) } else { reply(404, "") });
            }
            let name = path.strip_prefix("/v2/")?.strip_suffix("/tags/list")?;
            let tags: Vec<&String> = lists.iter().filter(|(own, _)| own == name).map(|(_, tag)| tag).collect();
            Some(reply(200, serde_json::json!({"name": name, "tags": tags}).to_string()))
        }),
    );
    let list: String = names.iter().map(|(name, tag)| format!("{}/{name}:{tag}\n", shelf.host())).collect();
    let list = write("requests", "list.txt", list);
    let (done, _) = packmule(&["export", "--dry-run", "-f", &list], 0);
    assert_eq!(done["result"]["artifacts"].as_array().unwrap().len(), count);
    let mut kinds = BTreeMap::new();
    for request in shelf.server.requests() {
        let path = request.path.as_str();
        let kind = match request.method.as_str() {
            _ if path.contains("/tags/list") => "list of tags",
            _ if path.contains("/referrers/") => "referrers",
            _ if path.contains("/manifests/sha256-") => "fallback tag",
            "GET" if path.contains("/manifests/") => "manifest",
            "HEAD" if path.contains("/manifests/") => "resolve a tag",
            "HEAD" if path.contains("/blobs/") => "look for a blob",
            _ => "other",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn a_plan_makes_few_requests_for_each_artifact() {
    drop(fresh("requests"));
    // One configuration is common to all. Of one repository, the tags are listed once; where they show
    // that there are no lists of referrers, and there is no API, only those ask that began at once.
    for (is_one, has_api, lists, most) in
        [(false, true, 40, 40), (false, false, 40, 40), (true, true, 1, 40), (true, false, 1, 8)]
    {
        let mut found = asked_for(40, is_one, has_api);
        let referrers = found.remove("referrers").unwrap_or_default();
        assert!((1..=most).contains(&referrers), "{is_one} {has_api}: {referrers}");
        let expected = [("list of tags", lists), ("look for a blob", 41), ("manifest", 40), ("resolve a tag", 40)];
        assert_eq!(found, BTreeMap::from(expected), "{is_one} {has_api}");
    }
}
