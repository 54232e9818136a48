//! Keys that never leave a token: SoftHSM2 through PKCS#11, by whole commands. Row S19: any fault
//! of module, token, key or PIN is reported before any work.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::shelf::{Image, Shelf, noise};
use super::world::{command, dir, finals, fresh, sha256, stranger, text, var};

const PIN: &str = "4321";

/// One process at a time: SoftHSM sometimes shows one process no token while another opens them.
static ALONE: Mutex<()> = Mutex::new(());

/// Makes two tokens in their own folder: `mule` holds the key of `k.pem`, an EC key and one without
/// its public half; `other` is empty. Returns the module's path.
fn module() -> Option<&'static str> {
    static MODULE: OnceLock<Option<String>> = OnceLock::new();
    let made = MODULE.get_or_init(|| {
        let module = var("PACKMULE_TEST_SOFTHSM")?;
        let folder = dir().join("softhsm");
        std::fs::create_dir_all(folder.join("tokens")).unwrap();
        let configuration = format!("directories.tokendir = {}\n", folder.join("tokens").display());
        std::fs::write(folder.join("conf"), configuration).unwrap();
        for (file, content, mode) in [("pin", "4321\n", 0o600), ("wrong", "canary", 0o600), ("open", "4321", 0o644)] {
            std::fs::write(folder.join(file), content).unwrap();
            std::fs::set_permissions(folder.join(file), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let softhsm = |args: &[&str]| {
            let mut run = Command::new("softhsm2-util");
            run.args(args).current_dir(dir()).env("SOFTHSM2_CONF", folder.join("conf"));
            let ended = run.output().expect("softhsm2-util runs");
            assert!(ended.status.success(), "{args:?}: {}", text(&ended.stderr));
        };
        for token in ["mule", "other"] {
            softhsm(&["--init-token", "--free", "--label", token, "--so-pin", "12345678", "--pin", PIN]);
        }
        let import = |file: &str, label: &str, id: &str| {
            softhsm(&["--import", file, "--token", "mule", "--label", label, "--id", id, "--pin", PIN]);
        };
        import("k.pem", "release", "a1b2");
        import("k.pem", "twice", "01");
        import("k.pem", "twice", "02");
        stranger(
            "openssl",
            &["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "softhsm/ec.pem"],
        );
        import("softhsm/ec.pem", "ec", "ec");
        Some(module)
    });
    made.as_deref()
}

fn run(args: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let ended = command(args).env("SOFTHSM2_CONF", dir().join("softhsm/conf")).output().expect("packmule runs");
    (ended.status.code(), ended.stdout, text(&ended.stderr))
}

fn good(args: &[&str]) -> Vec<u8> {
    let (code, out, told) = run(args);
    assert_eq!(code, Some(0), "{args:?}: {told}");
    out
}

fn uri(module: &str, key: &str, pin: &str) -> String {
    format!("pkcs11:{key}?module-path={module}&pin-source={}", dir().join("softhsm").join(pin).display())
}

#[test]
fn a_key_on_a_token_signs_as_the_same_key_in_a_file() {
    let Some(module) = module() else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = uri(module, "token=mule;object=release", "pin");
    assert_eq!(good(&["key", "public", &key]), std::fs::read(dir().join("k.pub.pem")).unwrap());
    let out = fresh("token");
    super::world::layout("token/source", &[Image::new(vec![noise(77, 90_000)])]);
    good(&["export", "oci:token/source", "-o", &out, "--sign", &key]);
    good(&["verify", &out, "--key", "k.pub.pem"]);
    let read = |file: &str| std::fs::read(dir().join(file)).unwrap();
    let by_token = read("token/b.sig.json");
    good(&["sign", &out, "--sign", "k.pem", "-o", "token/by-file"]);
    assert_eq!(sha256(&by_token), sha256(&read("token/by-file")));
    // By its id, with the PIN from elsewhere.
    let bare = format!("pkcs11:id=%a1%b2;token=mule;model=SoftHSM%20v2?module-path={module}");
    good(&["sign", &out, "--sign", &bare, "--passphrase-file", "softhsm/pin", "-o", "by-id.sig.json"]);
    assert_eq!(read("by-id.sig.json"), by_token);
    // Read before the process is confined to the bundle's directory.
    good(&["verify", &out, "--key", "k.pub.pem", "--signatures", "by-id.sig.json"]);
    let systemd = format!("pkcs11:token=mule;id=%a1%b2?module-path={module}&pin-source=systemd:pin");
    let mut service = command(&["sign", &out, "--sign", &systemd, "-o", "token/by-service"]);
    service.env("SOFTHSM2_CONF", dir().join("softhsm/conf")).env("CREDENTIALS_DIRECTORY", dir().join("softhsm"));
    let ended = service.output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    assert_eq!(read("token/by-service"), by_token);
}

#[test]
fn s19_a_token_that_is_not_there_or_not_fit_is_told_before_any_work() {
    let Some(module) = module() else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let image = Image::new(vec![noise(78, 10_000)]);
    let shelf = Shelf::plain(&[("a/b", "1", &image)]);
    let (from, out) = (format!("{}/a/b:1", shelf.host()), fresh("token-refused"));
    let with = |key: &str, pin: &str| uri(module, key, pin);
    let none = |key: &str| format!("pkcs11:{key}?module-path={module}");
    let release = with("token=mule;object=release", "pin");
    for (key, said) in [
        (with("token=gone;object=release", "pin"), "expected such a token, found none"),
        (with("token=other;object=release", "pin"), "expected such a private key"),
        (with("object=release", "pin"), "expected one such token, found 2"),
        (with("token=mule;object=Release", "pin"), "expected such a private key"),
        (with("token=mule;object=twice", "pin"), "expected one such key, found 2"),
        (with("token=mule;object=ec", "pin"), "expected an Ed25519 key, found another kind"),
        (with("token=mule;object=release", "wrong"), "the PIN is wrong"),
        (with("token=mule;object=release", "open"), "0644"),
        (with("token=mule;object=release", "absent"), "absent"),
        (none("token=mule;object=release"), "found no terminal"),
        (format!("{}&pin-value={PIN}", none("token=mule;object=release")), "pin-value"),
        ("pkcs11:object=release?module-path=/absent/module.so".to_owned(), "/absent/module.so"),
        (format!("pkcs11:object=release?module-path={}", dir().join("k.pem").display()), "k.pem"),
    ] {
        for command in [&["export", &from, "-o", &out][..], &["sign", "absent/b"]] {
            let (code, _, told) = run(&[command, &["--sign", &key]].concat());
            assert_eq!(code, Some(2), "{key}: {told}");
            assert!(told.contains(said) && told.contains("\nhelp: "), "{key}: {told}");
            assert!(!told.contains("canary") && !told.contains(PIN), "{key}: {told}");
        }
    }
    let (code, _, told) = run(&["sign", "absent/b", "--sign", &release, "--sign", "k.pem"]);
    assert!(code == Some(2) && told.contains("given twice"), "{told}");
    assert_eq!(shelf.server.requests().len(), 0);
    assert!(finals(&out).is_empty());
}
