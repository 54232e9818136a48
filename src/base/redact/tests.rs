//! Row U1: every spelling of a secret is hidden, and other text stays readable.

use super::*;

/// The secret in every spelling below.
const CANARY: &str = "s3cretCanary";

/// Secrets as typed, each with its redacted form.
const SPELLINGS: &[(&str, &str)] = &[
    ("robot:s3cretCanary@host/m", "***@host/m"),
    ("robot$ci:s3cretCanary@host:5000/m:v1", "***@host:5000/m:v1"),
    ("https://robot:s3cretCanary@host/m", "https://***@host/m"),
    ("https://s3cretCanary@host/m", "https://***@host/m"),
    ("HTTPS://robot:s3/cret@s3cretCanary@host/m", "HTTPS://***@host/m"),
    ("robot:x/s3cretCanary/y@host/m", "***@host/m"),
    ("robot:x@s3cretCanary@host/m", "***@host/m"),
    ("a:1,as=robot:x@s3cretCanary@host/m", "***@host/m"),
    (
        "robot:s3cretCanary@host/m@sha256:0f5f777430d430e4a0ffc7d5722fb0638db29d14c8088b0628d716b8276dce47",
        "***@host/m@sha256:0f5f777430d430e4a0ffc7d5722fb0638db29d14c8088b0628d716b8276dce47",
    ),
    ("robot%3As3cretCanary%40host/m", "***%40host/m"),
    ("robot%253As3cretCanary%2540host/m", "***%2540host/m"),
    ("https%3A%2F%2Frobot%3As3cretCanary%40host", "https%3A%2F%2F***%40host"),
    ("--to=robot:s3cretCanary@host/m", "--to=***@host/m"),
    ("a:1,as=robot:s3cretCanary@host/m", "***@host/m"),
    ("oci:dir:robot:s3cretCanary@host", "oci:***@host"),
    ("https://h/c?sv=2022-11-02&sig=s3cretCanary%3D", "https://h/c?sv=2022-11-02&sig=***"),
    ("https://h/c?sig=s3cretCanary&sv=2022", "https://h/c?sig=***"),
    ("https://h/c?Sig=s3cret%26s3cretCanary", "https://h/c?Sig=***"),
    ("https%3A%2F%2Fh%2Fc%3Fsv%3D1%26sig%3Ds3cretCanary", "https%3A%2F%2Fh%2Fc%3Fsv%3D1%26sig%3D***"),
    ("s3://b/k?X-Amz-Algorithm=A&X-Amz-Signature=s3cretCanary", "s3://b/k?X-Amz-Algorithm=A&X-Amz-Signature=***"),
    ("https://h/k?X-Amz-Security-Token=s3cretCanary", "https://h/k?X-Amz-Security-Token=***"),
    ("https://h/k?X-Goog-Signature=s3cretCanary", "https://h/k?X-Goog-Signature=***"),
    ("AccountName=a;AccountKey=s3cretCanary==", "AccountName=a;AccountKey=***"),
    ("--password=s3cretCanary", "--password=***"),
    ("password=s3cretCanary", "password=***"),
    ("--registry-token=s3cretCanary", "--registry-token=***"),
    ("access_token=s3cretCanary", "access_token=***"),
    ("pkcs11:token=t;object=o?pin-value=s3cretCanary", "pkcs11:token=t;object=o?pin-value=***"),
    ("ghp_s3cretCanary0123456789", "***"),
    ("host/ghp_s3cretCanary0123456789/x", "host/***/x"),
    ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXRDYW5hcnkifQ.s3cretCanary", "***"),
];

/// Texts that resemble secrets but are none.
const PLAIN: &[&str] = &[
    "alpine",
    "registry.example:5000/org/app:v1.2@sha256:0f5f777430d430e4a0ffc7d5722fb0638db29d14c8088b0628d716b8276dce47",
    "app:v1@sha512:0f5f77",
    "oci:/media/me@work/site",
    "/media/me@work/bundle",
    "@maps.txt",
    "--passphrase-file=/run/p",
    "password.env=HARBOR",
    "token.file=/run/t",
    "[::1]:5000/a:t",
    "docker.io/library/*=mirror/*",
    "--sign=pkcs11:token=t;object=o?module-path=/m.so&pin-source=/run/pin",
    "--sign=k.pem",
    "--key=k.pub.pem",
    "expected 3 lines, as its head says, found 2: its tail was cut off",
    "it asks for Bearer authentication; Basic authorization will do",
    "100% of 25%, %zz, 50%",
    "2026-01-01T00:00:00Z",
];

