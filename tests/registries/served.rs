//! Shared by the tests of the server: a layout and a bundle with known content, a server in this
//! process, and a client that sends bytes as they are.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use packmule::base::fault::Fault;
use packmule::bundle;
use packmule::cli::world::World;
use packmule::content::Destination as _;
use packmule::decide::route::{Place, Route};
use packmule::flow::{FixedClock, Flow, Silent};
use packmule::layout::Layout;
use packmule::oci::{Descriptor, Digest, Document, Repository, Tag, media_type};
use packmule::operate::serve::{Bundled, Cache, Offered, Request, bind};
use packmule::serve::{Access, Log, Settings};
use packmule::signing::Policy;

use super::hosts::{Bytes, content, manifest};

/// Size of the large layer: more than is read at once.
pub const LARGE: usize = 700_001;

/// A run without events.
pub fn flow() -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(FixedClock::at(1_767_225_600)), 4, 2)
}

/// A layout with `org/app:v1` and `v2`, a large layer, and an SBOM that refers to `v1`.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub layer: Bytes,
    pub app: Document,
    pub sbom: Document,
}

/// An image's manifest, put into `layout` with its blobs under `name` and `tags`.
pub fn put(layout: &Layout, name: &str, tags: &[&str], config: &[u8], layer: &Bytes) -> Document {
    let repository = Repository::exact(name).unwrap();
    let config = Bytes(config.to_vec());
    for blob in [&config, layer] {
        layout.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
    let document = manifest(&config, &layer.descriptor(), None);
    layout.put_manifest(&repository, &document).unwrap();
    for tag in tags {
        layout.set_tag(&repository, &Tag::new(tag).unwrap(), &document).unwrap();
    }
    document
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("layout")).unwrap();
        let layer = content(LARGE, 7);
        let app = put(&layout, "reg.example/org/app", &["v1", "v2"], b"{}", &layer);
        put(&layout, "docker.io/library/base", &["1"], b"{\"a\":1}", &content(10, 3));
        let repository = Repository::exact("reg.example/org/app").unwrap();
        let list = Bytes(b"{\"spdx\":1}".to_vec());
        layout.put_blob(&repository, &list.descriptor(), &list).unwrap();
        let sbom = Document::parse(
            media_type::OCI_MANIFEST,
            serde_json::json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/spdx+json",
                "config": list.descriptor(), "layers": [list.descriptor()], "subject": app.descriptor(),
                "annotations": { "by": "a test" },
            })
            .to_string()
            .into_bytes(),
        )
        .unwrap();
        layout.put_manifest(&repository, &sbom).unwrap();
        layout.set_root(&repository, &sbom).unwrap();
        layout.finish().unwrap();
        Self { dir, layer, app, sbom }
    }

    pub fn layout(&self) -> PathBuf {
        self.dir.path().join("layout")
    }

    /// Runs a command line in the site's directory.
    pub fn run(&self, words: &[&str]) -> (u8, String) {
        let (mut world, stdout, stderr) = World::for_test(words, self.dir.path());
        let code = packmule::cli::run(&mut world);
        (code, stdout.text() + &stderr.text())
    }

    /// Exports the layout as a bundle under its own key.
    pub fn bundle(&self, name: &str, more: &[&str]) -> PathBuf {
        if !self.dir.path().join("key.pem").exists() {
            assert_eq!(self.run(&["key", "new", "-o", "key.pem", "--no-passphrase"]).0, 0);
        }
        let words = ["export", "oci:layout", "-o", name, "--sign", "key.pem", "--state", "state"];
        let (code, told) = self.run(&[&words[..], more].concat());
        assert_eq!(code, 0, "{told}");
        self.dir.path().join(name)
    }

    /// The policy of its key.
    pub fn policy(&self) -> Policy {
        let pem = std::fs::read(self.dir.path().join("key.pub.pem")).unwrap();
        Policy::new(vec![packmule::signing::PublicKey::from_pem(&pem).unwrap()], None).unwrap()
    }

    /// The file of a blob in the layout.
    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.layout().join("blobs/sha256").join(digest.hex())
    }
}

/// A layout to serve.
pub fn of_layout(dir: &Path) -> Offered {
    let source = Arc::new(Layout::open(dir).unwrap());
    Offered { name: format!("oci:{}", dir.display()), source, bundle: None }
}

/// A bundle to serve.
pub fn of_bundle(path: &Path, policy: &Policy) -> Offered {
    let head = bundle::open(path).unwrap();
    Bundled { head, policy, checks_all: false }.open(&flow()).unwrap().unwrap()
}

/// Keeps what a server says.
#[derive(Default)]
pub struct Heard {
    pub requests: Mutex<Vec<Access>>,
    pub failures: Mutex<Vec<String>>,
}

impl Log for Heard {
    fn access(&self, access: Access) {
        self.requests.lock().unwrap().push(access);
    }
    fn failure(&self, text: String) {
        self.failures.lock().unwrap().push(text);
    }
}

/// A server in this process, stopped on drop.
pub struct Running {
    pub address: SocketAddr,
    pub heard: Arc<Heard>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Why `offered` cannot be served together, or a running server.
pub fn serve_as(offered: Vec<Offered>, settings: Settings, route: Route) -> Result<Running, Fault> {
    serve_with(offered, settings, route, None)
}

/// Like [`serve_as`], with a cache.
pub fn serve_with(
    offered: Vec<Offered>,
    settings: Settings,
    route: Route,
    cache: Option<Arc<Cache>>,
) -> Result<Running, Fault> {
    let (heard, over, flow) = (Arc::new(Heard::default()), Arc::new(AtomicBool::new(false)), flow());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let ready = bind(&flow, Request { offered, route, listen, settings, cache, log: heard.clone() })?;
    let (address, is_over) = (ready.address(), Arc::clone(&over));
    let thread = std::thread::spawn(move || ready.run(&flow, None, &|| is_over.load(Ordering::Relaxed)).unwrap());
    Ok(Running { address, heard, over, thread: Some(thread) })
}

/// A server of `offered` under plain names.
pub fn serve(offered: Vec<Offered>) -> Running {
    serve_as(offered, Settings { threads: 2, ..Settings::default() }, route(&[], false)).unwrap()
}

/// Names as an import into a layout gives them.
pub fn route(maps: &[&str], keep_host: bool) -> Route {
    Route::new(Place::Bare, keep_host, maps.iter().map(|map| map.parse().unwrap()).collect())
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said: {:?}", self.heard.failures.lock().unwrap());
        }
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// An answer: status, headers in lower case, body, and whether the connection ended before all of
/// the body had come.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub is_whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Running {
    /// Sends bytes and reads until the server closes the connection.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The server may have refused and closed already.
        let _ = stream.write_all(bytes);
        let mut got = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return got,
                Ok(count) => got.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Sends one request and reads its answer.
    pub fn ask(&self, method: &str, target: &str, headers: &[&str]) -> Answer {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let host = self.address;
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n");
        answer(&self.raw(request.as_bytes()), method == "HEAD")
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }
}

/// Parses an answer.
pub fn answer(raw: &[u8], is_head: bool) -> Answer {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(raw)));
    let head = std::str::from_utf8(&raw[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body = raw[end + 4..].to_vec();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse::<usize>().unwrap());
    let is_whole = is_head || status == 304 || length == Some(body.len());
    Answer { status, headers, body, is_whole }
}
