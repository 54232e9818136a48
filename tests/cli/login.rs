//! `login` and `logout` against real registries and a real credential helper, checked with crane.

use packmule::cli::{self, world::World};

use super::registry::{Home, mode, silent_about, var};

const KEPT: &str = "{\"HttpHeaders\":{\"X\":\"y\"},\"auths\":{\"other.example\":{\"auth\":\"YTpi\"}},\"big\":123456789012345678901234567890}";

/// A helper that keeps logins in files, and speaks docker's protocol.
const HELPER: &str = r#"#!/bin/sh
cd "$HOME" || exit 1
case $1 in
store) cat > stored; echo stored >> calls ;;
get) read -r server; echo "get $server" >> calls
  if [ -e stored ]; then cat stored; else echo 'credentials not found in native keychain'; exit 1; fi ;;
erase) rm stored ;;
esac
"#;

fn htpasswd() -> Option<(String, String)> {
    Some((var("PACKMULE_TEST_HTPASSWD")?, var("PACKMULE_TEST_HTPASSWD_PASSWORD")?))
}

#[test]
fn u1_a_password_in_an_argument_is_refused_and_not_repeated() {
    let home = Home::new();
    for args in [
        &["login", "h.example", "-u", "me", "-p", "canary"][..],
        &["login", "h.example", "-u", "me", "-pcanary"],
        &["login", "h.example", "-u", "me", "--password", "canary"],
        &["login", "h.example", "-u", "me", "--password=canary"],
        &["login", "h.example", "-u", "me", "-p"],
        &["login", "h.example", "-u", "me", "canary"],
        &["login", "h.example", "-u", "me:canary"],
        &["login", "me:canary@h.example", "-u", "me"],
        &["login", "https://me:canary@h.example", "-u", "me"],
        &["logout", "me:canary@h.example"],
        &["credential", "set", "c", "password=canary"],
        &["credential", "set", "c", "canary"],
        &["credential", "set", "c", "passwort=canary"],
        &["ls", "https://me:canary@h.example"],
    ] {
        for more in [&[][..], &["--json"], &["-vvv"]] {
            let ended = home.run(&[args, more].concat(), "");
            assert_eq!(ended.code, 2, "{args:?}: {}", ended.stderr);
            silent_about(&ended, "canary");
        }
    }
    let ended = home.run_with(&["login", "h.example", "-u", "me"], "", &[("PACKMULE_PASSWORD", "canary")]);
    assert_eq!(ended.code, 2);
    silent_about(&ended, "canary");
    assert!(!home.path(".docker").exists() && !home.path(".config").exists());
}

#[test]
fn i5_login_is_tried_then_kept_where_docker_keeps_it() {
    let Some((host, password)) = htpasswd() else { return };
    let home = Home::new();
    home.write(".docker/config.json", KEPT);
    for wrong in ["canary-7781", "canary-7781\n"] {
        let ended = home.run(&["login", &host, "-u", "mule", "--password-stdin", "-vvv"], wrong);
        assert_eq!(ended.code, 20, "{}", ended.stderr);
        silent_about(&ended, "canary-7781");
    }
    assert_eq!(home.read(".docker/config.json"), KEPT);
    for nothing in ["", "\n"] {
        assert_eq!(home.run(&["login", &host, "-u", "mule", "--password-stdin"], nothing).code, 2);
    }
    assert_eq!(home.run(&["login", &host, "-u", "mule"], &password).code, 2);
    assert_eq!(home.run(&["ls", &host], "").code, 20);

    let ended = home.run(&["login", &host, "-u", "mule", "--password-stdin", "-vvv"], &format!("{password}\n"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("plain base64") && ended.stdout.contains(".docker/config.json"), "{}", ended.stdout);
    silent_about(&ended, &password);
    let kept = home.read(".docker/config.json");
    assert_eq!(mode(&home.path(".docker/config.json")), 0o600);
    for value in ["{\"X\":\"y\"}", "{\"auth\":\"YTpi\"}", "123456789012345678901234567890"] {
        assert!(kept.contains(value), "{kept}");
    }
    assert_eq!(home.run(&["ls", &host], "").code, 0);
    // crane reads what we wrote, and we read what it writes.
    let crane = var("PACKMULE_TEST_CRANE");
    let catalog = |crane: &str| home.stranger(crane, &["catalog", "--insecure", &host], "");
    if let Some(crane) = &crane {
        assert!(catalog(crane).is_some());
    }
    let logout = home.run(&["logout", &host, "--json"], "");
    assert!(logout.code == 0 && logout.stdout.contains("config.json"), "{}", logout.stdout);
    assert_eq!(home.run(&["ls", &host], "").code, 20);
    let (now, before): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&home.read(".docker/config.json")).unwrap(), serde_json::from_str(KEPT).unwrap());
    assert_eq!(now, before);
    let again = home.run(&["logout", &host], "");
    assert!(again.code == 0 && again.stdout.starts_with("no login"), "{}", again.stdout);
    if let Some(crane) = &crane {
        assert!(catalog(crane).is_none());
        let args = ["auth", "login", &host, "-u", "mule", "--password-stdin"];
        assert!(home.stranger(crane, &args, &password).is_some());
        assert_eq!(home.run(&["ls", &host], "").code, 0);
    }
}

