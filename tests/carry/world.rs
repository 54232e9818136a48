//! What the tests of the main job stand on: the variables of the real registries, the built binary, strangers'
//! programs. It must not import packmule's own code: what is checked is checked by others' means.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A variable of `cargo xtask services`; without it the test is skipped aloud, or fails where `CI` is set.
pub fn var(name: &str) -> Option<String> {
    if let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
        return Some(value);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is not set: run `cargo xtask test`");
    eprintln!("!! SKIPPED {}: {name} is not set", std::thread::current().name().unwrap_or("a test"));
    None
}

/// A run of the binary without the test's own environment.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.args(args).current_dir(dir()).env_clear().env("SOURCE_DATE_EPOCH", "1700000000").stdin(Stdio::null());
    command
}

/// Runs it, expects `code`; gives the JSON document and standard error.
pub fn packmule(args: &[&str], code: i32) -> (Value, String) {
    let output = command(args).arg("--json").output().expect("packmule runs");
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{error}");
    (serde_json::from_str(&out).expect("one JSON document"), error)
}

/// Runs a stranger's program, which must succeed; gives what it printed.
pub fn stranger(program: &str, args: &[&str]) -> Vec<u8> {
    let Output { status, stdout, stderr } =
        Command::new(program).args(args).current_dir(dir()).output().expect("program runs");
    assert!(status.success(), "{program} {args:?}: {}", text(&stderr));
    stdout
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// This run's empty folder, with a pair of keys in it: `k.pem`, `k.pub.pem`.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("carry");
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).expect("folder");
        let made = Command::new(env!("CARGO_BIN_EXE_packmule"))
            .args(["key", "new", "-o", "k.pem", "--no-passphrase"])
            .current_dir(&dir)
            .output()
            .expect("packmule runs");
        assert!(made.status.success(), "{}", text(&made.stderr));
        dir
    })
}

/// A prefix that no other run and no other test uses.
pub fn prefix(test: &str) -> String {
    format!("t{}/{test}", std::process::id())
}

/// One manifest that a faithful carrier must bring along.
pub struct Expected {
    pub repository: String,
    pub tag: Option<String>,
    pub digest: String,
    pub kind: String,
    pub subject: Option<String>,
}

/// All of the corpus.
pub fn expected() -> Option<Vec<Expected>> {
    let bytes = std::fs::read(Path::new(&var("PACKMULE_TEST_CORPUS")?).join("expected.json")).expect("expected.json");
    let list: Vec<Value> = serde_json::from_slice(&bytes).expect("JSON");
    let word = |entry: &Value, member: &str| entry[member].as_str().map(ToOwned::to_owned);
    let read = |entry: &Value| Expected {
        repository: word(entry, "repository").expect("repository"),
        tag: word(entry, "tag"),
        digest: word(entry, "digest").expect("digest"),
        kind: word(entry, "kind").expect("kind"),
        subject: word(entry, "subject"),
    };
    Some(list.iter().map(read).collect())
}

/// What must be selected so that all of it travels: tags, and what is only pinned.
pub fn selectors(source: &str, expected: &[Expected]) -> Vec<String> {
    let named = expected.iter().filter_map(|entry| match (&entry.tag, entry.kind.as_str()) {
        (Some(tag), _) => Some(format!("{source}/{}:{tag}", entry.repository)),
        (None, "pinned") => Some(format!("{source}/{}@{}", entry.repository, entry.digest)),
        _ => None,
    });
    named.collect()
}

/// The manifest's bytes at a registry, as crane gives them.
pub fn manifest(crane: &str, name: &str) -> Vec<u8> {
    stranger(crane, &["manifest", "--insecure", name])
}
