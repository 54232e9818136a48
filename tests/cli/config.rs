//! packmule.toml from outside: its effect on a run against a real registry, what makes it refused,
//! `credential`, `schema`.

use std::os::unix::fs::PermissionsExt as _;

use super::registry::{Home, mode, silent_about, var};

const PLACE: &str = ".config/packmule/packmule.toml";

#[test]
fn logins_come_from_files_variables_and_commands() {
    let (Some(host), Some(password)) = (var("PACKMULE_TEST_HTPASSWD"), var("PACKMULE_TEST_HTPASSWD_PASSWORD")) else {
        return;
    };
    let home = Home::new();
    home.program("give", &format!("#!/bin/sh\nprintf '%s\\n' '{password}'\n"));
    home.write(".config/packmule/p", &format!("{password}\n"));
    let env = [("MULE_PASSWORD", password.as_str()), ("MULE_USER", "mule"), ("CREDENTIALS_DIRECTORY", "/nowhere")];
    for source in ["{ file = \"p\" }", "{ env = \"MULE_PASSWORD\" }", "{ command = [\"give\"] }"] {
        for how in [
            format!("[registry.\"{host}\"]\ncredential = \"c\"\n[credential.c]\n"),
            format!("[credential.c]\nhost = \"{host}\"\n"),
        ] {
            home.write(PLACE, &format!("{how}username = {{ env = \"MULE_USER\" }}\npassword = {source}\n"));
            for args in [&["ls", &host, "-vvv"][..], &["ls", &host, "--json"], &["credential", "check", "c"]] {
                let ended = home.run_with(args, "", &env);
                assert_eq!(ended.code, 0, "{source} {args:?}: {}", ended.stderr);
                silent_about(&ended, &password);
                let told = ended.stderr.contains("credential c");
                assert_eq!(told, args.contains(&"-vvv"), "{}", ended.stderr);
            }
        }
    }
    // Wrong, absent, and readable by others; secrets in key vaults: see credentials.rs.
    let table = format!("[credential.c]\nhost = \"{host}\"\nusername = \"mule\"\n");
    home.write(PLACE, &format!("{table}password = {{ env = \"WRONG\" }}\n"));
    let wrong = [("WRONG", "canary-7781")];
    for args in [&["ls", &host, "-vvv"][..], &["credential", "check", "c"]] {
        let ended = home.run_with(args, "", &wrong);
        assert_eq!(ended.code, 20, "{}", ended.stderr);
        silent_about(&ended, "canary-7781");
    }
    for (source, said) in
        [("{ systemd = \"c\" }", "/nowhere/c"), ("{ env = \"UNSET\" }", "UNSET"), ("{ file = \"open\" }", "0644")]
    {
        let open = home.write(".config/packmule/open", "canary-7781");
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o644)).unwrap();
        home.write(PLACE, &format!("{table}password = {source}\n"));
        for (args, code) in [(&["ls", &host][..], 20), (&["credential", "check", "c"], 2)] {
            let ended = home.run_with(args, "", &env);
            assert!(ended.code == code && ended.stderr.contains(said), "{source} {}: {}", ended.code, ended.stderr);
            silent_about(&ended, "canary-7781");
        }
    }
}

