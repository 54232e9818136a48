//! Everything that goes wrong between us and the service, by its class.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use packmule::content::Kind;
use packmule::network::access::Access;
use packmule::network::settings::{ClientSettings, HostSettings};
use packmule::storage::{Condition, Container};

use super::fake::{Fake, Fault, SAS, parameter, refusal};
use super::site::{Given, open};
use crate::container::{Bytes, content, flow, upload};
use crate::encrypted::{Folder, Front};
use crate::server::{Request, reply};

const LENGTH: usize = 300_000;
/// Blocks of an upload of this length.
const BLOCKS: usize = 5;

fn is_block(request: &Request) -> bool {
    request.method == "PUT" && parameter(request, "comp") == Some("block")
}

fn is_commit(request: &Request) -> bool {
    request.method == "PUT" && parameter(request, "comp") == Some("blocklist")
}

/// Uploads through a fake and reads the object back.
fn carried(fake: &Fake, secrets: &[&str]) -> (super::site::Opened, usize) {
    let (opened, source) = fake.open(secrets, ClientSettings::default());
    let body = Bytes::new(content(LENGTH, 1));
    let done = upload(&opened.container, "volume", &body, &[], &flow().0).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(done.sent, LENGTH as u64);
    let mut read = vec![0; LENGTH];
    opened.container.read_at("volume", None, 0, &mut read).unwrap();
    assert!(read == content(LENGTH, 1));
    let renewals = source.renewals();
    (opened, renewals)
}

#[test]
fn t15_a_secret_that_ends_in_an_upload_is_read_again_and_the_upload_goes_on_at_the_block() {
    let good = SAS.replace("sig=good", "sig=better");
    let blocks = AtomicUsize::new(0);
    let fake = Fake::start(move |request, _| {
        let is_late = is_block(request) && blocks.fetch_add(1, Ordering::SeqCst) >= 2;
        let is_old = parameter(request, "sig") == Some("good");
        (is_late && is_old).then(|| Fault::Before(refusal(403, "AuthenticationFailed")))
    });
    let (opened, renewals) = carried(&fake, &[SAS, &good, &good, &good]);
    assert!((1..=3).contains(&renewals), "{renewals}");
    let sent = fake.count("PUT", "comp=block&");
    assert!((BLOCKS + 1..=BLOCKS + 3).contains(&sent), "no other block is sent again: {sent}");
    assert!(opened.told().contains("reading the secret again"), "{}", opened.told());
}

#[test]
fn t15_a_secret_that_stays_refused_is_read_again_once() {
    let fake = Fake::start(|_, _| Some(Fault::Before(refusal(403, "AuthenticationFailed"))));
    let (opened, source) = fake.open(&[SAS], ClientSettings::default());
    let error = opened.container.put("a", b"x", &Condition::Any).unwrap_err();
    assert_eq!((error.class, source.renewals()), (Kind::Denied, 1), "{error}");
    assert_eq!(fake.server.requests().len(), 2);
}

#[test]
fn t14_an_address_that_a_signature_does_not_allow_is_named() {
    let fake = Fake::start(|_, _| Some(Fault::Before(refusal(403, "AuthorizationSourceIPMismatch"))));
    let sas = format!("{SAS}&sip=192.0.2.7");
    let (opened, _) = fake.open(&[&sas], ClientSettings::default());
    let error = opened.container.head("a").unwrap_err();
    assert!(error.class == Kind::Denied && error.what.contains("only 192.0.2.7 (sip)"), "{error}");
}

#[test]
fn t13_no_lease_is_taken_and_one_of_somebody_else_is_told() {
    let fake = Fake::start(|request, _| {
        let is_lease = parameter(request, "comp") == Some("lease") || request.header("x-ms-lease-id").is_some();
        if is_lease || is_commit(request) {
            return Some(Fault::Before(refusal(412, "LeaseIdMissing")));
        }
        None
    });
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    let error = upload(&opened.container, "volume", &Bytes::new(content(LENGTH, 1)), &[], &flow().0).unwrap_err();
    assert!(error.class == Kind::Refused && error.what.contains("somebody holds a lease"), "{error}");
    assert_eq!(fake.count("PUT", "comp=lease"), 0);
}

#[test]
fn a_commit_whose_answer_is_lost_is_looked_for_and_not_sent_again() {
    for lost in [
        || Fault::After(refusal(500, "InternalError")),
        || {
            let mut cut = reply(201, "gone");
            cut.cut = Some(0);
            Fault::After(cut)
        },
    ] {
        let fake = Fake::start(move |request, _| is_commit(request).then(lost));
        carried(&fake, &[SAS]);
        assert_eq!(fake.count("PUT", "comp=blocklist"), 1);
    }
}

