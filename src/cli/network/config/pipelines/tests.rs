//! Tests of the tables of pipelines: what they mean, and what is refused with which line.

use std::path::Path;

use super::super::Config;
use super::super::pipelines::Place;
use crate::base::fault::Fault;
use crate::decide::select::{IndexMode, Referrers};
use crate::operate::import::TagConflict;

fn load(text: &str) -> Result<Config, Fault> {
    let mut config = Config::default();
    config.add(Path::new("/etc/x/packmule.toml"), text, Some(&std::collections::BTreeMap::new()))?;
    config.check()?;
    Ok(config)
}

/// Checks that a table is refused at a line, with words about it.
fn refused(table: &str, line: usize, said: &str) {
    let text = format!("[storage]\nlow = {{ url = \"file:///srv\" }}\n{table}");
    let fault = load(&text).expect_err(table);
    let shown = format!("{fault:?}");
    assert!(
        fault.what.starts_with(&format!("/etc/x/packmule.toml:{}: ", line + 2)) && fault.what.contains(said),
        "{table}: {}",
        fault.what
    );
    assert!(fault.help.is_some() && !shown.contains("canary"), "{shown}");
}

#[test]
fn t3_all_keys_of_an_export() {
    let config = load(
        r#"
        storage.low = { url = "file:///srv" }
        [export.monthly]
        storage = "low"
        stage = "stage"
        channel = "apps"
        epoch = 2
        expires = "35d"
        base = "last"
        sign = ["release.pem", "pkcs11:token=t"]
        passphrase = { env = "PASS" }
        release = { signatures = 2, repositories = ["docker.io/library/*"] }
        platforms = ["linux/amd64"]
        index = "keep"
        referrers = ["application/spdx+json"]
        foreign = true
        annotations = { ticket = "CHG-1" }
        volume_size = "64MiB"
        overwrite = true
        allow_partial = true
        artifacts = [ "quay.io/a/b:1", { ref = "quay.io/apps/*", semver = "^2", latest = 3, exclude = ["*-rc*"] },
                      { ref = "file:small.gguf", as = "localhost/models/small:q4" }, { images_in = "list.yaml" } ]
        "#,
    )
    .unwrap();
    let export = &config.exports["monthly"];
    let selectors: Vec<String> = export.artifacts.selectors.iter().map(ToString::to_string).collect();
    assert_eq!(
        selectors,
        [
            "quay.io/a/b:1",
            "quay.io/apps/*,semver=^2,latest=3,exclude=*-rc*",
            "file:/etc/x/small.gguf,as=localhost/models/small:q4"
        ]
    );
    assert_eq!(export.artifacts.lists, [Path::new("/etc/x/list.yaml")]);
    assert_eq!(
        (&export.place, export.stage.as_deref()),
        (&Place::Storage("low".into()), Some(Path::new("/etc/x/stage")))
    );
    assert_eq!(
        (export.channel.as_deref(), export.epoch, export.expires.as_deref()),
        (Some("apps"), Some(2), Some("35d"))
    );
    assert_eq!(export.sign, [Path::new("/etc/x/release.pem"), Path::new("pkcs11:token=t")]);
    assert_eq!((export.release.signatures, export.release.repositories.as_ref().unwrap().len()), (2, 1));
    assert_eq!((export.index, export.foreign, export.volume_size), (IndexMode::Keep, true, 64 << 20));
    assert_eq!(export.filters.referrers, Referrers::Types(vec!["application/spdx+json".into()]));
    assert_eq!(
        (export.overwrite, export.allow_partial, export.bases.as_slice()),
        (true, true, &["last".to_owned()][..])
    );
    assert_eq!(export.passphrase.as_ref().unwrap().source.to_string(), "variable PASS");
}

#[test]
fn t4_all_keys_of_an_import_and_their_defaults() {
    let config = load(
        r#"
        [import.dark]
        dir = "in"
        to = "harbor.example/mirror"
        policy = "trust.toml"
        map = ["rules", "a.example/apps/*=apps/*"]
        keep_host = true
        tag_conflict = "move"
        keep_going = true
        delete_source = true
        trigger = false
        interval = "2m"
        receipt = { dir = "receipts", sign = "site.pem", passphrase = { systemd = "site" }, emit = { containerd = "certs.d" } }
        [import.plain]
        dir = "in"
        to = "oci:out"
        "#,
    )
    .unwrap();
    let dark = &config.imports["dark"];
    assert_eq!((&dark.place, dark.to.as_str()), (&Place::Directory("/etc/x/in".into()), "harbor.example/mirror"));
    assert_eq!((dark.tag_conflict, dark.keep_going, dark.delete_source), (TagConflict::Move, true, true));
    assert_eq!((dark.trigger, dark.interval.as_secs(), dark.keep_host), (false, 120, true));
    let receipt = dark.receipt.as_ref().unwrap();
    assert_eq!(
        (receipt.dir.as_path(), receipt.sign.as_slice()),
        (Path::new("/etc/x/receipts"), &["/etc/x/site.pem".into()][..])
    );
    assert_eq!(receipt.emit, [(crate::operate::emit::Kind::Containerd, "/etc/x/certs.d".into())]);
    let plain = &config.imports["plain"];
    assert_eq!((plain.tag_conflict, plain.keep_going, plain.delete_source), (TagConflict::Fail, false, false));
    assert_eq!((plain.trigger, plain.interval.as_secs(), plain.receipt.is_some()), (true, 30, false));
}

