//! Identities: their tokens, and the steps of a check.

use super::super::cloud::{APPLICATION, ASSERTION, ASSIGNED, CLIENT, Cloud, MACHINE, WORKLOAD};
use super::super::registry::silent_about;
use super::{PLACE, Site, application, brief, silent};

#[test]
fn the_cloud_of_the_tests_enforces() {
    let cloud = Cloud::start(&[]);
    let ask = |host: &str, path: &str, header: &str| {
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        let line = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut line).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let token = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://storage.azure.com";
    let metadata = &cloud.metadata.host;
    assert_eq!(ask(metadata, token, "Metadata: true"), 200);
    assert_eq!(ask(metadata, token, ""), 400);
    assert_eq!(ask(metadata, &format!("{token}x"), "Metadata: true"), 400);
    assert_eq!(ask(metadata, &format!("{token}&client_id=other"), "Metadata: true"), 400);
    let hosted = "/msi/token?api-version=2019-08-01&resource=https://storage.azure.com";
    assert_eq!(ask(&cloud.host.host, hosted, ""), 400);
    // The token is for storage, so it opens no vault.
    let given = cloud.state.lock().unwrap().canaries().into_iter().find(|text| text.starts_with("eyJ")).unwrap();
    let bearer = format!("Authorization: Bearer {given}");
    assert_eq!(ask(&cloud.vault.host, "/secrets/a?api-version=7.4", &bearer), 401);
    let list = "/account/transfer?restype=container&comp=list";
    assert_eq!(ask(&cloud.container.host, list, &bearer), 400);
    assert_eq!(ask(&cloud.container.host, list, ""), 403);
    assert_eq!(ask(cloud.registry.host(), "/v2/", ""), 401);
}

#[test]
fn t16_every_kind_of_identity_gets_its_token() {
    let cloud = Cloud::start(&[]);
    cloud.state.lock().unwrap().secrets.insert("a".to_owned(), vec!["canary-value-a".to_owned()]);
    let mut site = Site::new(&cloud, "");
    let file = site.home.write("token", &format!("{ASSERTION}\n")).display().to_string();
    site.home.program(
        "az",
        "#!/bin/sh\nprintf '%s\\n' \"$*\" > \"$HOME/az-args\"\ncat \"$HOME/az-answer\" && exit 0\necho 'run az login canary' >&2\nexit 1\n",
    );
    let own = cloud.table();
    for (identity, env, principal) in [
        ("\"system\"".to_owned(), vec![], MACHINE),
        (format!("{{ client_id = \"{CLIENT}\" }}"), vec![], ASSIGNED),
        (format!("{{ object_id = \"{ASSIGNED}\" }}"), vec![], ASSIGNED),
        (format!("{{ resource_id = \"{}\" }}", Cloud::resource_id()), vec![], ASSIGNED),
        ("\"system\"".to_owned(), cloud.hosted(), MACHINE),
        (format!("{{ client_id = \"{CLIENT}\" }}"), cloud.hosted(), ASSIGNED),
        (format!("{{ object_id = \"{ASSIGNED}\" }}"), cloud.hosted(), ASSIGNED),
        (Cloud::application(), vec![], APPLICATION),
        ("\"workload\"".to_owned(), cloud.workload(&file), WORKLOAD),
    ] {
        site.env = cloud.env();
        site.env.extend(env);
        site.configure(&format!(
            "[credential.id]\nhost = \"{}\"\nidentity = {identity}\ncloud = {own}\n[credential.pw]\nusername = \"u\"\npassword = {{ keyvault = \"{}\" }}\n",
            cloud.vault.host,
            cloud.secret("a"),
        ));
        let ended = site.run(&["credential", "check", "id", "-vvv"]);
        assert_eq!(ended.code, 0, "{identity}: {}", ended.stderr);
        assert!(ended.stdout.contains(principal), "{identity}: {}", ended.stdout);
        silent(&cloud, &ended);
        // It reads the vault whose host it has.
        let expected = [("token", true), ("vault right", true), ("secret", true)];
        assert_eq!(brief(&site.steps("pw", 0)), expected, "{identity}");
    }
    // The command line tool: what it gives is used, what it says in an error is not shown.
    site.configure(&format!("[credential.id]\nidentity = \"cli\"\ncloud = {own}\n"));
    let ended = site.run(&["credential", "check", "id"]);
    assert!(ended.code == 20 && ended.stderr.contains("az login"), "{}", ended.stderr);
    silent_about(&ended, "canary");
    site.home.write("az-answer", r#"{"accessToken":"canary.e30.x","expires_on":1900000000}"#);
    let ended = site.run(&["credential", "check", "id"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    silent_about(&ended, "canary");
    assert_eq!(
        site.home.read("az-args"),
        format!("account get-access-token --output json --scope https://{}/.default\n", cloud.vault.host),
        "no host and no container uses it"
    );
}

#[test]
fn t16_an_identity_that_is_not_there_is_told_as_the_token() {
    let cloud = Cloud::start(&[]);
    let mut site = Site::new(&cloud, "");
    let own = cloud.table();
    let missing = site.home.path("absent").display().to_string();
    for (identity, env, said) in [
        ("{ client_id = \"00000000-0000-0000-0000-000000000001\" }".to_owned(), vec![], "invalid_request"),
        (
            Cloud::application(),
            vec![("APP".to_owned(), "wrong-canary-7781".to_owned())],
            "invalid_client, AADSTS7000215",
        ),
        (Cloud::application().replace(CLIENT, "other"), vec![], "AADSTS700016"),
        ("\"workload\"".to_owned(), vec![], "AZURE_TENANT_ID"),
        ("\"workload\"".to_owned(), cloud.workload(&missing), "absent"),
        (
            "\"system\"".to_owned(),
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), "http://192.0.2.1".to_owned())],
            "link-local",
        ),
        (
            "\"system\"".to_owned(),
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), "http://127.0.0.1:1".to_owned())],
            "metadata service 127.0.0.1:1",
        ),
    ] {
        site.env = cloud.env();
        site.env.extend(env);
        site.configure(&format!("[credential.id]\nidentity = {identity}\ncloud = {own}\n"));
        let ended = site.run(&["credential", "check", "id", "-vvv", "--retries", "0"]);
        assert!(ended.code == 20 || ended.code == 2, "{identity}: {}", ended.stderr);
        assert!(ended.stdout.contains("REFUSED    token: id"), "{identity}: {}", ended.stdout);
        assert!(ended.stderr.contains(said) && ended.stderr.contains("help: "), "{identity}: {}", ended.stderr);
        silent_about(&ended, "7781");
        silent(&cloud, &ended);
        let ended = site.run(&["credential", "check", "id", "--json", "--retries", "0"]);
        silent_about(&ended, "7781");
        silent(&cloud, &ended);
    }
}

