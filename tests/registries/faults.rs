//! Servers that break off, lie, throttle, forget logins and hang: how the client reacts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use packmule::content::{Destination, Kind, Source};
use packmule::flow::Event;
use packmule::network::settings::ClientSettings;
use packmule::oci::{Reference, Repository, media_type};
use packmule::registry::Settings;

use super::hosts::{Bytes, anonymous, client, connecting, content, manifest, manifest_reply, read};
use super::server::{Reply, Server, reply};

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

#[test]
fn r5_retry_after_is_waited() {
    let server = Server::start(|request, before| match (request.path.as_str(), before) {
        ("/v2/", _) => reply(200, ""),
        (_, 0..=2) => reply(429, "").with("Retry-After", "7"),
        _ => manifest_reply(),
    });
    let client = anonymous();
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    client.registries.resolve(&reference).unwrap();
    assert!(client.clock.slept() >= Duration::from_secs(14), "{:?}", client.clock.slept());
    let busy = Server::start(|_, _| reply(503, r#"{"errors":[{"code":"UNAVAILABLE","message":"later"}]}"#));
    let reference: Reference = format!("{}/a/b:c", busy.host).parse().unwrap();
    let error = client.registries.resolve(&reference).unwrap_err();
    assert_eq!(error.class, Kind::Failed);
    assert!(error.what.contains("UNAVAILABLE: later") && error.what.contains("tried 5 times"), "{error}");
}

#[test]
fn r6_a_token_that_no_longer_holds_is_had_anew_once() {
    let tokens = Arc::new(Mutex::new(0));
    let now = Arc::clone(&tokens);
    // Every token is valid for one upload step or read; after that only the next one is.
    let server = Server::start(move |request, _| {
        let mut given = now.lock().unwrap();
        if request.path.starts_with("/token") {
            *given += 1;
            return reply(200, format!(r#"{{"token":"t{given}","expires_in":3600}}"#));
        }
        let host = request.header("host").unwrap_or_default();
        let refused = reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""));
        match request.header("authorization") {
            Some(sent) if *sent == format!("Bearer t{given}") => {}
            _ => return refused,
        }
        if request.path.contains("/never/") {
            return refused;
        }
        match request.method.as_str() {
            "POST" => reply(202, "").with("Location", "/v2/a/b/session"),
            // The first token expires while the bytes are in transit.
            "PUT" if *given < 2 => refused,
            "PUT" => reply(201, ""),
            "HEAD" if request.path.contains("/blobs/") => reply(404, ""),
            _ => manifest_reply(),
        }
    });
    for size in [100, 3 << 20] {
        *tokens.lock().unwrap() = 0;
        let client = anonymous();
        let blob = content(size, 35);
        client.registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
        let put = server.requests().into_iter().rfind(|request| request.method == "PUT").unwrap();
        assert!(put.body == blob.0 && put.header("authorization") == Some("Bearer t2"));
    }
    let reference: Reference = format!("{}/never/b:c", server.host).parse().unwrap();
    let before = server.requests().len();
    assert_eq!(anonymous().registries.resolve(&reference).unwrap_err().class, Kind::Denied);
    assert!(server.requests().len() - before <= 9, "HEAD, then GET, each with one token more");
}

#[test]
fn a_connection_lost_after_the_put_is_looked_into() {
    let stored = AtomicUsize::new(0);
    let server = Server::start(move |request, _| match request.method.as_str() {
        "POST" => reply(202, "").with("Location", "/v2/a/b/session"),
        "PUT" => {
            stored.store(request.body.len(), Ordering::Relaxed);
            Reply { cut: Some(0), ..reply(201, "lost").with("Content-Length", "junk") }
        }
        "HEAD" => match stored.load(Ordering::Relaxed) {
            0 => reply(404, ""),
            size => reply(200, vec![0; size]),
        },
        _ => reply(200, ""),
    });
    let blob = content(2 << 20, 36);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert_eq!(server.requests().iter().filter(|request| request.method == "PUT").count(), 1);
}

#[test]
fn where_one_put_is_refused_chunks_are_sent() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&got);
    let server = Server::start(move |request, before| match request.method.as_str() {
        "POST" => reply(202, "").with("Location", "/v2/a/b/session?_state=0"),
        "PUT" if !request.body.is_empty() => reply(413, ""),
        "PATCH" => {
            let mut got = store.lock().unwrap();
            let range = format!("{}-{}", got.len(), got.len() + request.body.len() - 1);
            assert_eq!(request.header("content-range"), Some(range.as_str()));
            got.extend_from_slice(&request.body);
            reply(202, "").with("Location", format!("/v2/a/b/session?_state={before}"))
        }
        "PUT" => reply(201, ""),
        "HEAD" => reply(404, ""),
        _ => reply(200, ""),
    });
    let blob = content((9 << 20) + 5, 37);
    anonymous().registries.put_blob(&repository(&server), &blob.descriptor(), &blob).unwrap();
    assert!(*got.lock().unwrap() == blob.0);
    let sessions: Vec<String> = server.requests().into_iter().filter(|r| r.method == "PATCH").map(|r| r.path).collect();
    assert_eq!(sessions.len(), 3);
    assert!(sessions[0] != sessions[1] && sessions[1] != sessions[2], "{sessions:?}");
}

