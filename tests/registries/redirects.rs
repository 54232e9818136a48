//! Where logins are sent, and where they are not: redirects, realms, links, upload sessions.

use packmule::content::{Destination, Kind, Source, TagList};
use packmule::oci::{Reference, Repository};
use packmule::registry::{Credential, Settings};

use super::hosts::{client, content, login, read};
use super::server::{Request, Server, reply};

const SECRET: &str = "canary-5521";

fn is_clean(requests: &[Request]) -> bool {
    // "mule:canary-5521" in base64, and in plain text.
    requests.iter().all(|request| {
        let text = format!("{request:?}{}", String::from_utf8_lossy(&request.body));
        request.header("authorization").is_none() && !text.contains(SECRET) && !text.contains("bXVsZTpjYW5hcnktNTUyM")
    })
}

fn basic(request: &Request) -> bool {
    request.header("authorization") == Some("Basic bXVsZTpjYW5hcnktNTUyMQ==")
}

fn challenge() -> super::server::Reply {
    reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\"")
}

#[test]
fn a_redirect_elsewhere_gets_no_login_and_none_on_the_way_back() {
    let blob = content(300_000, 21);
    let bytes = blob.0.clone();
    let storage = Server::start(move |request, _| {
        // The storage redirects everything except `/data` back to the registry.
        match request.path.strip_prefix("/back/") {
            Some(home) => reply(307, "").with("Location", format!("http://{home}/final")),
            None => reply(200, bytes.clone()),
        }
    });
    let (elsewhere, bytes) = (storage.host.clone(), blob.0.clone());
    let registry = Server::start(move |request, _| {
        if request.path == "/final" {
            return reply(if request.header("authorization").is_none() { 200 } else { 418 }, bytes.clone());
        }
        if !basic(request) {
            return challenge();
        }
        let host = request.header("host").unwrap_or_default();
        let way = if request.path.contains("/back/") { format!("back/{host}") } else { "data".to_owned() };
        reply(307, "").with("Location", format!("http://{elsewhere}/{way}"))
    });
    let client = client(login("mule", SECRET));
    for path in ["a/b", "a/back"] {
        let repository = Repository::new(&registry.host, path).unwrap();
        assert_eq!(read(&client.registries, &repository, &blob.descriptor()).unwrap(), blob.0, "{path}");
    }
    assert_eq!(storage.requests().len(), 2);
    assert!(is_clean(&storage.requests()));
    assert!(registry.requests().iter().any(basic));
}

#[test]
fn redirects_to_link_local_addresses_and_in_circles_end() {
    let registry = Server::start(|request, _| match request.path.as_str() {
        "/v2/" => reply(200, "{}"),
        path if path.contains("/meta/") => reply(302, "").with("Location", "http://169.254.169.254/latest/"),
        path => reply(302, "").with("Location", path.to_owned()),
    });
    let client = client(Settings::default());
    for (path, kind) in [("meta/x", Kind::Policy), ("round/x", Kind::Failed)] {
        let repository = Repository::new(&registry.host, path).unwrap();
        let error = client.registries.blob(&repository, &content(9, 9).descriptor()).err().unwrap();
        assert_eq!(error.class, kind, "{error}");
    }
}

/// A registry that requires tokens of `realm`, which gives `good` to correct requests.
fn with_realm(realm: &str) -> Server {
    let realm = format!("Bearer realm=\"http://{realm}/token\",service=\"s v\"");
    Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer good") => super::hosts::manifest_reply(),
        _ => reply(401, "").with("WWW-Authenticate", realm.clone()),
    })
}

fn resolve(host: &str, settings: Settings) -> Result<(), packmule::content::Error> {
    let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
    client(settings).registries.resolve(&reference).map(drop)
}

