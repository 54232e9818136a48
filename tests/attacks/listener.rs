//! An evil listener: wherever a registry sends the client, no login, token, cookie or canary is
//! sent along, and no output or stored data shows one. Rows R7, R8, D8, U1.

use packmule::content::{Destination, Error, Inventory, Kind, Mounts, Referrers, Source, TagList};
use packmule::network::settings::{ClientSettings, HostSettings, Proxies};
use packmule::oci::{Descriptor, Digest, Reference, Repository, Tag, media_type};
use packmule::registry::{Credential, Settings};

use super::hosts::{Client, client, connecting, content, login, manifest, manifest_reply};
use super::server::{Reply, Request, Server, reply};

/// A password, its Basic form, and a token obtained with it.
const CANARY: &str = "canary-90c1";
const BASIC: &str = "Basic bXVsZTpjYW5hcnktOTBjMQ==";
const TOKEN: &str = "canary-token-77aa";

/// Returns whether a text contains any of them.
fn leaks(text: &str) -> bool {
    ["canary", "bXVsZTpj", "Y2FuYXJ5"].iter().any(|secret| text.contains(secret))
}

/// Fails as soon as it receives any of them.
fn evil(status: u16) -> Server {
    Server::start(move |request, _| {
        let text = format!("{request:?}{}", String::from_utf8_lossy(&request.body));
        let has_login =
            ["authorization", "proxy-authorization", "cookie"].iter().any(|name| request.header(name).is_some());
        assert!(!has_login && !leaks(&text), "it came: {text}");
        reply(status, r#"{"token":"bought-by-nobody"}"#)
    })
}

/// Checks that the evil side saw nothing, or did not even see the client.
fn unhurt(evil: &Server) {
    for request in evil.requests() {
        let text = format!("{request:?}{}", String::from_utf8_lossy(&request.body));
        assert!(
            !leaks(&text) && request.header("authorization").is_none() && request.header("cookie").is_none(),
            "{text}"
        );
    }
}

fn silent(client: &Client, error: Option<&Error>) {
    let heard = client.heard.0.lock().unwrap();
    let text = format!("{heard:?} {error:?} {}", error.map(ToString::to_string).unwrap_or_default());
    assert!(!leaks(&text), "{text}");
}

/// A registry that accepts Basic, sets cookies, and answers everything after that with `answer`.
fn guarded(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request, _| match request.header("authorization") {
        Some(BASIC) => answer(request).with("Set-Cookie", "session=canary-cookie; Path=/"),
        _ => reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    })
}

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

#[test]
fn u1_whatever_a_registry_says_the_login_stays() {
    for way in ["http://{}/x", "//{}/x", "http://canary-user@{}/x"] {
        let evil = evil(404);
        let to = way.replace("canary-user", "u:p").replace("{}", &evil.host);
        let registry = guarded(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("POST", _) => reply(202, "").with("Location", to.clone()),
            ("HEAD", path) if path.contains("/blobs/") => reply(404, ""),
            (_, path) if path.contains("/tags/") => {
                reply(200, r#"{"tags":["a"]}"#).with("Link", format!("<{to}>; rel=\"next\""))
            }
            (_, path) if path.contains("/referrers/") => reply(200, r#"{"manifests":[]}"#)
                .with("Content-Type", media_type::OCI_INDEX)
                .with("Link", format!("<{to}>; rel=\"next\"")),
            (_, path) if path.contains("_catalog") => {
                reply(200, r#"{"repositories":["a"]}"#).with("Link", format!("<{to}>; rel=next"))
            }
            _ => reply(307, "").with("Location", to.clone()),
        });
        let client = client(login("mule", CANARY));
        let (registries, repository) = (&client.registries, repository(&registry));
        let reference: Reference = format!("{repository}:t").parse().unwrap();
        let (config, layer) = (content(2, 1), content(700_000, 2));
        let document = manifest(&config.descriptor(), &layer.descriptor(), None);
        let tag = Tag::new("t").unwrap();
        let mut kinds = Vec::new();
        let mut failed = |error: Option<Error>| {
            let error = error.unwrap();
            silent(&client, Some(&error));
            kinds.push(error.class);
        };
        failed(registries.resolve(&reference).err());
        failed(registries.blob(&repository, &layer.descriptor()).err());
        failed(registries.put_blob(&repository, &layer.descriptor(), &layer).err());
        failed(registries.put_blob(&repository, &config.descriptor(), &config).err());
        failed(registries.put_manifest(&repository, &document).err());
        failed(TagList::tags(registries, &repository).err());
        failed(Referrers::referrers(registries, &repository, Digest::sha256(b"s")).err());
        failed(registries.repositories(&registry.host).err());
        assert!(!registries.tag(&repository, &tag).is_ok_and(|found| found.is_some()));
        assert!(
            !registries
                .mount(&repository, &layer.descriptor(), &Repository::new(&registry.host, "c").unwrap())
                .unwrap()
        );
        registries.rights().unwrap().may_push(&repository).unwrap();
        unhurt(&evil);
        assert!(evil.requests().len() >= 5, "it was asked, without: {}", evil.requests().len());
        // Three lists led nowhere.
        assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Policy).count(), 3, "{kinds:?}");
    }
}

