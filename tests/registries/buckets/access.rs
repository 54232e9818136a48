//! Credentials: keys that change, metadata services, web identities; and no secret in any output.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::content::Kind;
use packmule::storage::{Condition, Container, s3};

use super::super::server::{Server, reply};
use super::{Secret, Store, net, secret};

fn with(store: &Store, access: s3::Access) -> s3::Settings {
    s3::Settings { access, ..store.settings(None) }
}

#[test]
fn t15_refused_keys_are_read_again_once() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    let changed = Arc::new(Secret("old-secret".to_owned(), store.secret.clone()));
    let keys = s3::Access::Keys { id: secret(&store.id), secret: changed, session: None };
    let bucket = net.open(with(&store, keys));
    bucket.put("x", b"x", &Condition::Any).unwrap();
    let wrong = Arc::new(Secret("old-secret".to_owned(), "still-wrong".to_owned()));
    let keys = s3::Access::Keys { id: secret(&store.id), secret: wrong, session: None };
    let error = net.open(with(&store, keys)).put("x", b"x", &Condition::Any).unwrap_err();
    assert_eq!(error.class, Kind::Denied);
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
}

#[test]
fn t15_a_session_that_ended_is_renewed_once() {
    let sessions = Arc::new(Secret("first-token".to_owned(), "second-token".to_owned()));
    let server = Server::start(|request, _| match request.header("x-amz-security-token") {
        Some("second-token") => reply(200, "").with("ETag", "\"d41d8cd98f00b204e9800998ecf8427e\""),
        _ => reply(400, "<Error><Code>ExpiredToken</Code><Message>first-token has ended</Message></Error>"),
    });
    let store = Store { host: server.host.clone(), bucket: "b".to_owned(), id: "i".to_owned(), secret: "s".to_owned() };
    let keys = s3::Access::Keys { id: secret("i"), secret: secret("canary"), session: Some(sessions) };
    let net = net(0);
    net.open(with(&store, keys)).put("x", b"", &Condition::Any).unwrap();
    assert_eq!(server.all_requests().len(), 2);
    let ended = s3::Access::Keys { id: secret("i"), secret: secret("canary"), session: Some(secret("first-token")) };
    let error = net.open(with(&store, ended)).put("x", b"", &Condition::Any).unwrap_err();
    assert_eq!(error.class, Kind::Denied);
    assert!(error.what.contains("[redacted] has ended"), "what a server repeats is removed: {error}");
}

#[test]
fn t16_the_machines_role_gives_keys() {
    let Some(store) = Store::strict() else { return };
    let (id, key) = (store.id.clone(), store.secret.clone());
    let server = Server::start(move |request, _| {
        let is_signed = request.header("x-aws-ec2-metadata-token") == Some("imds-token");
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token") => reply(200, "imds-token"),
            ("GET", _) if !is_signed => reply(401, ""),
            ("GET", "/latest/meta-data/iam/security-credentials/") => reply(200, "role-name"),
            ("GET", "/latest/meta-data/iam/security-credentials/role-name") => reply(
                200,
                format!(
                    r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{key}","Token":"session","Expiration":"2099-01-01T00:00:00Z"}}"#
                ),
            ),
            _ => reply(404, ""),
        }
    });
    let net = net(0);
    let access = s3::Access::Instance { endpoint: Some(format!("http://{}", server.host)) };
    let bucket = net.open(with(&store, access));
    bucket.put("x", b"x", &Condition::Any).unwrap();
    bucket.list("", &mut |_| ()).unwrap();
    assert_eq!(server.all_requests().len(), 3, "keys are kept until they end");
    // The failing step is named.
    let closed = Server::start(|_, _| reply(403, ""));
    let access = s3::Access::Instance { endpoint: Some(format!("http://{}", closed.host)) };
    let error = net.open(with(&store, access)).head("x").unwrap_err();
    assert!(
        error.class == Kind::Denied && error.what.contains(&format!("credentials from {}", closed.host)),
        "{error}"
    );
}

#[test]
fn t16_a_web_identity_gives_keys() {
    let Some(store) = Store::strict() else { return };
    let (id, key) = (store.id.clone(), store.secret.clone());
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let server = Server::start(move |request, _| {
        let text = format!("{} {}", request.path, String::from_utf8_lossy(&request.body));
        if !text.contains("AssumeRoleWithWebIdentity") || !text.contains("canary-identity") {
            return reply(403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>");
        }
        seen.fetch_add(1, Ordering::SeqCst);
        reply(
            200,
            format!(
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{id}\
                 </AccessKeyId><SecretAccessKey>{key}</SecretAccessKey><SessionToken>t</SessionToken>\
                 <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
                 </AssumeRoleWithWebIdentityResponse>"
            ),
        )
    });
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "canary-identity").unwrap();
    let access = |endpoint: String| s3::Access::WebIdentity {
        role: "arn:aws:iam::1:role/r".to_owned(),
        token_file: token_file.clone(),
        session: None,
        endpoint: Some(endpoint),
    };
    let net = net(0);
    let bucket = net.open(with(&store, access(format!("http://{}", server.host))));
    bucket.put("x", b"x", &Condition::Any).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    std::fs::write(&token_file, "other").unwrap();
    let error = net.open(with(&store, access(format!("http://{}", server.host)))).head("x").unwrap_err();
    assert!(error.class == Kind::Denied && error.what.contains(&server.host), "{error}");
}

#[test]
fn no_secret_is_in_any_output() {
    // A server that repeats everything it was sent.
    let server = Server::start(|request, _| {
        let said = format!("{:?}", request.headers).replace(['<', '&'], "");
        reply(403, format!("<Error><Code>AccessDenied</Code><Message>{said} canary-secret</Message></Error>"))
    });
    let net = net(2);
    let store = Store { host: server.host.clone(), bucket: "b".to_owned(), id: "i".to_owned(), secret: "s".to_owned() };
    let keys = s3::Access::Keys {
        id: secret("AKIDEXAMPLE"),
        secret: secret("canary-secret"),
        session: Some(secret("canary-session-token")),
    };
    let settings = with(&store, keys);
    let shown = format!("{settings:?}");
    let bucket = net.open(settings);
    let mut said = vec![shown];
    said.extend(bucket.head("x").err().map(|error| format!("{error:?}")));
    said.extend(bucket.list("", &mut |_| ()).err().map(|error| format!("{error:?}")));
    said.extend(bucket.put("x", b"x", &Condition::Any).err().map(|error| format!("{error:?}")));
    said.push(format!("{:?}", net.heard.0.lock().unwrap()));
    assert_eq!(said.len(), 5);
    let said = said.join("\n");
    assert!(!said.contains("canary"), "{said}");
}
