//! Signature requirements: keys from the command line, and sections of a policy file.

use super::*;
use crate::oci::Digest;
use crate::signing::private::SigningKey;
use crate::signing::statement;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32]).unwrap()
}

fn policy(seeds: &[u8], threshold: Option<usize>) -> Policy {
    Policy::new(seeds.iter().map(|seed| key(*seed).public().clone()).collect(), threshold).unwrap()
}

fn envelope(seeds: &[u8]) -> (Vec<u8>, Envelope) {
    let statement = statement(super::super::envelope::BUNDLE_TYPE, Digest::sha256(b"m"), 1);
    let mut envelope = Envelope::new(statement.clone());
    for seed in seeds {
        envelope.sign(&key(*seed));
    }
    (statement, envelope)
}

fn judge(seeds: &[u8], threshold: Option<usize>, signers: &[u8]) -> Result<Judgement, Refusal> {
    let (statement, envelope) = envelope(signers);
    policy(seeds, threshold).judge(&statement, &envelope)
}

#[test]
fn enough_good_signatures_pass_and_unknown_ones_are_shown() {
    let judgement = judge(&[1, 2], None, &[1, 2, 3]).unwrap();
    assert_eq!(judgement.good.len(), 2);
    assert_eq!(judgement.unknown, [key(3).public().id()]);
    assert!(judge(&[1, 2, 3], Some(2), &[1, 3]).is_ok());
}

#[test]
fn s1_no_signature() {
    assert_eq!(judge(&[1], None, &[]), Err(BadSignature::None.into()));
}

#[test]
fn s2_unknown_alone_and_forged_keyid() {
    assert!(matches!(judge(&[1], None, &[2]), Err(Refusal::Trust(Distrust::Unknown { .. }))));
    let (statement, mut envelope) = envelope(&[2]);
    envelope.signatures[0].keyid = key(1).public().id().to_owned();
    let refusal = policy(&[1], None).judge(&statement, &envelope).unwrap_err();
    assert!(matches!(refusal, Refusal::Signature(BadSignature::Bad(_))));
    assert_eq!(Fault::from(refusal).class, Class::Signature);
}

#[test]
fn s4_thresholds_and_duplicates() {
    let public = |seed| key(seed).public().clone();
    for threshold in [0, 3, usize::MAX] {
        assert!(matches!(Policy::new(vec![public(1), public(2)], Some(threshold)), Err(PolicyError::Threshold { .. })));
    }
    assert!(matches!(Policy::new(vec![public(1), public(1)], None), Err(PolicyError::Duplicate(_))));
    assert_eq!(Policy::new(vec![], None).unwrap_err(), PolicyError::NoKeys);
    assert!(matches!(judge(&[1, 2], None, &[1]), Err(Refusal::Trust(Distrust::TooFew { needed: 2, .. }))));
}

#[test]
fn s8_one_bad_signature_under_a_known_key_spoils_all() {
    let (statement, mut envelope) = envelope(&[1, 2, 3]);
    let third = envelope.signatures.iter_mut().find(|one| one.keyid == key(3).public().id()).unwrap();
    third.sig[5] ^= 1;
    assert!(matches!(
        policy(&[1, 2, 3], Some(1)).judge(&statement, &envelope),
        Err(Refusal::Signature(BadSignature::Bad(_)))
    ));
    // By an unknown key it does not count.
    assert!(policy(&[1, 2], None).judge(&statement, &envelope).is_ok());
}

#[test]
fn s10_signatures_over_something_else() {
    let (_, envelope) = envelope(&[1]);
    let other = statement(super::super::envelope::BUNDLE_TYPE, Digest::sha256(b"x"), 1);
    assert_eq!(policy(&[1], None).judge(&other, &envelope), Err(BadSignature::OtherStatement.into()));
    // The same bytes, signed without the type before them.
    let (statement, mut envelope) = self::envelope(&[1]);
    envelope.signatures[0].sig = key(1).sign(&statement);
    assert!(matches!(policy(&[1], None).judge(&statement, &envelope), Err(Refusal::Signature(_))));
}

