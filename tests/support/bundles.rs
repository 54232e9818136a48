//! Small bundles that the real exporter writes, and runs of whole commands in process: how the tests
//! of bundles make and examine them.
//!
//! It holds no tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use packmule::base::fault::{Class, Fault};
use packmule::bundle::{open, stream};
pub use packmule::cli::commands::carry::demo::noise;
use packmule::cli::run;
use packmule::cli::world::World;
use packmule::flow::{FixedClock, Flow, Silent};
use packmule::oci::Digest;
use packmule::operate::verify::{Request, Scope, Verdict};
use packmule::signing::Policy;
use packmule::signing::private::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Returns the bits to flip in the byte at an offset: one, which differs from byte to byte; all of
/// them in a sweep.
pub fn bits(at: usize) -> std::ops::Range<usize> {
    if std::env::var_os("PACKMULE_TEST_SWEEP").is_some() { 0..8 } else { at % 8..at % 8 + 1 }
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Returns the signing key of a seed; key 1 is the trusted one.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]).unwrap()
}

pub fn put(layout: &Path, bytes: &[u8]) -> (String, usize) {
    let digest = Digest::sha256(bytes).to_string();
    fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    (digest, bytes.len())
}

/// Writes an OCI layout of one tagged image with these layers.
pub fn make_layout(layout: &Path, layers: &[Vec<u8>]) {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let describe = |media_type: &str, (digest, size): (String, usize)| json!({ "mediaType": media_type, "digest": digest, "size": size });
    let config = describe("application/vnd.oci.image.config.v1+json", put(layout, br#"{"os":"linux"}"#));
    let layers: Vec<Value> =
        layers.iter().map(|layer| describe("application/vnd.oci.image.layer.v1.tar", put(layout, layer))).collect();
    let image = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    let mut root = describe(MANIFEST, put(layout, image.to_string().as_bytes()));
    root["annotations"] =
        json!({ "io.containerd.image.name": "example.org/tide:1", "org.opencontainers.image.ref.name": "1" });
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [root] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

/// The outcome of a run.
pub struct Ended {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

/// Runs packmule in a world of this directory; `epoch` is SOURCE_DATE_EPOCH, `clock` the time.
pub fn packmule_at(dir: &Path, args: &[&str], epoch: Option<&str>, clock: i64) -> Ended {
    let (mut world, stdout, stderr) = World::for_test(args, dir);
    world.clock = Arc::new(FixedClock::at(clock));
    world.cores = 8;
    if let Some(epoch) = epoch {
        world.env.insert("SOURCE_DATE_EPOCH".into(), epoch.into());
    }
    let code = run(&mut world);
    Ended { code, stdout: stdout.text(), stderr: stderr.text() }
}

pub fn packmule(dir: &Path, args: &[&str]) -> Ended {
    packmule_at(dir, args, None, 1_767_225_600)
}

/// A temporary directory with keys and one bundle, `b` in `usb`.
pub struct Bundle {
    pub root: TempDir,
}

impl Bundle {
    /// Exports `layers` with more `options` and signs with the keys of `signers`.
    pub fn new(layers: &[Vec<u8>], options: &[&str], signers: &[u8]) -> Self {
        let bundle = Self { root: tempfile::tempdir().unwrap() };
        make_layout(&bundle.root.path().join("source"), layers);
        fs::create_dir(bundle.dir()).unwrap();
        for seed in [1, 2] {
            let (private, public) = (format!("{seed}.pem"), format!("{seed}.pub.pem"));
            fs::write(bundle.root.path().join(&private), key(seed).to_pem(None).unwrap().as_bytes()).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(bundle.root.path().join(&private), mode).unwrap();
            fs::write(bundle.root.path().join(public), key(seed).public().to_pem()).unwrap();
        }
        let keys: Vec<String> = signers.iter().map(|seed| format!("{seed}.pem")).collect();
        let mut args = vec!["export", "oci:source", "-o", "usb/b"];
        args.extend(options);
        keys.iter().for_each(|key| args.extend(["--sign", key]));
        if keys.is_empty() {
            args.push("--unsigned");
        }
        let ended = packmule(bundle.root.path(), &args);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(bundle.verdict().is_good(), signers.contains(&1), "before any attack");
        bundle
    }

    /// A small bundle: two frames, packed and stored, or with level 0 both stored.
    pub fn small(level: &str, signers: &[u8]) -> Self {
        Self::new(&[b"high water 06:12 and 18:40\n".repeat(20)], &["--level", level], signers)
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("usb")
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir().join(file)
    }

    /// Verifies it in process under key 1.
    pub fn verdict(&self) -> Verdict {
        verdict(&self.dir(), &Scope::default())
    }

    /// Returns why it is refused under key 1; panics if it is not.
    pub fn refusal(&self, what: &str) -> Fault {
        self.verdict().fault.unwrap_or_else(|| panic!("{what}: PASS"))
    }

    /// Returns what the command says about it under key 1: exit code and text; the JSON report must
    /// agree.
    pub fn command(&self) -> Ended {
        let json = packmule(self.root.path(), &["verify", "usb/b", "--key", "1.pub.pem", "--json"]);
        let report: Value = serde_json::from_str(&json.stdout).expect("one JSON document");
        assert_eq!(report["exit"], json.code, "{report}");
        assert_eq!(report["ok"], json.code == 0, "{report}");
        let ended = packmule(self.root.path(), &["verify", "usb/b", "--key", "1.pub.pem"]);
        assert_eq!(ended.code, json.code);
        assert_eq!(ended.stdout.starts_with("PASS"), ended.code == 0, "{}", ended.stdout);
        ended
    }

    /// Runs a command in its directory, which must end with `code`; returns its output.
    pub fn run(&self, words: &str, code: u8) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        let ended = packmule(self.root.path(), &words);
        assert_eq!(ended.code, code, "{words:?}: {}{}", ended.stdout, ended.stderr);
        ended.stderr + &ended.stdout
    }

    /// Runs `test` with `file` holding `bytes`, then restores it.
    pub fn with<T>(&self, file: &str, bytes: &[u8], test: impl FnOnce() -> T) -> T {
        let path = self.path(file);
        let good = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let result = test();
        fs::write(&path, good).unwrap();
        result
    }
}

pub fn flow() -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::at(1_767_225_600)), 2, 1)
}

/// Verifies the bundle `b` in `dir` under key 1.
pub fn verdict(dir: &Path, scope: &Scope) -> Verdict {
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    match open(&dir.join("b.json")) {
        Ok(bundle) => packmule::operate::verify::run(&flow(), Request::new(bundle, &policy, scope)),
        Err(error) => Verdict::refused(error),
    }
}

pub fn assert_class(fault: &Fault, class: Class, what: &str) {
    assert_eq!(fault.class, class, "{what}: {fault:?}");
}

/// The bundle `b` as a stream.
pub fn stream_of(bundle: &Bundle) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream::write(&open(&bundle.dir()).unwrap(), &flow(), &mut bytes).unwrap();
    bytes
}
