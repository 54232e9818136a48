//! Registries that stop answering in the middle of a run, for a while or for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use packmule::base::fault::Reason;
use packmule::content::{Kind, Source};
use packmule::flow::{Clock as _, Event};
use packmule::oci::{Reference, Repository};
use packmule::registry::Settings;

use super::hosts::{Client, client, content, manifest_reply, read};
use super::server::{Reply, Server, reply};

/// A registry that answers as `away` says while it is away.
struct Shaky {
    server: Server,
    is_away: Arc<AtomicBool>,
}

/// Comes back after `back` requests while it is away.
fn shaky(back: usize, away: impl Fn() -> Reply + Send + Sync + 'static) -> Shaky {
    let (is_away, asked) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let own = Arc::clone(&is_away);
    let server = Server::start(move |request, _| {
        if own.load(Ordering::Relaxed) {
            if asked.fetch_add(1, Ordering::Relaxed) < back {
                return away();
            }
            own.store(false, Ordering::Relaxed);
        }
        if request.path == "/v2/" { reply(200, "") } else { manifest_reply() }
    });
    Shaky { server, is_away }
}

impl Shaky {
    fn reference(&self) -> Reference {
        format!("{}/a/b:c", self.server.host).parse().unwrap()
    }

    fn goes(&self) {
        self.is_away.store(true, Ordering::Relaxed);
    }
}

fn patient(seconds: u64) -> Client {
    client(Settings { retry_for: Duration::from_secs(seconds), ..Settings::default() })
}

fn waits(client: &Client) -> Vec<(u32, u64)> {
    let heard = client.heard.0.lock().unwrap();
    let waits = heard.iter().filter_map(|event| match event {
        Event::Waiting { tries, left, .. } => Some((*tries, left.as_secs())),
        _ => None,
    });
    waits.collect()
}

fn broken() -> Reply {
    Reply { cut: Some(0), ..reply(200, "x").with("Content-Length", "junk") }
}

#[test]
fn a_registry_that_comes_back_is_waited_for_in_sight() {
    for away in [|| reply(503, ""), || reply(429, ""), || reply(502, "<html>"), broken] {
        let (shaky, client) = (shaky(18, away), patient(180));
        client.registries.resolve(&shaky.reference()).unwrap();
        shaky.goes();
        client.registries.resolve(&shaky.reference()).unwrap();
        let waits = waits(&client);
        assert!(waits.len() >= 5 && waits[0].0 == 1 && waits[0].1 > 150, "{waits:?}");
        assert!(waits.windows(2).all(|two| two[0].0 + 1 == two[1].0 && two[0].1 > two[1].1), "{waits:?}");
        assert!(client.clock.slept() > Duration::from_secs(60), "{:?}", client.clock.slept());
        // Once it is back nothing is left of it.
        client.registries.resolve(&shaky.reference()).unwrap();
    }
}

#[test]
fn after_the_wait_everything_fails_at_once_and_one_look_an_interval_goes_on() {
    for away in [|| reply(503, ""), || reply(429, ""), broken] {
        for patience in [0, 40] {
            let (shaky, client) = (shaky(usize::MAX, away), patient(patience));
            client.registries.resolve(&shaky.reference()).unwrap();
            shaky.goes();
            let first = client.registries.resolve(&shaky.reference()).unwrap_err();
            assert!(first.class == Kind::Failed && first.reason.is_none(), "{first}");
            assert_eq!(first.what.contains("waited 40 s"), patience == 40, "{first}");
            let (asked, slept) = (shaky.server.all_requests().len(), client.clock.slept());
            for _ in 0..200 {
                assert_eq!(client.registries.resolve(&shaky.reference()).unwrap_err(), first);
            }
            assert!(shaky.server.all_requests().len() <= asked + 2, "they fail without being asked");
            assert!(client.clock.slept() < slept + Duration::from_secs(5));
            client.clock.sleep(Duration::from_secs(11));
            let asked = shaky.server.all_requests().len();
            client.registries.resolve(&shaky.reference()).unwrap_err();
            client.registries.resolve(&shaky.reference()).unwrap_err();
            assert_eq!(shaky.server.all_requests().len(), asked + 1, "one look");
            shaky.is_away.store(false, Ordering::Relaxed);
            client.clock.sleep(Duration::from_secs(11));
            client.registries.resolve(&shaky.reference()).unwrap();
        }
    }
}

#[test]
fn while_one_looks_the_others_wait() {
    let (shaky, client) = (shaky(usize::MAX, || reply(503, "")), patient(40));
    client.registries.resolve(&shaky.reference()).unwrap();
    shaky.goes();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.registries.resolve(&shaky.reference()).unwrap_err());
        }
    });
    let looks = shaky.server.all_requests().iter().filter(|request| request.path == "/v2/").count();
    assert!(looks <= 12, "{looks} looks");
    let waits = waits(&client);
    assert!(waits.windows(2).all(|two| two[0].0 + 1 == two[1].0), "one tells: {waits:?}");
}

#[test]
fn first_contact_is_not_waited_for() {
    let (shaky, client) = (shaky(usize::MAX, || reply(503, "")), patient(180));
    shaky.goes();
    client.registries.resolve(&shaky.reference()).unwrap_err();
    assert!(waits(&client).is_empty() && shaky.server.all_requests().len() == 5);
}

#[test]
fn what_fails_alone_is_not_waited_for_and_known_as_such() {
    let good = content(1000, 801);
    let bytes = good.0.clone();
    let name = good.descriptor().digest.to_string();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        path if path.ends_with(&name) => reply(200, bytes.clone()),
        _ => reply(500, ""),
    });
    let (client, repository) = (patient(180), Repository::new(&server.host, "a/b").unwrap());
    for seed in 802..812 {
        let asked = server.requests().len();
        let bad = content(10, seed).descriptor();
        let error = read(&client.registries, &repository, &bad).unwrap_err();
        assert_eq!((error.class, error.reason), (Kind::Failed, Some(Reason::OnlyThis)), "{error}");
        let asked = server.requests().len() - asked;
        assert_eq!(asked, if seed < 805 { 5 } else { 1 }, "{seed}: after three in a row one try is enough");
    }
    assert!(waits(&client).is_empty());
    assert!(read(&client.registries, &repository, &good.descriptor()).unwrap() == good.0, "the others can be had");
    let asked = server.requests().len();
    read(&client.registries, &repository, &content(10, 813).descriptor()).unwrap_err();
    assert_eq!(server.requests().len() - asked, 5, "and tries are worth it again");
}
