//! Tests of the format: one spelling, and no claims beyond what was read back.

use super::*;

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

/// Two artifacts, of which the second failed.
pub fn partial() -> Receipt {
    let at = |text: &str| Moment::parse(text).unwrap();
    let tag = |name: &str, outcome, read_back| Named { name: Tag::new(name).unwrap(), outcome, read_back };
    let repository = |text: &str| Repository::exact(text).unwrap();
    let (one, two) = (digest("one"), digest("two"));
    Receipt {
        artifacts: vec![
            Arrival {
                destination: Some("site.example/m/a".to_owned()),
                digest: one,
                outcome: Outcome::Pushed,
                read_back: Some(one),
                reason: None,
                repository: repository("reg.example/a"),
                tags: vec![
                    tag("1", State::Set, Some(one)),
                    tag("2", State::Present, Some(one)),
                    tag("3", State::Kept, Some(two)),
                ],
            },
            Arrival {
                destination: None,
                digest: two,
                outcome: Outcome::Failed,
                read_back: None,
                reason: Some("denied".to_owned()),
                repository: repository("reg.example/b"),
                tags: vec![tag("1", State::Failed, None)],
            },
        ],
        audit: Some(Line { digest: digest("line"), number: 3 }),
        blobs: vec![Leaf {
            digest: digest("leaf"),
            how: How::BaseMounted,
            repository: repository("reg.example/a"),
            size: 4,
        }],
        bundle: Bundle {
            channel: Some("apps".to_owned()),
            created: at("2026-11-21T09:30:00Z"),
            epoch: Some(0),
            id: digest("bundle"),
            name: "apps-7".to_owned(),
            sequence: Some(7),
        },
        counts: Counts { base: 1, bytes: 4, found: 0, mounted: 0, sent: 1 },
        destination: "site.example/m".to_owned(),
        ended: at("2026-11-22T09:31:00Z"),
        fault: Some(Reason { class: "partial".to_owned(), text: "1 of 2 artifacts were not imported".to_owned() }),
        format: FORMAT.to_owned(),
        order: Some(Order {
            allowed: vec!["allow-stale".to_owned()],
            overlooked: vec!["expired".to_owned()],
            state: "gap".to_owned(),
        }),
        run: None,
        scan: Some(Scan { clean: true, scanner: "clamdscan -".to_owned(), version: Some("ClamAV 1.4".to_owned()) }),
        signers: vec![Signer {
            holder: Some("desk".to_owned()),
            keyid: "0f".repeat(32),
            role: Some("release".to_owned()),
        }],
        started: at("2026-11-22T09:30:00Z"),
        tool: "packmule 0.1.0".to_owned(),
    }
}

#[test]
fn what_is_written_is_read_and_is_canonical() {
    let receipt = partial();
    let bytes = receipt.to_bytes();
    assert!(bytes.starts_with(BEGINS));
    assert_eq!(bytes, crate::oci::canonical::serialize(&receipt).unwrap(), "members in order");
    assert_eq!(Receipt::parse(&bytes).unwrap(), receipt);
    assert_eq!((receipt.arrived(), receipt.is_whole()), (1, false));
}

#[test]
fn other_forms_of_the_same_content_are_refused() {
    let text = String::from_utf8(partial().to_bytes()).unwrap();
    for (from, to) in [
        ("{\"artifacts\"", " {\"artifacts\""),
        ("\"blobs\":[", "\"blobs\": ["),
        ("\"tool\"", "\"more\":1,\"tool\""),
        ("site.example/m", "site.example\\/m"),
        ("packmule.receipt.v1", "packmule.receipt.v2"),
        ("\"how\":\"base-mounted\"", "\"how\":\"heard\""),
        ("\"counts\":{", "\"counts\":{\"counts\":0,"),
        ("2026-11-22T09:30:00Z", "2026-11-22T09:30:60Z"),
    ] {
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text);
        assert_eq!(Receipt::parse(other.as_bytes()).unwrap_err().class, Class::Format, "{other}");
    }
    assert!(Receipt::parse(&[text.as_bytes(), b"\n"].concat()).is_err());
    assert!(Receipt::parse(b"").is_err() && Receipt::parse(b"[]").is_err());
}