const TWO: &str = r#"
[key]
release = { public = "1.pem", holder = "release desk", role = "release" }
deputy = { public = "2.pem", holder = "release desk", role = "release" }
second = { public = "3.pem", holder = "second desk", role = "release" }
guard = { public = ["4.pem", "5.pem"], holder = "guard desk", role = "guard" }
[channel.apps]
keys = ["release", "deputy", "second", "guard"]
threshold = 2
roles = ["release", "guard"]
[channel.any]
keys = ["release", "deputy", "second"]
threshold = 2
[no_channel]
keys = ["second"]
"#;

pub(super) fn parsed(text: &str) -> Result<Policy, Fault> {
    parsed_at(text, 0)
}

fn parsed_at(text: &str, now: i64) -> Result<Policy, Fault> {
    file::parse("trust.toml".as_ref(), text.as_bytes(), now, |name| {
        let seed = name.strip_suffix(".pem").and_then(|seed| seed.parse().ok());
        let seed = seed.ok_or_else(|| Fault::new(Class::Usage, format!("key {name}: not there")).help("look"))?;
        Ok(key(seed).public().clone())
    })
}

pub(super) fn claims<'a>(channel: Option<&'a str>, artifacts: &'a [crate::oci::Artifact]) -> Claims<'a> {
    Claims {
        id: Digest::sha256(b"m"),
        channel,
        epoch: channel.map(|_| 0),
        sequence: channel.map(|_| 1),
        previous: None,
        created: 0,
        expires: None,
        artifacts,
        absent: &[],
        largest: Some((Digest::sha256(b"l"), 1000)),
        total: 3000,
    }
}

/// Returns the entries that count for a bundle of this channel with these signatures.
fn admitted(text: &str, channel: Option<&str>, signers: &[u8]) -> Result<Vec<String>, Fault> {
    let policy = parsed(text).unwrap();
    let (statement, envelope) = envelope(signers);
    let judgement = policy.judge(&statement, &envelope)?;
    let admission = policy.admit(&judgement, &claims(channel, &[]))?;
    Ok(admission.counted.into_iter().map(|entry| entry.name).collect())
}

#[test]
fn s18_two_keys_of_one_role_or_one_holder_are_not_two_people() {
    let class = |channel, signers: &[u8]| admitted(TWO, Some(channel), signers).map_err(|fault| fault.class);
    assert_eq!(class("apps", &[1, 4, 5]).unwrap(), ["release", "guard"]);
    assert_eq!(class("apps", &[1, 3, 4, 5]).unwrap(), ["release", "second", "guard"]);
    // Two holders, both for release.
    assert_eq!(class("apps", &[1, 3]), Err(Class::Trust));
    // Two keys of one holder.
    assert_eq!(class("any", &[1, 2]), Err(Class::Trust));
    assert_eq!(class("any", &[2, 3]).unwrap(), ["deputy", "second"]);
    // One of the guard's two keys.
    for one in [4, 5] {
        assert_eq!(class("apps", &[1, one]), Err(Class::Trust));
    }
    let fault = admitted(TWO, Some("apps"), &[1, 3]).unwrap_err();
    assert!(fault.what.contains("role guard") && fault.what.contains("second desk (release)"), "{fault}");
}

#[test]
fn s2_s8_keys_of_another_section_do_not_count_but_must_hold() {
    // Known, so it opens the manifest, but not in this section.
    assert_eq!(admitted(TWO, None, &[1]).unwrap_err().class, Class::Trust);
    assert_eq!(admitted(TWO, None, &[1, 3]).unwrap(), ["second"]);
    assert_eq!(admitted(TWO, None, &[9]).unwrap_err().class, Class::Trust);
    let policy = parsed(TWO).unwrap();
    let (statement, mut envelope) = envelope(&[3, 1]);
    let one = envelope.signatures.iter_mut().find(|one| one.keyid == key(1).public().id()).unwrap();
    one.sig[9] ^= 1;
    assert!(matches!(policy.judge(&statement, &envelope), Err(Refusal::Signature(BadSignature::Bad(_)))));
}

