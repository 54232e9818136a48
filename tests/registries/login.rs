//! Logins at real registries: htpasswd, and tokens of a realm on another port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::content::{Destination, Error, Inventory, Kind, Mounts, Source};
use packmule::oci::{Reference, Tag};
use packmule::registry::{Credential, Lookup, Settings};

use super::hosts::{Bytes, address, anonymous, client, content, fresh, login, manifest, read};
use super::server::{Server, reply};

fn password(name: &str) -> Option<String> {
    address(&format!("{name}_PASSWORD"))
}

fn realm(host: &str, settings: Settings) -> Settings {
    let realm = std::env::var("PACKMULE_TEST_TOKEN_REALM").unwrap_or_default();
    Settings { realms: vec![(host.to_owned(), realm)], ..settings }
}

/// Runs everything that needs a login.
fn use_it(host: &str, settings: Settings) {
    let client = client(settings);
    let (repository, other) = (fresh(host, "private"), fresh(host, "other"));
    let (config, layer) = (Bytes(b"{}".to_vec()), content(1 << 20, 11));
    for blob in [&config, &layer] {
        client.registries.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let document = manifest(&config.descriptor(), &layer.descriptor(), None);
    client.registries.put_manifest(&repository, &document).unwrap();
    client.registries.set_tag(&repository, &Tag::new("a").unwrap(), &document).unwrap();
    assert!(client.registries.mount(&other, &layer.descriptor(), &repository).unwrap());
    assert!(client.registries.has_blob(&other, &layer.descriptor()).unwrap());
    assert_eq!(read(&client.registries, &repository, &layer.descriptor()).unwrap(), layer.0);
    let rights = client.registries.rights().unwrap();
    rights.may_push(&repository).unwrap();
    rights.may_pull(&repository).unwrap();
    assert!(client.registries.repositories(host).unwrap().contains(&repository));
}

fn refused(host: &str, settings: Settings) -> Error {
    let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
    client(settings).registries.resolve(&reference).unwrap_err()
}

/// A login that changes each time it is looked up: "p0", "p1", ...
fn changing(host: &str) -> (Settings, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let credentials: Lookup = Box::new(move |_, _| {
        Ok(Some(Credential::password("mule", format!("p{}", count.fetch_add(1, Ordering::Relaxed)))))
    });
    (Settings { credentials, realms: vec![(host.to_owned(), host.to_owned())], ..Settings::default() }, asked)
}

/// "mule:p1"
const SECOND: &str = "Basic bXVsZTpwMQ==";

#[test]
fn r6_a_refused_login_is_looked_up_once_more() {
    for (good, status, lookups) in [(SECOND, 404, 2), ("never", 401, 3)] {
        let server = Server::start(move |request, _| match request.header("authorization") {
            Some(sent) if sent == good => reply(404, ""),
            _ => reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
        });
        let (settings, asked) = changing(&server.host);
        let error = refused(&server.host, settings);
        assert_eq!(error.class, if status == 404 { Kind::Absent } else { Kind::Denied }, "{error}");
        assert!(asked.load(Ordering::Relaxed) <= lookups, "{asked:?}");
    }
}

#[test]
fn r6_a_token_servers_refusal_too() {
    for (good, kind) in [(SECOND, Kind::Absent), ("never", Kind::Denied)] {
        let server = Server::start(move |request, _| {
            let sent = request.header("authorization").unwrap_or_default();
            if request.path.starts_with("/token") {
                return if sent == good { reply(200, r#"{"token":"t"}"#) } else { reply(401, "") };
            }
            if sent == "Bearer t" {
                return reply(404, "");
            }
            let host = request.header("host").unwrap();
            reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        });
        let (settings, asked) = changing(&server.host);
        let error = refused(&server.host, settings);
        assert_eq!(error.class, kind, "{error}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

/// A realm that gives tokens to anyone proves nothing about a login that it was not sent.
#[test]
fn r7_a_login_that_was_kept_back_was_not_tried() {
    let realm = Server::start(|_, _| reply(200, r#"{"token":"t"}"#));
    let address = format!("Bearer realm=\"http://{}/token\"", realm.host);
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer t") => reply(200, "{}"),
        _ => reply(401, "").with("WWW-Authenticate", address.clone()),
    });
    let error = client(login("mule", "canary-7783")).registries.log_in(&server.host).unwrap_err();
    assert!(error.class == Kind::Policy && error.help.unwrap().contains("--realm"));
    assert!(realm.requests().iter().all(|request| request.header("authorization").is_none()));
    let named = Settings { realms: vec![(server.host.clone(), realm.host.clone())], ..login("mule", "canary-7783") };
    assert!(client(named).registries.log_in(&server.host).unwrap());
    assert!(realm.requests().last().unwrap().header("authorization").is_some());
    let open = Server::start(|_, _| reply(200, "{}"));
    assert!(!client(login("mule", "canary-7783")).registries.log_in(&open.host).unwrap());
}

#[test]
fn htpasswd() {
    for name in ["PACKMULE_TEST_HTPASSWD", "PACKMULE_TEST_HTPASSWD_DOCKER_REGISTRY"] {
        let (Some(host), Some(password)) = (address(name), password("PACKMULE_TEST_HTPASSWD")) else { continue };
        use_it(&host, login("mule", &password));
        let error = refused(&host, login("mule", "canary-7781"));
        assert_eq!(error.class, Kind::Denied);
        assert!(!format!("{error:?}").contains("canary-7781"));
        assert_eq!(refused(&host, Settings::default()).class, Kind::Denied);
        let client = anonymous();
        let put = client.registries.put_blob(&fresh(&host, "x"), &content(1, 1).descriptor(), &content(1, 1));
        assert_eq!(put.unwrap_err().class, Kind::Denied);
        let rights = client.registries.rights().unwrap();
        assert_eq!(rights.may_push(&fresh(&host, "x")).unwrap_err().class, Kind::Denied);
        assert_eq!(rights.may_pull(&fresh(&host, "x")).unwrap_err().class, Kind::Denied);
        assert_eq!(client.registries.repositories(&host).unwrap_err().class, Kind::Denied);
    }
}

/// Settings with one identity token for every host.
fn identity(token: &str) -> Settings {
    let token = token.to_owned();
    Settings { credentials: Box::new(move |_, _| Ok(Some(Credential::identity(token.clone())))), ..Settings::default() }
}

#[test]
fn identity_tokens() {
    for name in ["PACKMULE_TEST_TOKEN", "PACKMULE_TEST_TOKEN_DOCKER_REGISTRY"] {
        let (Some(host), Some(password)) = (address(name), password("PACKMULE_TEST_TOKEN")) else { continue };
        // The token server accepts the password as a refresh token.
        use_it(&host, realm(&host, identity(&password)));
        let error = refused(&host, realm(&host, identity("canary-7783")));
        assert_eq!(error.class, Kind::Denied, "{error}");
        assert!(!format!("{error:?}").contains("canary-7783"));
    }
}

#[test]
fn tokens() {
    for name in ["PACKMULE_TEST_TOKEN", "PACKMULE_TEST_TOKEN_DOCKER_REGISTRY"] {
        let (Some(host), Some(password)) = (address(name), password("PACKMULE_TEST_TOKEN")) else { continue };
        use_it(&host, realm(&host, login("mule", &password)));
        let error = refused(&host, realm(&host, login("mule", "canary-7782")));
        assert_eq!(error.class, Kind::Denied, "{error}");
        assert!(!format!("{error:?}").contains("canary-7782"));
        // The realm is on another port and not named: asked without a login, and reported.
        let error = refused(&host, login("mule", &password));
        assert_eq!(error.class, Kind::Policy, "{error}");
        assert!(error.help.unwrap().contains(&format!("--realm {host}=")));
    }
}
