//! Other registries as places of a server: what they have is served as by any place, checked, under the
//! names that an import would give.

use std::sync::Arc;
use std::time::Duration;

use packmule::base::fault::Class;
use packmule::content::{Destination as _, Source};
use packmule::oci::{Descriptor, Document, Repository, Tag, media_type};
use packmule::operate::serve::{Offered, Part, RegistryView};
use packmule::registry::{Registries, Settings as Network};
use packmule::serve::Settings;

use super::hosts::{Bytes, Client, address, client, content, fresh, login, manifest};
use super::serve_clients::{Process, says};
use super::served::{Running, Site, flow, of_layout, route, serve, serve_as};
use super::server::{Server, reply};
use super::upstream::{Mood, Upstream};

fn source(settings: Network) -> Arc<dyn Source> {
    let settings = Network { retries: 0, retry_for: Duration::ZERO, ..settings };
    Arc::new(Registries::new(settings, flow()).unwrap())
}

fn part(host: &str, prefix: &str) -> Part {
    Part { host: host.to_owned(), prefix: prefix.to_owned() }
}

fn of_registry(settings: Network, part: &Part) -> Offered {
    let view = RegistryView::open(&flow(), source(settings), part).unwrap();
    Offered { name: format!("{}/{}", part.host, part.prefix), source: view, bundle: None }
}

/// An image with an index, a config, a layer and an SBOM, pushed below `repository`.
struct Pushed {
    repository: Repository,
    document: Document,
    index: Document,
    sbom: Document,
    blobs: [Bytes; 2],
}

fn push(client: &Client, repository: Repository) -> Pushed {
    let blobs = [Bytes(b"{}".to_vec()), content(700_001, 7)];
    let registries = &client.registries;
    for blob in &blobs {
        registries.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..blobs[0].descriptor() };
    let document = manifest(&config, &blobs[1].descriptor(), None);
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [document.descriptor()],
    });
    let index = Document::parse(media_type::OCI_INDEX, json.to_string().into_bytes()).unwrap();
    let sbom = manifest(&config, &config, Some(&document.descriptor()));
    for one in [&document, &index, &sbom] {
        registries.put_manifest(&repository, one).unwrap();
    }
    registries.set_tag(&repository, &Tag::new("1").unwrap(), &document).unwrap();
    registries.set_tag(&repository, &Tag::new("multi").unwrap(), &index).unwrap();
    Pushed { repository, document, index, sbom, blobs }
}

/// Everything of an image is there, as it is.
fn is_served(server: &Running, pushed: &Pushed) {
    let get = |rest: &str| server.get(&format!("/v2/{}/{rest}", pushed.repository.path()));
    for (reference, document) in [("1", &pushed.document), ("multi", &pushed.index)] {
        for reference in [reference.to_owned(), document.digest().to_string()] {
            let got = get(&format!("manifests/{reference}"));
            assert_eq!((got.status, &got.body[..]), (200, document.raw()), "{reference}");
            assert_eq!(got.header("content-type"), Some(document.media_type()));
        }
    }
    let sbom = get(&format!("manifests/{}", pushed.sbom.digest()));
    assert_eq!((sbom.status, &sbom.body[..]), (200, pushed.sbom.raw()), "without a tag");
    for blob in &pushed.blobs {
        let target = format!("blobs/{}", blob.descriptor().digest);
        let got = get(&target);
        assert!(got.status == 200 && got.is_whole && got.body == blob.0, "{}", got.status);
        let head = server.ask("HEAD", &format!("/v2/{}/{target}", pushed.repository.path()), &[]);
        assert_eq!(head.header("content-length"), Some(&*blob.0.len().to_string()));
    }
    let layer = format!("/v2/{}/blobs/{}", pushed.repository.path(), pushed.blobs[1].descriptor().digest);
    for (range, from, to) in [("bytes=5-9", 5, 10), ("bytes=-4", 699_997, 700_001)] {
        let got = server.ask("GET", &layer, &[&format!("Range: {range}")]);
        assert!(got.status == 206 && got.body == pushed.blobs[1].0[from..to], "{range}: {}", got.status);
    }
    let listed = get(&format!("referrers/{}", pushed.document.digest())).json();
    assert_eq!(listed["manifests"][0]["digest"], pushed.sbom.digest().to_string());
    assert_eq!(get("tags/list").json()["tags"], serde_json::json!(["1", "multi"]));
    let nothing = packmule::oci::Digest::sha256(b"nothing");
    assert_eq!(get(&format!("manifests/{nothing}")).code(), "MANIFEST_UNKNOWN");
    assert_eq!(get(&format!("blobs/{nothing}")).code(), "BLOB_UNKNOWN");
    assert_eq!(get("manifests/none").code(), "MANIFEST_UNKNOWN");
}

