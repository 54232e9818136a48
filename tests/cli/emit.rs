//! `emit` from outside: what it prints and writes, what it replaces and what it does not, and how it
//! says what it cannot express.

use std::fs;

use super::receipts::{import, two};
use super::world::{command, dir, packmule, refused, text};

/// Every kind and the files that it writes for names of one host.
const KINDS: [(&str, &str); 8] = [
    ("containerd", "example.org/hosts.toml"),
    ("k3s", "registries.yaml"),
    ("registries-conf", "packmule.conf"),
    ("idms", "idms.yaml"),
    ("itms", "itms.yaml"),
    ("kustomize", "kustomization.yaml"),
    ("images", "images.txt"),
    ("helm-values", "values.yaml"),
];

/// Imports two images into a layout below `test`; the receipt is `test/r.json`.
fn received(test: &str, seed: u64) {
    two(test, seed);
    import(&format!("{test}/b"), &format!("oci:{test}/site"), &format!("{test}/r.json"), &[], 0);
}

fn read(path: &str) -> String {
    fs::read_to_string(dir().join(path)).unwrap()
}

#[test]
fn it_prints_the_bytes_that_it_writes() {
    received("emit-print", 9800);
    for (kind, file) in KINDS {
        let words = ["emit", kind, "emit-print/r.json", "--to", "reg.site/mirror"];
        let ended = command(&words).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
        let out = format!("emit-print/{kind}");
        let (done, _) = packmule(&[&words[..], &["-o", &out]].concat(), 0);
        let path = format!("{out}/{file}");
        assert_eq!(done["result"]["files"], serde_json::json!([{ "path": path, "state": "written" }]), "{kind}");
        assert_eq!(text(&ended.stdout), format!("# {file}\n{}", read(&path)));
        assert!(read(&path).contains("reg.site"), "{kind}");
        let (shown, _) = packmule(&words, 0);
        assert_eq!(shown["result"]["files"][0]["content"], read(&path), "{kind}");
    }
}

#[test]
fn it_replaces_only_what_it_wrote() {
    received("emit-own", 9810);
    let to = |place: &str, code: i32| {
        packmule(&["emit", "containerd", "emit-own/r.json", "--to", place, "-o", "emit-own/certs.d"], code).0
    };
    let state = |done: &serde_json::Value| done["result"]["files"][0]["state"].as_str().map(str::to_owned);
    assert_eq!(state(&to("one.site", 0)).as_deref(), Some("written"));
    assert_eq!(state(&to("one.site", 0)).as_deref(), Some("unchanged"));
    assert_eq!(state(&to("two.site", 0)).as_deref(), Some("replaced"));
    let path = "emit-own/certs.d/example.org/hosts.toml";
    assert!(read(path).contains("two.site") && !read(path).contains("one.site"));
    // A file of an earlier run for a host that is no longer named.
    fs::create_dir(dir().join("emit-own/certs.d/gone.example")).unwrap();
    fs::copy(dir().join(path), dir().join("emit-own/certs.d/gone.example/hosts.toml")).unwrap();
    fs::create_dir(dir().join("emit-own/certs.d/mine.example")).unwrap();
    fs::write(dir().join("emit-own/certs.d/mine.example/hosts.toml"), "server = \"https://mine\"\n").unwrap();
    let done = to("two.site", 0);
    assert_eq!(done["result"]["stale"], serde_json::json!(["emit-own/certs.d/gone.example/hosts.toml"]));
    // Another's file, and one of another kind, stay.
    for other in ["mine\n", "# Written by packmule emit k3s, which replaces this file.\n"] {
        fs::write(dir().join(path), other).unwrap();
        let words = ["emit", "containerd", "emit-own/r.json", "--to", "one.site", "-o", "emit-own/certs.d"];
        let told = refused(&words, 2);
        assert!(told.contains("hosts.toml") && read(path) == other, "{told}");
    }
    let left: Vec<_> = fs::read_dir(dir().join("emit-own/certs.d/example.org")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing unfinished is left: {left:?}");
}

#[test]
fn nothing_is_written_if_one_file_is_in_the_way() {
    received("emit-way", 9820);
    let receipt = read("emit-way/r.json");
    let both = receipt.replacen("\"repository\":\"example.org/a/b\"", "\"repository\":\"example.net/a/b\"", 1);
    fs::write(dir().join("emit-way/both.json"), both).unwrap();
    let words = ["emit", "containerd", "emit-way/both.json", "emit-way/r.json", "--to", "reg.site", "-o", "emit-way/d"];
    fs::create_dir_all(dir().join("emit-way/d/example.org")).unwrap();
    fs::write(dir().join("emit-way/d/example.org/hosts.toml"), "mine").unwrap();
    let code = command(&words).output().unwrap().status.code();
    assert_ne!(code, Some(0));
    assert!(!dir().join("emit-way/d/example.net").exists());
}

#[test]
fn what_it_cannot_do_is_said() {
    received("emit-said", 9830);
    let told = refused(&["emit", "k3s", "emit-said/r.json"], 2);
    assert!(told.contains("--to"), "a layout has no registry: {told}");
    refused(&["emit", "k3s", "emit-said/r.json", "--to", "oci:x"], 2);
    refused(&["emit", "k3s", "emit-said/none.json", "--to", "reg.site"], 22);
    refused(&["emit", "k3s", "emit-said/b.json", "--to", "reg.site"], 10);
    refused(&["emit", "nerdctl", "emit-said/r.json", "--to", "reg.site"], 2);
    refused(&["emit", "k3s", "--to", "reg.site"], 2);
    // A name whose path a map changed.
    let args = ["import", "emit-said/b", "--key", "k.pub.pem", "--to", "oci:emit-said/other"];
    let more = ["--map", "example.org/a/b=other/b", "--receipt", "emit-said/m.json"];
    packmule(&[&args[..], &more].concat(), 0);
    let receipt = read("emit-said/m.json")
        .replace("oci:emit-said/other", "reg.site")
        .replace("\"destination\":\"other/b\"", "\"destination\":\"reg.site/other/b\"");
    fs::write(dir().join("emit-said/m.json"), receipt).unwrap();
    let told = refused(&["emit", "containerd", "emit-said/m.json", "-o", "emit-said/certs.d"], 30);
    assert!(told.contains("example.org/a/b → reg.site/other/b"), "{told}");
    for kind in ["k3s", "registries-conf", "idms", "kustomize"] {
        packmule(&["emit", kind, "emit-said/m.json"], 0);
    }
}
