//! Identities as logins at registries; credentials that are set and shown.

use super::super::cloud::{self, APPLICATION, CLIENT, Cloud, SECRET};
use super::super::registry::silent_about;
use super::super::server::{Server, reply};
use super::super::shelf::{Image, noise};
use super::{PLACE, Site, application, silent};

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
