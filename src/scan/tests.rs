//! Messages about findings. Tests of whole runs are in `tests/cli/scan.rs`.

use super::*;
use crate::base::fault::{Class, escape};
use crate::oci::{Digest, Repository, Tag};

fn finding(path: Option<&str>, problem: Problem, said: &str) -> Finding {
    let used = Used {
        repository: Repository::exact("reg.example/team/app").unwrap(),
        tags: vec![Tag::new("1.0").unwrap()],
        digest: Digest::sha256(b"manifest"),
    };
    Finding {
        blob: Digest::sha256(b"layer"),
        path: path.map(ToOwned::to_owned),
        artifacts: vec![used],
        others: true,
        problem,
        said: said.to_owned(),
    }
}

fn summary_of(findings: Vec<Finding>, more: u64) -> Summary {
    Summary {
        scanner: "clamscan -".into(),
        version: Some("ClamAV 1".into()),
        clean: findings.is_empty() && more == 0,
        blobs: 2,
        files: Some(3),
        bytes: 4,
        findings,
        more,
    }
}

#[test]
fn u4_a_finding_names_artifact_blob_file_and_what_was_said() {
    let fault =
        summary_of(vec![finding(Some("etc/evil"), Problem::Exit(1), "stdin: Eicar FOUND\n")], 0).fault().unwrap();
    assert_eq!(fault.class, Class::Policy);
    for part in [
        &Digest::sha256(b"layer").to_string(),
        "reg.example/team/app:1.0 and others",
        "file etc/evil",
        "expected the scanner's exit status 0, found 1",
        "stdin: Eicar FOUND",
    ] {
        assert!(fault.what.contains(part), "{part}: {}", fault.what);
    }
    assert!(fault.help.is_some());
}

#[test]
fn g5_what_is_untrusted_in_a_finding_is_escaped_and_short() {
    let long = "\x1b[2J\u{202e}".to_owned() + &"x".repeat(5000);
    let fault = summary_of(vec![finding(Some(&long), Problem::Timeout(9), &long)], 0).fault().unwrap();
    assert!(!fault.what.contains('\x1b') && !fault.what.contains('\u{202e}'), "{}", fault.what);
    assert!(fault.what.contains("within 9 s") && escape(&fault.what).ends_with("and others"), "{}", fault.what);
}

#[test]
fn u4_all_findings_are_told_and_none_means_clean() {
    let findings: Vec<Finding> =
        (0..5).map(|index| finding(Some(&format!("f{index}")), Problem::Exit(1), "")).collect();
    let fault = summary_of(findings, 7).fault().unwrap();
    assert_eq!(fault.others.len(), 5);
    assert!(fault.others.iter().any(|other| other.what.contains("7 more findings")));
    assert_eq!(summary_of(Vec::new(), 0).fault(), None);
    let wrong = Summary { clean: false, ..summary_of(Vec::new(), 0) };
    assert_eq!(wrong.fault().unwrap().class, Class::Bug);
}

#[test]
fn a_summary_is_read_as_it_was_written() {
    let problems = [
        Problem::Exit(1),
        Problem::Signal(9),
        Problem::Timeout(900),
        Problem::Failed("not found".into()),
        Problem::Unreadable("one that is truncated".into()),
    ];
    let before = summary_of(problems.into_iter().map(|problem| finding(None, problem, "said")).collect(), 1);
    let json = serde_json::to_value(&before).unwrap();
    assert_eq!(json["findings"][0]["problem"], serde_json::json!({ "exit": 1 }));
    assert_eq!(json["findings"][4]["problem"], serde_json::json!({ "unreadable": "one that is truncated" }));
    assert_eq!(serde_json::from_value::<Summary>(json).unwrap(), before);
}
