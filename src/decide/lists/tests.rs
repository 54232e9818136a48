//! Every list of `testdata/lists` and what it must give, and lists of other kinds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Format, ImagePath, List, read};

fn names(list: &List) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = list.entries.iter().map(|entry| entry.selector.to_string());
    all.filter(|name| seen.insert(name.clone())).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// Returns our place for a place that the expectations describe in other words.
fn place(expected: &str) -> &str {
    if expected == "image: \"\" and null" { "image of q" } else { expected }
}

fn check(path: &Path) -> Result<(), String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let list = read(name, &std::fs::read(path).unwrap(), None, &[]);
    let file = path.with_file_name(format!("{name}.expected.json"));
    let expected: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let found = names(&list);
    // Of several right answers, the one that reads most counts: nothing is refused that is clear.
    let right = expected["or"].as_array().and_then(|all| all.first()).unwrap_or(&expected["references"]);
    let mut faults = Vec::new();
    if found != texts(right) {
        faults.push(format!("references {found:#?}"));
    }
    let refused: Vec<String> = list.refused.iter().map(super::Remark::at).collect();
    let passed: Vec<String> = list.passed_over.iter().map(super::Remark::at).collect();
    for (key, ours) in [("refused", &refused), ("passed_over", &passed)] {
        for one in expected[key].as_array().unwrap() {
            let place = place(one["where"].as_str().unwrap());
            if !ours.iter().any(|at| at.contains(place)) {
                faults.push(format!("{key}: nothing at {place:?}"));
            }
        }
    }
    if refused.len() != expected["refused"].as_array().unwrap().len() {
        faults.push("another number of refusals".to_owned());
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("{name}: {}\n{list:#?}", faults.join("; "))) }
}

#[test]
fn lists_give_what_they_mean() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/lists"));
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().is_some_and(|path| !path.ends_with(".expected.json")) {
            count += 1;
            failed.extend(check(&path).err());
        }
    }
    assert!(count >= 16 && failed.is_empty(), "{count} lists\n{}", failed.join("\n\n"));
}

#[test]
fn a_login_in_a_list_is_never_shown() {
    let text = "quay.io:\n  images: {a/b: ['1']}\n  credentials: {username: canary, password: canary}\n";
    assert!(!format!("{:?}", read("x.yaml", text.as_bytes(), None, &[])).contains("canary"));
    for text in ["https://me:canary@h.example/a:1\n", "me:canary@h.example/a\n", "https://h.example/a?sig=canary\n"] {
        let list = read("x.txt", text.as_bytes(), None, &[]);
        assert!(list.refused.len() == 1 && !format!("{list:?}").contains("canary"), "{list:?}");
    }
}

#[test]
fn regsync_configurations() {
    let text = "version: 1\ncreds:\n  - registry: r.example\n    pass: canary\ndefaults: {platform: linux/amd64}\nsync:\n  - source: quay.io/a/b\n    target: r.example/m/b\n    type: repository\n    tags:\n      allow: ['1\\.2.*', latest]\n      deny: ['.*-rc.*']\n      semverRange: ['>=1.0.0', '<0.5']\n  - source: ghcr.io/a/c:v1\n    target: r.example/a/c:v1\n    type: image\n  - {source: ghcr.io/x, type: repository, tags: {deny: ['[0-9]+']}}\n";
    let list = read("sync.yml", text.as_bytes(), None, &[]);
    assert_eq!(
        names(&list),
        [
            "quay.io/a/b,platform=linux/amd64,semver=>=1.0.0 || <0.5,regex=^(?:1\\.2.*|latest)$,exclude=*-rc*",
            "ghcr.io/a/c:v1,platform=linux/amd64"
        ]
    );
    assert_eq!((list.refused.len(), list.passed_over.len()), (1, 2), "{list:#?}");
    assert!(!format!("{list:?}").contains("canary"));
}

