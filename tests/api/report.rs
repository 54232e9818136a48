//! Rows M12, G5, G6 and S18 in reports, by whole commands: a guard reads exactly what the verdict
//! says, and nothing of a bundle without a known signer.

use std::fs;
use std::path::PathBuf;

use packmule::state::Store;
use serde_json::{Value, json};

use crate::{Bundle, MANIFEST, key, make_layout, packmule, packmule_at, put};

const EVIL: &str = "<script>alert(1)</script><img src=x>&\"'-->\u{202e}gnp.exe";
const NOW: i64 = 1_767_225_600;

struct Desk(Bundle);

impl Desk {
    /// A bundle `b` of an image for two platforms, one with an SBOM inside, with a signature that
    /// refers to it; signed by these keys.
    fn new(signers: &[u8], export: &[&str]) -> Self {
        let desk = Self(Bundle::small("9", &[1]));
        let layout = desk.path("rich");
        make_layout(&layout, &[b"x".repeat(9000)]);
        let describe =
            |kind: &str, (digest, size): (String, usize)| json!({ "mediaType": kind, "digest": digest, "size": size });
        let config = describe("application/vnd.oci.image.config.v1+json", put(&layout, br#"{"os":"linux"}"#));
        let empty = describe("application/vnd.oci.empty.v1+json", put(&layout, b"{}"));
        let index_type = "application/vnd.oci.image.index.v1+json";
        let mut children = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let layer =
                describe("application/vnd.oci.image.layer.v1.tar", put(&layout, architecture.repeat(3000).as_bytes()));
            let image = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
            let mut child = describe(MANIFEST, put(&layout, image.to_string().as_bytes()));
            child["platform"] = json!({ "os": "linux", "architecture": architecture });
            children.push(child);
        }
        let mut statement = describe("application/vnd.in-toto+json", put(&layout, br#"{"predicate":{}}"#));
        statement["annotations"] = json!({ "in-toto.io/predicate-type": "https://spdx.dev/Document" });
        let attestation = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [statement] });
        let mut attestation = describe(MANIFEST, put(&layout, attestation.to_string().as_bytes()));
        attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
        attestation["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": children[0]["digest"],
        });
        children.push(attestation);
        let index = json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": children });
        let mut root = describe(index_type, put(&layout, index.to_string().as_bytes()));
        let signature = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [empty],
            "artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json", "subject": root,
        });
        let signature = describe(MANIFEST, put(&layout, signature.to_string().as_bytes()));
        root["annotations"] = json!({ "io.containerd.image.name": "registry.example/team/tide:2" });
        let list = json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": [root, signature] });
        fs::write(layout.join("index.json"), list.to_string()).unwrap();
        let keys: Vec<String> = signers.iter().map(|seed| format!("{seed}.pem")).collect();
        let mut args = vec!["export", "oci:rich", "-o", "usb/b", "--overwrite", "--state", "out"];
        keys.iter().for_each(|key| args.extend(["--sign", key]));
        desk.run(&[&args[..], export].concat(), 0);
        let policy = "[key]\nrelease = { public = \"1.pub.pem\", holder = \"release desk\", role = \"release\" }\n\
                      guard = { public = \"2.pub.pem\", holder = \"guard desk\", role = \"guard\" }\n";
        let section = "keys = [\"release\", \"guard\"]\nthreshold = 2\nroles = [\"release\", \"guard\"]\n";
        fs::write(desk.path("trust.toml"), format!("{policy}[no_channel]\n{section}[channel.apps]\n{section}"))
            .unwrap();
        desk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.root.path().join(file)
    }

    fn run(&self, args: &[&str], code: u8) -> String {
        let ended = packmule(self.0.root.path(), args);
        assert_eq!(ended.code, code, "{args:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout + &ended.stderr
    }

    /// Verifies with both reports and returns them.
    fn verify(&self, more: &[&str], code: u8) -> (Value, String) {
        let args = ["verify", "usb/b", "--report", "r.json", "--report", "r.html"];
        self.run(&[&args[..], more].concat(), code);
        self.reports(code)
    }

    fn reports(&self, code: u8) -> (Value, String) {
        let json = fs::read_to_string(self.path("r.json")).unwrap();
        let html = fs::read_to_string(self.path("r.html")).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["exit"], &value["ok"]), (&code.into(), &(code == 0).into()));
        assert!(json.is_ascii() && html.ends_with("</html>\n"));
        (value, html)
    }
}

fn result<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()["result"].as_str().unwrap()
}