#[test]
fn a_tag_that_does_not_move_is_told() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "PUT" => reply(201, ""),
        _ => manifest_reply(),
    });
    let config = Bytes(b"{}".to_vec()).descriptor();
    let other = manifest(&config, &content(1, 1).descriptor(), None);
    let tag = packmule::oci::Tag::new("fixed").unwrap();
    let error = anonymous().registries.set_tag(&repository(&server), &tag, &other).unwrap_err();
    assert_eq!(error.class, Kind::Policy, "{error}");
}

#[test]
fn a_tag_may_not_move_where_the_registry_says_so_and_not_where_a_name_does() {
    let config = Bytes(b"{}".to_vec()).descriptor();
    let other = manifest(&config, &content(1, 1).descriptor(), None);
    let tag = packmule::oci::Tag::new("immutable").unwrap();
    for (status, code, kind) in [
        (400, "TAG_INVALID", Kind::Refused),
        (400, "TAG_IMMUTABLE", Kind::Policy),
        (409, "CONFLICT", Kind::Policy),
        (403, "DENIED", Kind::Denied),
    ] {
        let server = Server::start(move |request, _| match request.method.as_str() {
            "PUT" => reply(status, format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#)),
            _ => manifest_reply(),
        });
        let repository = Repository::new(&server.host, "locked/readonly").unwrap();
        let error = anonymous().registries.set_tag(&repository, &tag, &other).unwrap_err();
        assert_eq!(error.class, kind, "{error}");
    }
}

#[test]
fn warnings_are_shown_once() {
    let client = anonymous();
    let warned = Server::start(|_, _| manifest_reply().with("Warning", "299 - \"soon gone\""));
    let reference: Reference = format!("{}/a/b:c", warned.host).parse().unwrap();
    for _ in 0..3 {
        client.registries.resolve(&reference).unwrap();
    }
    let heard = client.heard.0.lock().unwrap();
    let warnings: Vec<_> = heard.iter().filter(|event| matches!(event, Event::Warning(_))).collect();
    assert_eq!(warnings, [&Event::Warning(format!("registry {}: soon gone", warned.host))]);
}

#[test]
fn r2_a_hanging_server_is_left_after_the_idle_time_and_on_cancel() {
    let server = Server::start(|request, _| {
        if request.path != "/v2/" {
            std::thread::sleep(Duration::from_secs(30));
        }
        reply(200, "")
    });
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    let begun = Instant::now();
    let impatient = client(Settings {
        retries: 1,
        ..connecting(ClientSettings { idle: Duration::from_millis(300), ..ClientSettings::default() })
    });
    let error = impatient.registries.resolve(&reference).unwrap_err();
    assert_eq!(error.class, Kind::Failed, "{error}");
    let cancelled = client(Settings::default());
    let flag = cancelled.flow.cancel_flag();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        flag.store(true, Ordering::Relaxed);
    });
    assert_eq!(cancelled.registries.resolve(&reference).unwrap_err().class, Kind::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn r5_waits_are_capped_dates_are_read_and_the_one_who_limits_is_named() {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(30));
    for (after, least, most) in
        [(Some("1"), 1, 3), (Some("86400"), 60, 63), (Some(date.as_str()), 25, 33), (None, 0, 2)]
    {
        let header = after.map(ToOwned::to_owned);
        let server = Server::start(move |request, before| match (request.path.as_str(), before) {
            ("/v2/", _) => reply(200, ""),
            (_, 1) => header.iter().fold(reply(429, ""), |reply, after| reply.with("Retry-After", after.clone())),
            _ => manifest_reply(),
        });
        let client = anonymous();
        let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
        client.registries.resolve(&reference).unwrap();
        let slept = client.clock.slept().as_secs();
        assert!(slept >= least && slept <= most, "{after:?}: {slept}");
    }
    for (status, words) in [(429, "too many requests"), (502, "status 502")] {
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            _ => reply(status, "<html>a proxy's own page</html>"),
        });
        let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
        let error = anonymous().registries.resolve(&reference).unwrap_err();
        assert!(error.what.contains(words) && error.what.contains(&server.host), "{error}");
        assert!(!error.what.contains("<html>"));
    }
}