#[test]
fn a_realm_elsewhere_gets_the_login_only_where_it_is_named() {
    let realm = Server::start(|request, _| {
        let good = basic(request) && request.path.starts_with("/token?service=s+v&scope=repository%3Aa%2Fb%3Apull");
        if good { reply(200, r#"{"token":"good"}"#) } else { reply(401, "") }
    });
    let registry = with_realm(&realm.host);
    let error = resolve(&registry.host, login("mule", SECRET)).unwrap_err();
    assert_eq!(error.class, Kind::Policy, "{error}");
    assert!(!realm.requests().is_empty() && is_clean(&realm.requests()));
    let named = vec![(registry.host.clone(), realm.host.clone())];
    resolve(&registry.host, Settings { realms: named, ..login("mule", SECRET) }).unwrap();
    // A realm named for another registry does not count.
    let other = vec![("localhost:1".to_owned(), realm.host.clone())];
    assert_eq!(
        resolve(&registry.host, Settings { realms: other, ..login("mule", SECRET) }).unwrap_err().class,
        Kind::Policy
    );
}

#[test]
fn an_anonymous_token_is_enough_for_what_is_public() {
    let realm = Server::start(|_, _| reply(200, r#"{"access_token":"good","expires_in":300}"#));
    let registry = with_realm(&realm.host);
    resolve(&registry.host, login("mule", SECRET)).unwrap();
    assert!(is_clean(&realm.requests()));
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let realm = Server::start(|request, _| {
        let body = String::from_utf8_lossy(&request.body);
        let good = request.method == "POST"
            && body.contains("grant_type=refresh_token")
            && body.contains(&format!("refresh_token={SECRET}"));
        if good { reply(200, r#"{"access_token":"good"}"#) } else { reply(400, "") }
    });
    let registry = with_realm(&realm.host);
    let credentials = Box::new(|_: &str, _: &str| Ok(Some(Credential::identity(SECRET))));
    let realms = vec![(registry.host.clone(), realm.host.clone())];
    resolve(&registry.host, Settings { credentials, realms, ..Settings::default() }).unwrap();
    assert!(is_clean(
        &registry.requests().into_iter().filter(|r| r.header("authorization").is_none()).collect::<Vec<_>>()
    ));
    assert!(!format!("{:?}", registry.requests()).contains(SECRET));
}

#[test]
fn an_upload_session_elsewhere_gets_no_login() {
    let storage = Server::start(|_, _| reply(201, ""));
    let elsewhere = storage.host.clone();
    let registry = Server::start(move |request, _| match request.method.as_str() {
        _ if !basic(request) => challenge(),
        "HEAD" => reply(404, ""),
        _ => reply(202, "").with("Location", format!("http://{elsewhere}/put?_state=x")),
    });
    let client = client(login("mule", SECRET));
    let repository = Repository::new(&registry.host, "a/b").unwrap();
    for size in [10, 900_000] {
        let blob = content(size, 3);
        client.registries.put_blob(&repository, &blob.descriptor(), &blob).unwrap();
        let last = storage.requests().pop().unwrap();
        assert!(last.path.starts_with("/put?_state=x&digest=sha256%3A"), "{}", last.path);
        assert!(last.body == blob.0);
    }
    assert!(is_clean(&storage.requests()));
}

#[test]
fn tags_go_on_at_the_same_origin_only() {
    let evil = Server::start(|_, _| reply(200, r#"{"tags":["evil"]}"#));
    let elsewhere = evil.host.clone();
    let registry = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        path if path.contains("/evil/") => {
            reply(200, r#"{"tags":["a"]}"#).with("Link", format!("<http://{elsewhere}/x>; rel=\"next\""))
        }
        path if path.contains("/round/") => {
            reply(200, r#"{"tags":["a"]}"#).with("Link", format!("<{path}>; rel=\"next\""))
        }
        "/v2/good/x/tags/list?page=2" => reply(200, r#"{"tags":["b"]}"#),
        _ => reply(200, r#"{"tags":["a","not a tag"]}"#).with("Link", "</v2/good/x/tags/list?page=2>; rel=\"next\""),
    });
    let client = client(Settings::default());
    let tags = |path: &str| TagList::tags(&client.registries, &Repository::new(&registry.host, path).unwrap());
    assert_eq!(tags("good/x").unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(tags("evil/x").unwrap_err().class, Kind::Policy);
    assert_eq!(tags("round/x").unwrap_err().class, Kind::Failed);
    assert!(evil.requests().is_empty());
}

#[test]
fn a_redirect_to_a_name_is_followed() {
    let blob = content(1000, 22);
    let bytes = blob.0.clone();
    let storage = Server::start(move |_, _| reply(200, bytes.clone()));
    let elsewhere = storage.host.replace("127.0.0.1", "localhost");
    let registry = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        _ => reply(307, "").with("Location", format!("http://{elsewhere}/x")),
    });
    let client = client(Settings::default());
    let repository = Repository::new(&registry.host, "a/b").unwrap();
    assert!(read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
}
