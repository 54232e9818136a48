//! A registry that answers with what it was sent: no error or event shows it. Row U1.

use packmule::content::{Destination, Error, Referrers, Source, TagList};
use packmule::flow::Event;
use packmule::network::settings::{ClientSettings, Proxies};
use packmule::oci::{Reference, Repository, Tag};
use packmule::registry::{Credential, Settings};

use super::hosts::{Client, client, connecting, content, manifest, read};
use super::server::{Reply, Request, Server, reply};

const CANARY: &str = "canary/90c1 \"tail";
/// mule:canary/90c1 "tail
const BASIC: &str = "Basic bXVsZTpjYW5hcnkvOTBjMSAidGFpbA==";
const TOKEN: &str = "eyJjYW5hcnkiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLW9mLWNhbmFyeQ";
const IDENTITY: &str = "canary-identity-4711";

/// Returns whether a text contains a part of any of them.
fn leaks(text: &str) -> bool {
    ["canary", "90c1", "bXVsZTpj", "eyJjY", "c2lnbmF0", "4711", "Y2FuYXJ5"].iter().any(|part| text.contains(part))
}

fn silent(client: &Client, error: &Error) {
    let heard = client.heard.0.lock().unwrap();
    let shown = format!("{error} {error:?}");
    assert!(!leaks(&shown), "{shown}");
    assert!(!leaks(&format!("{heard:?}")), "{heard:?}");
}

/// How a registry writes what it was sent.
type Writing = fn(&str) -> String;

const WRITINGS: [(&str, Writing); 6] = [
    ("as it came", |sent| sent.to_owned()),
    ("without its scheme", |sent| sent.split_once(' ').map_or_else(String::new, |(_, rest)| rest.to_owned())),
    (
        "unpacked",
        |sent| if sent.starts_with("Basic") { format!("user mule, password {CANARY}") } else { sent.to_owned() },
    ),
    ("for an address", |sent| {
        let sent = if sent.starts_with("Basic") { format!("mule:{CANARY}") } else { sent.to_owned() };
        sent.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") },
            )
            .collect()
    }),
    ("behind much else, where it is cut", |sent| format!("{}{sent}", "x".repeat(375))),
    ("cut by itself", |sent| sent.chars().take(24).collect()),
];

/// Makes every request of a client to a registry that refuses it all with `answer`.
fn provoke(client: &Client, host: &str) {
    let (registries, repository) = (&client.registries, Repository::new(host, "a/b").unwrap());
    let reference: Reference = format!("{repository}:t").parse().unwrap();
    let (config, layer) = (content(2, 1), content(600_000, 2));
    let document = manifest(&config.descriptor(), &layer.descriptor(), None);
    let mut errors = Vec::new();
    errors.extend(registries.resolve(&reference).err());
    errors.extend(registries.document(&repository, &document.descriptor()).err());
    errors.extend(read(registries, &repository, &layer.descriptor()).err());
    errors.extend(registries.put_blob(&repository, &layer.descriptor(), &layer).err());
    errors.extend(registries.put_manifest(&repository, &document).err());
    errors.extend(registries.set_tag(&repository, &Tag::new("t").unwrap(), &document).err());
    errors.extend(TagList::tags(registries, &repository).err());
    errors.extend(Referrers::referrers(registries, &repository, document.digest()).err());
    errors.extend(registries.repositories(host).err());
    errors.extend(registries.rights().unwrap().may_push(&repository).err());
    assert!(errors.len() >= 6, "{errors:?}");
    errors.iter().for_each(|error| silent(client, error));
}

/// An error in the protocol's form, and headers, that repeat it.
fn saying(status: u16, words: &str) -> Reply {
    let body = serde_json::json!({"errors": [{"code": "DENIED", "message": format!("not for {words}")}]});
    let header: String = words.chars().filter(|one| one.is_ascii() && !one.is_control()).collect();
    reply(status, body.to_string())
        .with("Content-Type", format!("application/json; {header}"))
        .with("Warning", format!("299 - \"sent: {}\"", header.replace('"', "'")))
}

