//! Names, by whole commands: where a renamed artifact comes from, hosts in layouts, and maps that
//! fit no name.

use std::fs;

use serde_json::{Value, json};

use crate::{Bundle, packmule};

const RENAMED: &str =
    "export oci:source:example.org/tide:1,as=docker.io/library/tide:2 -o usb/renamed --sign 1.pem --overwrite";

fn policy(bundle: &Bundle, repositories: &str) {
    let text = format!(
        "[key]\nrelease = {{ public = \"1.pub.pem\", holder = \"release desk\", role = \"release\" }}\n\
         [no_channel]\nkeys = [\"release\"]\nrepositories = [{repositories}]\n"
    );
    fs::write(bundle.root.path().join("trust.toml"), text).unwrap();
}

#[test]
fn a_renamed_artifact_says_where_it_comes_from() {
    let bundle = Bundle::small("9", &[1]);
    assert!(bundle.run(&format!("{RENAMED} --dry-run"), 0).contains("it comes from example.org/tide"));
    bundle.run(RENAMED, 0);
    let told = bundle.run("inspect usb/renamed", 0);
    assert!(told.contains("docker.io/library/tide:2") || told.contains("docker.io/library/tide :2"), "{told}");
    assert!(told.contains("it comes from example.org/tide\n"), "{told}");
    assert!(!bundle.run("inspect usb/b", 0).contains("it comes from"), "not renamed");
    for (repositories, code) in
        [("\"docker.io/*\"", 15), ("\"example.org/*\"", 15), ("\"docker.io/*\", \"example.org/tide\"", 0)]
    {
        policy(&bundle, repositories);
        let told = bundle.run("verify usb/renamed --policy trust.toml --report r.json --report r.html", code);
        assert_eq!(told.contains("source repositories"), repositories == "\"docker.io/*\"", "{told}");
    }
    let report: Value = serde_json::from_slice(&fs::read(bundle.root.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(report["contents"]["repositories"][0]["items"][0]["source"], "example.org/tide", "{report}");
    let page = fs::read_to_string(bundle.root.path().join("r.html")).unwrap();
    assert!(page.contains("it comes from <b>example.org/tide</b>"));
}

#[test]
fn a_layout_keeps_hosts_through_import_and_export() {
    let bundle = Bundle::small("9", &[1]);
    bundle.run(RENAMED, 0);
    for name in ["b", "renamed"] {
        bundle.run(&format!("import usb/{name} --key 1.pub.pem --to oci:site"), 0);
    }
    let told = bundle.run("ls oci:site", 0);
    assert!(told.contains("example.org/tide:1") && told.contains("docker.io/library/tide:2"), "{told}");
    bundle.run("export oci:site -o usb/again --sign 1.pem", 0);
    let told = bundle.run("inspect usb/again", 0);
    assert!(told.contains("  example.org/tide ") || told.contains("  example.org/tide:"), "{told}");
    assert!(bundle.run("diff ./usb/b oci:site --check", 0).contains("all at"));
    // A name given by hand is below the layout as it is.
    bundle.run("copy oci:source:example.org/tide:1 --to oci:by-hand --as team/tide:3", 0);
    assert!(bundle.run("ls oci:by-hand", 0).contains("team/tide:3"));
    assert!(!bundle.run("ls oci:by-hand", 0).contains("localhost/"));
}

#[test]
fn a_typed_map_that_is_for_nothing_is_refused_before_any_work() {
    let bundle = Bundle::small("9", &[1]);
    let import = |map: &str, code: u8| {
        let args = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site", "--map", map, "--json"];
        let ended = packmule(bundle.root.path(), &args);
        assert_eq!(ended.code, code, "{map}: {}", ended.stderr);
        (serde_json::from_str::<Value>(&ended.stdout).unwrap(), ended.stderr + &ended.stdout)
    };
    let (_, told) = import("example.org/tidy=x", 2);
    assert!(told.contains("the nearest name is example.org/tide"), "{told}");
    assert!(!bundle.root.path().join("site").exists(), "nothing was created");
    fs::write(bundle.root.path().join("maps"), "# rules for many bundles\nexample.org/tidy=x\ntide=y/tide\n").unwrap();
    let (done, told) = import("@maps", 0);
    assert!(told.contains("warning") && told.contains("example.org/tidy"), "{told}");
    // FROM without a host matches any host.
    assert_eq!(done["result"]["artifacts"][0]["repository"], "y/tide", "{done}");
    let copy = "copy oci:source --to oci:copied --map example.org/tidy=x";
    assert!(bundle.run(copy, 2).contains("the nearest name is example.org/tide"));
    assert!(!bundle.root.path().join("copied").exists());
    assert!(bundle.run("diff ./usb/b oci:site --map example.org/tidy=x", 2).contains("nearest"));
}

#[test]
fn a_map_for_names_of_two_hosts_is_refused_with_both() {
    let bundle = Bundle::small("9", &[1]);
    let other = "oci:source:example.org/tide:1,as=example.net/tide:1";
    bundle.run(&format!("export oci:source:example.org/tide:1 {other} -o usb/two --sign 1.pem"), 0);
    let import = "import usb/two --key 1.pub.pem --to oci:site --map";
    let told = bundle.run(&format!("{import} tide=x"), 2);
    assert!(told.contains("example.org/tide") && told.contains("example.net/tide"), "{told}");
    bundle.run(&format!("{import} tide=x --map example.net/tide=y"), 0);
    let told = bundle.run("ls oci:site --json", 0);
    let listed: Value = serde_json::from_str(&told).unwrap_or_else(|_| json!(told));
    assert!(listed.to_string().contains("x:1") && listed.to_string().contains("y:1"), "{listed}");
}
