//! A watcher's look at a bucket of 1,000 bundles: its requests, and its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use packmule::base::fault::Fault;
use packmule::bundle::Name;
use packmule::oci::Digest;
use packmule::operate::watch::{Board, Looked, Pipeline, Ran, Site, Watcher};
use packmule::state::Store as State;
use packmule::storage::{Condition, Container, s3};
use serde_json::{Value, json};

use super::{Store, net, proxy};

const BUNDLES: u64 = 1000;

/// Returns a manifest of one volume of three bytes.
fn manifest(name: &str, sequence: u64) -> Vec<u8> {
    let digest = |text: &str| Digest::sha256(text.as_bytes()).to_string();
    let manifest = json!({
        "absent": [], "artifacts": [{
            "digest": digest("a"), "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "repository": "r.example/a", "size": 10, "tags": ["1"],
        }],
        "bases": [], "blobs": [{ "digest": digest("a"), "size": 10 }], "channel": "apps",
        "created": "2026-01-31T12:00:00Z", "epoch": 0, "form": "volumes", "format": "packmule.bundle.v1",
        "frames": [{ "digest": digest("f"), "plain": 1000, "size": 3 }], "name": name, "requires": [],
        "sequence": sequence, "tool": "packmule 1",
        "volumes": [{ "digest": digest("v"), "frames": 1, "size": 3 }],
    });
    packmule::oci::canonical::to_vec(&manifest).unwrap()
}

/// Imports nothing, and says that it did.
struct Nowhere(Arc<dyn Container>, u64);

impl Site for Nowhere {
    fn open(&mut self, _: &Pipeline) -> Result<Option<Arc<dyn Container>>, Fault> {
        Ok(Some(Arc::clone(&self.0)))
    }
    fn import(&mut self, _: &Pipeline, _: &Name) -> Ran {
        self.1 += 1;
        Ran { run: None, bundle: None, ended: Ok(()) }
    }
    fn tell(&mut self, _: &str, _: Value) {}
}

#[test]
fn t9_a_look_at_1000_bundles_in_a_bucket_is_one_list_of_three_pages() {
    let Some(store) = Store::paging("watched") else { return };
    let net = net(2);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let proxy = proxy::start(&store.host, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        None
    });
    let settings = store.settings(None);
    let bucket = net.open(settings.clone());
    let numbers: Vec<u64> = (0..BUNDLES).collect();
    std::thread::scope(|scope| {
        for part in numbers.chunks(250) {
            let bucket = &bucket;
            scope.spawn(move || {
                for number in part {
                    let name = format!("b{number:04}");
                    let put =
                        |end: &str, bytes: &[u8]| bucket.put(&format!("{name}{end}"), bytes, &Condition::Any).unwrap();
                    put(".json", &manifest(&name, *number));
                    put(".sig.json", b"{}");
                    put(".0001.tar.zst", b"123");
                }
            });
        }
    });
    let endpoint = Some(format!("http://{}", proxy.host).parse().unwrap());
    let container: Arc<dyn Container> = Arc::new(net.open(s3::Settings { endpoint, ..settings }));
    // In memory where there is such a place: the state is written durably after each import.
    let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let flow = super::super::container::flow().0;
    let state = State::new(state.path().to_owned(), String::new());
    let pipelines = [Pipeline {
        name: "import.dark".to_owned(),
        source: "storage:dark".to_owned(),
        target: "r.example/x".to_owned(),
        interval: Duration::from_secs(30),
    }];
    let board = Board::new(&pipelines);
    let mut watcher = Watcher::new(&state, &board, &flow);
    let mut site = Nowhere(container, 0);
    let first = watcher.look(&pipelines[0], &mut site, &mut Vec::new()).unwrap();
    assert_eq!(first, Looked { imported: BUNDLES, ..Looked::default() });
    asked.store(0, Ordering::SeqCst);
    let begin = Instant::now();
    let looked = watcher.look(&pipelines[0], &mut site, &mut Vec::new()).unwrap();
    let requests = asked.load(Ordering::SeqCst);
    println!("a look at {BUNDLES} bundles in a bucket: {requests} requests, {} ms", begin.elapsed().as_millis());
    assert_eq!((looked, site.1), (Looked { settled: BUNDLES, ..Looked::default() }, BUNDLES));
    // 3,000 keys, 1,000 a page.
    assert_eq!(requests, 3);
}
