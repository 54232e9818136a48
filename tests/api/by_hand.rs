//! Runs the commands of README.md and spec/by-hand.md for checking without packmule, unchanged.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Output};

use crate::{Bundle, noise};

/// Returns all blocks fenced with `sh by-hand`, joined.
fn script(document: &str) -> String {
    let text = fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let blocks: Vec<&str> =
        text.split("```sh by-hand\n").skip(1).map(|rest| rest.split_once("```").expect("a closing fence").0).collect();
    assert!(blocks.len() >= 3, "{document}: expected the steps, found {}", blocks.len());
    blocks.concat()
}

/// Returns whether the tools are installed; where `CI` is set, they must be.
fn tools_are_here() -> bool {
    let missing: Vec<&str> = ["zstd", "openssl", "tar", "sha256sum"]
        .into_iter()
        .filter(|tool| !Command::new(tool).arg("--version").output().is_ok_and(|_| true))
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "not installed: {missing:?}");
    eprintln!("NOT RUN: by-hand needs {missing:?}");
    false
}

fn run(bundle: &Bundle, script: &str, key: &str) -> Output {
    // Its temporary directory is inside ours, so that nothing is left behind.
    Command::new("sh")
        .args(["-eu", "-c", script])
        .current_dir(bundle.dir())
        .env("NAME", "b")
        .env("PUB", bundle.root.path().join(key))
        .env("TMPDIR", bundle.root.path())
        .output()
        .unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_the_documents_say_to_do_by_hand_works_and_refuses() {
    if !tools_are_here() {
        return;
    }
    let layers = [b"high water\n".repeat(90), noise(6, 100_000)];
    let bundle = Bundle::new(&layers, &[], &[1]);
    for document in ["README.md", "spec/by-hand.md"] {
        let script = script(document);
        let output = run(&bundle, &script, "1.pub.pem");
        let text = shown(&output);
        assert!(output.status.success(), "{document}: {text}");
        assert!(text.contains("Signature Verified Successfully"), "{document}: {text}");
        for layer in &layers {
            let digest = packmule::oci::Digest::sha256(layer).to_string();
            let line = format!("{}: OK", digest.replace(':', "/"));
            assert!(text.contains(&line), "{document}: {line} in {text}");
        }

        assert!(!run(&bundle, &script, "2.pub.pem").status.success(), "{document}: another key");
        for file in ["b.0001.tar.zst", "b.json", "b.sig.json", "b.sha256"] {
            let good = fs::read(bundle.path(file)).unwrap();
            let handle = fs::OpenOptions::new().write(true).open(bundle.path(file)).unwrap();
            // A byte near the end: in the signature file it is a byte of the signature itself.
            let at = good.len() - 20;
            handle.write_all_at(&[good[at] ^ 1], at as u64).unwrap();
            let output = run(&bundle, &script, "1.pub.pem");
            assert!(!output.status.success(), "{document}: {file} flipped: {}", shown(&output));
            handle.write_all_at(&good, 0).unwrap();
        }
        fs::copy(bundle.path("b.0001.tar.zst"), bundle.path("b.0002.tar.zst")).unwrap();
        assert!(!run(&bundle, &script, "1.pub.pem").status.success(), "{document}: an extra volume");
        fs::remove_file(bundle.path("b.0002.tar.zst")).unwrap();
    }
}
