//! Certificates at real registries: a private CA, client certificates, HTTP/2; row R11 at servers
//! with wrong certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::content::{Destination, Kind, Source};
use packmule::flow::Event;
use packmule::network::settings::{ClientCertificate, ClientSettings, HostSettings};
use packmule::oci::{Descriptor, Reference, Repository, Tag, media_type};
use packmule::registry::Settings;

use super::encrypted::{Folder, Front, alert, http2};
use super::hosts::{Bytes, Client, address, client, connecting, content, fresh, manifest, manifest_reply, read};
use super::server::{Server, reply};

const VARIANTS: [(&str, bool); 4] = [
    ("PACKMULE_TEST_TLS", false),
    ("PACKMULE_TEST_TLS_DOCKER_REGISTRY", false),
    ("PACKMULE_TEST_MTLS", true),
    ("PACKMULE_TEST_MTLS_DOCKER_REGISTRY", true),
];

fn resolve(host: &str, settings: Settings) -> (Client, packmule::content::Error) {
    let client = client(settings);
    let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
    let error = client.registries.resolve(&reference).unwrap_err();
    (client, error)
}

fn own(ca: Vec<u8>, client: Option<ClientCertificate>) -> Settings {
    let own = HostSettings { ca: vec![ca], client, ..HostSettings::default() };
    connecting(ClientSettings { hosts: Box::new(move |_| Ok(own.clone())), ..ClientSettings::default() })
}

#[test]
fn a_private_ca_and_client_certificates_at_real_registries() {
    let Some(dir) = address("PACKMULE_TEST_CERTIFICATES") else { return };
    let file = |name: &str| std::fs::read(std::path::Path::new(&dir).join(name)).unwrap();
    let shown = || ClientCertificate { certificate: file("client.pem"), key: file("client.key").into() };
    for (variable, is_mutual) in VARIANTS {
        let Some(host) = address(variable) else { continue };
        let (_, unknown) = resolve(&host, Settings::default());
        assert_eq!(unknown.class, Kind::Failed, "never plain http after a certificate error: {unknown}");
        assert!(unknown.what.contains("UnknownIssuer"), "{unknown}");
        assert!(unknown.help.unwrap().contains("--ca"));
        if is_mutual {
            let (_, nameless) = resolve(&host, own(file("ca.pem"), None));
            assert_eq!(nameless.class, Kind::Failed, "{nameless}");
            assert!(nameless.help.as_ref().unwrap().contains("client certificate"), "{nameless:?}");
        } else {
            // It names who signed and for whom.
            assert!(unknown.what.contains("signed by \"packmule-test-ca\""), "{}", unknown.what);
            assert!(unknown.what.contains("packmule-test-server"), "{}", unknown.what);
        }
        let settings = own(file("ca.pem"), is_mutual.then(shown));
        let client = client(settings);
        let registries = &client.registries;
        let repository = fresh(&host, "tls");
        let (config, layer) = (Bytes(b"{}".to_vec()), content(20 << 20, 41));
        for blob in [&config, &layer] {
            registries.put_blob(&repository, &blob.descriptor(), blob).unwrap();
        }
        let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
        let document = manifest(&config, &layer.descriptor(), None);
        registries.put_manifest(&repository, &document).unwrap();
        registries.set_tag(&repository, &Tag::new("v1").unwrap(), &document).unwrap();
        assert!(read(registries, &repository, &layer.descriptor()).unwrap() == layer.0);
        assert!(registries.repositories(&host).unwrap().contains(&repository));
        let heard = client.heard.0.lock().unwrap();
        assert!(
            !heard.iter().any(|event| matches!(event, Event::Detail(text) if text.contains("HTTP/"))),
            "h2 all the way: {heard:?}"
        );
    }
}