#[test]
fn registries_are_places_with_and_without_a_login() {
    for (name, password) in [
        ("PACKMULE_TEST_DISTRIBUTION", None),
        ("PACKMULE_TEST_DOCKER_REGISTRY", None),
        ("PACKMULE_TEST_HTPASSWD", Some("PACKMULE_TEST_HTPASSWD_PASSWORD")),
    ] {
        let Some(host) = address(name) else { continue };
        let password = password.and_then(address);
        let settings = || password.as_ref().map_or_else(Network::default, |password| login("mule", password));
        let client = client(settings());
        let pushed = push(&client, fresh(&host, "org/app"));
        // By the namespace above it, and by its own name.
        let above = pushed.repository.path().split('/').next().unwrap().to_owned();
        for prefix in [above, pushed.repository.path().to_owned()] {
            let server = serve(vec![of_registry(settings(), &part(&host, &prefix))]);
            is_served(&server, &pushed);
            assert_eq!(
                server.get("/v2/_catalog").json()["repositories"],
                serde_json::json!([pushed.repository.path()]),
                "only what is below"
            );
            let by_host = server.get(&format!("/v2/{}/manifests/1?ns={host}", pushed.repository.path()));
            assert_eq!(by_host.status, 200);
            let page = String::from_utf8(server.get("/").body).unwrap();
            assert!(page.contains(&host) && page.contains(pushed.repository.path()), "{page}");
        }
    }
}

#[test]
fn what_a_registry_sends_is_compared_before_its_last_byte_leaves() {
    let upstream = Upstream::start();
    let (document, layer) = upstream.image("org/app", &["1"], 700_001, 1);
    let server = serve(vec![of_registry(Network::default(), &part(upstream.host(), "org/app"))]);
    let blob = format!("/v2/org/app/blobs/{}", layer.descriptor().digest);
    assert_eq!(server.get("/v2/org/app/manifests/1").body, document.raw());
    for mood in [Mood::Lying, Mood::Cutting] {
        upstream.set(mood);
        let got = server.raw(format!("GET {blob} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(got.len() < layer.0.len(), "{}", got.len());
    }
    let server = serve({
        upstream.set(Mood::Good);
        vec![of_registry(Network::default(), &part(upstream.host(), "org/app"))]
    });
    upstream.set(Mood::Lying);
    assert!(matches!(server.get("/v2/org/app/manifests/1").status, 500 | 502), "a manifest that was changed");
    upstream.set(Mood::Down);
    assert_eq!(server.get("/v2/org/app/manifests/1").status, 502);
    assert_eq!(server.get(&blob).status, 502);
    upstream.set(Mood::Good);
    let server = serve(vec![of_registry(Network::default(), &part(upstream.host(), "org/app"))]);
    assert!(server.get(&blob).body == layer.0);
}

#[test]
fn two_places_with_one_name_are_refused_also_if_one_is_a_registry() {
    let (upstream, site) = (Upstream::start(), Site::new());
    upstream.image("org/app", &["v1"], 10, 1);
    let both = || {
        let registry = of_registry(Network::default(), &part(upstream.host(), "org/app"));
        vec![of_layout(&site.layout()), registry]
    };
    let Err(fault) = serve_as(both(), Settings::default(), route(&[], false)) else { panic!("one name, two digests") };
    assert_eq!(fault.class, Class::Policy);
    assert!(fault.what.contains("org/app:v1") && fault.what.contains(upstream.host()), "{fault}");
    let kept = serve_as(both(), Settings { threads: 2, ..Settings::default() }, route(&[], true)).unwrap();
    assert_eq!(kept.get("/v2/reg.example/org/app/manifests/v1").body, site.app.raw());
}

#[test]
fn a_registry_that_lists_nothing_needs_the_name_of_a_repository() {
    let upstream = Upstream::start();
    upstream.image("org/app", &["1"], 10, 1);
    let view = |prefix: &str| RegistryView::open(&flow(), source(Network::default()), &part(upstream.host(), prefix));
    assert!(view("org/app").is_ok());
    for prefix in ["", "org", "org/other"] {
        let fault = view(prefix).err().unwrap();
        assert_eq!(fault.class, Class::Source, "{prefix}: {fault}");
    }
    upstream.set(Mood::Down);
    assert_eq!(view("org/app").err().unwrap().class, Class::Source);
}

#[test]
fn the_program_serves_a_registry_and_its_logins_stay_where_they_are() {
    let (upstream, site) = (Upstream::start(), Site::new());
    let (document, _) = upstream.image("org/app", &["1"], 1000, 1);
    let place = format!("{}/org/app", upstream.host());
    let process = Process::start(&site, &[&place, "oci:layout", "--map", "reg.example/org/app=local/app"]);
    let curl = |target: &str| {
        let address = format!("http://{}{target}", process.host);
        let login = "Authorization: Basic Y2xpZW50OnNlY3JldA==";
        says("curl", &["-s", "-H", login, &address], site.dir.path())
    };
    assert_eq!(curl("/v2/org/app/manifests/1").as_bytes(), document.raw());
    assert_eq!(curl("/v2/local/app/manifests/v1").as_bytes(), site.app.raw());
    assert!(upstream.requests().iter().all(|request| request.header("authorization").is_none()));
    assert_eq!(process.end("-TERM").0, Some(143));
    // A refused login is an error of the source, before the port is taken.
    let refused = Server::start(|_, _| reply(401, "{}").with("WWW-Authenticate", "Basic realm=\"x\""));
    let (code, told) = site.run(&["serve", &refused.host, "--listen", "127.0.0.1:0", "--retries", "0"]);
    assert!(code == 20 && told.contains("help:"), "{code} {told}");
}