#[test]
fn zarf_packages_and_locks_of_imgpkg() {
    let zarf = "kind: ZarfPackageConfig\nmetadata: {name: x, architecture: arm64}\ncomponents:\n  - name: web\n    images: [quay.io/a/b:1, '###ZARF_PKG_TMPL_I###']\n    charts:\n      - {name: podinfo, url: 'oci://ghcr.io/charts/podinfo', version: 6.4.0}\n      - {name: other, url: 'https://charts.example', version: 1.0.0}\n    files: [{source: notes.txt, target: /x}, {source: 'https://get.example/x.sh', target: /y}]\n    repos: ['https://git.example/x.git']\n";
    let list = read("zarf.yaml", zarf.as_bytes(), None, &[]);
    assert_eq!(names(&list), ["quay.io/a/b:1,platform=linux/arm64", "ghcr.io/charts/podinfo:6.4.0", "file:notes.txt"]);
    assert_eq!((list.refused.len(), list.passed_over.len()), (1, 3), "{list:#?}");

    let digest = format!("sha256:{}", "1".repeat(64));
    let lock = format!(
        "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: quay.io/a/b@{digest}\n  annotations: {{kbld.carvel.dev/id: 'b:1'}}\n---\napiVersion: imgpkg.carvel.dev/v1alpha1\nkind: BundleLock\nbundle: {{image: 'quay.io/a/c@{digest}', tag: v1}}\n"
    );
    let list = read("images.yml", lock.as_bytes(), None, &[]);
    assert_eq!(names(&list), [format!("quay.io/a/b@{digest}"), format!("quay.io/a/c:v1@{digest}")]);
}

#[test]
fn charts_and_what_they_depend_on() {
    let chart = "apiVersion: v2\nname: app\nversion: 1.0.0\nannotations:\n  artifacthub.io/images: |\n    - name: app\n      image: quay.io/a/app:1\ndependencies:\n  - {name: db, version: 1.2.3, repository: 'oci://ghcr.io/charts'}\n  - {name: cache, version: '^2.0', repository: 'oci://ghcr.io/charts'}\n  - {name: far, version: 1.x, repository: 'https://charts.example'}\n";
    let list = read("Chart.yaml", chart.as_bytes(), None, &[]);
    assert_eq!(
        names(&list),
        ["ghcr.io/charts/db:1.2.3", "ghcr.io/charts/cache,semver=^2.0,latest=1", "quay.io/a/app:1"]
    );
    assert_eq!(list.passed_over.len(), 1, "{list:#?}");
    let hauler = "apiVersion: content.hauler.cattle.io/v1alpha1\nkind: Charts\nspec: {charts: [{name: app, repoURL: 'oci://ghcr.io/charts'}]}\n";
    assert_eq!(names(&read("h.yaml", hauler.as_bytes(), None, &[])), ["ghcr.io/charts/app,latest=1"]);
}

#[test]
fn resources_with_images_in_other_places() {
    let text = "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec: {imageName: 'ghcr.io/cnpg/pg:16'}\n---\napiVersion: x/v1\nkind: Thing\nspec: {parts: [{art: quay.io/a/b:1}, {art: quay.io/a/c:1}]}\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nspec: {url: 'oci://ghcr.io/charts/app', ref: {tag: 1.0.0}}\n---\napiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec: {images: {konnectivity: {image: quay.io/k0s/agent, version: v0.1}}}\n---\napiVersion: argoproj.io/v1\nkind: Workflow\nspec: {templates: [{name: t, container: {image: '{{inputs.parameters.image}}'}}]}\n";
    let own = [ImagePath::parse("Thing:.spec.parts[*].art").unwrap()];
    let list = read("-", text.as_bytes(), None, &own);
    assert_eq!(
        names(&list),
        ["ghcr.io/cnpg/pg:16", "quay.io/a/b:1", "quay.io/a/c:1", "ghcr.io/charts/app:1.0.0", "quay.io/k0s/agent:v0.1"]
    );
    assert_eq!((list.refused.len(), list.passed_over.len()), (0, 1), "{list:#?}");
    assert!(ImagePath::parse("").is_err() && ImagePath::parse(":a").is_err() && ImagePath::parse("A:b c").is_err());
}