#[test]
fn a_ca_for_all_and_insecure_by_name() {
    let Some(dir) = address("PACKMULE_TEST_CERTIFICATES") else { return };
    let Some(host) = address("PACKMULE_TEST_TLS") else { return };
    let ca = vec![std::fs::read(std::path::Path::new(&dir).join("ca.pem")).unwrap()];
    assert_eq!(resolve(&host, connecting(ClientSettings { ca, ..ClientSettings::default() })).1.class, Kind::Absent);
    let insecure =
        |host: &str| connecting(ClientSettings { insecure: vec![host.to_owned()], ..ClientSettings::default() });
    assert_eq!(resolve(&host, insecure(&host)).1.class, Kind::Absent);
    let named = host.replace("127.0.0.1", "localhost");
    assert_eq!(resolve(&named, insecure(&host)).1.class, Kind::Failed, "named for another host");
    let own = HostSettings { insecure: true, ..HostSettings::default() };
    let one = host.clone();
    let hosts = move |name: &str| Ok(if name == one { own.clone() } else { HostSettings::default() });
    assert_eq!(
        resolve(&host, connecting(ClientSettings { hosts: Box::new(hosts), ..ClientSettings::default() })).1.class,
        Kind::Absent
    );
}

#[test]
fn r11_certificates_that_do_not_hold() {
    let folder = Folder::new();
    for (name, words) in [
        ("expired", vec!["expired"]),
        ("other-name", vec!["127.0.0.1", "other.example"]),
        ("self-signed", vec!["lonely"]),
        ("constrained", vec![]),
    ] {
        let front = Front::new(&folder, name);
        let server = front.serve(|_, _| manifest_reply());
        let settings = connecting(ClientSettings { ca: vec![folder.read("ca.pem")], ..ClientSettings::default() });
        let (_, error) = resolve(&server.host, settings);
        assert_eq!(error.class, Kind::Failed, "{name}: {error}");
        assert!(error.what.contains("certificate"), "{name}: {error}");
        for word in words {
            assert!(error.what.contains(word), "{name}: {error}");
        }
        // Only the certificate check came through, which makes no request.
        let seen = server.all_requests();
        assert!(seen.iter().all(|request| request.method == "HEAD" && request.path == "/v2/"), "{name}: {seen:?}");
        assert!(front.plain.load(Ordering::SeqCst) == 0, "{name}: plain http was tried");
    }
    let good = Front::new(&folder, "good").serve(|_, _| manifest_reply());
    let reference: Reference = format!("{}/a/b:c", good.host).parse().unwrap();
    let settings = connecting(ClientSettings { ca: vec![folder.read("ca.pem")], ..ClientSettings::default() });
    client(settings).registries.resolve(&reference).unwrap();
}

#[test]
fn a_self_signed_certificate_that_was_given_is_pinned_with_its_name_and_dates() {
    let folder = Folder::new();
    let given = |name: &str| Settings {
        retries: 0,
        ..connecting(ClientSettings { ca: vec![folder.read(name)], ..ClientSettings::default() })
    };
    let serve = |name: &str| Front::new(&folder, name).serve(|_, _| manifest_reply());
    let server = serve("pinned");
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    client(given("pinned.pem")).registries.resolve(&reference).unwrap();
    // Together with others, and with a client certificate.
    let shown = ClientCertificate { certificate: folder.read("good.pem"), key: folder.read("good.key").into() };
    let both = [folder.read("ca.pem"), folder.read("pinned.pem")].concat();
    client(own(both, Some(shown))).registries.resolve(&reference).unwrap();
    // Another certificate of the same name is not this one.
    for (presented, ca, words) in [
        ("pinned", "ca.pem", "certificate"),
        ("pinned", "self-signed.pem", "certificate"),
        ("pinned-other", "pinned-other.pem", "other.example"),
        ("pinned-old", "pinned-old.pem", "expired"),
    ] {
        let server = serve(presented);
        let (_, error) = resolve(&server.host, given(ca));
        assert!(error.class == Kind::Failed && error.what.contains(words), "{presented}, {ca}: {error}");
        let seen = server.all_requests();
        assert!(seen.iter().all(|request| request.method == "HEAD"), "{presented}, {ca}: {seen:?}");
    }
}

#[test]
fn r11_a_server_of_tls_1_0() {
    let server = alert();
    let (_, error) = resolve(&server.host, Settings::default());
    assert_eq!(error.class, Kind::Failed, "{error}");
    assert!(error.what.contains("TLS ended") && error.help.as_ref().unwrap().contains("TLS 1.2"), "{error:?}");
    assert!(server.all_requests().is_empty(), "plain http was tried");
}