#[test]
fn a_key_past_its_end_counts_for_nothing_and_must_still_hold() {
    let text = TWO.replacen("role = \"guard\"", "role = \"guard\", until = \"2027-01-31\"", 1).replacen(
        "\"second desk\", role = \"release\"",
        "\"second desk\", role = \"release\", until = \"2027-01-31T12:00:00Z\"",
        1,
    );
    let judged = |now: i64, channel: Option<&str>, signers: &[u8]| {
        let policy = parsed_at(&text, now).unwrap();
        let (statement, envelope) = envelope(signers);
        let judgement = policy.judge(&statement, &envelope).map_err(Fault::from)?;
        let admission = policy.admit(&judgement, &claims(channel, &[]))?;
        Ok::<_, Fault>(admission.counted.into_iter().map(|entry| entry.name).collect::<Vec<_>>())
    };
    // 2027-01-31T12:00:00Z, and the end of that day.
    let (noon, midnight) = (1_801_396_800, 1_801_440_000);
    assert_eq!(judged(midnight - 1, Some("apps"), &[1, 4, 5]).unwrap(), ["release", "guard"]);
    let fault = judged(midnight, Some("apps"), &[1, 4, 5]).unwrap_err();
    assert_eq!((fault.class, fault.others.len()), (Class::Trust, 2), "{fault:?}");
    assert!(fault.others.iter().all(|other| other.what.contains("`until` is over")), "{fault:?}");
    // Alone it does not open the manifest.
    assert_eq!(judged(noon - 1, None, &[3]).unwrap(), ["second"]);
    let fault = judged(noon, None, &[3]).unwrap_err();
    assert!(fault.class == Class::Trust && fault.what.contains("whose `until` is over"), "{fault:?}");
    // An invalid signature by an ended key is still corruption or an attack.
    let policy = parsed_at(&text, midnight).unwrap();
    let (statement, mut envelope) = envelope(&[1, 3]);
    let one = envelope.signatures.iter_mut().find(|one| one.keyid == key(3).public().id()).unwrap();
    one.sig[9] ^= 1;
    assert!(matches!(policy.judge(&statement, &envelope), Err(Refusal::Signature(BadSignature::Bad(_)))));
}

#[test]
fn expires_has_a_ceiling_wherever_it_is_demanded() {
    let rules = |lines: &str| {
        let text = TWO.replacen("[no_channel]", &format!("{lines}\n[no_channel]"), 1);
        let policy = parsed(&text).unwrap();
        let rules = policy.sections().unwrap().channels["any"].rules.clone();
        (rules.expires, rules.lifetime)
    };
    assert_eq!(rules(""), (false, None));
    assert_eq!(rules("require = { bundle = [\"sequence\"] }"), (false, None));
    assert_eq!(rules("require = { bundle = [\"expires\"] }"), (true, Some(366 * 86_400)));
    assert_eq!(rules("limits = { expires = \"90d\" }"), (true, Some(90 * 86_400)));
    let both = "require = { bundle = [\"expires\"] }\nlimits = { expires = \"2000d\" }";
    assert_eq!(rules(both), (true, Some(2000 * 86_400)));
}

#[test]
fn other_channels_and_bundles_without_one_need_a_section() {
    assert_eq!(admitted(TWO, Some("other"), &[1, 3]).unwrap_err().class, Class::Policy);
    let none = TWO.split("[no_channel]").next().unwrap();
    assert_eq!(admitted(none, None, &[1, 3]).unwrap_err().class, Class::Policy);
}

#[test]
fn what_a_section_forbids_is_listed_at_once() {
    let text = TWO.replace(
        "[no_channel]",
        "repositories = [\"docker.io/library/*\"]\nlimits = { bundle = \"2kB\", blob = \"999\" }\nepoch = 3\n\
         require = { bundle = [\"expires\"] }\nunknown_signatures = \"refuse\"\n[no_channel]",
    );
    let policy = parsed(&text).unwrap();
    let artifact = crate::oci::Artifact {
        artifact_type: None,
        digest: Digest::sha256(b"a"),
        media_type: crate::oci::media_type::OCI_MANIFEST.to_owned(),
        original: None,
        repository: crate::oci::Repository::new("quay.io", "team/app").unwrap(),
        size: 1,
        subject: None,
        tags: Vec::new(),
    };
    let (statement, envelope) = envelope(&[1, 3, 9]);
    let judgement = policy.judge(&statement, &envelope).unwrap();
    let artifacts = [artifact];
    let fault = policy.admit(&judgement, &claims(Some("any"), &artifacts)).unwrap_err();
    assert_eq!((fault.class, fault.others.len()), (Class::Stale, 5), "{fault:?}");
    assert!(fault.what.contains("epoch 3, found 0"), "{fault}");
    for word in ["unknown key", "quay.io/team/app", "3000", "1000", "expires"] {
        assert!(fault.others.iter().any(|other| other.class == Class::Policy && other.what.contains(word)), "{word}");
    }
    let good = Claims { epoch: Some(3), expires: Some(9), largest: None, total: 2000, ..claims(Some("any"), &[]) };
    let judgement = Judgement { unknown: Vec::new(), ..judgement };
    assert!(policy.admit(&judgement, &good).is_ok());
}