#[test]
fn t16_check_says_which_step_failed() {
    let cloud = Cloud::start(&[]);
    let host = cloud.registry.host().to_owned();
    let site = Site::new(
        &cloud,
        &format!(
            "[registry.\"{host}\"]\ncredential = \"id\"\n[credential.id]\n{}[storage.low]\nurl = \"{}\"\nsas = {{ keyvault = \"{}\" }}\ncredential = \"id\"\n[storage.own]\nurl = \"{}/apps\"\ncredential = \"id\"\n",
            application(&cloud),
            cloud.url(),
            cloud.secret("sas"),
            cloud.url(),
        ),
    );
    let set = |secret: Option<&str>, signature: &str, denied: &[&'static str]| {
        let mut state = cloud.state.lock().unwrap();
        state.secrets = secret.map(|sas| ("sas".to_owned(), vec![sas.to_owned()])).into_iter().collect();
        state.signatures = [signature.to_owned()].into();
        state.denied = denied.iter().map(|service| (APPLICATION.to_owned(), *service)).collect();
    };
    let sas = "?sv=2021-12-02&sr=c&sp=rl&se=2099-01-01&sig=canary-signature";
    let first = [("secret", true), ("token", true), ("token", true)];
    let vault = [("token", true), ("vault right", true), ("secret", true)];
    let check = |code: i32, expected: &[&[(&str, bool)]]| {
        let steps = site.steps("id", code);
        assert_eq!(brief(&steps), expected.concat(), "{steps:?}");
    };
    set(Some(sas), "canary-signature", &[]);
    check(0, &[&first, &vault, &[("storage right", true), ("storage right", true)]]);
    let accepted = site.run(&["credential", "check", "id"]);
    assert!(accepted.stdout.contains(&format!("accepted   {host}")), "{}", accepted.stdout);
    silent(&cloud, &accepted);

    set(Some(sas), "canary-signature", &["vault"]);
    check(20, &[&first, &[("token", true), ("vault right", false), ("storage right", true)]]);
    set(None, "canary-signature", &[]);
    check(2, &[&first, &[("token", true), ("vault right", true), ("secret", false), ("storage right", true)]]);
    set(Some(sas), "another", &[]);
    check(20, &[&first, &vault, &[("storage right", false), ("storage right", true)]]);
    set(Some(sas), "canary-signature", &["storage"]);
    check(20, &[&first, &vault, &[("storage right", true), ("storage right", false)]]);
    set(Some(sas), "canary-signature", &["registry"]);
    check(20, &[&first, &vault, &[("storage right", true), ("storage right", true), ("login", false)]]);
    let mut bad = Site::new(&cloud, &site.home.read(PLACE));
    bad.env = vec![("APP".to_owned(), "wrong".to_owned())];
    assert_eq!(brief(&bad.steps("id", 20)), [("secret", true), ("token", false), ("token", false)]);
    bad.env.clear();
    assert_eq!(brief(&bad.steps("id", 2)), [("secret", false)]);
}

#[test]
fn t16_no_output_shows_a_secret() {
    let cloud = Cloud::start(&[]);
    let host = cloud.registry.host().to_owned();
    let site = Site::new(
        &cloud,
        &format!(
            "[registry.\"{host}\"]\ncredential = \"id\"\n[credential.id]\n{}[storage.low]\nurl = \"{}\"\nsas = {{ keyvault = \"{}\" }}\ncredential = \"id\"\n",
            application(&cloud),
            cloud.url(),
            cloud.secret("sas"),
        ),
    );
    cloud
        .state
        .lock()
        .unwrap()
        .secrets
        .insert("sas".to_owned(), vec!["sv=1&sr=c&sp=rl&se=2099-01-01&sig=canary-signature-7781".to_owned()]);
    for denied in [&[][..], &["vault"], &["storage"], &["registry"]] {
        cloud.state.lock().unwrap().denied = denied.iter().map(|one| (APPLICATION.to_owned(), *one)).collect();
        for args in [
            &["credential", "check", "id"][..],
            &["credential", "check", "id", "-vvv", "--audit", "audit.jsonl", "--report", "report.json"],
            &["credential", "check", "id", "--json"],
            &["credential", "show", "id", "-vvv"],
            &["ls", &host, "-vvv", "--audit", "audit.jsonl"],
        ] {
            let ended = site.run(args);
            silent(&cloud, &ended);
            silent_about(&ended, "canary-signature-7781");
        }
    }
    for file in ["audit.jsonl", "report.json"] {
        let text = site.home.read(file);
        for canary in cloud.state.lock().unwrap().canaries() {
            assert!(!text.contains(&canary), "{file}");
        }
    }
}
