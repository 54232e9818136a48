//! The cache in this process, before upstreams that fail, lie, are slow, and count.

mod filters;
mod hostile;
mod names;
mod pulls;
mod quirks;
mod room;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use packmule::content::Source;
use packmule::decide::rules::{Rule, Rules};
use packmule::flow::{Flow, Silent};
use packmule::oci::Document;
use packmule::operate::serve::{Cache, Offered, Setup, Sources};
use packmule::registry::{Credential, Registries, Settings as Network};
use packmule::serve::Settings;

use super::hosts::{Bytes, Counting};
use super::served::{Answer, Running, answer, route, serve_with};

/// The directory of a cache.
struct Store {
    dir: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("cache")
    }
}

fn flow() -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(Counting::default()), 4, 2)
}

/// Registries with this password for every host, or none.
fn registries(credential: Option<&'static str>) -> Arc<dyn Source> {
    let credentials = move |_: &str, _: &str| Ok(credential.map(|password| Credential::password("user", password)));
    let settings =
        Network { retries: 0, retry_for: Duration::ZERO, credentials: Box::new(credentials), ..Network::default() };
    Arc::new(Registries::new(settings, flow()).unwrap())
}

fn open(dir: &Path, rules: Vec<Rule>, most: Option<u64>) -> Arc<Cache> {
    open_with(dir, rules, [(None, registries(None))].into(), most)
}

fn open_with(dir: &Path, rules: Vec<Rule>, sources: Sources, most: Option<u64>) -> Arc<Cache> {
    let rules = Rules::new(rules).unwrap();
    Cache::open(&flow(), Setup { rules, sources, dir: Some(dir), most, wanted: None }).unwrap()
}

fn start(cache: &Arc<Cache>, offered: Vec<Offered>) -> Running {
    let settings = Settings { threads: 2, ..Settings::default() };
    serve_with(offered, settings, route(&[], false), Some(Arc::clone(cache))).unwrap()
}

fn blob(name: &str, bytes: &Bytes) -> String {
    format!("/v2/{name}/blobs/{}", bytes.descriptor().digest)
}

/// Names of the files of blobs in a layout, also of unfinished ones.
fn files(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir.join("blobs/sha256"));
    let mut all: Vec<String> =
        all.into_iter().flatten().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

/// Waits until the files of a layout are as `is_so` wants them, for at most 10 s.
fn wait(dir: &Path, is_so: impl Fn(&[String]) -> bool) {
    for _ in 0..500 {
        if is_so(&files(dir)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{:?}", files(dir));
}

fn is_manifest(answer: &Answer, document: &Document) {
    assert_eq!((answer.status, &answer.body[..]), (200, document.raw()));
    assert_eq!(answer.header("docker-content-digest"), Some(&*document.digest().to_string()));
}

/// Returns whether the answer is an error, or breaks off before its last byte, perhaps before its first.
fn is_broken(server: &Running, target: &str, size: usize) {
    let raw = server.raw(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    if !raw.is_empty() {
        let got = answer(&raw, false);
        assert!(got.status >= 400 || !got.is_whole && got.body.len() < size, "{} {}", got.status, got.body.len());
    }
}