#[test]
fn a_terminal_is_asked() {
    let (Some((host, password)), home) = (htpasswd(), Home::new()) else { return };
    let run = |answer: String| {
        let args = ["login", host.as_str(), "-u", "mule", "--authfile", "auth.json"];
        let (world, stdout, stderr) = World::for_test(&args, &home.path(""));
        let name = host.clone();
        let mut world = world.with_prompt(move |text| {
            assert_eq!(text, format!("password of mule at {name}: "));
            Ok(answer.clone())
        });
        (cli::run(&mut world), stdout.text() + &stderr.text())
    };
    for (answer, code) in [("canary-7781", 20), ("", 2)] {
        let (ended, said) = run(answer.to_owned());
        assert!(ended == code && !said.contains("canary"), "{said}");
        assert!(!home.path("auth.json").exists());
    }
    let (ended, said) = run(password.clone());
    assert!(ended == 0 && !said.contains(&password), "{said}");
    assert_eq!(mode(&home.path("auth.json")), 0o600);
}

#[test]
fn login_goes_where_one_is_already_or_where_it_is_told() {
    let Some((host, password)) = htpasswd() else { return };
    let home = Home::new();
    let login = |more: &[&str], env: &[(&str, &str)]| {
        let args = [&["login", &host, "-u", "mule", "--password-stdin", "--json"], more].concat();
        let ended = home.run_with(&args, &password, env);
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        silent_about(&ended, &password);
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&document["result"]["plain"], &document["result"]["tried"]), (&true.into(), &true.into()));
        document["result"]["file"].as_str().unwrap().to_owned()
    };
    let named = home.path("a/auth.json").display().to_string();
    assert_eq!(login(&["--authfile", &named], &[]), named);
    assert_eq!((mode(&home.path("a/auth.json")), mode(&home.path("a"))), (0o600, 0o700));
    assert_eq!(home.run(&["ls", &host, "--authfile", &named], "").code, 0);
    assert_eq!(home.run(&["ls", &host], "").code, 20);
    let own = home.path("r.json").display().to_string();
    assert_eq!(login(&[], &[("REGISTRY_AUTH_FILE", &own)]), own);
    home.write(".config/containers/auth.json", &format!("{{\"auths\":{{\"{host}\":{{\"auth\":\"YTpi\"}}}}}}"));
    assert!(login(&[], &[]).ends_with(".config/containers/auth.json"));
    assert!(!home.path(".docker").exists());
    let again = home.run(&["ls", "--authfile", "absent", &host], "");
    assert!(again.code == 2 && again.stderr.contains("absent"), "{}", again.stderr);
}

#[test]
fn a_real_helper_keeps_gives_and_erases() {
    let Some((host, password)) = htpasswd() else { return };
    let home = Home::new();
    home.program("docker-credential-mine", HELPER);
    let config = format!("{{\"credHelpers\":{{\"{host}\":\"mine\"}}}}");
    home.write(".docker/config.json", &config);
    // A helper without a login is not an error; the registry says what is missing.
    assert_eq!(home.run(&["ls", &host], "").code, 20);
    let ended = home.run(&["login", &host, "-u", "mule", "--password-stdin"], &password);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("docker-credential-mine") && !ended.stdout.contains("base64"), "{}", ended.stdout);
    silent_about(&ended, &password);
    assert_eq!(home.read(".docker/config.json"), config);
    assert!(home.read("stored").contains(&format!("\"ServerURL\":\"{host}\"")));
    assert_eq!(home.run(&["ls", &host], "").code, 0);
    assert_eq!(home.run(&["logout", &host], "").code, 0);
    assert!(!home.path("stored").exists());
    assert!(home.run(&["logout", &host], "").stdout.starts_with("no login"));

    // One that is missing or fails is named.
    home.write(".docker/config.json", "{\"credsStore\":\"absent\"}");
    for args in [&["ls", &host][..], &["logout", &host], &["login", &host, "-u", "mule", "--password-stdin"]] {
        let ended = home.run(args, &password);
        assert!(ended.code != 0 && ended.stderr.contains("docker-credential-absent"), "{args:?} {}", ended.stderr);
        silent_about(&ended, &password);
    }
    home.program("docker-credential-broken", "#!/bin/sh\ncat >&2\necho '{\"Secret\":\"canary-7781\"'\nexit 1\n");
    home.write(".docker/config.json", "{\"credsStore\":\"broken\"}");
    for args in [&["ls", &host, "-vvv"][..], &["login", &host, "-u", "mule", "--password-stdin"]] {
        let ended = home.run(args, "canary-7781");
        assert_ne!(ended.code, 0);
        silent_about(&ended, "canary-7781");
    }
}

#[test]
fn a_token_server_elsewhere_gets_nothing_unless_named() {
    let (Some(host), Some(password)) = (var("PACKMULE_TEST_TOKEN"), var("PACKMULE_TEST_TOKEN_PASSWORD")) else {
        return;
    };
    let Some(realm) = var("PACKMULE_TEST_TOKEN_REALM") else { return };
    let realm = realm.split("://").last().unwrap().split('/').next().unwrap().to_owned();
    let home = Home::new();
    let login = |more: &[&str], password: &str| {
        home.run(&[&["login", &host, "-u", "mule", "--password-stdin"], more].concat(), password)
    };
    let ended = login(&[], &password);
    assert!(ended.code == 15 && ended.stderr.contains("--realm"), "{} {}", ended.code, ended.stderr);
    assert!(!home.path(".docker").exists());
    let named = format!("{host}={realm}");
    assert_eq!(login(&["--realm", &named], "canary-7781").code, 20);
    let ended = login(&["--realm", &named], &password);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // The same through the configuration.
    home.write("c.toml", &format!("[registry.\"{host}\"]\nrealm = \"{realm}\"\n"));
    let ended = login(&["--config", "c.toml"], &password);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_registry_that_asks_for_no_login_is_said_to() {
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION") else { return };
    let home = Home::new();
    let ended = home.run(&["login", &host, "-u", "mule", "--password-stdin"], "canary-7781");
    assert!(ended.code == 0 && ended.stdout.contains("asks for no login"), "{}{}", ended.stdout, ended.stderr);
    silent_about(&ended, "canary-7781");
}