#[test]
fn d8_locations_of_sessions() {
    let layer = content(500_000, 3);
    for (location, uuid, good) in [
        (Some("/v2/a/b/blobs/uploads/s?x=1"), None, true),
        (Some("s"), None, true),
        (Some(""), Some("s-1"), true),
        (None, Some("s-1"), true),
        (None, None, false),
        (Some(""), None, false),
        (Some(""), Some("../../evil"), false),
        (Some("file:///etc/passwd"), None, false),
        (Some("http://169.254.169.254/x"), None, false),
        (Some("http://"), None, false),
    ] {
        let registry = guarded(move |request| match request.method.as_str() {
            "POST" => {
                let answer = reply(202, "");
                let answer = location.into_iter().fold(answer, |answer, to| answer.with("Location", to));
                uuid.into_iter().fold(answer, |answer, name| answer.with("Docker-Upload-UUID", name))
            }
            "PUT" => reply(201, ""),
            _ => reply(404, ""),
        });
        let client = client(login("mule", CANARY));
        let result = client.registries.put_blob(&repository(&registry), &layer.descriptor(), &layer);
        assert_eq!(result.is_ok(), good, "{location:?} {uuid:?} {result:?}");
        silent(&client, result.err().as_ref());
        let put = registry.requests().into_iter().find(|request| request.method == "PUT");
        assert_eq!(put.is_some(), good);
        if let Some(put) = put {
            assert!(put.path.contains("digest=sha256%3A") && put.path.matches('?').count() == 1, "{}", put.path);
        }
    }
}

#[test]
fn r8_a_put_redirected_elsewhere_is_sent_there_without_login_and_back_without() {
    for size in [10, 900_000] {
        let layer = content(size, 4);
        let storage = Server::start(|request, _| match request.path.strip_prefix("/back/") {
            Some(home) => reply(307, "").with("Location", format!("http://{home}/final?digest=x")),
            None => reply(201, ""),
        });
        for back in [false, true] {
            let elsewhere = storage.host.clone();
            let registry = Server::start(move |request, _| match (request.method.as_str(), request.path.as_str()) {
                (_, path) if path.starts_with("/final") => {
                    reply(if request.header("authorization").is_none() { 201 } else { 418 }, "")
                }
                _ if request.header("authorization") != Some(BASIC) => {
                    reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\"")
                }
                ("POST", path) if path.ends_with("/uploads/") => reply(307, "").with("Location", "/moved"),
                ("POST", _) => reply(202, "").with("Location", "/session"),
                ("PUT", _) => {
                    let home = request.header("host").unwrap_or_default();
                    let path = if back { format!("back/{home}") } else { "data".to_owned() };
                    reply(308, "").with("Location", format!("http://{elsewhere}/{path}"))
                }
                _ => reply(404, ""),
            });
            let client = client(login("mule", CANARY));
            client.registries.put_blob(&repository(&registry), &layer.descriptor(), &layer).unwrap();
            let last = if back { registry.requests() } else { storage.requests() }.pop().unwrap();
            assert!(last.body == layer.0 && last.method == "PUT");
            unhurt(&storage);
        }
    }
}

/// A registry that names a realm, and a client with a login for it.
fn at_realm(realm: &str, settings: Settings) -> (Server, Client, Error) {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
    let registry = Server::start(move |_, _| reply(401, "").with("WWW-Authenticate", challenge.clone()));
    let reference: Reference = format!("{}/a/b:c", registry.host).parse().unwrap();
    let client = client(settings);
    let error = client.registries.resolve(&reference).unwrap_err();
    (registry, client, error)
}

#[test]
fn r7_realms_that_may_not_have_the_login() {
    let evil = evil(401);
    for identity in [false, true] {
        let settings = || {
            let credentials = move |_: &str, _: &str| {
                Ok(Some(if identity { Credential::identity(TOKEN) } else { Credential::password("mule", CANARY) }))
            };
            Settings { credentials: Box::new(credentials), ..Settings::default() }
        };
        for realm in [
            format!("http://{}/token", evil.host),
            format!("http://u:p@{}/token", evil.host),
            "http://169.254.169.254/token".to_owned(),
            "http://[fd00:ec2::254]/token".to_owned(),
            "http://metadata.google.internal/token".to_owned(),
        ] {
            let (_, client, error) = at_realm(&realm, settings());
            assert_eq!(error.class, Kind::Policy, "{realm}: {error}");
            silent(&client, Some(&error));
        }
    }
    assert!(evil.requests().len() >= 4, "it was asked, without");
    unhurt(&evil);
}