#[test]
fn a_client_certificate_is_shown_to_its_own_registry_alone() {
    let folder = Folder::new();
    let blob = content(1000, 61);
    let bytes = blob.0.clone();
    let (front, back) = (Front::new(&folder, "good"), Front::new(&folder, "good"));
    let storage = back.serve(move |_, _| reply(200, bytes.clone()));
    let elsewhere = storage.host.clone();
    let registry = front.serve(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        _ => reply(307, "").with("Location", format!("https://{elsewhere}/x")),
    });
    let shown = ClientCertificate { certificate: folder.read("good.pem"), key: folder.read("good.key").into() };
    let (name, ca) = (registry.host.clone(), folder.read("ca.pem"));
    let hosts = move |host: &str| {
        let client = (host == name).then(|| shown.clone());
        Ok(HostSettings { ca: vec![ca.clone()], client, ..HostSettings::default() })
    };
    let client = client(connecting(ClientSettings { hosts: Box::new(hosts), ..ClientSettings::default() }));
    let repository = Repository::new(&registry.host, "a/b").unwrap();
    assert!(read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
    assert!(front.named.load(Ordering::SeqCst) > 0, "shown to the registry");
    assert_eq!(back.named.load(Ordering::SeqCst), 0, "not shown to the storage");
}

#[test]
fn m8_a_foreign_layer_comes_from_its_own_address_without_login() {
    let folder = Folder::new();
    let layer = content(100_000, 62);
    let bytes = layer.0.clone();
    let vendor = Front::new(&folder, "good").serve(move |_, _| reply(200, bytes.clone()));
    let registry = Server::start(|request, _| match request.header("authorization") {
        Some(_) => reply(404, ""),
        None => reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let urls = Some(vec!["https://127.0.0.1:1/gone".to_owned(), format!("https://u:p@{}/layer", vendor.host)]);
    let foreign = Descriptor {
        media_type: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".to_owned(),
        urls,
        ..layer.descriptor()
    };
    let clients = Arc::new(ClientSettings { ca: vec![folder.read("ca.pem")], ..ClientSettings::default() });
    let settings = Settings { clients, retries: 0, ..super::hosts::login("mule", "canary-m8") };
    let client = client(settings);
    let repository = Repository::new(&registry.host, "a/b").unwrap();
    assert!(client.registries.holds(&repository, &foreign).unwrap());
    assert!(read(&client.registries, &repository, &foreign).unwrap() == layer.0);
    let ordinary = Descriptor { media_type: media_type::OCI_LAYER_GZIP.to_owned(), ..foreign };
    assert!(!client.registries.holds(&repository, &ordinary).unwrap(), "only of foreign layers");
    let seen = vendor.all_requests();
    assert!(!seen.is_empty() && seen.iter().all(|request| request.header("authorization").is_none()));
    assert!(registry.requests().iter().any(|request| request.header("authorization").is_some()), "asked first");
}

#[test]
fn r3_http2_that_breaks_gives_way_to_http_1_1() {
    let folder = Folder::new();
    let blob = content(400_000, 63);
    for goaway in [false, true] {
        let broken = Arc::new(AtomicUsize::new(0));
        let bytes = blob.0.clone();
        let server = http2(&folder, Arc::clone(&broken), goaway, blob.0[..300].to_vec(), move |request, _| {
            let first =
                request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok());
            match first {
                Some(first) => {
                    let first: usize = first;
                    let range = format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
                    reply(206, &bytes[first..]).with("Content-Range", range)
                }
                None => reply(200, bytes.clone()),
            }
        });
        let client =
            client(connecting(ClientSettings { ca: vec![folder.read("ca.pem")], ..ClientSettings::default() }));
        let repository = Repository::new(&server.host, "a/b").unwrap();
        assert!(read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
        assert!(broken.load(Ordering::SeqCst) >= 1);
        let heard = client.heard.0.lock().unwrap();
        let told =
            heard.iter().any(|event| matches!(event, Event::Detail(text) if text.contains("continuing with HTTP/1.1")));
        assert!(told, "{heard:?}");
        if !goaway {
            let range = server.all_requests().iter().find_map(|request| request.header("range").map(ToOwned::to_owned));
            assert_eq!(range.as_deref(), Some("bytes=300-399999"), "what had come is kept");
        }
    }
}
