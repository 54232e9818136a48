//! The cache before real registries with logins, and before many clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use packmule::content::Destination as _;
use packmule::decide::rules::Rules;
use packmule::flow::{Flow, Silent};
use packmule::oci::{Descriptor, Tag};
use packmule::operate::serve::{Cache, Setup};
use packmule::registry::{Registries, Settings as Network};
use packmule::serve::Settings;

use super::hosts::{Bytes, Counting, address, client, content, fresh, login, manifest};
use super::serve_clients::Process;
use super::served::{Site, route, serve_with};
use super::upstream::{Upstream, rule};

fn real() -> Flow {
    Flow::new(Arc::new(Silent), Arc::new(Counting::default()), 4, 2)
}

/// Pushes an artifact, pulls it through a cache in pieces of the protocol, and pulls it again.
fn through(host: &str, settings: impl Fn() -> Network) {
    let upstream = client(settings());
    let repository = fresh(host, "cached");
    let (config, layer) = (Bytes(b"{}".to_vec()), content(5_000_001, 23));
    for blob in [&config, &layer] {
        upstream.registries.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let document = manifest(&config.descriptor(), &layer.descriptor(), None);
    upstream.registries.put_manifest(&repository, &document).unwrap();
    upstream.registries.set_tag(&repository, &Tag::new("1").unwrap(), &document).unwrap();
    let subject = document.descriptor();
    let sbom = manifest(
        &config.descriptor(),
        &config.descriptor(),
        Some(&Descriptor::new(subject.media_type.clone(), subject.digest, subject.size)),
    );
    upstream.registries.put_manifest(&repository, &sbom).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let flow = real();
    let rules = Rules::new(vec![rule("up", &format!("{host}/*"), "up/*")]).unwrap();
    let sources = [(None, Arc::new(Registries::new(settings(), flow.clone()).unwrap()) as _)].into();
    let setup = Setup { rules, sources, dir: Some(dir.path()), most: None, wanted: None };
    let cache = Cache::open(&flow, setup).unwrap();
    let server =
        serve_with(Vec::new(), Settings { threads: 2, ..Settings::default() }, route(&[], false), Some(cache)).unwrap();
    let name = format!("up/{}", repository.path());
    for _ in 0..2 {
        let got = server.get(&format!("/v2/{name}/manifests/1"));
        assert_eq!((got.status, &got.body[..]), (200, document.raw()), "{host}");
        for blob in [&layer, &config] {
            let got = server.get(&format!("/v2/{name}/blobs/{}", blob.descriptor().digest));
            assert!(got.status == 200 && got.is_whole && got.body == blob.0, "{host} {}", got.status);
        }
        let list = server.get(&format!("/v2/{name}/referrers/{}", document.digest())).json();
        assert_eq!(list["manifests"][0]["digest"], sbom.digest().to_string(), "{host}");
        assert_eq!(server.get(&format!("/v2/{name}/tags/list")).json()["tags"][0], "1", "{host}");
    }
    assert_eq!(server.get(&format!("/v2/{name}/manifests/none")).status, 404);
}

#[test]
fn c7_c9_pulls_go_through_distribution_and_docker_registry_with_every_login() {
    for open in ["PACKMULE_TEST_DISTRIBUTION", "PACKMULE_TEST_DOCKER_REGISTRY"] {
        if let Some(host) = address(open) {
            through(&host, Network::default);
        }
    }
    for (protected, kind) in [
        ("PACKMULE_TEST_HTPASSWD", "PACKMULE_TEST_HTPASSWD"),
        ("PACKMULE_TEST_HTPASSWD_DOCKER_REGISTRY", "PACKMULE_TEST_HTPASSWD"),
        ("PACKMULE_TEST_TOKEN", "PACKMULE_TEST_TOKEN"),
        ("PACKMULE_TEST_TOKEN_DOCKER_REGISTRY", "PACKMULE_TEST_TOKEN"),
    ] {
        let (Some(host), Some(password)) = (address(protected), address(&format!("{kind}_PASSWORD"))) else { continue };
        let realm = std::env::var("PACKMULE_TEST_TOKEN_REALM").unwrap_or_default();
        through(&host, || Network { realms: vec![(host.clone(), realm.clone())], ..login("mule", &password) });
    }
}

#[test]
fn c9_two_thousand_connections_are_answered_from_one_fetch() {
    let (upstream, site) = (Upstream::start(), Site::new());
    let (document, layer) = upstream.image("org/app", &["1"], 50_000, 1);
    let rule = format!("[rule.up]\nsource = \"{}/*\"\ntarget = \"up/*\"\n", upstream.host());
    std::fs::write(site.dir.path().join("rules.toml"), rule).unwrap();
    let process = Process::start(&site, &["--cache", "cache", "--config", "rules.toml"]);
    let got = AtomicUsize::new(0);
    let digest = layer.descriptor().digest;
    let ask = |target: &str| {
        let mut stream = TcpStream::connect(&process.host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let host = &process.host;
        let request = format!("GET /v2/up/org/app/{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let check = |mut stream: TcpStream, body: &[u8]| {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(body), "{}", String::from_utf8_lossy(&answer[..answer.len().min(300)]));
        got.fetch_add(1, Ordering::SeqCst);
    };
    // A blob is known only after its manifest.
    check(ask("manifests/1"), document.raw());
    let blob = format!("blobs/{digest}");
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                // All of them are open before the first is read.
                let open: Vec<(TcpStream, &[u8])> = (0..40)
                    .map(|number| {
                        if number % 2 == 0 { (ask("manifests/1"), document.raw()) } else { (ask(&blob), &layer.0[..]) }
                    })
                    .collect();
                open.into_iter().for_each(|(stream, body)| check(stream, body));
            });
        }
    });
    assert_eq!(got.into_inner(), 2001);
    let blobs = upstream.requests().iter().filter(|one| one.path.contains("/blobs/")).count();
    assert_eq!(blobs, 1);
    assert_eq!(process.end("-TERM").0, Some(143));
}
