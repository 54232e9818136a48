//! Rights of signatures and keys, by the emulator, which enforces the letters of a signature.

use packmule::content::{Error, Kind};
use packmule::network::access::Access;
use packmule::network::settings::ClientSettings;
use packmule::storage::{Condition, Container, Needs};

use super::site::{Given, Opened, Site, open, signed};
use crate::azurite::hours;
use crate::container::{Bytes, content, flow, upload};

const READ: Needs = Needs { read: true, list: true, write: false, remove: false, bytes: 0 };
const WRITE: Needs = Needs { read: false, list: true, write: true, remove: false, bytes: 0 };

#[test]
fn t13_rwla_is_enough_to_write_resume_and_overwrite() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_sas("apps", &site.sas("rwla"));
    let (container, flow) = (&opened.container, flow().0);
    container.check_rights(WRITE, &opened.flow).unwrap();
    let volume = Bytes::new(content(300_000, 1));
    volume.break_at(200_000);
    upload(container, "b.oci/one", &volume, &[], &flow).unwrap_err();
    volume.break_at(usize::MAX);
    assert!(upload(container, "b.oci/one", &volume, &[], &flow).unwrap().kept > 0);
    let first = container.put("b.json", b"{}", &Condition::Absent).unwrap();
    let empty = container.put("b.json", b"", &Condition::Unchanged(first.etag.unwrap())).unwrap();
    upload(container, "b.oci/one", &Bytes::new(content(300_000, 2)), &[], &flow).unwrap();
    container.put("b.json", b"{1}", &Condition::Unchanged(empty.etag.unwrap())).unwrap();
    let mut names = Vec::new();
    container.list("b.", &mut |object| names.push(object.name)).unwrap();
    assert_eq!(names, ["b.json", "b.oci/one"]);
}

#[test]
fn t13_rl_is_enough_to_read_and_d_to_delete() {
    let Some(site) = Site::new() else { return };
    site.by_key().container.put("b.json", b"{}", &Condition::Any).unwrap();
    let opened = site.by_sas("", &site.sas("rl"));
    let container = &opened.container;
    container.check_rights(READ, &opened.flow).unwrap();
    let object = container.head("b.json").unwrap().unwrap();
    let mut read = [0; 2];
    container.read_at("b.json", object.etag.as_deref(), 0, &mut read).unwrap();
    assert_eq!(&read, b"{}");
    container.list("", &mut |found| assert_eq!(found, object)).unwrap();
    let remove = Needs { remove: true, ..READ };
    let lacking = container.check_rights(remove, &opened.flow).unwrap_err();
    assert!(lacking.class == Kind::Denied && lacking.what.contains("the right d"), "{lacking}");
    let refused = container.remove("b.json").unwrap_err();
    assert_eq!(refused.class, Kind::Denied, "{refused}");
    let opened = site.by_sas("", &site.sas("rld"));
    opened.container.check_rights(remove, &opened.flow).unwrap();
    opened.container.remove("b.json").unwrap();
}

/// Asserts that the service denies it, and that the text names the reason.
fn denied<T>(found: Result<T, Error>, part: &str) {
    let Err(error) = found else { panic!("expected a refusal: {part}") };
    assert!(error.class == Kind::Denied && error.what.contains(part), "{part}: {error}");
    assert!(error.help.is_some(), "{error}");
}

#[test]
fn t14_each_wrong_signature_is_named_before_any_request_and_by_the_service_too() {
    let Some(site) = Site::new() else { return };
    site.by_key().container.put("b.json", b"{}", &Condition::Any).unwrap();
    let checked = |sas: &str, needs: Needs, part: &str| {
        let opened = site.by_sas("", sas);
        denied(opened.container.check_rights(needs, &opened.flow), part);
        opened
    };
    let mut byte = [0];
    let opened = checked(&site.sas("rl"), WRITE, "the right w");
    denied(opened.container.put("x", b"", &Condition::Any), "has no right to this");
    let opened = checked(&site.sas("wa"), WRITE, "the right r to read (sp); the right l");
    denied(opened.container.read_at("b.json", None, 0, &mut byte), "has no right to this");
    denied(opened.container.list("", &mut |_| {}), "has no right to this");
    let opened = checked(&site.sas_until("rl", &hours(-2)), READ, "it ended at");
    denied(opened.container.read_at("b.json", None, 0, &mut byte), "the signature ended at");
    let opened = checked(&site.account_sas("b", "s", "rl", ""), READ, "objects (srt); containers");
    denied(opened.container.read_at("b.json", None, 0, &mut byte), "has no right to this");
    let opened = checked(&site.account_sas("qt", "sco", "rl", ""), READ, "the blob service (ss)");
    denied(opened.container.head("b.json"), "");
    checked(&site.account_sas("b", "sco", "rl", "https"), READ, "only for https (spr)");
    let opened = site.by_sas("", &site.account_sas("b", "sco", "rl", ""));
    opened.container.check_rights(READ, &opened.flow).unwrap();
    opened.container.read_at("b.json", None, 0, &mut byte).unwrap();
}

