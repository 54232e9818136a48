//! A bundle verified with a policy file: the basis of the vectors about policies, clocks and
//! states.

use super::content::Content;
use super::curve::Key;
use super::envelope::base64;
use super::scene::Scene;
use serde_json::json;

/// Two desks, which must both have signed.
pub const POLICY: &str = r#"[key]
release = { public = "1.pem", holder = "release desk", role = "release" }
guard = { public = "2.pem", holder = "guard desk", role = "guard" }

[channel.apps]
keys = ["release", "guard"]
"#;

/// Name of the policy file.
pub const FILE: &str = "trust.toml";

/// DER prefix of an Ed25519 key.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Returns a PEM block of a public key.
pub fn block(der: &[u8]) -> String {
    let text = base64(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// Returns the file of an Ed25519 key.
pub fn pem(public: &[u8; 32]) -> String {
    block(&[&ED25519[..], public].concat())
}

/// Returns the spec's example in the channel `apps`, at this position.
pub fn at(epoch: u64, sequence: u64) -> Content {
    placed(Content::salt(), epoch, sequence)
}

/// Returns `content` in the channel `apps`, at this position.
pub fn placed(content: Content, epoch: u64, sequence: u64) -> Content {
    content.with("channel", json!("apps")).with("epoch", json!(epoch)).with("sequence", json!(sequence))
}

/// Returns `content`, signed by these test keys and verified with `policy`. Adds the files `N.pem`
/// of test keys that the policy names.
pub fn held(content: &Content, signers: &[u8], policy: &str) -> Scene {
    let keys: Vec<Key> = signers.iter().map(|seed| Key::of(*seed)).collect();
    under(content.packed().under(&keys).signed(), policy)
}

/// Returns a scene that is verified with `policy` instead of its keys.
pub fn under(mut scene: Scene, policy: &str) -> Scene {
    scene.keys.clear();
    scene.threshold = None;
    scene.given.policy = Some(FILE.to_owned());
    scene.lay(FILE, policy.as_bytes());
    for seed in 1..=9 {
        let file = format!("{seed}.pem");
        if policy.contains(&format!("\"{file}\"")) {
            scene.lay(&file, pem(&Key::of(seed).public).as_bytes());
        }
    }
    scene
}

/// Returns the example signed by both desks and verified with `policy`.
pub fn base(policy: &str) -> Scene {
    held(&at(0, 7), &[1, 2], policy)
}

/// Returns the usual policy with one thing changed.
pub fn changed(from: &str, to: &str) -> String {
    assert!(POLICY.contains(from), "{from}: not in the policy");
    POLICY.replacen(from, to, 1)
}

/// Returns the usual policy with more lines in the section of the channel.
pub fn more(lines: &str) -> String {
    format!("{POLICY}{lines}\n")
}
