//! Identities, key vaults and their use at registries and containers, against a cloud on this machine whose services
//! enforce what the real ones do. Each test is named after its row.

use super::cloud::{self, APPLICATION, ASSERTION, ASSIGNED, CLIENT, Cloud, MACHINE, SECRET, WORKLOAD};
use super::program::Ended;
use super::registry::{Home, silent_about};
use super::server::{Server, reply};
use super::shelf::{Image, noise};

const PLACE: &str = ".config/packmule/packmule.toml";

/// A home with a configuration, and the variables for it.
struct Site {
    home: Home,
    env: Vec<(String, String)>,
}

impl Site {
    fn new(cloud: &Cloud, config: &str) -> Self {
        let site = Self { home: Home::new(), env: cloud.env() };
        site.configure(config);
        site
    }

    fn configure(&self, config: &str) {
        self.home.write(PLACE, config);
    }

    fn run(&self, args: &[&str]) -> Ended {
        let env: Vec<_> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.home.run_with(args, "", &env)
    }

    /// Runs `credential check` and returns the steps: name, success, error.
    fn steps(&self, name: &str, code: i32) -> Vec<(String, bool, String)> {
        let ended = self.run(&["credential", "check", name, "--json", "--retries", "0"]);
        assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
        let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let steps = document["result"]["steps"].as_array().expect("steps");
        steps.iter().map(|step| (word(&step["step"]), step["ok"] == true, word(&step["error"]))).collect()
    }
}

fn silent(cloud: &Cloud, ended: &Ended) {
    for canary in cloud.state.lock().unwrap().canaries() {
        silent_about(ended, &canary);
    }
}

/// Names and success of steps.
fn brief(steps: &[(String, bool, String)]) -> Vec<(&str, bool)> {
    steps.iter().map(|(name, ok, _)| (name.as_str(), *ok)).collect()
}

