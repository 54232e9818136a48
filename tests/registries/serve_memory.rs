//! One budget of memory for all readers of a bundle: packed frames, frames that many small blobs share,
//! and slow clients that hold on to what they read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Duration;

use packmule::content::Destination as _;
use packmule::layout::Layout;
use packmule::oci::{Descriptor, Digest, Document, Repository, Tag, media_type};

use super::hosts::{Bytes, content};
use super::serve_clients::Process;
use super::served::Site;

/// Number of clients at once.
const CLIENTS: usize = 200;
/// Limit of the whole process.
const MOST: u64 = 200 << 20;
/// Number of large layers, each of two packed frames.
const LARGE: usize = 10;
/// Number of small layers, each a part of a stored frame.
const SMALL: usize = 1200;
/// Size of a small layer.
const SIZE: usize = 60 << 10;

/// A layer that shrinks well, and differs from the others.
fn packable(seed: u8) -> Vec<u8> {
    let line = format!("line {seed} of a log file that says the same again and again\n");
    line.as_bytes().iter().copied().cycle().take(17 << 20).collect()
}

/// A layout with all these layers. Returns their digests and sizes.
fn fill(site: &Site) -> Vec<(Digest, u64)> {
    let layout = Layout::create(&site.dir.path().join("layout")).unwrap();
    let repository = Repository::exact("reg.example/many").unwrap();
    let config = Bytes(b"{\"many\":1}".to_vec());
    layout.put_blob(&repository, &config.descriptor(), &config).unwrap();
    let mut blobs = Vec::new();
    let layers = (0..LARGE).map(|number| packable(u8::try_from(number).unwrap()));
    let small = (0..SMALL).map(|number| content(SIZE, 1000 + number as u64).0);
    let mut leaves: Vec<Descriptor> = Vec::new();
    for bytes in layers.chain(small) {
        let body = Bytes(bytes);
        layout.put_blob(&repository, &body.descriptor(), &body).unwrap();
        blobs.push((body.descriptor().digest, body.0.len() as u64));
        leaves.push(body.descriptor());
    }
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config.descriptor(), "layers": leaves,
    });
    let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
    layout.put_manifest(&repository, &document).unwrap();
    layout.set_tag(&repository, &Tag::new("1").unwrap(), &document).unwrap();
    layout.finish().unwrap();
    blobs
}

/// Pulls a blob, and pauses after its first bytes until all clients have begun.
fn slowly(host: &str, (digest, size): (Digest, u64), barrier: &Barrier) {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let request = format!("GET /v2/many/blobs/{digest} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    barrier.wait();
    std::thread::sleep(Duration::from_millis(500));
    let (mut got, mut buffer) = (0, vec![0; 256 << 10]);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => got += count as u64,
        }
    }
    assert!(got > size, "{got} of {size}, and a head");
}

#[test]
fn two_hundred_clients_share_one_budget() {
    let site = Site::new();
    let blobs = fill(&site);
    let bundle = site.bundle("b", &["--level", "1", "--no-read-back"]);
    let process = Process::start(&site, &[bundle.to_str().unwrap(), "--key", "key.pub.pem"]);
    let barrier = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (blobs, host, barrier) = (&blobs, &process.host, &barrier);
            scope.spawn(move || {
                // One in five pulls a large layer; the others pull small ones out of all frames.
                let number = if client % 5 == 0 { client / 5 % LARGE } else { LARGE + client * 7 * 31 % SMALL };
                slowly(host, blobs[number], barrier);
            });
        }
    });
    let peak = process.peak();
    assert!(peak <= MOST, "{} MiB", peak >> 20);
    assert_eq!(process.end("-TERM").0, Some(143));
}