#[test]
fn s4_s17_what_is_no_policy_is_refused_with_its_line() {
    for (from, to, line, said) in [
        ("threshold = 2\nroles", "threshold = 0\nroles", 9, "from 1 to 3"),
        ("threshold = 2\nroles", "threshold = 4\nroles", 9, "from 1 to 3, the distinct holders"),
        ("threshold = 2\nroles", "threshold = -1\nroles", 9, "integer"),
        ("threshold = 2\nroles", "treshold = 2\nroles", 9, "treshold"),
        ("\"second\"]\nthreshold = 2\n[no", "\"second\", \"second\"]\n[no", 12, "is listed twice"),
        ("public = \"2.pem\"", "public = \"1.pem\"", 4, "is listed twice in this file"),
        ("[\"4.pem\", \"5.pem\"]", "[\"4.pem\", \"4.pem\"]", 6, "is listed twice in this file"),
        ("[\"4.pem\", \"5.pem\"]", "[]", 6, "expected a public key's file"),
        ("[\"4.pem\", \"5.pem\"]", "4", 6, "a file or a list of files"),
        ("public = \"2.pem\"", "public = \"x.pem\"", 4, "x.pem: not there"),
        ("\"guard\"]\nthreshold", "\"gaurd\"]\nthreshold", 8, "there is no key \"gaurd\""),
        ("\"guard\"]\n[channel.any]", "\"gaurd\"]\n[channel.any]", 10, "has the role \"gaurd\""),
        ("[channel.any]", "[channel.apps]", 11, "duplicate key"),
        ("[channel.any]", "[channel.\"An y\"]", 11, "a-z 0-9"),
        (
            "\"second\"]\nthreshold = 2\n[no",
            "\"second\"]\nthreshold = 2\n[channel.none]\nkeys = []\n[no",
            14,
            "expected at least one",
        ),
        ("[no_channel]", "epoch = 1\nepoch = 1\n[no_channel]", 15, "duplicate key"),
        ("[no_channel]", "[no_channel]\nepoch = 1", 15, "only channels have one"),
        ("[no_channel]", "[no_channel]\nrequire = { bundle = [\"expires\"] }", 15, "only bundles of channels"),
        ("[no_channel]", "[no_channel]\nlimits = { expires = \"90d\" }", 15, "only bundles of channels expire"),
        ("[no_channel]", "limits = { expires = \"0d\" }\n[no_channel]", 14, "limits.expires"),
        ("[no_channel]", "limits = { expires = \"90\" }\n[no_channel]", 14, "limits.expires"),
        ("[no_channel]", "tags = []\n[no_channel]", 14, "every bundle would be refused"),
        ("\n[key]", "version = 9007199254740992\n[key]", 1, "version"),
        ("\n[key]", "version = \"1\"\n[key]", 1, "u64"),
        ("role = \"guard\"", "role = \"guard\", until = \"2027-02-29\"", 6, "until"),
        ("role = \"guard\"", "role = \"guard\", until = 2027-01-31", 6, "string"),
        ("[no_channel]", "[no_chanel]", 14, "no_chanel"),
        ("[no_channel]", "[no_channel]\nlimits = { blob = \"many\" }", 15, "limits.blob"),
        ("[no_channel]", "[no_channel]\nrepositories = []", 15, "every bundle would be refused"),
        ("[no_channel]", "[no_channel]\nunknown_signatures = \"hide\"", 15, "hide"),
        ("holder = \"guard desk\"", "holder = \" \"", 6, "holder"),
        ("role = \"guard\"", "rank = \"guard\"", 6, "rank"),
        ("[no_channel]\n", "[no_channel]\r\n", 14, "carriage return"),
        ("\n[key]", "\u{feff}\n[key]", 1, "byte order mark"),
        ("[no_channel]", "[no_channel", 14, ""),
    ] {
        assert!(TWO.contains(from), "{from}");
        let text = TWO.replacen(from, to, 1);
        let fault = parsed(&text).unwrap_err();
        assert_eq!(fault.class, Class::Usage, "{to}: {fault}");
        let at = format!("trust.toml:{line}: ");
        assert!(fault.what.starts_with(&at) && fault.what.contains(said), "{to:?}: {fault}");
        assert!(fault.help.is_some(), "{to}");
    }
    for (text, help) in
        [("gaurd\"]\nthreshold", "did you mean guard?"), ("gaurd\"]\n[channel.any", "did you mean guard?")]
    {
        let fault = parsed(&TWO.replacen(&text.replace("gaurd", "guard"), text, 1)).unwrap_err();
        assert_eq!(fault.help.as_deref(), Some(help));
    }
    let fault = parsed(&TWO.replacen("threshold", "treshold", 1)).unwrap_err();
    assert_eq!(fault.help.as_deref(), Some("did you mean threshold?"));
    assert!(parsed("").is_err() && parsed("[key]\n").is_err());
    assert!(file::parse("t".as_ref(), b"[key]\n\xff", 0, |_| unreachable!()).unwrap_err().what.starts_with("t:2: "));
    let no_section = TWO.split("[channel.apps]").next().unwrap();
    assert!(parsed(no_section).unwrap_err().what.contains("neither"));
}

