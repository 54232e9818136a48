//! Settings per host: its address, certificate, proxy, rate, number of requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use packmule::content::{Destination, Kind, Source};
use packmule::flow::Event;
use packmule::network::rate::Limits;
use packmule::network::settings::{ClientSettings, HostSettings, Proxies};
use packmule::oci::{Descriptor, Reference, Repository, Tag, media_type};
use packmule::registry::{Credential, Home, Settings};

use super::hosts::{Bytes, Client, client, connecting, content, manifest, manifest_reply, read};
use super::quirky::{Habits, Quirky};
use super::server::{Reply, Server, reply};

const MIB: usize = 1 << 20;

fn for_host(name: &str, own: HostSettings) -> Settings {
    let name = name.to_owned();
    let hosts = move |host: &str| Ok(if host == name { own.clone() } else { HostSettings::default() });
    connecting(ClientSettings { hosts: Box::new(hosts), ..ClientSettings::default() })
}

fn at_home(name: &str, home: Home) -> Settings {
    let name = name.to_owned();
    let homes = move |host: &str| if host == name { home.clone() } else { Home::default() };
    Settings { homes: Box::new(homes), ..Settings::default() }
}

fn details(client: &Client) -> Vec<String> {
    let heard = client.heard.0.lock().unwrap();
    let text = |event: &Event| match event {
        Event::Detail(text) => Some(text.clone()),
        _ => None,
    };
    heard.iter().filter_map(text).collect()
}

#[test]
fn an_endpoint_is_asked_in_its_place_with_its_own_login() {
    let mirror = Quirky::start(Habits::PLAIN);
    let endpoint = Some(format!("http://{}/hub/x", mirror.server.host));
    let client = client(at_home("registry.example", Home { endpoint, ..Home::default() }));
    let repository = Repository::new("registry.example", "team/app").unwrap();
    let (config, layer) = (Bytes(b"{}".to_vec()), content(MIB, 51));
    for blob in [&config, &layer] {
        client.registries.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
    let document = manifest(&config, &layer.descriptor(), None);
    client.registries.put_manifest(&repository, &document).unwrap();
    client.registries.set_tag(&repository, &Tag::new("v1").unwrap(), &document).unwrap();
    assert!(read(&client.registries, &repository, &layer.descriptor()).unwrap() == layer.0);
    let requests = mirror.server.requests();
    assert!(requests.iter().all(|request| request.path.starts_with("/v2/hub/x/team/app/")), "{:?}", requests[0].path);
    drop(client);
    // If the endpoint requires a login, its own is used.
    let guarded = Server::start(|_, _| reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&kept);
    let settings = Settings {
        credentials: Box::new(move |host, path| {
            names.lock().unwrap().push(format!("{host} {path}"));
            Ok(None)
        }),
        ..at_home(
            "registry.example",
            Home { endpoint: Some(format!("http://{}/hub", guarded.host)), ..Home::default() },
        )
    };
    let reference: Reference = "registry.example/a/b:c".parse().unwrap();
    assert!(super::hosts::client(settings).registries.resolve(&reference).is_err());
    assert_eq!(*kept.lock().unwrap(), [format!("{} hub/a/b", guarded.host)]);
}

#[test]
fn a_host_whose_settings_cannot_be_read_is_not_asked() {
    let server = Server::start(|_, _| manifest_reply());
    let hosts = Box::new(|_: &str| Err("certs.d/x/ca.crt: not readable".to_owned()));
    let settings = connecting(ClientSettings { hosts, ..ClientSettings::default() });
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    let error = client(settings).registries.resolve(&reference).unwrap_err();
    assert!(error.class == Kind::Policy && error.what.contains("certs.d/x/ca.crt"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_hosts_own_retries_and_realm_hold() {
    let busy = Server::start(|_, _| reply(503, ""));
    let reference: Reference = format!("{}/a/b:c", busy.host).parse().unwrap();
    let settings = for_host(&busy.host, HostSettings { retries: Some(1), ..HostSettings::default() });
    let error = client(settings).registries.resolve(&reference).unwrap_err();
    assert!(error.what.contains("tried 2 times"), "{error}");
    let realm = Server::start(|request, _| {
        reply(if request.header("authorization").is_some() { 200 } else { 401 }, r#"{"token":"good"}"#)
    });
    let challenge = format!("Bearer realm=\"http://{}/token\"", realm.host);
    let registry = Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer good") => manifest_reply(),
        _ => reply(401, "").with("WWW-Authenticate", challenge.clone()),
    });
    let reference: Reference = format!("{}/a/b:c", registry.host).parse().unwrap();
    let named = Home { realms: vec![realm.host.clone()], ..Home::default() };
    let credentials = |_: &str, _: &str| Ok(Some(Credential::password("mule", "x")));
    let settings = Settings { credentials: Box::new(credentials), ..at_home(&registry.host, named) };
    client(settings).registries.resolve(&reference).unwrap();
}

#[test]
fn r12_proxies_are_used_and_skipped() {
    // It answers for all hosts.
    let proxy =
        Server::start(|request, _| if request.path.ends_with("/v2/") { reply(200, "") } else { manifest_reply() });
    let direct = Server::start(|_, _| manifest_reply());
    let address = format!("http://mule:secret@{}", proxy.host);
    let resolve = |host: &str, settings: Settings| {
        let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
        let before = proxy.requests().len();
        let settings = Settings { plain_http: vec!["registry.example".to_owned()], ..settings };
        client(settings).registries.resolve(&reference).map(|_| proxy.requests().len() - before)
    };
    let general = |except: Option<String>| ClientSettings {
        proxies: Proxies { http: Some(address.clone()), https: None, except },
        ..ClientSettings::default()
    };
    let all = |except: Option<String>| connecting(general(except));
    assert!(resolve("registry.example", all(None)).unwrap() > 0);
    let asked = proxy.requests().pop().unwrap();
    assert!(asked.path.starts_with("http://registry.example/v2/a/b/"), "{}", asked.path);
    assert_eq!(asked.header("proxy-authorization"), Some("Basic bXVsZTpzZWNyZXQ="));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(resolve(&direct.host, all(None)).unwrap(), 0, "this machine is not asked by a proxy");
    let before = proxy.requests().len();
    let outside = Settings { retries: 0, ..all(Some("other.example,registry.example".to_owned())) };
    assert!(resolve("registry.example", outside).is_err(), "NO_PROXY");
    assert_eq!(proxy.requests().len(), before, "NO_PROXY");
    let own = HostSettings { proxy: Some(String::new()), ..HostSettings::default() };
    let hosts = Box::new(move |_: &str| Ok(own.clone()));
    let settings = connecting(ClientSettings { hosts, ..general(None) });
    assert_eq!(resolve(&direct.host, settings).unwrap(), 0, "an empty one is none");
    let own = HostSettings { proxy: Some(address.clone()), ..HostSettings::default() };
    assert!(resolve("registry.example", for_host("registry.example", own)).unwrap() > 0);
}

#[test]
fn r12_a_proxy_that_refuses_a_tunnel_is_named() {
    let refusing = Server::start(|_, _| reply(407, ""));
    let proxies = Proxies { https: Some(format!("http://{}", refusing.host)), ..Proxies::default() };
    let reference: Reference = "registry.example/a/b:c".parse().unwrap();
    let error = client(connecting(ClientSettings { proxies, ..ClientSettings::default() }))
        .registries
        .resolve(&reference)
        .unwrap_err();
    assert!(error.what.contains(&format!("proxy {}", refusing.host)), "{error}");
    assert!(error.help.as_ref().unwrap().contains("login"), "{error:?}");
    assert_eq!(refusing.requests().len(), 1, "asked once: {:?}", refusing.requests());
    assert_eq!(refusing.requests()[0].method, "CONNECT");
}

#[test]
fn r12_ipv6_alone() {
    let Some(server) = Server::start_at("[::1]:0", |_, _| manifest_reply()) else {
        assert!(std::env::var_os("CI").is_none(), "no IPv6 here");
        eprintln!("SKIP: no IPv6 here");
        return;
    };
    assert!(server.host.starts_with("[::1]:"));
    let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
    client(Settings::default()).registries.resolve(&reference).unwrap();
}

#[test]
fn limits_of_the_rate_hold_both_ways() {
    let quirky = Quirky::start(Habits::PLAIN);
    let repository = Repository::new(&quirky.server.host, "a/b").unwrap();
    let next = AtomicUsize::new(520);
    let rate = MIB as u64;
    let own = HostSettings { limit_rate: Some(rate), ..HostSettings::default() };
    for settings in [
        Settings { limits: Arc::new(Limits::new(Some(rate))), ..Settings::default() },
        for_host(&quirky.server.host, own),
    ] {
        let client = client(settings);
        let blob = content(4 * MIB, next.fetch_add(1, Ordering::Relaxed) as u64);
        client.registries.put_blob(&repository, &blob.descriptor(), &blob).unwrap();
        let up = client.clock.slept();
        assert!(read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
        let down = client.clock.slept().saturating_sub(up);
        for (way, slept) in [("up", up), ("down", down)] {
            assert!(slept >= Duration::from_secs(3) && slept < Duration::from_secs(6), "{way}: {slept:?}");
        }
    }
}

/// A server that counts its concurrent requests.
fn crowded(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Server, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, now) = (Arc::clone(&most), AtomicUsize::new(0));
    let server = Server::start(move |request, before| {
        if request.path == "/v2/" {
            return reply(200, "");
        }
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        now.fetch_sub(1, Ordering::SeqCst);
        answer(before)
    });
    (server, most)
}

fn all_at_once(client: &Client, host: &str, threads: usize) {
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
                for _ in 0..3 {
                    client.registries.resolve(&reference).unwrap();
                }
            });
        }
    });
}