fn sent(request: &Request) -> String {
    request.header("authorization").unwrap_or_default().to_owned()
}

#[test]
fn u1_a_password_that_comes_back_is_not_shown() {
    for (name, writing) in WRITINGS {
        for status in [403, 400, 503, 200] {
            let server = Server::start(move |request, _| match request.header("authorization") {
                Some(BASIC) if status == 200 => {
                    reply(200, "{}").with("Content-Type", writing(&sent(request)).replace('"', "'"))
                }
                Some(BASIC) => saying(status, &writing(&sent(request))),
                _ => reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
            });
            let client = client(Settings { retries: 1, ..super::hosts::login("mule", CANARY) });
            provoke(&client, &server.host);
            let warned = client
                .heard
                .0
                .lock()
                .unwrap()
                .iter()
                .any(|event| matches!(event, Event::Warning(text) if text.contains("[redacted]")));
            assert!(warned || status == 200 || name == "behind much else, where it is cut", "{name} {status}");
        }
    }
}

#[test]
fn u1_a_token_that_comes_back_is_not_shown() {
    for (_, writing) in WRITINGS {
        let server = Server::start(move |request, _| {
            let host = request.header("host").unwrap_or_default();
            if request.path.starts_with("/token") {
                return reply(200, format!(r#"{{"token":"{TOKEN}"}}"#));
            }
            match request.header("authorization") {
                Some(_) => saying(403, &writing(&sent(request))),
                None => reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
            }
        });
        provoke(&client(super::hosts::login("mule", CANARY)), &server.host);
    }
}

#[test]
fn u1_a_token_server_that_answers_with_the_login() {
    for identity in [false, true] {
        for status in [403, 500] {
            let server = Server::start(move |request, _| {
                let host = request.header("host").unwrap_or_default();
                if request.path.starts_with("/token") {
                    let all = format!("{} {}", sent(request), String::from_utf8_lossy(&request.body));
                    return saying(status, &all);
                }
                reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
            });
            let credentials = move |_: &str, _: &str| {
                Ok(Some(if identity { Credential::identity(IDENTITY) } else { Credential::password("mule", CANARY) }))
            };
            let settings = Settings { credentials: Box::new(credentials), retries: 1, ..Settings::default() };
            provoke(&client(settings), &server.host);
        }
    }
}

#[test]
fn u1_a_proxy_that_answers_with_its_login() {
    let proxy = Server::start(|request, _| {
        let login = request.header("proxy-authorization").unwrap_or_default().to_owned();
        saying(403, &format!("{login} canary-proxy-12 bXVsZTpjYW5hcnktcHJveHktMTI="))
    });
    let with_login = format!("http://mule:canary%2Dproxy-12@{}", proxy.host);
    let proxies = Proxies { http: Some(with_login.clone()), https: Some(with_login), except: None };
    let plain_http = vec!["registry.example:80".to_owned()];
    let settings = Settings { plain_http, ..connecting(ClientSettings { proxies, ..ClientSettings::default() }) };
    let client = client(settings);
    let repository = Repository::new("registry.example:80", "a/b").unwrap();
    let error = client.registries.document(&repository, &content(9, 9).descriptor()).unwrap_err();
    silent(&client, &error);
    assert!(error.what.contains("[redacted]") && error.what.contains("not for"), "the rest is told: {error}");
}

#[test]
fn u1_a_redirect_that_carries_it_in_its_address_is_not_repeated() {
    let server = Server::start(|request, _| match request.header("authorization") {
        Some(login) => {
            reply(307, "").with("Location", format!("ftp://{}.example/{}", CANARY.len(), login.replace(' ', "%20")))
        }
        _ => reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let client = client(super::hosts::login("mule", CANARY));
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    silent(&client, &client.registries.resolve(&reference).unwrap_err());
}