#[test]
fn u1_every_spelling_is_hidden() {
    for (typed, left) in SPELLINGS {
        assert_eq!(redact_argument(typed), *left, "{typed}");
        assert!(has_secret(typed), "{typed}");
        // In a message, between other words.
        for message in [format!("destination {typed}: expected another"), format!("argument '{typed}' found")] {
            assert!(!redact(&message).contains(CANARY), "{message}");
        }
        assert!(redact(&format!("argument '{typed}' found")).ends_with("' found"), "{typed}");
    }
    for text in
        ["Authorization: Bearer s3cretCanary", "basic bXVsZTpjYW5hcnk9czNjcmV0Q2FuYXJ5", "got: Bearer s3cretCanary,"]
    {
        let shown = redact(text);
        assert!(shown.contains(HIDDEN) && !shown.contains(CANARY) && !shown.contains("bXVs"), "{shown}");
    }
}

#[test]
fn what_is_no_secret_is_left_as_it_is() {
    for text in PLAIN {
        assert_eq!(redact(text), *text);
        assert_eq!(redact_argument(text), *text);
        assert!(!has_secret(text), "{text}");
    }
}

#[test]
fn u1_a_part_of_a_typed_secret_is_found_again() {
    let of = |words: &[&str]| {
        Secrets::of(&std::iter::once("packmule").chain(words.iter().copied()).map(OsString::from).collect::<Vec<_>>())
    };
    for (typed, _) in SPELLINGS {
        let secrets = of(&["import", "--to", typed]);
        // Parts that have no recognizable form, as the parsers of hosts, tags and numbers quote
        // them.
        let cut = |secret: &str| secret.split_once('@').map(|(_, rest)| rest.to_owned());
        let all = super::secrets(typed).into_iter().map(|range| &typed[range]);
        for part in all.flat_map(|secret| parts(secret).into_iter().chain(cut(secret))) {
            assert!(!secrets.hide(&format!("tag {part:?}: expected letters")).contains(CANARY), "{typed}: {part}");
        }
    }
    for words in [
        &["login", "h", "--password", CANARY][..],
        &["login", "h", "-p", CANARY],
        &["login", "h", &format!("-p{CANARY}")],
        &["x", "--token", CANARY],
        &["x", "-password", CANARY],
        &["verify", "b", "--scan", "clam --password 's3cretCanary' -"],
        &["verify", "b", "--scan", "clam --url=https://me:s3cretCanary@h"],
    ] {
        let secrets = of(words);
        assert_eq!(secrets.hide(&format!("unexpected argument '{CANARY}' found")), "unexpected argument '***' found");
        let fault = secrets.clean(Fault::usage(format!("a {CANARY}"), format!("b {CANARY}")));
        assert_eq!((fault.what.as_str(), fault.help.as_deref()), ("a ***", Some("b ***")));
        let mut value = serde_json::json!({ "a": [CANARY], "b": { "c": CANARY } });
        secrets.clean_json(&mut value);
        assert_eq!(value.to_string(), r#"{"a":["***"],"b":{"c":"***"}}"#);
        assert!(!format!("{secrets:?}").contains(CANARY));
    }
    // As spelled in a page and in a message.
    let odd = of(&["--password", "a&b<c\u{1b}\"d"]);
    for spelt in ["a&b<c\u{1b}\"d", "a&amp;b&lt;c\u{1b}\"d", "a&b<c\\u{1b}\"d", "a&b<c\\u{1b}\\\"d"] {
        assert_eq!(odd.hide(spelt), HIDDEN, "{spelt}");
    }
    assert!(of(&["verify", "b", "--key", "k.pub.pem", "--passphrase-file", "p", "-p"]).is_empty());
}

#[test]
fn u1_a_secret_that_was_read_is_in_no_message() {
    let secrets = Secrets::default();
    secrets.learn(CANARY);
    secrets.learn("short");
    assert_eq!(secrets.hide_all("denied: me s3cretCanary in short"), "denied: me *** in short");
    // A result may contain the word for another reason.
    assert_eq!(secrets.hide(CANARY), CANARY);
}