#[test]
fn a_small_object_whose_answer_is_lost_is_no_object_of_somebody_else() {
    let fake = Fake::start(|request, before| {
        (request.method == "PUT" && before == 0).then(|| Fault::After(refusal(500, "OperationTimedOut")))
    });
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    let object = opened.container.put("b.json", b"{}", &Condition::Absent).unwrap();
    assert_eq!((object.size, fake.count("PUT", "b.json")), (2, 1));
    let other = opened.container.put("b.json", b"[]", &Condition::Absent).unwrap_err();
    assert_eq!(other.class, Kind::Refused, "{other}");
}

#[test]
fn what_the_service_asks_to_wait_is_waited_and_failures_are_tried_again() {
    let fake = Fake::start(|request, before| match before {
        1 => Some(Fault::Before(refusal(503, "ServerBusy").with("Retry-After", "7"))),
        3 => Some(Fault::Before(refusal(500, "InternalError"))),
        5 if is_block(request) => Some(Fault::Before(refusal(400, "Md5Mismatch"))),
        _ => None,
    });
    let (opened, _) = carried(&fake, &[SAS]);
    assert!(opened.clock.slept() >= Duration::from_secs(7), "{:?}", opened.clock.slept());
    assert!(opened.told().contains("storage account/container: asks to slow down, status 503"), "{}", opened.told());
    assert!(opened.told().contains("(1 of 3)"), "{}", opened.told());
}

#[test]
fn a_service_that_only_fails_is_left_after_the_tries() {
    let fake = Fake::start(|_, _| Some(Fault::Before(refusal(500, "InternalError"))));
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    let error = opened.container.head("a").unwrap_err();
    assert!(error.class == Kind::Failed && error.what.contains("(tried 4 times)"), "{error}");
    assert_eq!(fake.server.requests().len(), 4);
}

#[test]
fn bytes_that_break_off_go_on_where_they_were_in_the_same_content() {
    let reads = AtomicUsize::new(0);
    let bytes = content(10_000, 6);
    let sent = bytes.clone();
    let fake = Fake::start(move |request, _| {
        let read = request.method == "GET" && request.header("range").is_some();
        if !read || reads.fetch_add(1, Ordering::SeqCst) >= 6 {
            return None;
        }
        let range = request.header("range").unwrap().strip_prefix("bytes=").unwrap();
        let from: usize = range.split('-').next().unwrap().parse().unwrap();
        let mut cut =
            reply(206, &sent[from..]).with("ETag", "\"0x1\"").with("Content-Range", format!("bytes {from}-9999/10000"));
        cut.cut = Some(1000);
        Some(Fault::Before(cut))
    });
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    opened.container.put("volume", &bytes, &Condition::Any).unwrap();
    let mut read = vec![0; 10_000];
    opened.container.read_at("volume", None, 0, &mut read).unwrap();
    assert!(read == bytes);
    let requests = fake.server.requests();
    let ranged: Vec<_> = requests.iter().filter(|request| request.header("range").is_some()).collect();
    assert_eq!(ranged[0].header("if-match"), None);
    assert!(ranged[1..].iter().all(|request| request.header("if-match") == Some("\"0x1\"")));
    assert_eq!(ranged[3].header("range"), Some("bytes=3000-9999"));
}

#[test]
fn content_that_changes_while_it_is_read_is_not_mixed() {
    let fake = Fake::start(|request, _| {
        if request.method != "GET" || request.header("if-match").is_some() {
            return None;
        }
        let mut cut = reply(206, vec![1; 100]).with("ETag", "\"old\"").with("Content-Range", "bytes 0-99/100");
        cut.cut = Some(50);
        Some(Fault::Before(cut))
    });
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    opened.container.put("volume", &[2; 100], &Condition::Any).unwrap();
    let error = opened.container.read_at("volume", None, 0, &mut [0; 100]).unwrap_err();
    assert!(error.class == Kind::Mismatch && error.what.contains("found it changed"), "{error}");
}

#[test]
fn a_slow_body_is_given_up_and_tried_again() {
    let fake = Fake::start(|request, before| {
        if request.method != "GET" || before > 1 {
            return None;
        }
        let mut slow = reply(206, vec![1; 100]).with("ETag", "\"0x1\"").with("Content-Range", "bytes 0-99/100");
        slow.drip = Some(Duration::from_secs(2));
        Some(Fault::Before(slow))
    });
    let settings = ClientSettings { idle: Duration::from_millis(300), ..ClientSettings::default() };
    let (opened, _) = fake.open(&[SAS], settings);
    opened.container.put("volume", &[1; 100], &Condition::Any).unwrap();
    opened.container.read_at("volume", None, 0, &mut [0; 100]).unwrap();
    assert!(opened.told().contains("no data for 0 s"), "{}", opened.told());
}

