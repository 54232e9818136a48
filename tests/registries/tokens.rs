//! Token servers: scopes that a registry asks for beyond our own, and answers of all kinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::content::{Destination, Kind, Source, TagList};
use packmule::oci::{Reference, Repository};
use packmule::registry::Settings;

use super::hosts::{client, content};
use super::server::{Server, reply};

/// A registry whose lists of tags need `metadata_read`, as with ACR's scope maps, and whose sessions
/// can be cancelled only with `delete`. Its tokens are the scopes granted: at most `allowed`.
fn registry(allowed: &'static [&'static str]) -> (Server, Arc<AtomicUsize>) {
    let granted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&granted);
    let server = Server::start(move |request, _| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/token" {
            count.fetch_add(1, Ordering::SeqCst);
            let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
            let scopes = scopes.map(|scope| scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","));
            let actions: Vec<String> = scopes
                .filter_map(|scope| Some(scope.rsplit_once(':')?.1.to_owned()))
                .flat_map(|actions| actions.split(',').map(ToOwned::to_owned).collect::<Vec<_>>())
                .filter(|action| allowed.contains(&action.as_str()))
                .collect();
            return reply(200, format!(r#"{{"token":"t.{}","expires_in":300}}"#, actions.join(".")));
        }
        let need = match request.method.as_str() {
            "DELETE" => "delete",
            "POST" | "PUT" => "push",
            _ if path.contains("/tags/") => "metadata_read",
            _ => "pull",
        };
        let has = request.header("authorization").is_some_and(|token| token.split('.').any(|action| action == need));
        if !has {
            let host = request.header("host").unwrap();
            let challenge =
                format!("Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"repository:a/b:{need}\"");
            return reply(401, "").with("WWW-Authenticate", challenge);
        }
        match need {
            "metadata_read" => reply(200, r#"{"tags":["v1","v2"]}"#),
            "pull" if request.method == "HEAD" && path.contains("/blobs/") => reply(404, ""),
            "pull" => super::hosts::manifest_reply(),
            "push" if request.method == "POST" => reply(202, "").with("Location", "/v2/a/b/blobs/uploads/1"),
            _ => reply(201, ""),
        }
    });
    (server, granted)
}

#[test]
fn a_list_gets_a_token_with_the_scopes_that_it_asks_for_and_our_own() {
    let (server, granted) = registry(&["pull", "push", "metadata_read"]);
    let client = client(Settings::default());
    let repository = Repository::new(&server.host, "a/b").unwrap();
    let reference: Reference = format!("{repository}:v1").parse().unwrap();
    let tokens = || granted.swap(0, Ordering::SeqCst);
    client.registries.resolve(&reference).unwrap();
    assert_eq!(tokens(), 1);
    assert_eq!(TagList::tags(&client.registries, &repository).unwrap().len(), 2);
    assert_eq!(tokens(), 1);
    let last = server.requests().into_iter().rfind(|request| request.path.starts_with("/token")).unwrap();
    assert!(last.path.contains("scope=repository%3Aa%2Fb%3Apull%2Cmetadata_read"), "{}", last.path);
    // Neither is asked for again.
    client.registries.resolve(&reference).unwrap();
    TagList::tags(&client.registries, &repository).unwrap();
    assert_eq!(tokens(), 0);
}

#[test]
fn a_token_that_is_good_for_pulls_stays_where_more_is_refused() {
    let (server, granted) = registry(&["pull"]);
    let client = client(Settings::default());
    let repository = Repository::new(&server.host, "a/b").unwrap();
    let reference: Reference = format!("{repository}:v1").parse().unwrap();
    for _ in 0..3 {
        client.registries.resolve(&reference).unwrap();
        assert_eq!(TagList::tags(&client.registries, &repository).unwrap_err().class, Kind::Denied);
    }
    let pulls = server.requests().iter().filter(|request| request.method == "HEAD").count();
    // The first is sent without a token.
    assert_eq!(pulls, 3, "no pull was refused");
    assert!(granted.load(Ordering::SeqCst) <= 4, "{granted:?}");
}

#[test]
fn the_end_of_a_session_costs_no_token() {
    let (server, granted) = registry(&["pull", "push"]);
    let client = client(Settings::default());
    let repository = Repository::new(&server.host, "a/b").unwrap();
    let rights = client.registries.rights().unwrap();
    rights.may_push(&repository).unwrap();
    rights.release();
    let deletes = server.requests().iter().filter(|request| request.method == "DELETE").count();
    let blob = content(10, 1);
    client.registries.put_blob(&repository, &blob.descriptor(), &blob).unwrap();
    assert_eq!((deletes, granted.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn a_token_with_an_odd_life_is_used() {
    for odd in
        [r#""expires_in":"3600""#, r#""expires_in":3600.5"#, r#""expires_in":-1"#, r#""token":"","expires_in":[]"#]
    {
        let answer = format!(r#"{{"access_token":"good",{odd}}}"#);
        let server = Server::start(move |request, _| {
            if request.path.starts_with("/token") {
                return reply(200, answer.clone());
            }
            if request.header("authorization") == Some("Bearer good") {
                return super::hosts::manifest_reply();
            }
            let host = request.header("host").unwrap();
            reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        });
        client(Settings::default()).registries.resolve(&format!("{}/a/b:c", server.host).parse().unwrap()).unwrap();
    }
}
