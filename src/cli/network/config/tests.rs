//! Tests of the loader: which file it reads, who may own it, what it may contain, and the text of
//! its errors.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::base::fault::Class;

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, Fault> {
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut config = Config::default();
    config.add(Path::new("/x/packmule.toml"), text, Some(&env))?;
    config.check()?;
    Ok(config)
}

/// Returns the fault; its text must not contain a canary.
fn refused(text: &str) -> (String, String) {
    let fault = load(text, &[("SET", "canary")]).expect_err(text);
    let shown = format!("{fault:?}");
    assert!(fault.class == Class::Usage && !shown.contains("canary") && !shown.contains("7781"), "{shown}");
    (fault.what, fault.help.unwrap())
}

/// The published example, taken from `spec/configuration.md`.
fn example() -> String {
    let spec = include_str!("../../../../spec/configuration.md");
    let (_, rest) = spec.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_published_example_loads() {
    let config = load(&example(), &[("REGISTRY_CA", "/etc/packmule/dark-ca.pem")]).unwrap();
    let registry = config.registry("harbor.dark.example").unwrap();
    assert_eq!((registry.limit_rate, registry.dir.as_path()), (Some(80 << 20), Path::new("/x")));
    assert_eq!(registry.table.ca.as_deref(), Some(Path::new("/etc/packmule/dark-ca.pem")));
    assert!(matches!(config.credentials["low-mi"].kind, Kind::Identity(..)));
    assert!(matches!(&config.credentials["harbor"].kind, Kind::Password { username: Username::Secret(_), .. }));
}

/// serde would accept a list in place of a table, member by member.
#[test]
fn s17_a_list_in_the_place_of_a_table_is_refused() {
    for (text, line) in [
        ("registry = []", 1),
        ("[registry]\n\"r.example\" = [\"a\"]", 2),
        ("[registry]\n\"r.example\" = []", 2),
        ("[[registry.\"r.example\"]]\nretries = 1", 1),
        ("credential = []", 1),
        ("[credential]\na = [\"r.example\", \"u\", { env = \"X\" }]", 2),
        ("[credential]\na = []", 2),
        ("[credential]\na = { username = \"u\", password = [\"X\"] }", 2),
        ("[credential]\na = { username = [\"u\"], password = { env = \"X\" } }", 2),
        ("[credential]\na = { identity = [\"id\"] }", 2),
        ("[credential]\na = { identity = \"system\", cloud = [\"a\", \"s\", \"v\"] }", 2),
        ("storage = []", 1),
        ("[storage]\nlow = [\"https://x\"]", 2),
        ("export = 1", 1),
        ("[[import]]\nto = \"r.example\"", 1),
        ("[rule]\nhub = \"x\"", 2),
    ] {
        let (what, _) = refused(text);
        assert!(what.starts_with(&format!("/x/packmule.toml:{line}: ")), "{text}: {what}");
    }
}

#[test]
fn the_example_with_all_tables_loads() {
    let config = load(include_str!("../../../../testdata/packmule.example.toml"), &[]).unwrap();
    assert_eq!((config.registries.len(), config.credentials.len(), config.storage.len()), (3, 4, 2));
    assert_eq!((config.exports.len(), config.imports.len()), (1, 1));
    let hub = config.credential_for("docker.io", "library/alpine").unwrap().unwrap();
    assert_eq!((hub.0, hub.1.at.line), ("hub", 7));
}

#[test]
fn the_longest_scope_counts_then_the_host_of_a_credential() {
    let text = r#"
        [registry]
        "quay.io" = { credential = "a" }
        "quay.io/team" = { credential = "b" }
        "quay.io/team/deep" = { credential = "c" }
        "plain.example" = { retries = 1 }
        [credential]
        a = { username = "u", password = { env = "X" } }
        b = { token = { env = "X" } }
        c = { host = "quay.io", token = { env = "X" } }
        d = { host = "plain.example", token = { env = "X" } }
        e = { host = "two.example", token = { env = "X" } }
        f = { host = "two.example", token = { env = "X" } }
    "#;
    let config = load(text, &[]).unwrap();
    let name =
        |host, path| config.credential_for(host, path).map(|found| found.map_or("", |(name, _)| name).to_owned());
    for (host, path, expected) in [
        ("quay.io", "x", "a"),
        ("quay.io", "", "a"),
        ("quay.io", "teams/x", "a"),
        ("quay.io", "team", "b"),
        ("quay.io", "team/x", "b"),
        ("quay.io", "team/deep/x", "c"),
        ("plain.example", "x", "d"),
        ("other.example", "team/x", ""),
    ] {
        assert_eq!(name(host, path).unwrap(), expected, "{host}/{path}");
    }
    assert!(name("two.example", "x").unwrap_err().contains("e and f"));
}

#[test]
fn the_login_of_an_endpoint_is_that_tables_own() {
    let text = r#"
        [registry]
        "docker.io" = { endpoint = "https://Mirror.example:443/hub/", credential = "a" }
        "docker.io/team" = { credential = "b" }
        [credential]
        a = { host = "mirror.example", token = { env = "X" } }
        b = { token = { env = "X" } }
    "#;
    let config = load(text, &[]).unwrap();
    let name = |host, path| config.credential_for(host, path).unwrap().map(|(name, _)| name.to_owned());
    assert_eq!(name("mirror.example", "hub/library/x").as_deref(), Some("a"));
    assert_eq!(name("mirror.example", "hub/team/x").as_deref(), Some("b"));
    assert_eq!(name("mirror.example", "hub/").as_deref(), Some("a"));
    assert_eq!(name("docker.io", "library/x"), None);
    let (what, _) = refused(&text.replace("host = \"mirror.example\"", "host = \"docker.io\""));
    assert!(what.contains("mirror.example"), "{what}");
}

#[test]
fn unknown_names_are_refused_with_line_and_nearest() {
    for (text, line, help) in [
        ("[registry.\"a.example\"]\nretires = 1", 2, "did you mean retries?"),
        ("\n\n[registri]\n", 3, "did you mean registry?"),
        ("[credential.a]\n\n\npasword = { env = \"X\" }", 4, "did you mean password?"),
        ("[credential.a]\nusername = \"u\"\npassword = { fil = \"canary\" }", 3, "did you mean file?"),
        ("[credential.a]\nidentity = \"sistem\"", 2, "did you mean system?"),
        ("[credential.a]\nidentity = { clientid = \"canary\" }", 2, "did you mean client_id?"),
        (
            "[credential.a]\nidentity = \"cli\"\ncloud = { authority = \"a\", storage = \"b\", valt = \"c\" }",
            3,
            "vault",
        ),
        ("[storage.a]\n\nurk = \"https://a.blob.core.windows.net/c\"", 3, "did you mean url?"),
        ("[storage.a]\nurl = \"az://a/c\"\nsass = { env = \"X\" }", 3, "did you mean sas?"),
        ("[credential.a]\nacount_key = { env = \"X\" }", 2, "did you mean account_key?"),
        ("[credential.a]\nidentity = \"cli\"\ncloud = \"chine\"", 3, "did you mean china?"),
        ("[zzzzqqq]", 1, "see `packmule schema config`"),
    ] {
        let (what, said) = refused(text);
        assert!(what.starts_with(&format!("/x/packmule.toml:{line}: unknown ")), "{what}");
        assert!(said.contains(help), "{said}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_line() {
    let with = |table: &str| format!("[registry.\"a.example\"]\n{table}\n");
    let credential = |table: &str| format!("[credential.a]\n{table}\n");
    let storage = |table: &str| format!("[storage.a]\n{table}\n");
    for (text, line, found) in [
        ("x".to_owned(), 1, ""),
        ("[registry]\n[registry]".to_owned(), 2, ""),
        (with("retries = \"canary\""), 2, "found string"),
        (with("retries = -7781"), 2, ""),
        (with("insecure = \"${SET}\""), 2, "expected a boolean"),
        (with("concurrency = 0"), 2, "1 to 256"),
        (with("limit_rate = \"fast\""), 2, "bytes per second"),
        (with("endpoint = \"https://u:canary@h\""), 2, "endpoint"),
        (with("endpoint = \"h.example\""), 2, "endpoint"),
        (with("client_cert = \"c.pem\""), 1, "client_key"),
        (with("credential = \"none\""), 1, "no credential"),
        (with("ca = \"${UNSET}\""), 2, "variable UNSET"),
        (with("ca = \"${\""), 2, "${"),
        ("[registry.\"A.example\"]".to_owned(), 1, "lower case"),
        ("[registry.\"index.docker.io\"]".to_owned(), 1, "docker.io"),
        ("[registry.alpine]".to_owned(), 1, "HOST"),
        ("[registry.\"a.example/ns/*\"]".to_owned(), 1, "HOST/NAMESPACE"),
        ("[registry.\"a.example/ns\"]\ninsecure = true".to_owned(), 1, "only credential"),
        (credential("password = \"canary\""), 2, "never write the secret itself here"),
        (credential("username = \"u\"\npassword = \"canary\""), 3, "never write the secret itself here"),
        (credential("token = 7781"), 2, "never write the secret itself here"),
        (credential("username = \"u\"\npassword = { file = \"a\", env = \"b\" }"), 3, "more than one"),
        (credential("username = \"u\""), 1, "password"),
        (credential("password = { env = \"X\" }"), 1, "username"),
        (credential("username = \"u:canary\"\npassword = { env = \"X\" }"), 1, "colon"),
        (credential("host = \"a.example\""), 1, "identity"),
        (credential("username = \"u\"\ntoken = { env = \"X\" }"), 1, "more than one"),
        (credential("token = { env = \"X\" }\ncloud = \"china\""), 1, "cloud"),
        (credential("token = { env = \"X\" }\nhost = \"HOST\""), 3, "lower case"),
        (credential("identity = { client_id = \"a\", object_id = \"b\" }"), 1, "expected one of client_id"),
        (credential("identity = { tenant = \"a\", client_id = \"b\" }"), 1, "tenant, client_id and secret"),
        (credential("identity = { client_id = \"\" }"), 1, "expected an id"),
        (credential("identity = { tenant = \"a/b\", client_id = \"b\", secret = { env = \"X\" } }"), 1, "tenant"),
        (credential("identity = { tenant = \"a\", client_id = \"b\", secret = \"canary\" }"), 2, "never write"),
        (credential("identity = \"cli\"\ncloud = { authority = \"http://x\", storage = \"s\", vault = \"v\" }"), 1, "authority"),
        (credential("identity = \"cli\"\ncloud = { authority = \"https://x\", storage = \".s\", vault = \"v\" }"), 1, "storage"),
        (credential("access_key_id = \"AKIA\""), 1, "secret_access_key"),
        (credential("account_key = { env = \"X\" }\nprofile = \"p\""), 1, "more than one"),
        (credential("profile = \"\""), 1, "profile"),
        (credential("token = { keyvault = \"https://kv.vault.azure.net/keys/canary\" }"), 1, "keyvault"),
        (storage("sas = { env = \"X\" }"), 1, "expected url"),
        (storage("url = \"https://a.blob.core.windows.net/c?sig=canary\""), 2, "expected no query"),
        (storage("url = \"http://a.blob.core.windows.net/c\""), 2, "expected https"),
        (storage("url = \"az://a/c\"\nregion = \"r\""), 1, "region"),
        (storage("url = \"gs://b\"\npath_style = true"), 1, "path_style"),
        (storage("url = \"s3://b\"\nsas = { env = \"X\" }"), 1, "sas"),
        (storage("url = \"s3://b\"\nendpoint = \"http://s3.example\""), 3, "endpoint"),
        (storage("url = \"az://a/c\"\ncredential = \"none\""), 1, "no credential"),
        (storage("url = \"az://a/c\"\nsas = { env = \"X\" }\ncredential = \"c\"\n[credential.c]\naccount_key = { env = \"X\" }"), 1, "next to sas"),
        (storage("url = \"az://a/c\"\ncredential = \"c\"\n[credential.c]\nusername = \"u\"\npassword = { env = \"X\" }"), 1, "identity or account_key"),
        (storage("url = \"s3://b\"\ncredential = \"c\"\n[credential.c]\nidentity = { client_id = \"x\" }"), 1, "access_key_id"),
        ("[registry.\"a.example\"]\ncredential = \"c\"\n[credential.c]\naccount_key = { env = \"X\" }".to_owned(), 1, "key of a store"),
        (
            "[registry.\"a.example\"]\ncredential = \"c\"\n[credential.c]\nhost = \"b.example\"\ntoken = { env = \"X\" }".to_owned(),
            1,
            "only for",
        ),
    ] {
        let (what, _) = refused(&text);
        assert!(what.starts_with(&format!("/x/packmule.toml:{line}: ")) && what.contains(found), "{text}: {what}");
    }
}

#[test]
fn the_same_entry_in_two_files_is_refused() {
    let mut config = Config::default();
    let text = "[registry.\"a.example\"]\n[credential.c]\ntoken = { env = \"X\" }";
    config.add(Path::new("/one.toml"), text, None).unwrap();
    config.add(Path::new("/two.toml"), "[registry.\"b.example\"]\ncredential = \"c\"", None).unwrap();
    config.check().unwrap();
    let fault = config.add(Path::new("/three.toml"), text, None).unwrap_err();
    assert!(fault.what.contains("/three.toml:2") && fault.what.contains("/one.toml:2"), "{}", fault.what);
}

#[test]
fn places_in_order_and_files_of_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, ..) = World::for_test(&[], dir.path());
    let files = ConfigFiles::default();
    assert!(files.places(&world).is_empty() && files.load(&world).unwrap().registries.is_empty());
    let write = |place: &str, host: &str| {
        let path = dir.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("[registry.\"{host}\"]\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    };
    let host = |files: &ConfigFiles, world: &World| files.load(world).map(|config| config.registries[0].host.clone());
    write("etc/packmule/packmule.toml", "etc.example");
    assert_eq!(host(&files, &world).unwrap(), "etc.example");
    world.env.insert("HOME".into(), dir.path().join("home").into());
    let own = write("home/.config/packmule/packmule.toml", "home.example");
    assert_eq!(host(&files, &world).unwrap(), "home.example");
    world.env.insert("XDG_CONFIG_HOME".into(), dir.path().join("xdg").into());
    assert_eq!(host(&files, &world).unwrap(), "etc.example");
    let xdg = write("xdg/packmule/packmule.toml", "xdg.example");
    assert_eq!(host(&files, &world).unwrap(), "xdg.example");
    world.env.insert("XDG_CONFIG_HOME".into(), "relative".into());
    assert_eq!(host(&files, &world).unwrap(), "home.example");
    let named = ConfigFiles { files: vec![own.clone(), xdg.clone()] };
    assert_eq!(named.load(&world).unwrap().registries.len(), 2);

    let only = ConfigFiles { files: vec![own.clone()] };
    for mode in [0o664, 0o646, 0o622, 0o777] {
        fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
        assert!(host(&only, &world).unwrap_err().what.contains(&format!("{mode:04o}")));
    }
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&own, dir.path().join("link")).unwrap();
    let at = |path: &Path| ConfigFiles { files: vec![path.to_owned()] };
    // Whose links are followed, the tests of trusted files say.
    assert_eq!(host(&at(&dir.path().join("link")), &world).unwrap(), "home.example");
    for wrong in ["absent", "."] {
        assert_eq!(host(&at(Path::new(wrong)), &world).unwrap_err().class, Class::Usage, "{wrong}");
    }
    // This user's file is another user's to user 1; root's file never is.
    world.user = fs::metadata(&own).unwrap().uid() + 1;
    if world.user == 1 {
        std::os::unix::fs::chown(&own, Some(2), None).unwrap();
    }
    assert!(host(&only, &world).unwrap_err().what.contains("owned by user"));
}

#[test]
fn the_schema_knows_what_the_loader_knows() {
    let schema = crate::cli::commands::online::schema::config();
    assert!(!schema.to_string().contains("null"), "{schema:#}");
    assert_eq!(schema["$defs"]["Registry"]["properties"]["retries"]["type"], "integer");
    let keys = |table: &serde_json::Value| -> Vec<String> {
        table["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(schema["additionalProperties"], false);
    for (table, text) in [
        (&schema, "nonsense = 1".to_owned()),
        (&schema["$defs"]["Registry"], "[registry.\"a.example\"]\nnonsense = 1".to_owned()),
        (&schema["$defs"]["Credential"], "[credential.a]\nnonsense = 1".to_owned()),
    ] {
        let (what, _) = refused(&text);
        let known = what.rsplit_once("expected one of ").unwrap().1;
        let mut known: Vec<_> = known.split(", ").map(ToOwned::to_owned).collect();
        known.sort();
        assert_eq!(keys(table), known);
        assert_eq!(table["additionalProperties"], false);
    }
    let secrets = schema["$defs"]["Secret"]["oneOf"].as_array().unwrap();
    assert_eq!(secrets.len(), 5);
    assert!(secrets.iter().all(|one| one["additionalProperties"] == false && keys(one).len() == 1), "{secrets:?}");
}

#[test]
fn containers_have_their_access_and_their_cloud() {
    let text = r#"
        [storage]
        low = { url = "az://lowsa/transfer/apps", sas = { env = "X" } }
        dark = { url = "az://darksa/transfer/apps/", credential = "mi" }
        bucket = { url = "s3://b/p", credential = "aws", region = "eu-central-1", endpoint = "http://127.0.0.1:9000", path_style = true }
        google = { url = "gs://b", credential = "sa" }
        machine = { url = "s3://c", credential = "own" }
        [credential]
        mi = { identity = { client_id = "x" }, cloud = "china" }
        aws = { access_key_id = "AKIA", secret_access_key = { env = "X" }, session_token = { env = "Y" } }
        sa = { service_account = { file = "key.json" } }
        own = { identity = "workload" }
    "#;
    let config = load(text, &[]).unwrap();
    let cloud = |name: &str| match &config.credentials[name].kind {
        Kind::Identity(_, cloud) => cloud.clone(),
        _ => panic!("{name}"),
    };
    let dark = &config.storage["dark"];
    assert_eq!(dark.address(&cloud("mi")), "https://darksa.blob.core.chinacloudapi.cn/transfer/apps");
    assert_eq!(config.storage["bucket"].address(&cloud("mi")), "s3://b/p");
    let of = |address: &str| config.storage_for(address).map(|(name, _)| name.to_owned());
    assert_eq!(of("https://lowsa.blob.core.windows.net/transfer/apps/x").as_deref(), Some("low"));
    assert_eq!(of("s3://b/p/q").as_deref(), Some("bucket"));
    assert_eq!(of("https://darksa.blob.core.chinacloudapi.cn/transfer/apps/x").as_deref(), Some("dark"));
    assert_eq!(of("az://darksa/transfer/apps").as_deref(), Some("dark"));
    assert_eq!(of("s3://b"), None);
}