#[test]
fn blocks_that_vanish_before_the_commit_are_told() {
    let fake = Fake::start(|request, _| is_commit(request).then(|| Fault::Before(refusal(400, "InvalidBlockList"))));
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    let error = upload(&opened.container, "volume", &Bytes::new(content(LENGTH, 1)), &[], &flow().0).unwrap_err();
    assert!(error.class == Kind::Failed && error.help.is_some(), "{error:?}");
}

#[test]
fn content_that_the_service_has_otherwise_is_told() {
    let fake = Fake::start(|request, before| {
        (request.method == "HEAD" && before > 0)
            .then(|| Fault::Before(reply(200, vec![0; LENGTH]).with("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")))
    });
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    let error = upload(&opened.container, "volume", &Bytes::new(content(LENGTH, 1)), &[], &flow().0).unwrap_err();
    assert!(error.class == Kind::Mismatch && error.what.contains("MD5"), "{error}");
}

#[test]
fn no_more_is_in_memory_than_a_few_blocks() {
    // Held back until all others have come that ever come at once.
    let (now, most) = (AtomicUsize::new(0), std::sync::Arc::new(AtomicUsize::new(0)));
    let seen = std::sync::Arc::clone(&most);
    let fake = Fake::start(move |request, _| {
        if is_block(request) {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(30));
            now.fetch_sub(1, Ordering::SeqCst);
        }
        None
    });
    carried(&fake, &[SAS]);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "as many as jobs: {most}");
}

#[test]
fn certificates_are_checked_and_a_private_ca_is_taken() {
    let folder = Folder::new();
    let with = |name: &str| ClientSettings { ca: vec![folder.read(name)], ..ClientSettings::default() };
    let fake = Fake::behind(&Front::new(&folder, "good"));
    let (opened, _) = fake.open(&[SAS], with("ca.pem"));
    opened.container.put("a", b"x", &Condition::Absent).unwrap();
    for (presented, settings) in [("good", ClientSettings::default()), ("expired", with("ca.pem"))] {
        let fake = Fake::behind(&Front::new(&folder, presented));
        let (opened, _) = fake.open(&[SAS], settings);
        let error = opened.container.put("a", b"x", &Condition::Absent).unwrap_err();
        assert!(error.class == Kind::Failed && error.what.contains("certificate"), "{error}");
        assert!(fake.server.all_requests().is_empty(), "nothing is sent, and no secret");
    }
}

#[test]
fn limits_of_the_rate_hold_both_ways() {
    const RATE: u64 = 1 << 20;
    let hosts = Box::new(|_: &str| Ok(HostSettings { limit_rate: Some(RATE), ..HostSettings::default() }));
    let fake = Fake::start(|_, _| None);
    let (opened, _) = fake.open(&[SAS], ClientSettings { hosts, ..ClientSettings::default() });
    let bytes = content(4 << 20, 2);
    upload(&opened.container, "volume", &Bytes::new(bytes.clone()), &[], &flow().0).unwrap();
    let up = opened.clock.slept();
    let mut read = vec![0; bytes.len()];
    opened.container.read_at("volume", None, 0, &mut read).unwrap();
    assert!(read == bytes);
    let down = opened.clock.slept().saturating_sub(up);
    for (way, slept) in [("up", up), ("down", down)] {
        assert!(slept >= Duration::from_secs(2) && slept < Duration::from_secs(6), "{way}: {slept:?}");
    }
}

#[test]
fn a_cancelled_run_ends_soon() {
    let fake = Fake::start(|request, _| {
        if is_block(request) {
            std::thread::sleep(Duration::from_secs(60));
        }
        None
    });
    let (opened, _) = fake.open(&[SAS], ClientSettings::default());
    let cancel = opened.flow.cancel_flag();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.store(true, Ordering::Relaxed);
    });
    let begun = std::time::Instant::now();
    let error = upload(&opened.container, "volume", &Bytes::new(content(LENGTH, 1)), &[], &opened.flow).unwrap_err();
    assert_eq!(error.class, Kind::Cancelled, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn t14_a_service_that_repeats_a_secret_does_not_bring_it_into_a_message() {
    let fake = Fake::start(|request, _| {
        let sent = parameter(request, "sig").or(request.header("authorization")).unwrap_or_default().to_owned();
        Some(Fault::Before(reply(400, "").with("x-ms-error-code", sent)))
    });
    let sas = SAS.replace("sig=good", "sig=Canary%2BCanary0123456789");
    for access in [Access::Sas(Given::new(&[&sas])), Access::Bearer(Given::new(&["CanaryCanary0123456789"]))] {
        let opened = open(&fake.address(), access, ClientSettings::default()).unwrap();
        let error = opened.container.put("a", b"x", &Condition::Any).unwrap_err();
        assert!(error.what.contains("[redacted]") && !format!("{error:?}").contains("Canary"), "{error:?}");
        assert!(!opened.told().contains("Canary"), "{}", opened.told());
    }
}