#[test]
fn a_host_is_asked_as_its_table_says() {
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION") else { return };
    let home = Home::new();
    let table = |more: &str| format!("[registry.\"mirrored.example\"]\n{more}\n");
    home.write("c.toml", &table(&format!("endpoint = \"http://{host}\"")));
    let ended = home.run(&["ls", "mirrored.example", "--config", "c.toml"], "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(home.run_with(&["ls", "mirrored.example"], "", &[("PACKMULE_CONFIG", "c.toml")]).code, 0);
    // Two files are combined; the same table twice is refused.
    home.write("d.toml", "[registry.\"other.example\"]\nretries = 0\n");
    assert_eq!(home.run(&["ls", "mirrored.example", "--config", "c.toml", "--config", "d.toml"], "").code, 0);
    let ended = home.run(&["ls", "mirrored.example", "--config", "c.toml", "--config", "c.toml"], "");
    assert!(ended.code == 2 && ended.stderr.contains("c.toml:1"), "{}", ended.stderr);
    home.write("e.toml", &table(&format!("endpoint = \"http://{host}\"\nca = \"absent.pem\"")));
    let ended = home.run(&["ls", "mirrored.example", "--config", "e.toml"], "");
    assert!(ended.code != 0 && ended.stderr.contains("absent.pem"), "{}", ended.stderr);
}

#[test]
fn certificates_come_from_certs_d_and_from_the_table() {
    let (Some(host), Some(certificates)) = (var("PACKMULE_TEST_MTLS"), var("PACKMULE_TEST_CERTIFICATES")) else {
        return;
    };
    let home = Home::new();
    let take = |name: &str, to: &str| {
        let text = std::fs::read_to_string(std::path::Path::new(&certificates).join(name)).unwrap();
        home.write(to, &text);
    };
    let ls = |home: &Home| home.run(&["ls", &host, "--retries", "0"], "");
    assert_eq!(ls(&home).code, 20);
    let place = format!(".config/containers/certs.d/{host}");
    take("ca.pem", &format!("{place}/ca.crt"));
    assert_eq!(ls(&home).code, 20);
    take("client.pem", &format!("{place}/client.cert"));
    let ended = ls(&home);
    assert!(ended.code != 0 && ended.stderr.contains("client.key"), "{}", ended.stderr);
    take("client.key", &format!("{place}/client.key"));
    let ended = ls(&home);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    std::fs::remove_dir_all(home.path(&place)).unwrap();
    assert_eq!(ls(&home).code, 20);

    for (name, to) in [("ca.pem", "ca.pem"), ("client.pem", "client.pem"), ("client.key", "client.key")] {
        take(name, &format!(".config/packmule/{to}"));
    }
    let table =
        format!("[registry.\"{host}\"]\nca = \"ca.pem\"\nclient_cert = \"client.pem\"\nclient_key = \"client.key\"\n");
    home.write(PLACE, &table);
    let ended = ls(&home);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let key = home.path(".config/packmule/client.key");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = ls(&home);
    assert!(ended.code != 0 && ended.stderr.contains("0644"), "{}", ended.stderr);
    silent_about(&ended, "PRIVATE KEY");
}

#[test]
fn refusals_name_the_line_and_commands_without_configuration_do_not_look() {
    let home = Home::new();
    home.write(PLACE, "[registry.\"a.example\"]\nretires = 3\n");
    let ended = home.run(&["ls", "a.example"], "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("packmule.toml:2: unknown key"), "{}", ended.stderr);
    assert!(ended.stderr.contains("help: did you mean retries?"), "{}", ended.stderr);
    assert_eq!(home.run(&["key", "new", "-o", "k.pem", "--no-passphrase"], "").code, 0);
    assert_eq!(home.run(&["inspect", "absent"], "").stderr.matches("packmule.toml").count(), 0);
    assert_eq!(home.run(&["key", "check", "k.pem", "--config", "x"], "").code, 2);
    home.write(PLACE, "[registry.\"a.example\"]\nca = \"${NOWHERE}/ca.pem\"\n");
    let ended = home.run(&["ls", "a.example"], "");
    assert!(ended.code == 2 && ended.stderr.contains("packmule.toml:2: variable NOWHERE"), "{}", ended.stderr);
    std::fs::set_permissions(home.path(PLACE), std::fs::Permissions::from_mode(0o666)).unwrap();
    let ended = home.run(&["ls", "a.example"], "");
    assert!(ended.code == 2 && ended.stderr.contains("0666"), "{}", ended.stderr);
}

#[test]
fn c6_credentials_are_made_changed_shown_and_deleted_with_comments_kept() {
    let home = Home::new();
    let set = |args: &[&str]| home.run(&[&["credential", "set"], args].concat(), "");
    let ended = set(&["hub", "host=docker.io", "username=mule", "password.file=hub-token"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(mode(&home.path(PLACE)), 0o600);
    let text = home.read(PLACE);
    assert_eq!(
        text,
        "[credential.hub]\nhost = \"docker.io\"\nusername = \"mule\"\npassword = { file = \"hub-token\" }\n"
    );
    home.write(PLACE, &format!("# mine\n[registry.\"docker.io\"]\ncredential = \"hub\" # why\n\n{text}# end\n"));
    assert_eq!(set(&["hub", "password.command=pass show hub", "host="]).code, 0);
    assert_eq!(home.run(&["credential", "update", "two", "token.env=X"], "").code, 0);
    let text = home.read(PLACE);
    for kept in
        ["# mine\n", "# why\n", "# end", "password = { command = [\"pass\", \"show\", \"hub\"] }", "[credential.two]"]
    {
        assert!(text.contains(kept), "{text}");
    }
    assert!(!text.contains("host ="), "{text}");
    let list = home.run(&["credential", "list", "--json"], "");
    assert!(list.code == 0 && list.stdout.contains("\"hub\"") && list.stdout.contains("\"two\""), "{}", list.stdout);
    let shown = home.run(&["credential", "show", "hub"], "");
    assert!(shown.code == 0 && shown.stdout.contains("command pass\n"), "{}", shown.stdout);

    let before = home.read(PLACE);
    for (args, said) in [
        (&["credential", "delete", "hub"][..], "docker.io"),
        (&["credential", "delete", "none"], "none"),
        (&["credential", "show", "none"], "none"),
        (&["credential", "set", "hub", "username="], "username"),
        (&["credential", "set", "two", "username=x"], "more than one"),
        (&["credential", "set", "two", "host=HOST"], "lower case"),
        (&["credential", "set", "a b", "token.env=X"], "name"),
        (&["credential", "set", "two", "colour=red"], "key"),
        (&["credential", "set", "two"], "KEY=VALUE"),
    ] {
        let ended = home.run(args, "");
        assert!(ended.code == 2 && ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
        assert_eq!(home.read(PLACE), before, "{args:?}");
    }
    assert_eq!(home.run(&["credential", "delete", "two"], "").code, 0);
    assert!(!home.read(PLACE).contains("two"));
    let open = home.path(PLACE);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(set(&["new", "token.env=X"]).code, 2);
}

#[test]
fn inline_tables_stay_inline() {
    let home = Home::new();
    home.write("c.toml", "[credential] # all\nhub = { username = \"mule\", password = { env = \"A\" } } # one\n");
    for args in [["hub", "password.env=B"], ["two", "token.env=C"]] {
        let ended = home.run(&["credential", "set", args[0], args[1], "--config", "c.toml"], "");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    let text = home.read("c.toml");
    assert!(
        text.starts_with("[credential] # all\nhub = { username = \"mule\", password = { env = \"B\" } } # one\n"),
        "{text}"
    );
    assert!(text.contains("two"), "{text}");
}

#[test]
fn the_schema_is_printed() {
    let home = Home::new();
    let ended = home.run(&["schema", "config"], "");
    assert_eq!(ended.code, 0);
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    for table in ["registry", "credential", "storage", "export", "import", "rule"] {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
    let ended = home.run(&["schema", "trust"], "");
    assert_eq!(home.run(&["schema", "policy"], "").stdout, ended.stdout);
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for table in ["key", "channel", "no_channel"] {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
    let rule = schema["$defs"]["Rule"]["properties"].as_object().unwrap();
    let keys = "epoch keys limits repositories require roles tags threshold types unknown_signatures";
    assert_eq!(rule.keys().map(String::as_str).collect::<Vec<_>>().join(" "), keys);
    let members = |name: &str| -> Vec<String> {
        schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(members("Key"), ["holder", "public", "role", "until"]);
    assert_eq!(members("Limits"), ["blob", "bundle", "expires"]);
    assert_eq!(members("Require"), ["bundle", "except", "referrers"]);
    assert_eq!(schema["properties"]["version"]["maximum"], 9_007_199_254_740_991_u64);
    assert_eq!(schema["additionalProperties"], false);
    assert!(!ended.stdout.contains("null"), "{}", ended.stdout);
    assert_eq!(home.run(&["schema", "nonsense"], "").code, 2);
}
