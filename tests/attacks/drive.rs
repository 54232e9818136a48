//! One drive with changing media: when and for what the user is asked; and files next to the
//! volumes.

use std::fs;

use packmule::base::fault::Class;
use packmule::bundle::open;
use packmule::operate::verify::{Content, Request, Scope, Verdict};
use packmule::signing::Policy;

use crate::{Bundle, assert_class, flow, key, noise};

const VOLUME: &str = "b.0001.tar.zst";

/// Verifies while `ask` changes the medium on each prompt; also returns the prompts.
fn verified(bundle: &Bundle, ask: &mut (dyn FnMut(usize) -> bool + Send)) -> (Verdict, Vec<String>) {
    let policy = Policy::new(vec![key(1).public().clone()], None).unwrap();
    let mut asked = Vec::new();
    let mut asking = |text: &str| {
        asked.push(text.to_owned());
        ask(asked.len())
    };
    let opened = open(&bundle.dir()).unwrap();
    let verdict = packmule::operate::verify::run(
        &flow(),
        Request::new(Content::Media(opened, &mut asking), &policy, &Scope::default()),
    );
    (verdict, asked)
}

#[test]
fn the_medium_is_asked_for_until_the_right_one_is_there() {
    let bundle = Bundle::new(&[noise(1, 900 << 10)], &["--level", "0"], &[1]);
    let path = bundle.path(VOLUME);
    let good = fs::read(&path).unwrap();
    let (verdict, asked) = verified(&bundle, &mut |_| panic!("all of it is there"));
    assert!(verdict.is_good() && asked.is_empty());
    // With all volumes present nothing is asked: damaged ones are named.
    let mut wrong = good.clone();
    wrong[good.len() / 2] ^= 1;
    fs::write(&path, wrong).unwrap();
    let (verdict, _) = verified(&bundle, &mut |_| panic!("all of it is there"));
    assert_eq!(verdict.again, [VOLUME]);

    fs::remove_file(&path).unwrap();
    let (verdict, asked) = verified(&bundle, &mut |time| {
        let wrong = match time {
            1 => &good[..good.len() - 1],
            2 => &[&good[..], b"x"].concat(),
            _ => &good,
        };
        fs::write(&path, wrong).unwrap();
        true
    });
    assert!(verdict.is_good(), "{:?}", verdict.fault);
    assert_eq!(verdict.tally.unwrap().frames, verdict.bundle.unwrap().manifest().frames.len() as u64);
    let told = [
        "it is missing".to_owned(),
        format!("bytes, found {}", good.len() - 1),
        format!("bytes, found {}", good.len() + 1),
    ];
    assert_eq!(asked.len(), told.len(), "{asked:?}");
    for (asked, told) in asked.iter().zip(told) {
        assert!(asked.contains("need volume 1 of bundle sha256:") && asked.contains(&told), "{asked}");
    }

    fs::remove_file(&path).unwrap();
    let (verdict, asked) = verified(&bundle, &mut |time| time < 2);
    assert_eq!(asked.len(), 2, "there is no further medium");
    let fault = verdict.fault.unwrap();
    assert_class(&fault, Class::Integrity, "no further medium");
    assert!(fault.what.contains("need volume 1"), "{fault:?}");
}

#[test]
fn what_lies_beside_the_volumes_of_a_medium_counts_once() {
    let bundle = Bundle::small("0", &[1]);
    let aside = bundle.root.path().join("aside");
    fs::rename(bundle.path(VOLUME), &aside).unwrap();
    let (verdict, _) = verified(&bundle, &mut |_| {
        fs::copy(&aside, bundle.path(VOLUME)).unwrap();
        fs::write(bundle.path("b.0009.tar.zst"), "x").unwrap();
        true
    });
    let fault = verdict.fault.unwrap();
    assert_class(&fault, Class::Integrity, "an extra volume");
    assert!(fault.what.contains("b.0009.tar.zst: extra") && fault.others.is_empty(), "{fault:?}");
}
