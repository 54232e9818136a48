//! Signatures that count under a policy: entries, holders, roles, sections (`spec/policy.md`,
//! `spec/signature.md`, Who must have signed). Rows S1, S2, S8, S18.

use super::Book;
use super::content::Content;
use super::curve::Key;
use super::desk::{POLICY, at, changed, held, more, under};
use super::envelope::Envelope;
use super::scene::Scene;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    known(book);
    counted(book);
    roles(book);
    sections(book);
    unknown(book);
}

/// Returns `content` signed by `signers`, with the signatures changed by `edit`.
fn signed(content: &Content, signers: &[u8], policy: &str, edit: impl FnOnce(&mut Envelope)) -> Scene {
    let built = content.packed();
    let manifest = built.manifest().to_string();
    let mut envelope = Envelope::over(manifest.as_bytes());
    let message = envelope.message();
    for seed in signers {
        envelope.add(&Key::of(*seed).id(), &Key::of(*seed).sign(&message));
    }
    edit(&mut envelope);
    under(built.scene(manifest.as_bytes(), envelope.to_string().as_bytes()), policy)
}

/// Spoils the signature by this key.
fn spoil(envelope: &mut Envelope, seed: u8) {
    let id = Key::of(seed).id();
    for (_, sig) in envelope.signatures.iter_mut().filter(|(keyid, _)| *keyid == id) {
        sig[40] ^= 4;
    }
}

const OTHER: &str = "[key]\none = { public = \"1.pem\", holder = \"one\", role = \"release\" }\n\
                     two = { public = \"2.pem\", holder = \"two\", role = \"guard\" }\n\
                     three = { public = \"3.pem\", holder = \"three\", role = \"release\" }\n\
                     [channel.apps]\nkeys = [\"one\", \"two\"]\n[channel.other]\nkeys = [\"three\"]\n";

fn known(book: &mut Book) {
    let place = at(0, 7);
    let spare =
        changed("guard = {", "spare = { public = \"3.pem\", holder = \"spare\", role = \"release\" }\nguard = {");
    for (name, comment, seed, policy) in [
        ("S8-policy-bad-beside-good", "a bad signature of a key of the section beside enough good ones", 1, POLICY),
        (
            "S8-policy-bad-of-other-section",
            "a bad signature of another channel's key beside enough good ones",
            3,
            OTHER,
        ),
        ("S8-policy-bad-of-no-section", "a bad signature of a key that no section names", 3, &spare),
    ] {
        let policy = if seed == 1 { more("threshold = 1") } else { policy.to_owned() };
        book.add(signed(&place, &[1, 2, 3], &policy, |envelope| spoil(envelope, seed)), name, "SIG", comment);
    }
    book.add(
        signed(&place, &[1, 2, 9], POLICY, |envelope| spoil(envelope, 9)),
        "ok-S8-policy-bad-but-unknown",
        "PASS",
        "a bad signature under a key that stands nowhere in the file",
    );
    book.add(held(&place, &[], POLICY), "S1-policy-empty-list", "SIG", "no signature in the list");
    let mut none = held(&place, &[1, 2], POLICY);
    none.remove("sig.json");
    book.add(none, "S1-policy-no-signature-file", "SIG", "there is no signature file");
    book.add(held(&place, &[8, 9], POLICY), "S2-policy-unknown-keys", "TRUST", "signed by keys that stand nowhere");
    book.add(
        held(&Content::salt(), &[9], POLICY),
        "S2-policy-unknown-before-section",
        "TRUST",
        "signed by an unknown key alone; the manifest, of which the policy has no section, is not looked at",
    );
    book.add(
        held(&place.clone().with("x", serde_json::json!(1)), &[9], POLICY),
        "S2-policy-unknown-before-manifest",
        "TRUST",
        "signed by an unknown key alone; the manifest, which is none, is not looked at",
    );
    book.add(
        held(&place.with("x", serde_json::json!(1)), &[1], POLICY),
        "S18-manifest-before-holders",
        "FMT",
        "a member too many in the manifest, and a signature too few: who counts is known once it is parsed",
    );
}

