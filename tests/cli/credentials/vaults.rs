//! Key vaults: secrets that are read and read again, clouds, refusals.

use super::super::cloud::{APPLICATION, Cloud, SECRET};
use super::super::registry::silent_about;
use super::super::server::{Server, reply};
use super::{Site, application, brief, silent};

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
        let values = ["old", "old", "new"];
        state.secrets.insert(
            "sas".to_owned(),
            values.map(|one| format!("sv=1&sr=c&sp=rl&se=2099-01-01&sig=canary-{one}")).into(),
        );
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
    site.configure(&format!("[credential.app]\nidentity = {app}\ncloud = {own}\n{itself}"));
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
    cloud.state.lock().unwrap().inner = "ForbiddenByFirewall";
    let outside = run(&cloud.vault.host, &own);
    assert!(outside.code == 20 && outside.stderr.contains("does not admit this address"), "{}", outside.stderr);
    cloud.state.lock().unwrap().inner = "SecretDisabled";
    let disabled = run(&cloud.vault.host, &own);
    assert!(disabled.code == 2 && disabled.stderr.contains("secret a: disabled in the vault"), "{}", disabled.stderr);
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