#[test]
fn a_thousand_keys_and_five_thousand_artifacts_are_judged_at_once() {
    let mut text = "[key]\n".to_owned();
    let names: Vec<String> = (0..1000).map(|n| format!("k{n}")).collect();
    for name in &names {
        text.push_str(&format!("{name} = {{ public = \"{name}\", holder = \"{name}\", role = \"r\" }}\n"));
    }
    text.push_str(&format!(
        "[no_channel]\nkeys = {names:?}\nthreshold = 1\nrepositories = [\"docker.io/library/*\"]\n"
    ));
    let policy = file::parse("t".as_ref(), text.as_bytes(), 0, |name| {
        let number: u16 = name[1..].parse().unwrap();
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&number.to_be_bytes());
        Ok(SigningKey::from_bytes(&seed).unwrap().public().clone())
    })
    .unwrap();
    assert_eq!(policy.keyids().count(), 1000);
    let artifacts: Vec<crate::oci::Artifact> = (0..5000)
        .map(|n: u32| crate::oci::Artifact {
            artifact_type: None,
            digest: Digest::sha256(&n.to_be_bytes()),
            media_type: crate::oci::media_type::OCI_MANIFEST.to_owned(),
            original: None,
            repository: crate::oci::Repository::new("docker.io", &format!("library/a{n}")).unwrap(),
            size: 1,
            subject: None,
            tags: Vec::new(),
        })
        .collect();
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&999_u16.to_be_bytes());
    let signer = SigningKey::from_bytes(&seed).unwrap();
    let judgement = Judgement { good: vec![signer.public().id().to_owned()], ..Judgement::default() };
    let began = std::time::Instant::now();
    assert_eq!(policy.admit(&judgement, &claims(None, &artifacts)).unwrap().counted.len(), 1);
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn the_example_of_the_spec_is_a_policy() {
    let page = include_str!("../../../spec/policy.md");
    let block = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut seed = 0;
    let policy = file::parse("trust.toml".as_ref(), block.as_bytes(), 0, |_| {
        seed += 1;
        Ok(key(seed).public().clone())
    })
    .unwrap();
    assert_eq!(policy.keyids().count(), 3);
    let apps = &policy.sections().unwrap().channels["apps"];
    assert!(apps.rules.previous && apps.rules.expires && apps.rules.bundle == Some(200 << 30));
}