fn counted(book: &mut Book) {
    let place = at(0, 7);
    let pair = "[key]\ndesk = { public = [\"1.pem\", \"2.pem\"], holder = \"desk\", role = \"release\" }\n\
                deputy = { public = \"3.pem\", holder = \"deputy\", role = \"guard\" }\n\
                [channel.apps]\nkeys = [\"desk\", \"deputy\"]\nthreshold = 1\n";
    let all = pair.replace("threshold = 1", "threshold = 2");
    let one_desk = changed("guard desk", "release desk");
    let one_desk_two = format!("{one_desk}threshold = 1\n");
    let case = changed("guard desk", "Release desk");
    let three = "[key]\na = { public = \"1.pem\", holder = \"first\", role = \"x\" }\n\
                 b = { public = \"2.pem\", holder = \"first\", role = \"y\" }\n\
                 c = { public = \"3.pem\", holder = \"second\", role = \"z\" }\n\
                 [channel.apps]\nkeys = [\"a\", \"b\", \"c\"]\n";
    let one = more("threshold = 1");
    let spare = changed(
        "[channel.apps]",
        "spare = { public = \"3.pem\", holder = \"spare\", role = \"release\" }\n[channel.apps]",
    );
    let cases: [(&str, &'static str, &str, &[u8], &str); 22] = [
        ("ok-policy", "PASS", "both desks have signed", &[1, 2], POLICY),
        ("S18-one-of-two", "TRUST", "one desk of two has signed: all must unless a threshold says less", &[1], POLICY),
        ("S18-other-of-two", "TRUST", "one desk of two has signed", &[2], POLICY),
        ("S18-unknown-does-not-count", "TRUST", "one desk and a stranger have signed", &[1, 9], POLICY),
        ("ok-S18-threshold-1", "PASS", "one desk of two has signed, threshold 1", &[1], &one),
        ("ok-S18-threshold-1-of-both", "PASS", "both desks have signed, threshold 1", &[1, 2], &one),
        ("ok-S18-threshold-1-other", "PASS", "the other desk of two has signed, threshold 1", &[2], &one),
        ("ok-S18-one-holder-of-two-keys", "PASS", "both entries are one holder's: one is all", &[2], &one_desk),
        ("ok-S18-one-holder-threshold-1", "PASS", "both entries are one holder's, threshold 1", &[1], &one_desk_two),
        ("ok-S18-holders-differ-in-case", "PASS", "holders are compared as they stand", &[1, 2], &case),
        (
            "S18-holders-differ-in-case",
            "TRUST",
            "holders are compared as they stand: two must have signed",
            &[1],
            &case,
        ),
        ("S18-two-keys-of-one-holder", "TRUST", "two keys have signed, both of one holder; two must", &[1, 2], three),
        ("ok-S18-two-holders-of-three-keys", "PASS", "two keys of two holders have signed", &[1, 3], three),
        ("ok-S18-other-two-holders", "PASS", "the other keys of two holders have signed", &[2, 3], three),
        ("S18-third-alone", "TRUST", "one holder of two has signed", &[3], three),
        ("ok-S18-entry-of-two-keys", "PASS", "both keys of an entry have signed", &[1, 2], pair),
        ("S18-entry-of-two-first-alone", "TRUST", "one key of an entry of two has signed", &[1], pair),
        ("S18-entry-of-two-second-alone", "TRUST", "one key of an entry of two has signed", &[2], pair),
        ("ok-S18-entry-of-two-half-beside", "PASS", "half of an entry beside one that counts", &[1, 3], pair),
        ("S18-entry-of-two-half-beside", "TRUST", "half of an entry does not count, two must", &[2, 3], &all),
        ("ok-S18-entry-of-two-and-other", "PASS", "both keys of an entry and the other entry's", &[1, 2, 3], &all),
        ("S18-key-of-no-section", "TRUST", "a known key that no section names has signed alone", &[3], &spare),
    ];
    for (name, expect, comment, signers, policy) in cases {
        book.add(held(&place, signers, policy), name, expect, comment);
    }
}

fn roles(book: &mut Book) {
    let place = at(0, 7);
    let both = more("threshold = 1\nroles = [\"release\", \"guard\"]");
    let guard = more("threshold = 1\nroles = [\"guard\"]");
    let two = "[key]\na = { public = \"1.pem\", holder = \"first\", role = \"release\" }\n\
               b = { public = \"2.pem\", holder = \"second\", role = \"release\" }\n\
               c = { public = \"3.pem\", holder = \"third\", role = \"guard\" }\n\
               [channel.apps]\nkeys = [\"a\", \"b\", \"c\"]\nthreshold = 2\nroles = [\"guard\"]\n";
    let pair = "[key]\na = { public = \"1.pem\", holder = \"first\", role = \"release\" }\n\
                b = { public = [\"2.pem\", \"3.pem\"], holder = \"second\", role = \"guard\" }\n\
                [channel.apps]\nkeys = [\"a\", \"b\"]\nthreshold = 1\nroles = [\"guard\"]\n";
    let cases: [(&str, &'static str, &str, &[u8], &str); 10] = [
        ("ok-S18-both-roles", "PASS", "both roles are there", &[1, 2], &both),
        ("S18-role-missing", "TRUST", "enough have signed, nobody in the role guard", &[1], &both),
        ("S18-other-role-missing", "TRUST", "enough have signed, nobody in the role release", &[2], &both),
        ("ok-S18-role-guard", "PASS", "the role that must be there is", &[2], &guard),
        ("S18-role-guard-missing", "TRUST", "the role that must be there is not", &[1], &guard),
        ("S18-two-of-one-role", "TRUST", "two holders have signed, both in one role", &[1, 2], two),
        ("ok-S18-two-of-two-roles", "PASS", "two holders have signed, in two roles", &[2, 3], two),
        ("S18-role-without-number", "TRUST", "the role is there, a second holder is not", &[3], two),
        ("S18-role-of-half-an-entry", "TRUST", "the role's entry has two keys, one has signed", &[1, 2], pair),
        ("ok-S18-role-of-whole-entry", "PASS", "the role's entry has two keys, both have signed", &[2, 3], pair),
    ];
    for (name, expect, comment, signers, policy) in cases {
        book.add(held(&place, signers, policy), name, expect, comment);
    }
}

fn sections(book: &mut Book) {
    type Case<'a> = (&'a str, &'static str, &'a str, &'a Content, &'a [u8], &'a str);
    let plain = Content::salt();
    let place = at(0, 7);
    let none = "[key]\nrelease = { public = \"1.pem\", holder = \"release desk\", role = \"release\" }\n\
                [no_channel]\nkeys = [\"release\"]\n";
    let both = format!("{OTHER}[no_channel]\nkeys = [\"three\"]\n");
    let same = more("[no_channel]\nkeys = [\"guard\"]");
    let named = |name: &str| place.clone().with("channel", serde_json::json!(name));
    let cases: [Case<'_>; 15] = [
        ("ok-policy-no-channel", "PASS", "a bundle without a channel, and its section", &plain, &[1], none),
        ("policy-no-section", "POLICY", "a bundle of a channel, the policy has only [no_channel]", &place, &[1], none),
        (
            "policy-no-channel-none",
            "POLICY",
            "a bundle without a channel, the policy has no [no_channel]",
            &plain,
            &[1, 2],
            POLICY,
        ),
        (
            "policy-other-channel",
            "POLICY",
            "a bundle of a channel that the policy has not",
            &named("app"),
            &[1, 2],
            POLICY,
        ),
        (
            "policy-longer-channel",
            "POLICY",
            "a bundle of a channel that the policy has not",
            &named("apps2"),
            &[1, 2],
            POLICY,
        ),
        (
            "policy-channel-named-no-channel",
            "POLICY",
            "a channel of the name no_channel is not [no_channel]",
            &named("no_channel"),
            &[1],
            none,
        ),
        ("policy-section-before-holders", "POLICY", "no section, whoever has signed", &named("app"), &[1], POLICY),
        ("ok-policy-other-section", "PASS", "the other channel under its own key", &named("other"), &[3], OTHER),
        (
            "S18-key-of-other-section",
            "TRUST",
            "signed by a key that only another channel's section names",
            &place,
            &[3],
            OTHER,
        ),
        (
            "S18-key-of-other-section-beside",
            "TRUST",
            "one of two, and a key of another channel's section",
            &place,
            &[1, 3],
            OTHER,
        ),
        (
            "S18-other-channel-by-ours",
            "TRUST",
            "the other channel signed by this one's keys",
            &named("other"),
            &[1, 2],
            OTHER,
        ),
        (
            "ok-S18-key-of-other-section-too",
            "PASS",
            "a key of another channel's section beside enough",
            &place,
            &[1, 2, 3],
            OTHER,
        ),
        (
            "S18-no-channel-by-a-channels",
            "TRUST",
            "without a channel, signed by a channel's keys",
            &plain,
            &[1, 2],
            &both,
        ),
        ("ok-policy-entry-in-two-sections", "PASS", "an entry that two sections name", &plain, &[2], &same),
        (
            "S18-entry-of-two-sections",
            "TRUST",
            "an entry that two sections name is not enough in this one",
            &place,
            &[2],
            &same,
        ),
    ];
    for (name, expect, comment, content, signers, policy) in cases {
        book.add(held(content, signers, policy), name, expect, comment);
    }
}

fn unknown(book: &mut Book) {
    let place = at(0, 7);
    let refuse = more("unknown_signatures = \"refuse\"");
    let show = more("unknown_signatures = \"show\"");
    let other = OTHER.replace("\"two\"]", "\"two\"]\nunknown_signatures = \"refuse\"");
    let cases: [(&str, &'static str, &str, &[u8], &str); 7] = [
        ("ok-policy-unknown-shown", "PASS", "a signature under an unknown key is shown", &[1, 2, 9], &show),
        (
            "ok-policy-unknown-by-default",
            "PASS",
            "a signature under an unknown key is shown by default",
            &[1, 2, 9],
            POLICY,
        ),
        ("ok-policy-unknown-refused-none", "PASS", "unknown keys are refused, there is none", &[1, 2], &refuse),
        (
            "policy-unknown-refused",
            "POLICY",
            "a signature under an unknown key, which the section refuses",
            &[1, 2, 9],
            &refuse,
        ),
        ("ok-policy-unknown-but-in-file", "PASS", "a key of another section is not an unknown one", &[1, 2, 3], &other),
        (
            "policy-unknown-beside-other",
            "POLICY",
            "an unknown key beside one of another section",
            &[1, 2, 3, 9],
            &other,
        ),
        (
            "S18-unknown-refused-too-few",
            "TRUST",
            "an unknown key that is refused, and a signature too few",
            &[1, 9],
            &refuse,
        ),
    ];
    for (name, expect, comment, signers, policy) in cases {
        book.add(held(&place, signers, policy), name, expect, comment);
    }
    let wrong = signed(&place, &[1, 2, 9], &refuse, |envelope| spoil(envelope, 9));
    book.add(wrong, "policy-unknown-refused-wrong", "POLICY", "a wrong signature under an unknown key is refused, too");
}