#[test]
fn t14_expiry_warned() {
    let Some(site) = Site::new() else { return };
    let opened = site.by_sas("", &format!("?{}", site.sas("rl")));
    opened.container.check_rights(Needs { bytes: 1 << 30, ..READ }, &opened.flow).unwrap();
    assert_eq!(opened.told(), "");
    opened.container.check_rights(Needs { bytes: 1 << 40, ..READ }, &opened.flow).unwrap();
    assert!(opened.told().contains("ends at") && opened.told().contains("1.0 TiB"), "{}", opened.told());
}

fn everything(opened: &Opened) -> Vec<Error> {
    let container = &opened.container;
    let mut errors = Vec::new();
    errors.extend(container.check_rights(Needs { remove: true, ..WRITE }, &opened.flow).err());
    errors.extend(container.head("x").err());
    errors.extend(container.read_at("x", None, 0, &mut [0]).err());
    errors.extend(container.list("", &mut |_| {}).err());
    errors.extend(container.put("x", b"y", &Condition::Any).err());
    errors.extend(upload(container, "y", &Bytes::new(content(200_000, 1)), &[], &flow().0).err());
    errors.extend(container.remove("x").err());
    errors.extend(container.unfinished("").err());
    errors
}

#[test]
fn t14_no_secret_is_in_any_output() {
    let Some(site) = Site::new() else { return };
    let canary = "CanaryCanaryCanaryCanary0123456789+/Canary0=";
    let encoded = canary.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let sas = format!("sv=2021-12-02&sr=c&sp=rwdla&se={}&sig={encoded}", hours(1));
    let settings = ClientSettings::default;
    for (access, expected) in [
        (Access::Sas(Given::new(&[&sas])), 7),
        (Access::AccountKey(Given::new(&[canary])), 7),
        (Access::Bearer(Given::new(&[canary])), 7),
        (Access::AccountKey(Given::new(&["Canary is no base64!"])), 8),
        (Access::Bearer(Given::new(&["Canary\u{7}Canary"])), 7),
        (Access::Sas(Given::new(&["sp=Canary&sig=Canary0123456789"])), 8),
    ] {
        let opened = open(&site.address(), access, settings()).unwrap();
        let errors = everything(&opened);
        assert_eq!(errors.len(), expected, "{errors:?}");
        let all = format!("{errors:?} {} {}", opened.told(), opened.container.shown("x")).to_ascii_lowercase();
        assert!(!all.contains("canary"), "{all}");
    }
    let refused = open(&format!("{}?{sas}", site.address()), Access::Anonymous, settings()).err().unwrap();
    assert!(!format!("{refused:?}").contains("Canary"));
}

#[test]
fn t21_without_a_login_or_with_a_wrong_one() {
    let Some(site) = Site::new() else { return };
    let anonymous = open(&site.address(), Access::Anonymous, ClientSettings::default()).unwrap();
    denied(anonymous.container.put("x", b"", &Condition::Any), "");
    let wrong = "0".repeat(32);
    let by_key = open(&site.address(), Access::AccountKey(Given::new(&[&wrong])), ClientSettings::default()).unwrap();
    denied(by_key.container.list("", &mut |_| {}), "does not accept the login");
    let other = Site::new().unwrap();
    let elsewhere = signed(&site.address(), &other.sas("rl"));
    denied(elsewhere.container.list("", &mut |_| {}), "does not accept the login");
    assert!(elsewhere.told().contains("reading the secret again"), "{}", elsewhere.told());
}
