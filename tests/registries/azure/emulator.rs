//! Uploads, resumed uploads, lists and reads against the emulator.

use packmule::content::Kind;
use packmule::storage::{Condition, Container, Unfinished, Upload, Uploaded};

use super::site::Site;
use crate::azurite::hours;
use crate::container::{self, Bytes, content, flow, upload};

const LENGTH: usize = 500_000;

#[test]
fn a_container_is_a_container() {
    let Some(site) = Site::new() else { return };
    let by_key = site.by_key();
    container::small_objects(&by_key.container);
    for (prefix, check) in [
        ("large", container::large_objects as fn(&dyn Container, usize)),
        ("resumed", container::resumed),
        ("discarded", container::discarded),
    ] {
        check(&site.by_sas(prefix, &site.sas("rwdla")).container, LENGTH);
    }
    container::wrong_content(&site.by_sas("wrong", &site.sas("rwdla")).container);
    container::long_lists(&site.by_sas("a b/é", &site.account_sas("b", "sco", "rwdlac", "")).container, 40);
}

#[test]
fn t17_a_killed_upload_goes_on_at_every_block() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_sas("p", &site.sas("rwla"));
    let (container, (flow, _)) = (&opened.container, flow());
    let block = 64 << 10;
    for count in 0..=LENGTH / block {
        let name = format!("volume-{count}");
        let body = Bytes::new(content(LENGTH, count as u64));
        body.break_at(count * block + 10);
        upload(container, &name, &body, &[], &flow).unwrap_err();
        assert_eq!(container.head(&name).unwrap(), None);
        body.break_at(usize::MAX);
        let done = upload(container, &name, &body, &[], &flow).unwrap();
        let kept = (count * block) as u64;
        assert_eq!(done, Uploaded { sent: LENGTH as u64 - kept, kept }, "{count}");
        let mut read = vec![0; LENGTH];
        container.read_at(&name, None, 0, &mut read).unwrap();
        assert!(read == content(LENGTH, count as u64));
    }
}

#[test]
fn t17_two_uploaders_of_the_same_bundle_do_no_harm() {
    let Some(site) = Site::new() else { return };
    let body = Bytes::new(content(LENGTH, 7));
    let (one, other) = (site.by_sas("p", &site.sas("rwla")), site.by_sas("p", &site.sas("rwla")));
    std::thread::scope(|scope| {
        for opened in [&one, &other] {
            let body = &body;
            scope.spawn(move || upload(&opened.container, "volume", body, &[], &flow().0).unwrap());
        }
    });
    let mut read = vec![0; LENGTH];
    one.container.read_at("volume", None, 0, &mut read).unwrap();
    assert!(read == content(LENGTH, 7));
}

#[test]
fn blocks_end_where_frames_end() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_key();
    let body = Bytes::new(content(200_000, 8));
    upload(&opened.container, "volume", &body, &[1000, 70_000, 139_000], &flow().0).unwrap();
    let list = site.request("GET", "/volume?comp=blocklist&blocklisttype=all", &site.sas("r"), b"");
    let sizes: Vec<_> = list.split("<Size>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    assert_eq!(sizes, ["70000", "69000", "61000"], "{list}");
}

#[test]
fn blocks_of_another_program_do_not_stop_an_upload() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_sas("", &site.sas("rwla"));
    let left = site.request("PUT", "/volume?comp=block&blockid=AAAA", &site.sas("w"), b"strange");
    assert!(left.starts_with("HTTP/1.1 201"), "{left}");
    let body = Bytes::new(content(LENGTH, 9));
    assert_eq!(upload(&opened.container, "volume", &body, &[], &flow().0).unwrap().sent, LENGTH as u64);
    let mut read = vec![0; LENGTH];
    opened.container.read_at("volume", None, 0, &mut read).unwrap();
    assert!(read == content(LENGTH, 9));
}

#[test]
fn t11_what_is_overwritten_is_never_mixed() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_sas("p", &site.sas("rwla"));
    let (container, flow) = (&opened.container, flow().0);
    upload(container, "volume", &Bytes::new(content(LENGTH, 1)), &[], &flow).unwrap();
    let old = container.head("volume").unwrap().unwrap();
    let mut buffer = vec![0; 1000];
    container.read_at("volume", old.etag.as_deref(), 0, &mut buffer).unwrap();
    // An upload that breaks off leaves the old one as it is.
    let body = Bytes::new(content(LENGTH, 2));
    body.break_at(LENGTH / 2);
    upload(container, "volume", &body, &[], &flow).unwrap_err();
    assert_eq!(container.head("volume").unwrap().unwrap(), old);
    // Its blocks can be dropped without harm.
    container.discard(&Unfinished { name: "volume".to_owned(), id: None, size: None }).unwrap();
    let mut read = vec![0; LENGTH];
    container.read_at("volume", None, 0, &mut read).unwrap();
    assert!(read == content(LENGTH, 1));
    body.break_at(usize::MAX);
    let done = upload(container, "volume", &body, &[], &flow).unwrap();
    assert_eq!(done.sent, LENGTH as u64, "what was discarded is sent again");
    let changed = container.read_at("volume", old.etag.as_deref(), 0, &mut buffer).unwrap_err();
    assert_eq!(changed.class, Kind::Mismatch, "{changed}");
}

#[test]
fn t21_an_absent_container_and_an_absent_object_are_told_apart() {
    let Some(site) = Site::new() else { return };
    let mut byte = [0];
    let opened = site.by_sas("p", &site.sas("rl"));
    let object = opened.container.read_at("none.json", None, 0, &mut byte).unwrap_err();
    assert!(object.class == Kind::Absent && object.what.contains("no such object"), "{object}");
    let address = site.address();
    let elsewhere = address.replace("/t", "/no-such-container-");
    let opened = super::site::signed(&elsewhere, &site.account_sas("b", "sco", "rwl", ""));
    let container = opened.container.read_at("none.json", None, 0, &mut byte).unwrap_err();
    let listed = opened.container.list("", &mut |_| {}).unwrap_err();
    for error in [container, listed] {
        assert!(error.class == Kind::Absent && error.what.contains("container does not exist"), "{error}");
        assert!(error.what.contains("no-such-container-"), "{error}");
    }
}

#[test]
fn what_ends_is_read_again_before_it_ends() {
    let Some(site) = Site::new() else { return };
    let old = site.sas_until("rwla", &hours(-1));
    let source = super::site::Given::new(&[&old, &site.sas("rwla")]);
    let access = packmule::network::access::Access::Sas(source.clone());
    let opened =
        super::site::open(&site.address(), access, packmule::network::settings::ClientSettings::default()).unwrap();
    opened.container.put("a", b"x", &Condition::Absent).unwrap();
    assert_eq!(source.renewals(), 1);
    assert!(!opened.told().contains("reading the secret again"), "no request was refused: {}", opened.told());
}

#[test]
fn content_that_is_not_what_it_should_be_is_never_committed() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_key();
    let digest = packmule::oci::Digest::sha256(b"other");
    let body = Bytes::new(content(LENGTH, 3));
    let wrong = Upload { name: "wrong", size: LENGTH as u64 + 1, digest, key: "k", ends: &[], body: &body };
    assert_eq!(opened.container.upload(&wrong, &flow().0).unwrap_err().class, Kind::Mismatch);
    assert_eq!(opened.container.head("wrong").unwrap(), None);
}