const CHECKS: [&str; 6] = [
    "Signatures are genuine",
    "Signed by the required signers",
    "Allowed by the policy here",
    "In order, not expired",
    "Well-formed and complete",
    "Every byte as signed",
];

fn results(report: &Value) -> [&str; 6] {
    CHECKS.map(|name| result(report, name))
}

#[test]
fn a_bundle_that_passes_can_be_approved_from_its_page() {
    let notes = ["--annotation", "ticket=CHG-7", "--annotation", "from=hall 3", "--annotation", "to=dark site"];
    let channel = ["--channel", "apps", "--init-state", "--expires", "35d"];
    let desk = Desk::new(&[1, 2], &[&notes[..], &channel].concat());
    let trust = ["--policy", "trust.toml", "--state", "guard", "--record", "--init-state"];
    let (report, html) = desk.verify(&trust, 0);
    assert_eq!((&report["verdict"], &report["schema"]), (&"PASS".into(), &"packmule.report.v1".into()));
    let id = report["bundle"]["id"].as_str().unwrap();
    assert_eq!(id, packmule::oci::Digest::sha256(&fs::read(desk.path("usb/b.json")).unwrap()).to_string());
    for said in [report["handling"].as_str().unwrap(), &html] {
        assert!(said.contains("verifies content and never transforms it"), "{said}");
    }
    // In groups, in order.
    let groups: String = html.split("<b>").skip(1).take(16).map(|group| &group[..4]).collect();
    assert_eq!(groups, id["sha256:".len()..]);
    assert_eq!(results(&report), ["passed"; 6]);
    assert_eq!(result(&report, "Search for malware"), "open");
    let item = &report["contents"]["repositories"][0]["items"][0];
    assert_eq!(report["contents"]["repositories"][0]["name"], "registry.example/team/tide");
    assert_eq!((&item["kind"], &item["tags"]), (&"image".into(), &json!(["2"])));
    assert_eq!(item["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!((&item["signature"], &item["sbom"], &item["vex"]), (&"yes".into(), &"some".into(), &"no".into()));
    assert_eq!(item["attached"][0]["kind"], "signature");
    let own = report["bundle"]["bytes"].as_u64().unwrap() - item["attached"][0]["bytes"].as_u64().unwrap() + 2;
    assert_eq!(item["bytes"], own, "all but the signature, whose empty config it shares");
    for said in [
        "PASS",
        "CHG-7",
        "hall 3",
        "dark site",
        "release desk",
        "guard desk",
        "Decision on paper",
        "2026-02-05 00:00:00 UTC",
    ] {
        assert!(html.contains(said), "{said}");
    }
    assert_eq!(report["transfer"]["position"]["sequence"], 1);
    assert!(report["transfer"].get("last").is_none());
    // Again: now there is an accepted one.
    let (again, _) = desk.verify(&["--policy", "trust.toml", "--state", "guard", "--record", "--base", "usb/b"], 0);
    assert_eq!(again["transfer"]["last"]["id"], id);
    assert_eq!((&again["news"]["new"], &again["news"]["same"]), (&0.into(), &2.into()));
    assert_eq!(again["contents"]["repositories"][0]["items"][0]["news"], "same");
    // Keys instead of a policy: the policy's checks were not made.
    let (keys, _) = desk.verify(&["--key", "1.pub.pem"], 0);
    assert_eq!(result(&keys, "Allowed by the policy here"), "open");
    assert_eq!(result(&keys, "In order, not expired"), "open");
    let (part, html) = desk.verify(&["--key", "1.pub.pem", "--volume", "1"], 0);
    assert_eq!((&part["verdict"], result(&part, "Every byte as signed")), (&"PART".into(), "open"));
    assert!(!html.contains("Decision on paper"));
}

#[test]
fn s18_a_refusal_says_who_is_missing_and_what_was_not_reached() {
    let desk = Desk::new(&[1], &["--annotation", "ticket=CHG-8"]);
    let (report, html) = desk.verify(&["--policy", "trust.toml"], 13);
    assert_eq!(report["verdict"], "REFUSED");
    assert_eq!(report["signatures"]["missing_roles"], json!(["guard"]));
    assert_eq!((&report["signatures"]["needed"], &report["signatures"]["counted"]), (&2.into(), &1.into()));
    let signers = report["signatures"]["signers"].as_array().unwrap();
    let standing: Vec<_> = signers.iter().map(|one| (one["holder"].as_str(), one["standing"].as_str())).collect();
    assert_eq!(standing, [(Some("release desk"), Some("counted")), (Some("guard desk"), Some("missing"))]);
    assert_eq!(results(&report), ["passed", "failed", "open", "open", "open", "open"]);
    assert!(html.contains("Missing role: guard") && html.contains("What to do next") && !html.contains("PASS"));
    // G6: once the cause is fixed, the same command succeeds.
    desk.run(&["sign", "usb/b", "--sign", "2.pem"], 0);
    assert_eq!(desk.verify(&["--policy", "trust.toml"], 0).0["verdict"], "PASS");
}

#[test]
fn of_a_bundle_that_nobody_known_signed_nothing_is_told() {
    let desk = Desk::new(&[2], &["--annotation", "note=canary"]);
    let (report, html) = desk.verify(&["--key", "1.pub.pem"], 13);
    assert!(!report.to_string().contains("canary") && !html.contains("canary") && !html.contains("tide"));
    assert_eq!((&report["bundle"]["authenticated"], &report["bundle"]["name"]), (&false.into(), &"b".into()));
    assert!(report.get("contents").is_none() && report.get("transfer").is_none());
    assert!(html.contains(key(2).public().id()));
    // A forged signature under a known id is no better.
    let file = desk.path("usb/b.sig.json");
    let text = fs::read_to_string(&file).unwrap().replace(key(2).public().id(), key(1).public().id());
    fs::write(&file, text).unwrap();
    let (report, html) = desk.verify(&["--key", "1.pub.pem"], 12);
    assert!(!report.to_string().contains("canary") && html.contains("WRONG"));
    assert_eq!(results(&report), ["failed", "open", "open", "open", "open", "open"]);
    fs::write(desk.path("usb/b.json"), "{\"canary\":1}").unwrap();
    let (report, _) = desk.verify(&["--key", "1.pub.pem"], 12);
    assert!(!report.to_string().contains("canary"));
    fs::write(desk.path("usb/b.json"), "[]").unwrap();
    let (report, _) = desk.verify(&["--key", "1.pub.pem"], 10);
    assert_eq!((&report["verdict"], result(&report, "Well-formed and complete")), (&"REFUSED".into(), "failed"));
}

#[test]
fn damage_and_staleness_fail_their_own_check_and_no_other() {
    let desk = Desk::new(&[1, 2], &["--channel", "apps", "--init-state", "--expires", "35d"]);
    let volume = desk.path("usb/b.0001.tar.zst");
    let good = fs::read(&volume).unwrap();
    let mut bad = good.clone();
    let at = bad.len() - 600;
    bad[at] ^= 1;
    fs::write(&volume, &bad).unwrap();
    let (report, html) = desk.verify(&["--policy", "trust.toml"], 11);
    assert_eq!(result(&report, "Every byte as signed"), "failed");
    assert_eq!(results(&report)[..2], ["passed"; 2]);
    assert!(report["proven"].is_null() && html.contains("REFUSED") && html.contains("bring again: b.0001.tar.zst"));
    fs::remove_file(&volume).unwrap();
    let (report, _) = desk.verify(&["--policy", "trust.toml"], 11);
    assert_eq!(results(&report)[4..], ["open", "failed"], "no documents, no closure");
    fs::write(&volume, &good).unwrap();
    let args = ["verify", "usb/b", "--policy", "trust.toml", "--report", "r.json", "--report", "r.html"];
    let late = packmule_at(desk.0.root.path(), &args, None, NOW + 36 * 86_400);
    assert_eq!(late.code, 14, "{}", late.stderr);
    let (report, _) = desk.reports(14);
    assert_eq!(results(&report), ["passed", "passed", "passed", "failed", "open", "open"]);
    let late = packmule_at(desk.0.root.path(), &[&args[..], &["--allow-stale"]].concat(), None, NOW + 36 * 86_400);
    assert_eq!(late.code, 0, "{}", late.stderr);
    let (report, html) = desk.reports(0);
    assert_eq!(result(&report, "In order, not expired"), "overlooked");
    assert!(html.contains("Take note") && html.contains("overlooked"));
    assert!(!report["proven"].to_string().contains("Order"));
}

/// A local fault says nothing about the bundle: it is neither refused nor passed.
#[test]
fn c2_a_state_that_another_run_holds_is_no_verdict() {
    let desk = Desk::new(&[1, 2], &["--channel", "apps", "--init-state"]);
    let seat = Store::new(desk.path("guard"), String::new()).take("apps", "guard").unwrap();
    let trust = ["--policy", "trust.toml", "--state", "guard", "--record", "--init-state"];
    let told = desk.run(&[&["verify", "usb/b", "--report", "r.json", "--report", "r.html"][..], &trust].concat(), 23);
    assert!(!told.contains("REFUSED") && !told.contains("PASS"), "{told}");
    let (report, html) = desk.reports(23);
    assert_eq!(report["verdict"], "NONE");
    assert!(html.contains("NO VERDICT") && !html.contains("REFUSED"));
    drop(seat);
    assert_eq!(desk.verify(&trust, 0).0["verdict"], "PASS");
}

#[test]
fn m12_g5_what_the_sender_wrote_is_never_markup() {
    let ticket = format!("ticket={EVIL}");
    let name = "<b>name</b>=x";
    let long = format!("long={}", "<i>".repeat(20_000));
    let desk = Desk::new(&[1], &["--annotation", &ticket, "--annotation", name, "--annotation", &long]);
    let (report, html) = desk.verify(&["--key", "1.pub.pem"], 0);
    assert_eq!(report["transfer"]["ticket"], EVIL);
    for raw in ["<script", "<img", "<b>name", "<i><i>", "\u{202e}"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert!(html.contains("&lt;script&gt;") && html.contains("\\u{202e}") && html.len() < 40_000);
}

#[test]
fn a_file_that_is_no_report_is_refused_before_any_work() {
    let desk = Desk::new(&[1], &[]);
    fs::write(desk.path("thesis.html"), "mine").unwrap();
    for (name, code) in [("thesis.html", 2), ("x.txt", 2), ("no/r.html", 22), ("r.HTML", 2)] {
        let told = desk.run(&["verify", "usb/b", "--key", "1.pub.pem", "--report", name], code);
        assert!(!told.contains("PASS") && told.contains("--report"), "{told}");
    }
    assert_eq!(fs::read(desk.path("thesis.html")).unwrap(), b"mine");
    let (mut world, stdout, _) =
        packmule::cli::world::World::for_test(&["verify", "usb/b", "--key", "1.pub.pem"], desk.0.root.path());
    world.env.insert("PACKMULE_REPORT".into(), "env.html".into());
    assert_eq!(packmule::cli::run(&mut world), 0, "{}", stdout.text());
    assert!(fs::read_to_string(desk.path("env.html")).unwrap().contains("PASS"));
}

#[test]
fn other_commands_have_reports_too() {
    let desk = Desk::new(&[1], &["--annotation", "ticket=CHG-9"]);
    let report = ["--report", "r.json", "--report", "r.html"];
    desk.run(&[&["export", "oci:rich", "-o", "usb/c", "--sign", "1.pem"][..], &report].concat(), 0);
    let (export, html) = desk.reports(0);
    assert_eq!((&export["verdict"], &export["contents"]["read"]), (&"DONE".into(), &true.into()));
    assert!(html.contains("EXPORTED") && !html.contains("Decision on paper"));
    let import = ["import", "usb/b", "--key", "1.pub.pem", "--to", "oci:site"];
    desk.run(&[&import[..], &report].concat(), 0);
    let (page, html) = desk.reports(0);
    assert_eq!((&page["transfer"]["to"], &page["transfer"]["ticket"]), (&"oci:site".into(), &"CHG-9".into()));
    let item = &page["contents"]["repositories"][0]["items"][0];
    assert!(item["outcome"].as_str().unwrap().starts_with("sent to"), "{item}");
    assert!(html.contains("IMPORTED"));
    desk.run(&[&["inspect", "usb/b"][..], &report].concat(), 0);
    let (plain, html) = desk.reports(0);
    assert_eq!(plain["document"]["schema"], "packmule.inspect.v1");
    assert!(html.contains("not authenticated") && html.contains("not a verdict"));
    desk.run(&[&["inspect", "usb/none"][..], &report].concat(), 22);
    let (failed, html) = desk.reports(22);
    assert_eq!((&failed["verdict"], &failed["faults"][0]["class"]), (&"FAILED".into(), &"io".into()));
    assert!(html.contains("FAILED") && html.contains("no such bundle"));
}

/// The page names the newest line of the audit log, which records this very verdict.
#[test]
fn the_page_names_its_line_of_the_audit_log() {
    let desk = Desk::new(&[1], &[]);
    let (report, html) = desk.verify(&["--key", "1.pub.pem", "--audit", "log.jsonl", "--state", "s"], 0);
    let log = fs::read(desk.path("log.jsonl")).unwrap();
    let last = log.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let digest = packmule::oci::Digest::sha256(last).to_string();
    let with_end = packmule::oci::Digest::sha256(&[last, b"\n"].concat()).to_string();
    let named = report["audit"].as_str().unwrap();
    assert!(named == digest || named == with_end, "{named}");
    assert!(html.contains(named));
}