#[test]
fn nothing_is_claimed_that_was_not_read_back() {
    let refused = |change: &dyn Fn(&mut Receipt), said: &str| {
        let mut receipt = partial();
        change(&mut receipt);
        let fault = Receipt::parse(&receipt.to_bytes()).unwrap_err();
        assert!(fault.class == Class::Format && fault.what.contains(said), "{fault:?}");
    };
    refused(&|one| one.artifacts[0].read_back = None, "not read back");
    refused(&|one| one.artifacts[0].read_back = Some(digest("two")), "not read back");
    refused(&|one| one.artifacts[0].destination = None, "not read back");
    refused(&|one| one.artifacts[0].tags[0].read_back = None, "tag 1");
    refused(&|one| one.artifacts[0].tags[1].read_back = Some(digest("two")), "tag 2");
    refused(&|one| one.artifacts[0].tags[2].read_back = Some(digest("one")), "tag 3");
    refused(&|one| one.artifacts[0].tags[0].outcome = State::Failed, "tag 1");
    refused(&|one| one.artifacts[1].outcome = Outcome::Present, "reason");
    refused(&|one| one.artifacts[1].reason = None, "reason");
    refused(&|one| one.fault = None, "no fault");
    refused(&|one| one.artifacts.clear(), "at least one");
    refused(&|one| one.artifacts.reverse(), "in order");
    refused(&|one| one.artifacts[0].tags.reverse(), "in order");
    refused(&|one| one.blobs.push(one.blobs[0].clone()), "in order");
    refused(&|one| one.bundle.epoch = None, "together");
    refused(&|one| one.signers[0].keyid = "0F".repeat(32), "key ids");
    refused(&|one| one.counts.bytes = 1 << 53, "2^53");
    refused(&|one| one.destination = "a\u{1b}b".to_owned(), "place");
    refused(&|one| one.artifacts[1].reason = Some("a\nb".to_owned()), "reason");
}

#[test]
fn what_nobody_may_read_is_claimed_by_nobody() {
    let unread = || {
        let mut receipt = partial();
        let one = &mut receipt.artifacts[0];
        (one.outcome, one.read_back, one.reason) = (Outcome::Unread, None, Some("status 412".to_owned()));
        for tag in one.tags.iter_mut().filter(|tag| tag.outcome != State::Kept) {
            (tag.outcome, tag.read_back) = (State::Unread, None);
        }
        receipt
    };
    let receipt = Receipt::parse(&unread().to_bytes()).unwrap();
    assert_eq!(receipt.arrived(), 0);
    let refused = |change: &dyn Fn(&mut Receipt), said: &str| {
        let mut receipt = unread();
        change(&mut receipt);
        let fault = Receipt::parse(&receipt.to_bytes()).unwrap_err();
        assert!(fault.class == Class::Format && fault.what.contains(said), "{fault:?}");
    };
    refused(&|one| one.artifacts[0].reason = None, "reason");
    refused(&|one| one.artifacts[0].destination = None, "not read back");
    refused(&|one| one.artifacts[0].read_back = Some(digest("two")), "something else");
    refused(&|one| one.artifacts[0].tags[0].read_back = Some(digest("one")), "tag 1");
    refused(&|one| one.artifacts[0].tags[0].outcome = State::Set, "tag 1");
    refused(&|one| one.fault = None, "no fault");
}

#[test]
fn what_was_left_out_is_told_and_neither_arrived_nor_failed() {
    let mut receipt = partial();
    receipt.fault = None;
    let out = &mut receipt.artifacts[1];
    (out.outcome, out.reason, out.read_back) = (Outcome::LeftOut, None, None);
    out.tags.iter_mut().for_each(|tag| (tag.outcome, tag.read_back) = (State::LeftOut, None));
    let bytes = receipt.to_bytes();
    assert!(String::from_utf8_lossy(&bytes).contains("\"outcome\":\"left-out\""));
    let read = Receipt::parse(&bytes).unwrap();
    assert_eq!((read.arrived(), read.left_out(), read.is_whole()), (1, 1, true));
    for change in [
        &(|one: &mut Receipt| one.artifacts[1].read_back = Some(one.artifacts[1].digest)) as &dyn Fn(&mut Receipt),
        &|one| one.artifacts[1].reason = Some("x".to_owned()),
        &|one| one.artifacts[0].tags[0].outcome = State::LeftOut,
        &|one| {
            let name = Tag::new("z").unwrap();
            one.artifacts[1].tags = vec![Named { name, outcome: State::Kept, read_back: None }];
        },
    ] {
        let mut wrong = receipt.clone();
        change(&mut wrong);
        assert!(Receipt::parse(&wrong.to_bytes()).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_has_no_room_is_left_out_the_smallest_first() {
    let mut receipt = partial();
    let leaf = |number: u64| Leaf { digest: digest(&number.to_string()), size: number, ..partial().blobs[0].clone() };
    receipt.blobs = (0..5000).map(leaf).collect();
    receipt.blobs.sort_by_key(|blob| blob.digest);
    let most = receipt.to_bytes().len() as u64 / 2;
    let gone = receipt.fit(most);
    assert!((2300..2700).contains(&gone) && receipt.to_bytes().len() as u64 <= most, "{gone}");
    assert!(receipt.blobs.iter().all(|blob| blob.size >= gone as u64));
    assert_eq!(Receipt::parse(&receipt.to_bytes()).unwrap().blobs.len(), 5000 - gone);
    assert_eq!(receipt.fit(10), 5000 - gone, "the rest stays");
}

#[test]
fn what_arrived_whole_has_no_fault_to_name() {
    let mut receipt = partial();
    receipt.artifacts.truncate(1);
    receipt.fault = None;
    assert!(Receipt::parse(&receipt.to_bytes()).unwrap().is_whole());
}