#[test]
fn several_challenges_in_one_header_or_more() {
    for headers in [
        vec!["Negotiate", "Basic realm=\"x\"", "Bearer realm=\"http://{}/token\",service=\"s\""],
        vec!["Basic realm=\"x\", Bearer realm=\"http://{}/token\",service=\"s\""],
        vec!["Bearer realm=\"http://{}/token\",service=\"s\", Basic realm=\"x\""],
    ] {
        let server = Server::start(move |request, _| {
            let host = request.header("host").unwrap_or_default();
            if request.path.starts_with("/token?service=s&scope=") {
                return reply(200, r#"{"token":"good"}"#);
            }
            match request.header("authorization") {
                Some("Bearer good") => manifest_reply(),
                _ => headers
                    .iter()
                    .fold(reply(401, ""), |reply, text| reply.with("WWW-Authenticate", text.replace("{}", host))),
            }
        });
        let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
        anonymous().registries.resolve(&reference).unwrap();
    }
}

#[test]
fn m15_docker_schema_1_is_refused_by_name() {
    let server = Server::start(|_, _| {
        reply(200, r#"{"schemaVersion":1,"name":"a/b"}"#).with("Content-Type", media_type::DOCKER_SCHEMA1_SIGNED)
    });
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    // The name resolves, so that the plan can tell what it is; no document comes of it.
    let client = anonymous();
    let found = client.registries.resolve(&reference).unwrap();
    assert_eq!(found.media_type, media_type::DOCKER_SCHEMA1_SIGNED);
    let error = client.registries.document(&reference.repository, &found).unwrap_err();
    assert!(error.what.contains("schema 1 is not supported"), "{error}");
}

#[test]
fn connections_are_used_again() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let accept = move |stream: std::net::TcpStream| {
        let mut first = [0];
        // The ping tries TLS first.
        if stream.peek(&mut first).is_ok() && first[0] != 22 {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Some(Box::new(stream) as Box<dyn super::server::Wire>)
    };
    let blob = content(300_000, 43);
    let bytes = blob.0.clone();
    let server = Server::start_by("127.0.0.1:0", accept, move |request, _| match request.path.as_str() {
        path if path.contains("/blobs/") => reply(200, bytes.clone()),
        _ => manifest_reply(),
    });
    let client = anonymous();
    let reference: Reference = format!("{}/a/b:c", server.as_ref().unwrap().host).parse().unwrap();
    for _ in 0..10 {
        client.registries.resolve(&reference).unwrap();
        assert!(read(&client.registries, &reference.repository, &blob.descriptor()).unwrap() == blob.0);
    }
    // A connection is only free a moment after its answer was read, so some calls come earlier.
    assert!(opened.load(Ordering::Relaxed) <= 8, "{opened:?} connections for 21 calls");
}

#[test]
fn t3_a_wall_clock_that_is_wrong_stretches_no_wait() {
    // The date of the server's `Retry-After` is years ahead of our clock, or behind it.
    for date in ["Fri, 01 Jan 2106 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:10 GMT"] {
        let server = Server::start(move |request, before| match (request.path.as_str(), before) {
            ("/v2/", _) => reply(200, ""),
            (_, 0..=2) => reply(503, "").with("Retry-After", date),
            _ => manifest_reply(),
        });
        let client = anonymous();
        let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
        client.registries.resolve(&reference).unwrap();
        assert!(client.clock.slept() <= Duration::from_secs(150), "{date}: {:?}", client.clock.slept());
    }
}
