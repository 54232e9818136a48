//! A bundle held to a policy file: what the vectors about policies, clocks and states begin from.

use super::content::Content;
use super::curve::Key;
use super::envelope::base64;
use super::scene::Scene;
use serde_json::json;

/// Who may sign, and what: two desks, which must both have signed.
pub const POLICY: &str = r#"[key]
release = { public = "1.pem", holder = "release desk", role = "release" }
guard = { public = "2.pem", holder = "guard desk", role = "guard" }

[channel.apps]
keys = ["release", "guard"]
"#;

/// The policy's file.
pub const FILE: &str = "trust.toml";

/// The algorithm in front of an Ed25519 key.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A PEM block of a public key.
pub fn block(der: &[u8]) -> String {
    let text = base64(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// The file of an Ed25519 key.
pub fn pem(public: &[u8; 32]) -> String {
    block(&[&ED25519[..], public].concat())
}

/// The spec's example in the channel `apps`, at this place.
pub fn at(epoch: u64, sequence: u64) -> Content {
    placed(Content::salt(), epoch, sequence)
}

/// Any content in the channel `apps`, at this place.
pub fn placed(content: Content, epoch: u64, sequence: u64) -> Content {
    content.with("channel", json!("apps")).with("epoch", json!(epoch)).with("sequence", json!(sequence))
}

/// `content`, signed by these test keys and held to `policy`. Of the files `N.pem` that this names those of the test
/// keys lie beside it.
pub fn held(content: &Content, signers: &[u8], policy: &str) -> Scene {
    let keys: Vec<Key> = signers.iter().map(|seed| Key::of(*seed)).collect();
    under(content.packed().under(&keys).signed(), policy)
}

/// A scene held to `policy` in place of its keys.
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

/// What both desks have signed, held to `policy`.
pub fn base(policy: &str) -> Scene {
    held(&at(0, 7), &[1, 2], policy)
}

/// The usual policy with one thing changed.
pub fn changed(from: &str, to: &str) -> String {
    assert!(POLICY.contains(from), "{from}: not in the policy");
    POLICY.replacen(from, to, 1)
}

/// The usual policy with more lines in the channel's section.
pub fn more(lines: &str) -> String {
    format!("{POLICY}{lines}\n")
}