#[test]
fn kinds_are_recognized_by_content_and_can_be_given() {
    let kinds = |name: &str, text: &str| read(name, text.as_bytes(), None, &[]);
    assert_eq!(names(&kinds("-", "[\"nginx:1\", \"quay.io/a/b:2\"]")), ["docker.io/library/nginx:1", "quay.io/a/b:2"]);
    assert_eq!(names(&kinds("x", "[::1]:5000/a:1\n")), ["[::1]:5000/a:1"]);
    assert_eq!(names(&kinds("a.yaml", "quay.io/a/b:1\nquay.io/a/c:1\n")), ["quay.io/a/b:1", "quay.io/a/c:1"]);
    assert_eq!(names(&kinds("a.txt", "images:\n  - nginx:1\n")), ["docker.io/library/nginx:1"]);
    let mixed = kinds("a.txt", "quay.io/bad: x\nquay.io/a/b:1\nquay.io/a/c:1\n");
    assert_eq!((names(&mixed).len(), mixed.refused[0].line), (2, 1), "{mixed:?}");
    let given = read("a.yaml", b"key: nginx:1\n", Some(Format::Text), &[]);
    assert_eq!(given.refused.len(), 1, "{given:?}");
    let tags = "{\"Repository\": \"quay.io/a/b\", \"Tags\": [\"1\", \"2\"]}";
    assert_eq!(names(&kinds("-", tags)), ["quay.io/a/b:1", "quay.io/a/b:2"]);
    let twice = kinds("-", "image: nginx:1\nimage: redis:7\n");
    assert_eq!(names(&twice), ["docker.io/library/nginx:1", "docker.io/library/redis:7"]);
    let found = kinds("-", "        image: nginx:1\n      - image: redis:7\n");
    assert_eq!(names(&found), ["docker.io/library/nginx:1", "docker.io/library/redis:7"]);
    let stream = "kind: ImageStream\nspec: {tags: [{name: v1, from: {kind: DockerImage, name: 'quay.io/a/b:1'}}]}\n";
    assert_eq!(names(&kinds("-", stream)), ["quay.io/a/b:1"]);
    for empty in ["", "# nothing\n", "a: 1\n", "---\n"] {
        assert_eq!(kinds("x.yaml", empty).refused.len(), 1, "{empty:?}");
    }
}

#[test]
fn templates_are_refused_whole() {
    let one = "kind: Pod\nspec: {containers: [{image: 'quay.io/a/b:1'}]}\n---\n";
    for image in ["{{ .Values.image }}", "\"{{ .Values.image }}:1\"", "{{ include \"x\" . }}"] {
        let text = format!("{one}kind: Pod\nspec:\n  containers:\n    - image: {image}\n");
        let list = read("pod.yaml", text.as_bytes(), None, &[]);
        assert_eq!((names(&list).len(), list.refused.len(), list.refused[0].line), (0, 1, 0), "{list:#?}");
    }
}

#[test]
fn of_very_many_wrong_lines_the_first_are_named_and_the_rest_counted() {
    let list = read("list.txt", "quay.io/Team/App:1\n".repeat(10_050).as_bytes(), None, &[]);
    assert_eq!(list.refused.len(), 10_001);
    assert_eq!((list.refused[9_999].line, list.refused[10_000].line), (10_000, 0));
    assert!(list.refused[10_000].reason.contains("50 more"), "{:?}", list.refused[10_000]);
    // Words that look like references are told once each.
    let text = "kind: ConfigMap\ndata: {a: 'h.example/a:1 h.example/a:1 h.example/b:1'}\n";
    let list = read("x.yaml", text.as_bytes(), None, &[]);
    assert_eq!(list.passed_over.len(), 1);
    assert!(list.passed_over[0].reason.ends_with("h.example/a:1, h.example/b:1"), "{:?}", list.passed_over);
}

#[test]
fn hostile_lists_end_with_a_reason() {
    let nested = "[".repeat(100_000);
    let bomb: String = (0..40)
        .map(|n| format!("a{n}: &a{n} [{0}, {0}]\n", if n == 0 { "x:1".to_owned() } else { format!("*a{}", n - 1) }))
        .collect();
    let keys = format!("kind: Pod\nspec: {{image: '{}'}}\n", "a".repeat(1 << 20));
    let merged = "a: &a {<<: *a}\n";
    let tabs = "kind: Pod\nspec:\n\timage: x:1\n";
    for (name, text) in [("nested", &*nested), ("bomb", &bomb), ("long", &keys), ("merged", merged), ("tabs", tabs)] {
        let list = read("x.yaml", text.as_bytes(), None, &[]);
        assert_eq!((list.entries.len(), list.refused.len()), (0, 1), "{name}");
    }
    // A key given twice hides no image.
    let list = read("x.yaml", b"kind: Pod\nspec: {image: 'a:1', image: 'b:2'}\n", None, &[]);
    assert_eq!(names(&list), ["docker.io/library/a:1", "docker.io/library/b:2"]);
}

#[test]
fn three_wrong_lines_of_500_are_all_named() {
    let line = |number: usize| match number {
        7 => "quay.io/Team/App:1".to_owned(),
        250 => "quay.io/a/b:".to_owned(),
        499 => "two words:x here".to_owned(),
        other => format!("quay.io/team/app:{other}"),
    };
    let text: String = (1..=500).map(|number| line(number) + "\n").collect();
    let list = read("list.txt", text.as_bytes(), None, &[]);
    assert_eq!(list.refused.iter().map(|one| one.line).collect::<Vec<_>>(), [7, 250, 499]);
    assert_eq!(list.entries.len(), 497);
}
