//! Google Cloud Storage by its XML interface, against a fake of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64ct::Encoding as _;
use packmule::content::Kind;
use packmule::storage::{Bucket, Condition, Container, gcs};

use super::super::container::{self, Bytes, content};
use super::super::google::{State, TOKEN, fake, hex, md5, refused};
use super::super::server::{Request, Server, reply};
use super::{Net, Secret, fresh, net, secret};

/// Three parts and a bit.
const LENGTH: usize = (24 << 20) + 12_345;

fn settings(server: &Server, access: gcs::Access) -> gcs::Settings {
    gcs::Settings {
        bucket: "bucket".to_owned(),
        prefix: fresh(),
        endpoint: Some(format!("http://{}", server.host).parse().unwrap()),
        access,
        journals: None,
    }
}

fn bucket(server: &Server, net: &Net) -> Bucket {
    gcs::open(settings(server, gcs::Access::Token(secret(TOKEN))), &net.network).unwrap()
}

#[test]
fn googles_store_is_a_container() {
    let (server, net) = (fake(), net(0));
    container::small_objects(&bucket(&server, &net));
    container::long_lists(&bucket(&server, &net), 9);
    container::large_objects(&bucket(&server, &net), LENGTH);
    container::resumed(&bucket(&server, &net), LENGTH);
    container::discarded(&bucket(&server, &net), LENGTH);
    container::wrong_content(&bucket(&server, &net));
}

#[test]
fn googles_conditions_are_generations() {
    let (server, net) = (fake(), net(0));
    let bucket = bucket(&server, &net);
    let made = bucket.put("m", b"one", &Condition::Absent).unwrap();
    bucket.put("m", b"two", &Condition::Unchanged(made.etag.unwrap())).unwrap();
    let sent: Vec<_> = server
        .all_requests()
        .into_iter()
        .filter(|request| request.method == "PUT")
        .map(|request| request.header("x-goog-if-generation-match").map(str::to_owned))
        .collect();
    assert_eq!(sent, [Some("0".to_owned()), Some("1".to_owned())]);
}

#[test]
fn googles_checksum_finds_other_content() {
    let net = net(0);
    let state = Mutex::new(State::default());
    // The last part is damaged behind the check of its MD5.
    let server = Server::start(move |request, _| {
        let mut state = state.lock().unwrap();
        if request.method == "POST" && request.path.contains("uploadId") {
            let (_, _, parts) = state.uploads.values_mut().next().unwrap();
            let reply = if let Some(part) = parts.get_mut(&4) {
                let before = part.clone();
                part[0] ^= 1;
                let body =
                    String::from_utf8(request.body.clone()).unwrap().replace(&hex(&md5(&before)), &hex(&md5(part)));
                state.answer(&Request { body: body.into_bytes(), ..request.clone() })
            } else {
                state.answer(request)
            };
            return reply;
        }
        state.answer(request)
    });
    let bucket = bucket(&server, &net);
    let (flow, _) = container::flow();
    let body = Bytes::new(content(LENGTH, 50));
    let error = container::upload(&bucket, "volume", &body, &[], &flow).unwrap_err();
    assert_eq!(error.class, Kind::Mismatch, "{error}");
}

#[test]
fn t16_the_machines_account_gives_a_token() {
    let (server, net) = (fake(), net(0));
    let given = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&given);
    let metadata = Server::start(move |request, _| {
        if request.header("metadata-flavor") != Some("Google") {
            return reply(403, "");
        }
        // The first token is one that the store does not take.
        let token = if seen.fetch_add(1, Ordering::SeqCst) == 0 { "ended" } else { TOKEN };
        reply(200, format!(r#"{{"access_token":"{token}","expires_in":3600,"token_type":"Bearer"}}"#))
    });
    let access = gcs::Access::Metadata { endpoint: Some(format!("http://{}", metadata.host)) };
    let bucket = gcs::open(settings(&server, access), &net.network).unwrap();
    bucket.put("x", b"x", &Condition::Any).unwrap();
    bucket.list("", &mut |_| ()).unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 2, "one more after the refusal, then kept");
    let odd = Server::start(|_, _| reply(200, r#"{"access_token": ["canary-odd"]}"#));
    let access = gcs::Access::Metadata { endpoint: Some(format!("http://{}", odd.host)) };
    let error = gcs::open(settings(&server, access), &net.network).unwrap().head("x").unwrap_err();
    assert!(error.what.contains(&odd.host) && !format!("{error:?}").contains("canary"), "{error}");
}

#[test]
fn a_service_account_signs_its_own_token() {
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("key.pem");
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(&pem)
        .output();
    if !made.is_ok_and(|done| done.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "openssl is needed");
        eprintln!("SKIP: no openssl");
        return;
    }
    let key = std::fs::read_to_string(&pem).unwrap();
    let json = serde_json::json!({
        "type": "service_account", "private_key": key, "private_key_id": "kid", "client_email": "a@b.example",
    });
    let server = Server::start(|_, _| refused(403, "AccessDenied"));
    let net = net(0);
    let access = gcs::Access::ServiceAccount(secret(&json.to_string()));
    let error = gcs::open(settings(&server, access), &net.network).unwrap().head("x").unwrap_err();
    assert_eq!(error.class, Kind::Denied);
    let sent = server.all_requests()[0].header("authorization").unwrap().to_owned();
    let parts: Vec<&str> = sent.strip_prefix("Bearer ").unwrap().split('.').collect();
    let claims = base64ct::Base64UrlUnpadded::decode_vec(parts[1]).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert!(parts.len() == 3 && claims["iss"] == "a@b.example", "{claims}");
    for broken in [
        r#"{"private_key": ["canary"]}"#,
        "canary",
        r#"{"private_key":"canary","private_key_id":"k","client_email":"e"}"#,
    ] {
        let access = gcs::Access::ServiceAccount(secret(broken));
        let error = gcs::open(settings(&server, access), &net.network).unwrap().head("x").unwrap_err();
        assert_eq!(error.class, Kind::Policy);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[test]
fn t15_a_refused_google_token_is_read_again() {
    let (server, net) = (fake(), net(0));
    let access = gcs::Access::Token(Arc::new(Secret("old".to_owned(), TOKEN.to_owned())));
    gcs::open(settings(&server, access), &net.network).unwrap().put("x", b"x", &Condition::Any).unwrap();
    let access = gcs::Access::Token(secret("wrong"));
    let error = gcs::open(settings(&server, access), &net.network).unwrap().head("x").unwrap_err();
    assert_eq!(error.class, Kind::Denied);
}
