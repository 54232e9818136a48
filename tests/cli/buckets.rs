//! Bundles in buckets, from outside: the built binary against rclone's strict S3, against moto, which
//! pages its lists, and against a fake of Google Cloud Storage.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::azurite::Emulated;
use super::google::{TOKEN, fake};
use super::proxy;
use super::server::{Server, reply};
use super::sites::{Site, reads, removes, writes};
use super::world::var;

/// Size of the image: three parts and a bit.
const SIZE: usize = 30_000_000;

/// Returns a prefix that no other test and no other run uses.
fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("c{nanos}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Configures a bucket of S3 with a key in a file.
fn configure(site: &Site, bucket: &str, host: &str, (id, secret): (&str, &str)) {
    site.write("secret", secret);
    site.hide(secret);
    let config = format!(
        "[storage.low]\nurl = \"s3://{bucket}\"\nendpoint = \"http://{host}\"\ncredential = \"keys\"\n\
         [credential.keys]\naccess_key_id = \"{id}\"\nsecret_access_key = {{ file = \"secret\" }}\n"
    );
    site.write("packmule.toml", &config);
}

/// Returns the address and the secret of rclone's server.
fn strict() -> Option<(String, String)> {
    Some((var("PACKMULE_TEST_S3")?, var("PACKMULE_TEST_S3_SECRET")?))
}

/// A site with a fresh prefix at rclone's server.
fn strict_site(test: &str, length: usize) -> Option<Site> {
    let (host, secret) = strict()?;
    let site = Site::new(&format!("s3-{test}"), length, Vec::new());
    configure(&site, &format!("bucket/{}", fresh()), &host, ("mule", &secret));
    Some(site)
}

/// A site at a fake of Google's store, whose token the machine's metadata service gives.
fn google_site(test: &str, length: usize) -> Site {
    let metadata = Server::start(|request, _| match request.header("metadata-flavor") {
        Some("Google") => {
            reply(200, format!(r#"{{"access_token":"{TOKEN}","expires_in":3600,"token_type":"Bearer"}}"#))
        }
        _ => reply(403, ""),
    });
    let site = Site::new(&format!("gs-{test}"), length, vec![("GCE_METADATA_HOST", metadata.host)]);
    let store = fake();
    let config = format!("[storage.low]\nurl = \"gs://bucket/{}\"\nendpoint = \"http://{}\"\n", fresh(), store.host);
    site.write("packmule.toml", &config);
    site.hide(TOKEN);
    site
}

fn all(site: &Site) {
    writes(site);
    reads(site);
    removes(site);
}

#[test]
fn t1_t17_a_bundle_goes_through_a_bucket_of_s3() {
    let Some(site) = strict_site("round", SIZE) else { return };
    all(&site);
}

#[test]
fn t17_a_bundle_goes_through_a_bucket_whose_lists_have_pages() {
    let Some(host) = var("PACKMULE_TEST_MOTO") else { return };
    let put = format!("PUT /cli HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(matches!(proxy::exchange(&host, put.as_bytes(), false).unwrap().status, 200 | 409));
    let site = Site::new("s3-paged", SIZE, Vec::new());
    configure(&site, &format!("cli/{}", fresh()), &host, ("id", "canary-moto-key"));
    all(&site);
}

#[test]
fn t1_t17_a_bundle_goes_through_a_bucket_of_google() {
    all(&google_site("round", SIZE));
}

/// Returns whether the journal of an upload notes a part.
fn has_begun(site: &Site) -> bool {
    let Ok(entries) = std::fs::read_dir(site.path("state/uploads")) else { return false };
    entries.flatten().any(|entry| std::fs::read_to_string(entry.path()).is_ok_and(|text| text.lines().count() > 1))
}

/// Kills an upload and an export, which both go on.
fn goes_on(site: &Site) {
    let bundle = site.exported();
    site.killed(&["upload", &bundle, "storage:low", "--limit-rate", "8MiB/s"], || has_begun(site));
    let listed = site.json(&["ls", "storage:low"], 0);
    assert!(!listed["uploads"].as_array().unwrap().is_empty(), "{listed}");
    let done = site.json(&["upload", &bundle, "storage:low"], 0);
    let number = |name: &str| done[name].as_u64().unwrap();
    assert!(number("sent") < number("bytes"), "{done}");
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], 0);
    let export = site.export(&["--limit-rate", "8MiB/s"]);
    let export: Vec<&str> = export.iter().map(String::as_str).collect();
    assert!(!has_begun(site));
    site.killed(&export, || has_begun(site));
    let (journal, before) = journal(site);
    site.run(&export[..export.len() - 2], 0);
    assert!(before > 1 && !journal.exists());
    site.run(&["verify", "storage:low/e", "--key", "k.pub.pem", "-vv"], 0);
    // What is given up is removed, and no more than that.
    site.run(&["rm", "storage:low/b"], 0);
    site.killed(&["upload", &bundle, "storage:low", "--limit-rate", "8MiB/s"], || has_begun(site));
    let would = site.json(&["rm", "storage:low", "--incomplete", "--dry-run"], 0);
    assert!(!would["uploads"].as_array().unwrap().is_empty(), "{would}");
    site.run(&["rm", "storage:low", "--incomplete", "-vv"], 0);
    let listed = site.json(&["ls", "storage:low"], 0);
    assert!(listed["uploads"].as_array().unwrap().is_empty(), "{listed}");
    site.run(&["verify", "storage:low/e", "--key", "k.pub.pem"], 0);
    site.run(&["upload", &bundle, "storage:low"], 0);
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem"], 0);
}

/// Returns the only journal and the number of its lines.
fn journal(site: &Site) -> (std::path::PathBuf, usize) {
    let entry = std::fs::read_dir(site.path("state/uploads")).unwrap().next().unwrap().unwrap();
    let lines = std::fs::read_to_string(entry.path()).unwrap().lines().count();
    (entry.path(), lines)
}

#[test]
fn t17_uploads_into_s3_that_are_killed_go_on() {
    let Some(site) = strict_site("killed", SIZE) else { return };
    goes_on(&site);
}

#[test]
fn t17_uploads_into_google_that_are_killed_go_on() {
    goes_on(&google_site("killed", SIZE));
}

#[test]
fn t16_t21_wrong_keys_of_s3_are_refused_and_checked() {
    let Some((host, secret)) = strict() else { return };
    let site = Site::new("s3-wrong", 50_000, Vec::new());
    let bucket = format!("bucket/{}", fresh());
    configure(&site, &bucket, &host, ("mule", &secret));
    let bundle = site.exported();
    site.run(&["upload", &bundle, "storage:low"], 0);
    let told = site.run(&["credential", "check", "keys", "-vv"], 0);
    assert!(told.contains("ok         storage right: storage low: list"), "{told}");
    for (id, wrong) in [("mule", "canary-wrong-key"), ("stranger", "canary-other-key")] {
        configure(&site, &bucket, &host, (id, wrong));
        for (args, code) in [
            (&["upload", &bundle, "storage:low/x", "-vv"][..], 21),
            (&["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], 20),
            (&["ls", "storage:low", "-vv"], 20),
            (&["credential", "check", "keys", "-vv"], 20),
        ] {
            let told = site.run(args, code);
            assert!(told.contains("help: "), "{told}");
        }
    }
    configure(&site, "no-such-bucket", &host, ("mule", &secret));
    let told = site.run(&["ls", "storage:low", "-vv"], 20);
    assert!(told.contains("expected the bucket, found none"), "{told}");
}

#[test]
fn t13_a_bucket_that_is_open_to_everyone_is_read_without_a_login() {
    let Some(host) = var("PACKMULE_TEST_MOTO") else { return };
    let put = format!("PUT /open HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(matches!(proxy::exchange(&host, put.as_bytes(), false).unwrap().status, 200 | 409));
    // Variables that would be a login otherwise.
    let keys = [("AWS_ACCESS_KEY_ID", "canary-id"), ("AWS_SECRET_ACCESS_KEY", "canary-secret")];
    let site = Site::new("s3-open", SIZE, keys.map(|(name, value)| (name, value.to_owned())).to_vec());
    let bucket = format!("open/{}", fresh());
    configure(&site, &bucket, &host, ("id", "canary-moto-key"));
    let bundle = site.exported();
    site.run(&["upload", &bundle, "storage:low"], 0);
    // moto has no bucket that is open to everyone, so the proxy logs in.
    let seen = proxy::start(&host, |request| {
        request.headers.push(("authorization".to_owned(), "AWS id:any".to_owned()));
        None
    });
    let open = |host: &str, more: &str| {
        format!("[storage.low]\nurl = \"s3://{bucket}\"\nendpoint = \"http://{host}\"\nanonymous = true\n{more}")
    };
    site.write("packmule.toml", &open(&seen.host, ""));
    site.run(&["ls", "storage:low", "-vv"], 0);
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], 0);
    let requests = seen.all_requests();
    assert!(requests.len() > 3 && requests.iter().all(|request| request.header("authorization").is_none()));
    // A login next to it, and a bucket that is not open.
    let both = open(&seen.host, "credential = \"keys\"\n[credential.keys]\nprofile = \"p\"\n");
    site.write("packmule.toml", &both);
    let told = site.run(&["ls", "storage:low"], 2);
    assert!(told.contains("anonymous: expected neither sas nor credential"), "{told}");
    let Some((strict, _)) = strict() else { return };
    site.write("packmule.toml", &open(&strict, "").replace("open/", "bucket/"));
    let told = site.run(&["ls", "storage:low"], 20);
    assert!(told.contains("not open to everyone"), "{told}");
}

#[test]
fn t13_an_open_bucket_of_google_is_read_without_a_login() {
    let site = Site::new("gs-open", 50_000, Vec::new());
    let store = Server::start(|request, _| {
        assert!(request.header("authorization").is_none());
        reply(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    });
    let open =
        format!("[storage.low]\nurl = \"gs://bucket\"\nendpoint = \"http://{}\"\nanonymous = true\n", store.host);
    site.write("packmule.toml", &open);
    assert_eq!(site.json(&["ls", "storage:low"], 0)["bundles"], serde_json::json!([]));
    assert!(!store.all_requests().is_empty());
}

/// Nothing names a login and the machine has none: the advice is to name one, or to say that the
/// bucket is open.
#[test]
fn t21_without_any_login_the_advice_names_both_ways() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (url, variable) in [("s3://bucket", "AWS_EC2_METADATA_SERVICE_ENDPOINT"), ("gs://bucket", "GCE_METADATA_HOST")]
    {
        let address = if variable.starts_with("AWS") { format!("http://{closed}") } else { closed.clone() };
        let site = Site::new(&format!("none-{}", &url[..2]), 10_000, vec![(variable, address)]);
        site.write("packmule.toml", &format!("[storage.low]\nurl = \"{url}\"\nendpoint = \"http://127.0.0.1:9\"\n"));
        let told = site.run(&["ls", "storage:low", "--retries", "0"], 20);
        assert!(told.contains("credentials from 127.0.0.1") && told.contains("anonymous = true"), "{told}");
    }
}

/// Each side has its own configuration, keys and state; only the bundle passes. rclone copies it from
/// the one cloud into the other, and packmule as a stream.
#[test]
fn t1_t17_a_bundle_crosses_between_clouds_that_share_nothing() {
    let Some((host, secret)) = strict() else { return };
    let (Some(emulated), Some(tools)) = (Emulated::new(var), var("PACKMULE_TEST_TOOLS")) else { return };
    let low = Site::new("low", SIZE, Vec::new());
    let prefix = fresh();
    configure(&low, &format!("bucket/{prefix}"), &host, ("mule", &secret));
    writes(&low);
    let dark = Site::new("dark", 1000, Vec::new());
    dark.write("sas", &emulated.sas("rl"));
    dark.write(
        "packmule.toml",
        &format!("[storage.low]\nurl = \"{}/apps\"\nsas = {{ file = \"sas\" }}\n", emulated.address()),
    );
    let (account, container) = emulated.address().rsplit_once('/').map(|(a, c)| (a.to_owned(), c.to_owned())).unwrap();
    let copied = std::process::Command::new(format!("{tools}/rclone"))
        .args(["copy", "--config", "/dev/null", &format!("low:bucket/{prefix}"), &format!("dark:{container}/apps")])
        .envs([
            ("RCLONE_CONFIG_LOW_TYPE", "s3"),
            ("RCLONE_CONFIG_LOW_PROVIDER", "Rclone"),
            ("RCLONE_CONFIG_LOW_ENDPOINT", &format!("http://{host}")),
            ("RCLONE_CONFIG_LOW_ACCESS_KEY_ID", "mule"),
            ("RCLONE_CONFIG_LOW_SECRET_ACCESS_KEY", &secret),
            ("RCLONE_CONFIG_DARK_TYPE", "azureblob"),
            ("RCLONE_CONFIG_DARK_ACCOUNT", account.rsplit('/').next().unwrap()),
            ("RCLONE_CONFIG_DARK_KEY", &emulated.key),
            ("RCLONE_CONFIG_DARK_ENDPOINT", &account),
        ])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let site = format!("oci:{}", dark.arg("site"));
    for bundle in ["storage:low/b", "storage:low/e"] {
        dark.run(&["import", bundle, "--key", "k.pub.pem", "--to", &site, "-vv"], 0);
        assert_eq!(dark.json(&["diff", bundle, &site, "--content", "--check"], 0)["same"], true);
    }
    // A third party that reaches both sends it as a stream.
    let between = Site::new("between", 1000, Vec::new());
    between.write("secret", &secret);
    between.write("sas", &emulated.sas("rwl"));
    between.hide(&secret);
    between.write(
        "packmule.toml",
        &format!(
            "[storage.low]\nurl = \"s3://bucket/{prefix}\"\nendpoint = \"http://{host}\"\ncredential = \"keys\"\n\
             [storage.dark]\nurl = \"{}/streamed\"\nsas = {{ file = \"sas\" }}\n\
             [credential.keys]\naccess_key_id = \"mule\"\nsecret_access_key = {{ file = \"secret\" }}\n",
            emulated.address()
        ),
    );
    between.run(&["upload", "storage:low/b", "storage:dark", "-vv"], 0);
    assert_eq!(between.json(&["upload", "storage:low/b", "storage:dark"], 0)["was_there"], true);
    between.run(&["verify", "storage:dark/b", "--key", "k.pub.pem", "-vv"], 0);
    assert!(!between.path("stage").exists());
}
