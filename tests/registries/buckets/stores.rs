//! The checks that every container must pass, with both S3 servers.

use packmule::content::Kind;
use packmule::storage::{Condition, Container, s3};

use super::super::container;
use super::super::server::{Server, reply};
use super::{Net, Store, net, secret};

/// Three parts and a bit.
const LENGTH: usize = (24 << 20) + 12_345;

fn all(store: &Store, net: &Net) {
    container::small_objects(&net.open(store.settings(None)));
    container::large_objects(&net.open(store.settings(None)), LENGTH);
    container::discarded(&net.open(store.settings(None)), LENGTH);
    container::wrong_content(&net.open(store.settings(None)));
}

#[test]
fn the_strict_store_is_a_container() {
    let Some(store) = Store::strict() else { return };
    let net = net(2);
    all(&store, &net);
    container::long_lists(&net.open(store.settings(None)), 30);
}

#[test]
fn the_paging_store_is_a_container() {
    let Some(store) = Store::paging("contained") else { return };
    let net = net(2);
    all(&store, &net);
    container::long_lists(&net.open(store.settings(None)), 1100);
}

#[test]
fn keys_of_others_are_listed_and_ignored_where_they_are_no_names() {
    let Some(store) = Store::paging("foreign") else { return };
    let net = net(0);
    let settings = store.settings(None);
    let bucket = net.open(settings.clone());
    bucket.put("ours", b"1", &Condition::Any).unwrap();
    for odd in ["a//b", "a/../c", "folder/"] {
        let put = format!(
            "PUT /foreign/{}/{odd} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
            settings.prefix, store.host
        );
        assert_eq!(super::proxy::exchange(&store.host, put.as_bytes(), false).unwrap().status, 200);
    }
    let mut names = Vec::new();
    bucket.list("", &mut |object| names.push(object.name)).unwrap();
    names.sort();
    assert_eq!(names, ["a/../c", "a//b", "folder/", "ours"]);
    assert!(bucket.head("a//b").is_err(), "a name that we do not write");
}

#[test]
fn t21_denied_is_not_absent() {
    let Some(store) = Store::strict() else { return };
    let net = net(0);
    let right = net.open(store.settings(None));
    assert_eq!(right.head("none").unwrap(), None);
    assert_eq!(right.read_at("none", None, 0, &mut [0]).unwrap_err().class, Kind::Absent);
    let wrong = Store { secret: "canary-wrong".to_owned(), ..store.clone() };
    let unknown = Store { id: "stranger".to_owned(), ..store.clone() };
    for other in [wrong, unknown] {
        let bucket = net.open(other.settings(None));
        let outcomes = [
            bucket.head("none").map(drop),
            bucket.list("", &mut |_| ()),
            bucket.put("none", b"x", &Condition::Any).map(drop),
            bucket.unfinished("").map(drop),
        ];
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            assert_eq!(error.class, Kind::Denied, "{error}");
            assert!(!format!("{error:?}").contains("canary-wrong"));
        }
    }
    let none = Store { bucket: "no-such-bucket".to_owned(), ..store };
    let error = net.open(none.settings(None)).put("x", b"x", &Condition::Any).unwrap_err();
    assert_eq!(error.class, Kind::Refused, "a bucket that is not there is no absent object: {error}");
}

#[test]
fn plain_http_leaves_the_machine_never() {
    let net = net(0);
    let settings = |endpoint: &str| s3::Settings {
        bucket: "b".to_owned(),
        prefix: String::new(),
        region: None,
        endpoint: Some(endpoint.parse().unwrap()),
        path_style: None,
        access: s3::Access::Keys { id: secret("i"), secret: secret("s"), session: None },
        journals: None,
    };
    assert!(s3::open(settings("http://192.0.2.1:9000"), &net.network).is_err());
    // Nor does a token service that the settings name.
    let server = Server::start(|_, _| reply(200, ""));
    let access = s3::Access::WebIdentity {
        role: "arn:aws:iam::1:role/r".to_owned(),
        token_file: std::env::current_exe().unwrap().with_file_name("none"),
        session: None,
        endpoint: Some("http://192.0.2.1".to_owned()),
    };
    let bucket = net.open(s3::Settings { access, ..settings(&format!("http://{}", server.host)) });
    let error = bucket.head("x").unwrap_err();
    assert_eq!(error.class, Kind::Policy, "{error}");
    assert!(server.all_requests().is_empty());
}