#[test]
fn concurrency_is_kept() {
    let (server, most) = crowded(|_| manifest_reply());
    let own = HostSettings { concurrency: Some(2), ..HostSettings::default() };
    all_at_once(&client(for_host(&server.host, own)), &server.host, 8);
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn z3_a_registry_that_says_too_much_is_asked_less_and_that_is_told() {
    let (server, most) = crowded(|before| match before {
        0..=8 => reply(429, "").with("Retry-After", "2"),
        _ => manifest_reply(),
    });
    let client = client(for_host(&server.host, HostSettings { retries: Some(9), ..HostSettings::default() }));
    all_at_once(&client, &server.host, 8);
    let told = details(&client);
    assert!(
        told.iter().any(|text| text.contains("asks to slow down, status 429; 4 requests at once instead of 8")),
        "{told:?}"
    );
    assert!(told.iter().any(|text| text.contains("trying again") && text.contains("(1 of 9)")), "{told:?}");
    most.store(0, Ordering::SeqCst);
    // The halved limit stays for now, and recovers.
    client.registries.resolve(&format!("{}/a/b:c", server.host).parse().unwrap()).unwrap();
    for _ in 0..20 {
        packmule::flow::Clock::sleep(&*client.clock, Duration::from_secs(6));
        client.registries.resolve(&format!("{}/a/b:c", server.host).parse().unwrap()).unwrap();
    }
    assert!(details(&client).iter().any(|text| text.contains("8 requests at once again")));
}