fn application(cloud: &Cloud) -> String {
    format!("identity = {}\ncloud = {}\n", Cloud::application(), cloud.table())
}

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
    let sas = "?sv=2021-12-02&sp=rl&sig=canary-signature";
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
fn t15_a_secret_in_a_vault_logs_in_and_a_rotated_one_is_read_again_after_a_refusal() {
    let cloud = Cloud::start(&[]);
    // Accepts one password, by Basic.
    let registry = Server::start(|request, _| {
        // keeper:canary-new
        if request.header("authorization") == Some("Basic a2VlcGVyOmNhbmFyeS1uZXc=") {
            reply(200, r#"{"repositories":["a/b"]}"#)
        } else {
            reply(401, "").with("WWW-Authenticate", "Basic realm=\"x\"")
        }
    });
    let site = Site::new(
        &cloud,
        &format!(
            "[credential]\nreader = {{ host = \"{}\", identity = {}, cloud = {} }}\nhub = {{ host = \"{}\", username = {{ keyvault = \"{}\" }}, password = {{ keyvault = \"{}\" }} }}\n",
            cloud.vault.host,
            Cloud::application(),
            cloud.table(),
            registry.host,
            cloud.secret("user"),
            cloud.secret("password"),
        ),
    );
    let put = |values: &[&str]| {
        let mut state = cloud.state.lock().unwrap();
        state.secrets.insert("user".to_owned(), vec!["keeper".to_owned()]);
        state.secrets.insert("password".to_owned(), values.iter().map(|value| (*value).to_owned()).collect());
    };
    for values in [&["canary-new"][..], &["canary-old", "canary-new"]] {
        put(values);
        let ended = site.run(&["ls", &registry.host, "-vvv"]);
        assert!(ended.code == 0 && ended.stdout.contains("a/b"), "{}", ended.stderr);
        silent(&cloud, &ended);
    }
    put(&["canary-old"]);
    let ended = site.run(&["ls", &registry.host, "-vvv"]);
    assert_eq!(ended.code, 20, "{}", ended.stderr);
    silent_about(&ended, "canary");
}

#[test]
fn t15_a_rotated_signature_is_read_again_after_a_403() {
    let cloud = Cloud::start(&[]);
    let site = Site::new(
        &cloud,
        &format!(
            "[credential.id]\n{}[storage.low]\nurl = \"{}\"\nsas = {{ keyvault = \"{}\" }}\ncredential = \"id\"\n",
            application(&cloud),
            cloud.url(),
            cloud.secret("sas"),
        ),
    );
    {
        let mut state = cloud.state.lock().unwrap();
        let values = ["sv=1&sig=canary-old", "sv=1&sig=canary-old", "sv=1&sig=canary-new"];
        state.secrets.insert("sas".to_owned(), values.map(str::to_owned).into());
        state.signatures.insert("canary-new".to_owned());
    }
    // The check reads it once for the step `secret`; then the container refuses the old one.
    let steps = site.steps("id", 0);
    assert_eq!(brief(&steps).last(), Some(&("storage right", true)), "{steps:?}");
    let asked =
        cloud.container.requests().iter().map(|request| request.path.contains("canary-new")).collect::<Vec<_>>();
    assert_eq!(asked, [false, true]);
}

#[test]
fn t15_a_token_that_the_vault_refuses_is_requested_again_once() {
    let cloud = Cloud::start(&[]);
    cloud.state.lock().unwrap().secrets.insert("a".to_owned(), vec!["canary-a".to_owned()]);
    let site = Site::new(
        &cloud,
        &format!(
            "[credential.id]\nhost = \"{}\"\n{}[credential.pw]\ntoken = {{ keyvault = \"{}\" }}\n",
            cloud.vault.host,
            application(&cloud),
            cloud.secret("a"),
        ),
    );
    for (refusals, code, right) in [(1, 0, true), (2, 20, false)] {
        cloud.state.lock().unwrap().refusals = refusals;
        let before = cloud.state.lock().unwrap().count();
        let steps = site.steps("pw", code);
        assert_eq!(brief(&steps)[1], ("vault right", right), "{steps:?}");
        assert_eq!(cloud.state.lock().unwrap().count() - before, 2);
    }
}

#[test]
fn t15_the_secret_of_an_application_may_be_in_a_vault_that_another_identity_reads() {
    let cloud = Cloud::start(&[]);
    {
        let mut state = cloud.state.lock().unwrap();
        state.secrets.insert("app".to_owned(), vec!["wrong-canary".to_owned(), SECRET.to_owned()]);
        state.denied.insert((APPLICATION.to_owned(), "vault"));
    }
    let app =
        Cloud::application().replace("{ env = \"APP\" }", &format!("{{ keyvault = \"{}\" }}", cloud.secret("app")));
    let own = cloud.table();
    let host = cloud.registry.host().to_owned();
    let config = |reader: &str| {
        format!(
            "[registry.\"{host}\"]\ncredential = \"app\"\n[credential.app]\nidentity = {app}\ncloud = {own}\n{reader}"
        )
    };
    let reader =
        format!("[credential.reader]\nhost = \"{}\"\nidentity = \"system\"\ncloud = {own}\n", cloud.vault.host);
    let site = Site::new(&cloud, &config(&reader));
    // The first value is refused by the login authority, so it is read again.
    let ended = site.run(&["ls", &host, "-vvv"]);
    assert!(ended.code == 0 && ended.stdout.contains("a/b"), "{}", ended.stderr);
    silent(&cloud, &ended);
    // It cannot read what it needs to read.
    let itself = format!("host = \"{}\"\n", cloud.vault.host);
    site.configure(&config(&itself));
    let ended = site.run(&["credential", "show", "app"]);
    assert!(ended.stderr.contains("that it would read itself"), "{}", ended.stderr);
}

#[test]
fn t21_vault_right_secret_and_vault_each_have_their_message() {
    let cloud = Cloud::start(&[]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let site = Site::new(&cloud, "");
    let run = |vault: &str, cloud_table: &str| {
        site.configure(&format!(
            "[credential.id]\nhost = \"{vault}\"\nidentity = {}\ncloud = {cloud_table}\n[credential.pw]\ntoken = {{ keyvault = \"http://{vault}/secrets/a\" }}\n",
            Cloud::application(),
        ));
        let ended = site.run(&["credential", "check", "pw", "--retries", "0"]);
        silent(&cloud, &ended);
        ended
    };
    let own = cloud.table();
    let missing = run(&cloud.vault.host, &own);
    assert!(missing.code == 2 && missing.stderr.contains("secret a: missing in the vault"), "{}", missing.stderr);
    cloud.state.lock().unwrap().secrets.insert("a".to_owned(), vec!["canary-a".to_owned()]);
    cloud.state.lock().unwrap().denied.insert((APPLICATION.to_owned(), "vault"));
    let denied = run(&cloud.vault.host, &own);
    assert!(denied.code == 20 && denied.stderr.contains("the identity may not read it"), "{}", denied.stderr);
    assert!(denied.stderr.contains("Key Vault Secrets User"), "{}", denied.stderr);
    // The authority gives no token for a vault that it does not know, so the absent one takes the name of the own one.
    let port = own.replace(&format!("vault = \"{}\"", cloud.vault.host), &format!("vault = \"{closed}\""));
    let unknown = run(&closed, &port);
    assert!(unknown.code == 20 && unknown.stderr.contains("AADSTS500011"), "{}", unknown.stderr);
    site.home.write("az-answer", r#"{"accessToken":"canary.e30.x"}"#);
    site.home.program("az", "#!/bin/sh\ncat \"$HOME/az-answer\"\n");
    site.configure(&format!(
        "[credential.id]\nhost = \"{closed}\"\nidentity = \"cli\"\ncloud = {port}\n[credential.pw]\ntoken = {{ keyvault = \"http://{closed}/secrets/a\" }}\n",
    ));
    let absent = site.run(&["credential", "check", "pw", "--retries", "0"]);
    assert!(
        absent.code == 20 && absent.stderr.contains(&format!("vault: key vault {closed}: secret a:")),
        "{}",
        absent.stderr
    );
    assert!(absent.stderr.contains("check the vault's name"), "{}", absent.stderr);
    silent_about(&absent, "canary");
}

#[test]
fn t2_nothing_is_sent_to_a_host_outside_the_identitys_cloud() {
    let cloud = Cloud::start(&[]);
    let site = Site::new(&cloud, "");
    // A vault of another cloud than the identity's.
    site.configure(&format!(
        "[credential.id]\n{}[storage.low]\nurl = \"{}\"\nsas = {{ keyvault = \"https://kv.vault.azure.cn/secrets/a\" }}\ncredential = \"id\"\n",
        application(&cloud),
        cloud.url(),
    ));
    let ended = site.run(&["credential", "check", "id"]);
    assert!(ended.code == 2 && ended.stderr.contains("as the identity's cloud says"), "{}", ended.stderr);
    // A container of another cloud is refused with the file alone.
    for (url, named, said) in [
        ("https://a.blob.core.windows.net/c", "china", "core.chinacloudapi.cn"),
        ("https://a.blob.core.chinacloudapi.cn/c", "public", "core.windows.net"),
        ("https://a.blob.core.usgovcloudapi.net/c", "china", "core.chinacloudapi.cn"),
    ] {
        site.configure(&format!(
            "[credential.id]\nidentity = \"system\"\ncloud = \"{named}\"\n[storage.low]\nurl = \"{url}\"\ncredential = \"id\"\n"
        ));
        let ended = site.run(&["credential", "list"]);
        assert!(ended.code == 2 && ended.stderr.contains("packmule.toml:4: storage \"low\""), "{}", ended.stderr);
        assert!(ended.stderr.contains(said) && ended.stderr.contains("set cloud"), "{}", ended.stderr);
        let right = "url = \"az://a/c\"\ncredential = \"id\"\n";
        site.configure(&format!("[credential.id]\nidentity = \"system\"\ncloud = \"{named}\"\n[storage.low]\n{right}"));
        assert_eq!(site.run(&["credential", "list"]).code, 0);
    }
    // A vault in no known cloud, without a credential for it.
    site.configure("[credential.pw]\ntoken = { keyvault = \"https://kv.example/secrets/a\" }\n");
    let ended = site.run(&["credential", "check", "pw"]);
    assert!(ended.code == 2 && ended.stderr.contains("expected a host of a known cloud"), "{}", ended.stderr);
    assert_eq!(cloud.state.lock().unwrap().count(), 1, "the application's token for the check itself");
}

#[test]
fn i7_an_identity_logs_in_at_both_registries() {
    let image = Image::new(vec![noise(901, 40_000)]);
    let from = Cloud::start(&[("a/b", "1", &image)]);
    let to = Cloud::start(&[]);
    let (source, target) = (from.registry.host().to_owned(), to.registry.host().to_owned());
    let site = Site::new(
        &from,
        &format!(
            "[registry]\n\"{source}\" = {{ credential = \"one\" }}\n\"{target}\" = {{ credential = \"two\" }}\n[credential.one]\n{}[credential.two]\n{}",
            application(&from),
            application(&to),
        ),
    );
    let (reference, place) = (format!("{source}/a/b:1"), format!("{target}/m"));
    let ended = site.run(&["copy", &reference, "--to", &place, "-vvv"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(to.registry.manifests().contains(&"m/a/b/manifests/1".to_owned()), "{:?}", to.registry.manifests());
    silent(&from, &ended);
    silent(&to, &ended);
    // One token of the identity a side, exchanged once.
    for cloud in [&from, &to] {
        assert_eq!(cloud.state.lock().unwrap().count(), 1);
        let exchanges =
            cloud.registry.server.requests().iter().filter(|request| request.path == "/oauth2/exchange").count();
        assert_eq!(exchanges, 1);
    }
    // By --from-credential, though the table names none.
    site.configure(&format!("[credential.one]\n{}[credential.two]\n{}", application(&from), application(&to)));
    let again = format!("{target}/n");
    let named = ["copy", &reference, "--to", &again, "--from-credential", "one", "--to-credential", "two"];
    assert_eq!(site.run(&named).code, 0);
    assert_eq!(site.run(&["copy", &reference, "--to", &again]).code, 20);
}

#[test]
fn i7_refusals_of_the_exchange_are_told() {
    let cloud = Cloud::start(&[]);
    let host = cloud.registry.host().to_owned();
    let config =
        |host: &str| format!("[registry.\"{host}\"]\ncredential = \"id\"\n[credential.id]\n{}", application(&cloud));
    let site = Site::new(&cloud, &config(&host));
    assert_eq!(site.run(&["ls", &host]).code, 0);
    cloud.state.lock().unwrap().denied.insert((APPLICATION.to_owned(), "registry"));
    let ended = site.run(&["ls", &format!("{host}/a/b"), "-vvv"]);
    assert!(ended.code == 20 && ended.stderr.contains("AcrPull"), "{}", ended.stderr);
    silent(&cloud, &ended);
    // A registry that exchanges nothing.
    let other = Server::start(|request, _| {
        let here = request.header("host").unwrap_or_default().to_owned();
        if request.path.starts_with("/v2/") {
            reply(401, "")
                .with("WWW-Authenticate", format!("Bearer realm=\"http://{here}/oauth2/token\",service=\"x\""))
        } else {
            reply(404, "")
        }
    });
    site.configure(&config(&other.host));
    let ended = site.run(&["ls", &format!("{}/a/b", other.host)]);
    assert!(ended.code == 20 && ended.stderr.contains("only at Azure Container Registry"), "{}", ended.stderr);
    // A token server elsewhere never gets the identity's token.
    let thief = Server::start(|_, _| reply(200, r#"{"refresh_token":"x","access_token":"x"}"#));
    let realm = thief.host.clone();
    let led = Server::start(move |_, _| {
        reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{realm}/oauth2/token\",service=\"x\""))
    });
    site.configure(&config(&led.host));
    assert_ne!(site.run(&["ls", &led.host]).code, 0);
    assert!(thief.all_requests().iter().all(|request| request.body.is_empty()), "{:?}", thief.all_requests());
}

#[test]
fn c6_identities_and_keys_are_set_shown_and_checked() {
    let cloud = Cloud::start(&[]);
    let site = Site::new(&cloud, "# mine\n[credential.id] # two\nidentity = \"system\" # three\n");
    let set = |args: &[&str]| site.run(&[&["credential", "set", "id"], args].concat());
    for args in [
        &["identity="][..],
        &[&format!("identity.client_id={CLIENT}")],
        &["identity.object_id=x"],
        &["cloud=mars"],
        &["account_key=canary-7781"],
        &["identity.secret=canary-7781"],
        &["identity.colour=red"],
        &["account_key.file=k"],
    ] {
        let before = site.home.read(PLACE);
        let ended = set(args);
        let is_good = args[0].starts_with("identity.client_id");
        assert_eq!(ended.code, if is_good { 0 } else { 2 }, "{args:?}: {}", ended.stderr);
        assert_eq!(site.home.read(PLACE) == before, !is_good, "{args:?}");
        silent_about(&ended, "canary-7781");
    }
    let text = site.home.read(PLACE);
    for kept in ["# mine\n", "# two\n", "# three", &format!("identity = {{ client_id = \"{CLIENT}\" }}")] {
        assert!(text.contains(kept), "{text}");
    }
    let own = [
        format!("cloud.authority=http://{}", cloud.authority.host),
        format!("cloud.storage={}", cloud.container.host),
        format!("cloud.vault={}", cloud.vault.host),
    ];
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    assert_eq!(set(&own).code, 0, "{}", site.home.read(PLACE));
    let tenant = format!("identity.tenant={}", cloud::TENANT);
    let ended = set(&[&tenant, "identity.secret.env=APP"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    silent_about(&ended, SECRET);

    let shown = site.run(&["credential", "show", "id", "-vvv"]);
    assert!(shown.code == 0 && shown.stdout.contains(&format!("principal  {APPLICATION}")), "{}", shown.stdout);
    assert!(shown.stdout.contains("variable APP") && shown.stdout.contains(CLIENT), "{}", shown.stdout);
    silent(&cloud, &shown);
    let listed = site.run(&["credential", "list"]);
    assert!(listed.stdout.contains("id  identity"), "{}", listed.stdout);
    // Off the cloud it still shows what the file says.
    let alone = site.home.run_with(&["credential", "show", "id"], "", &[("APP", "wrong")]);
    assert!(alone.code == 0 && !alone.stdout.contains("principal"), "{}", alone.stdout);
    assert!(alone.stderr.contains("warning: ") && alone.stderr.contains("principal id not known"), "{}", alone.stderr);

    // Keys of stores, and the tables that use them.
    for (name, args) in [
        ("azure", &["account_key.file=k"][..]),
        ("aws", &["access_key_id=AKIA", "secret_access_key.env=K", "session_token.env=T"]),
        ("profile", &["profile=low"]),
        ("google", &["service_account.file=key.json"]),
    ] {
        let ended = site.run(&[&["credential", "set", name], args].concat());
        assert_eq!(ended.code, 0, "{name}: {}", ended.stderr);
    }
    let before = site.home.read(PLACE);
    for (url, good) in [("az://a/c", "azure"), ("s3://b", "aws"), ("s3://b/p", "profile"), ("gs://b", "google")] {
        for name in ["azure", "aws", "profile", "google"] {
            site.configure(&format!("{before}[storage.x]\nurl = \"{url}\"\ncredential = \"{name}\"\n"));
            let fits = name == good || url.starts_with("s3") && ["aws", "profile"].contains(&name);
            let ended = site.run(&["credential", "list"]);
            assert_eq!(ended.code, if fits { 0 } else { 2 }, "{url} {name}: {}", ended.stderr);
        }
    }
    let used = site.run(&["credential", "delete", "google"]);
    assert!(used.code == 2 || !site.home.read(PLACE).contains("service_account"), "{}", used.stderr);
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
    cloud.state.lock().unwrap().secrets.insert("sas".to_owned(), vec!["sv=1&sig=canary-signature-7781".to_owned()]);
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