#[test]
fn t3_t21_a_wrong_export_is_refused_with_its_line() {
    let good = "artifacts = [\"a:1\"], sign = \"k\"";
    for (rest, said) in [
        ("dir = \"x\"", "name or channel"),
        ("name = \"b\"", "storage or dir, found neither"),
        ("dir = \"x\", storage = \"low\", name = \"b\"", "found both"),
        ("dir = \"x\", name = \"b\", channel = \"c\"", "name or channel, found both"),
        ("dir = \"x\", name = \"B\"", "name"),
        ("dir = \"x\", channel = \"Not One\"", "channel"),
        ("dir = \"x\", name = \"b\", epoch = 1", "channel as well"),
        ("dir = \"x\", name = \"b\", expires = \"35d\"", "channel as well"),
        ("dir = \"x\", name = \"b\", base = \"last\"", "channel as well"),
        ("dir = \"x\", channel = \"c\", expires = \"soon\"", "expires"),
        ("storage = \"low\", name = \"b\"", "stage"),
        ("storage = \"lwo\", stage = \"s\", name = \"b\"", "no storage \"lwo\""),
        ("dir = \"x\", name = \"b\", stage = \"s\"", "stage"),
        ("dir = \"x\", name = \"b\", release = {}", "signatures or repositories"),
        ("dir = \"x\", name = \"b\", release = { signatures = 0 }", "release.signatures"),
        ("dir = \"x\", name = \"b\", release = { signatures = 99 }", "release.signatures"),
        ("dir = \"x\", name = \"b\", release = { repositories = [\"\"] }", "release.repositories"),
        ("dir = \"x\", name = \"b\", release = [2]", "a table"),
        ("dir = \"x\", name = \"b\", platforms = [\"linux\"]", "platforms"),
        ("dir = \"x\", name = \"b\", index = \"cut\"", "rebuild, sparse, keep"),
        ("dir = \"x\", name = \"b\", referrers = [\"all\", \"x/y\"]", "a mix"),
        ("dir = \"x\", name = \"b\", volume_size = \"1KiB\"", "volume_size"),
        ("dir = \"x\", name = \"b\", annotations = { \"packmule.from\" = \"x\" }", "annotations"),
        ("dir = \"x\", name = \"b\", passphrase = \"canary\"", "never write the secret itself"),
        ("dir = \"x\", name = \"b\", overwrite = \"yes\"", "boolean"),
        ("dir = \"x\", name = \"b\", colour = 1", "colour"),
        ("dir = \"x\", name = \"b\", recipes = \"auto\"", "recipes"),
    ] {
        refused(&format!("[export]\nm = {{ {good}, {rest} }}"), 2, said);
    }
    refused("[export]\nm = { dir = \"x\", name = \"b\", sign = \"k\" }", 2, "artifacts");
    refused("[export]\nm = { dir = \"x\", name = \"b\", artifacts = [\"a:1\"] }", 2, "nobody would sign");
    refused("[export]\n\"a b\" = { dir = \"x\", name = \"b\", sign = \"k\", artifacts = [\"a:1\"] }", 2, "name");
    // Each wrong artifact has its own line; all are listed.
    let list = "[export.m]\ndir = \"x\"\nname = \"b\"\nsign = \"k\"\nartifacts = [\n  { ref = \"A/b\" },\n  { ref = \"a\", semver = \"one\" },\n  {},\n]";
    refused(list, 6, "artifacts");
    let text = format!("[storage]\nlow = {{ url = \"file:///srv\" }}\n{list}");
    assert_eq!(load(&text).unwrap_err().others.len(), 2);
}

#[test]
fn t4_t21_a_wrong_import_is_refused_with_its_line() {
    for (rest, said) in [
        ("dir = \"x\"", "to"),
        ("dir = \"x\", to = \"Not A Host\"", "to"),
        ("to = \"oci:y\"", "storage or dir"),
        ("storage = \"none\", to = \"oci:y\"", "no storage"),
        ("dir = \"x\", to = \"oci:y\", tag_conflict = \"win\"", "fail, keep, move"),
        ("dir = \"x\", to = \"oci:y\", interval = \"0s\"", "interval"),
        ("dir = \"x\", to = \"oci:y\", delete_source = true", "receipt.dir"),
        ("dir = \"x\", to = \"oci:y\", receipt = {}", "dir"),
        ("dir = \"x\", to = \"oci:y\", receipt = { dir = \"r\", emit = { helm = \"d\" } }", "helm"),
        ("dir = \"x\", to = \"oci:y\", receipt = { dir = \"r\", passphrase = { env = \"X\" } }", "sign"),
        ("dir = \"x\", to = \"oci:y\", trigger = 1", "boolean"),
        ("dir = \"x\", to = \"oci:y\", too = 1", "too"),
    ] {
        refused(&format!("[import]\nm = {{ {rest} }}"), 2, said);
    }
}

#[test]
fn t5_the_same_pipeline_in_two_files_is_refused() {
    let text = "[import.a]\ndir = \"x\"\nto = \"oci:y\"";
    let mut config = Config::default();
    config.add(Path::new("/one.toml"), text, None).unwrap();
    let fault = config.add(Path::new("/two.toml"), text, None).unwrap_err();
    assert!(fault.what.contains("/two.toml:1") && fault.what.contains("/one.toml:1"), "{}", fault.what);
}

#[test]
fn t3_t4_the_examples_of_the_page_load() {
    let page = include_str!("../../../../../spec/pipelines.md");
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").map_or("", |(block, _)| block)).collect();
    let [low, dark] = blocks.as_slice() else { panic!("{}", blocks.len()) };
    assert!(load(low).unwrap().exports["monthly"].release.signatures == 2);
    assert!(load(dark).unwrap().imports["dark"].delete_source);
}