#[test]
fn r7_another_port_is_another_server_and_that_is_said() {
    let evil = evil(401);
    let (registry, _, error) = at_realm(&format!("http://{}/token", evil.host), login("mule", CANARY));
    let help = error.help.unwrap();
    assert!(error.what.contains(&evil.host), "{}", error.what);
    assert!(
        help.contains(&format!("--realm {}={}", registry.host, evil.host)) && help.contains("another port"),
        "{help}"
    );
}

/// An answer of a token server, and the resulting error.
type Case = (fn() -> Reply, Kind, &'static str);

#[test]
fn r6_token_servers_that_fail() {
    let cases: [Case; 6] = [
        (|| reply(500, "<html>"), Kind::Failed, "tried 5 times"),
        (|| reply(200, "not json"), Kind::Failed, "holds no token"),
        (|| reply(200, r#"{"token":""}"#), Kind::Failed, "holds no token"),
        (|| reply(200, vec![b' '; 1 << 20]), Kind::Mismatch, "found more"),
        (|| reply(403, r#"{"errors":[{"code":"DENIED"}]}"#), Kind::Denied, "DENIED"),
        (|| reply(302, "").with("Location", "http://127.0.0.1:1/"), Kind::Failed, "302"),
    ];
    for (answer, kind, words) in cases {
        let registry = Server::start(move |request, _| {
            let host = request.header("host").unwrap_or_default();
            if request.path.starts_with("/token") {
                return answer();
            }
            reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        });
        let client = client(login("mule", CANARY));
        let reference: Reference = format!("{}/a/b:c", registry.host).parse().unwrap();
        let error = client.registries.resolve(&reference).unwrap_err();
        assert!(error.class == kind && error.what.contains(words), "{words}: {error:?}");
        assert!(registry.requests().len() <= 6, "no loop");
        silent(&client, Some(&error));
    }
}

#[test]
fn r6_too_many_requests_for_tokens_is_no_refusal() {
    let registry = Server::start(|request, before| {
        let host = request.header("host").unwrap_or_default();
        if request.path.starts_with("/token") {
            return if before < 5 { reply(429, "").with("Retry-After", "3") } else { reply(200, r#"{"token":"t"}"#) };
        }
        match request.header("authorization") {
            Some("Bearer t") => manifest_reply(),
            _ => reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
        }
    });
    let client = client(login("mule", CANARY));
    let reference: Reference = format!("{}/a/b:c", registry.host).parse().unwrap();
    client.registries.resolve(&reference).unwrap();
    assert!(client.clock.slept().as_secs() >= 9, "{:?}", client.clock.slept());
}

#[test]
fn m8_the_addresses_of_foreign_layers_get_no_login_and_only_https_is_asked() {
    let evil = evil(200);
    let registry = guarded(|_| reply(404, ""));
    let layer = content(100, 8);
    let foreign = Descriptor {
        media_type: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".to_owned(),
        urls: Some(vec![format!("http://{}/layer", evil.host), format!("http://{}/layer", registry.host)]),
        ..layer.descriptor()
    };
    let client = client(login("mule", CANARY));
    let error = client.registries.blob(&repository(&registry), &foreign).err().unwrap();
    assert_eq!(error.class, Kind::Absent, "{error}");
    assert!(!client.registries.holds(&repository(&registry), &foreign).unwrap());
    assert!(evil.requests().is_empty());
    assert!(format!("{:?}", client.heard.0.lock().unwrap()).contains("only https is"));
}

#[test]
fn z10_a_proxys_login_is_shown_nowhere() {
    // Nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refusing = Server::start(|_, _| reply(407, "").with("Proxy-Authenticate", "Basic realm=\"p\""));
    for (proxy, words) in [(free.to_string(), "no connection"), (refusing.host.clone(), "407")] {
        let with_login = format!("http://mule:{CANARY}@{proxy}");
        let for_all = Proxies { http: Some(with_login.clone()), https: Some(with_login.clone()), except: None };
        let for_host = move |_: &str| Ok(HostSettings { proxy: Some(with_login.clone()), ..HostSettings::default() });
        for clients in [
            ClientSettings { proxies: for_all, ..ClientSettings::default() },
            ClientSettings { hosts: Box::new(for_host), ..ClientSettings::default() },
        ] {
            let settings = Settings { plain_http: vec!["registry.example:80".to_owned()], ..connecting(clients) };
            let client = client(settings);
            let reference: Reference = "registry.example:80/a/b:c".parse().unwrap();
            let error = client.registries.resolve(&reference).unwrap_err();
            assert!(error.what.contains(words) && error.what.contains(&proxy), "r12: the proxy is named: {error}");
            silent(&client, Some(&error));
        }
    }
}
