//! The basis of tests that run the built binary: the variables of the real registries, runs, other
//! programs. It must not import packmule's own code: results are checked by other means.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Returns a variable of `cargo xtask services`; without it the test prints that it is skipped, or
/// fails if `CI` is set.
pub fn var(name: &str) -> Option<String> {
    if let Some(value) = std::env::var(name).ok().filter(|value| !value.is_empty()) {
        return Some(value);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is not set: run `cargo xtask test`");
    eprintln!("!! SKIPPED {}: {name} is not set", std::thread::current().name().unwrap_or("a test"));
    None
}

/// Distance between the calls at which a run is interrupted: `step`; in a sweep every call is
/// tried.
pub fn stride(step: usize) -> usize {
    if std::env::var_os("PACKMULE_TEST_SWEEP").is_some() { 1 } else { step }
}

/// Prepares a run of the binary without the test's own environment.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.args(args).current_dir(dir()).env_clear().env("SOURCE_DATE_EPOCH", "1700000000").stdin(Stdio::null());
    command
}

/// Runs it, expects `code`; returns the JSON document and standard error.
pub fn packmule(args: &[&str], code: i32) -> (Value, String) {
    let output = command(args).arg("--json").output().expect("packmule runs");
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{error}");
    (serde_json::from_str(&out).expect("one JSON document"), error)
}

/// Runs another program, which must succeed; returns its output.
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

/// Returns this test program's own folder, emptied at the start of a run, with a pair of keys in it: `k.pem`, `k.pub.pem`.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
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

/// Returns a prefix that no other run and no other test uses.
pub fn prefix(test: &str) -> String {
    format!("t{}/{test}", std::process::id())
}

/// A manifest that must arrive.
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

/// The selection with which all of it travels: tags, and digests without a tag.
pub fn selectors(source: &str, expected: &[Expected]) -> Vec<String> {
    let named = expected.iter().filter_map(|entry| match (&entry.tag, entry.kind.as_str()) {
        (Some(tag), _) => Some(format!("{source}/{}:{tag}", entry.repository)),
        (None, "pinned") => Some(format!("{source}/{}@{}", entry.repository, entry.digest)),
        _ => None,
    });
    named.collect()
}

/// Returns the manifest's bytes at a registry, as crane prints them.
pub fn manifest(crane: &str, name: &str) -> Vec<u8> {
    stranger(crane, &["manifest", "--insecure", name])
}

/// Returns the name of a bundle in an empty folder of this test.
pub fn fresh(test: &str) -> String {
    let folder = dir().join(test);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    format!("{test}/b")
}

/// Returns the files of a bundle of that name, except unfinished ones: empty if there is no bundle.
pub fn finals(name: &str) -> Vec<String> {
    let folder = dir().join(name);
    let entries = std::fs::read_dir(folder.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("b.") && !name.ends_with(".partial")).collect()
}

/// Runs it and expects `code`, and on stderr only lines that say what is wrong and what to do;
/// returns them. The JSON document says the same.
pub fn refused(args: &[&str], code: i32) -> String {
    let ended = command(args).output().expect("packmule runs");
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(code), "{args:?}\n{told}{}", text(&ended.stdout));
    let kinds =
        ["error: ", "help: ", "warning: "].map(|kind| told.lines().filter(|line| line.starts_with(kind)).count());
    assert_eq!(kinds.iter().sum::<usize>(), told.lines().count(), "{args:?}: {told}");
    assert!(kinds[0] > 0 && kinds[1] > 0, "{args:?}: {told}");
    told
}

/// Runs a shell script in its own mount namespace, if the kernel allows; `P` is the binary, the
/// folder is [`dir`], the mounts are private. Otherwise the test prints that it is skipped.
pub fn sandbox(script: &str, args: &[&str]) -> Option<Output> {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    let run = |script: &str, args: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-uc", script, "sh"]).args(args);
        unshare.env("P", env!("CARGO_BIN_EXE_packmule")).env("SOURCE_DATE_EPOCH", "1700000000");
        unshare.current_dir(dir()).stdin(Stdio::null()).output()
    };
    let probe = || run("mount -t tmpfs none /mnt", &[]).is_ok_and(|ended| ended.status.success());
    if !*ALLOWED.get_or_init(probe) {
        eprintln!("!! SKIPPED {}: no mount namespace", std::thread::current().name().unwrap_or("a test"));
        return None;
    }
    Some(run(script, args).expect("unshare runs"))
}

/// An OCI layout with these images, tagged `1`, `2` …, under `repository`.
pub fn layout(folder: &str, images: &[super::shelf::Image]) {
    let root = dir().join(folder);
    drop(std::fs::remove_dir_all(&root));
    std::fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut entries = Vec::new();
    for (index, image) in images.iter().enumerate() {
        for bytes in image.blobs.iter().chain([&image.manifest]) {
            std::fs::write(root.join("blobs").join(sha256(bytes).replace(':', "/")), bytes).unwrap();
        }
        entries.push(serde_json::json!({
            "mediaType": super::shelf::MANIFEST, "digest": image.digest(), "size": image.manifest.len(),
            "annotations": { "io.containerd.image.name": format!("example.org/a/b:{}", index + 1) },
        }));
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": entries });
    std::fs::write(root.join("index.json"), index.to_string()).unwrap();
}
