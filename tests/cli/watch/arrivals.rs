//! Bundles that arrive by other programs: the SDK of Azure, rclone.

use super::*;

#[test]
fn t9_t13_a_bundle_arrives_in_a_container_of_azure_by_its_sdk() {
    let (Some(emulated), Some(python)) = (Emulated::new(var), var("PACKMULE_TEST_AZURE_PYTHON")) else { return };
    let url = emulated.address();
    let table = format!("[storage.dark]\nurl = \"{url}/dark\"\nsas = {{ file = \"sas\" }}\n");
    let site = Site::of("azure", "storage = \"dark\"", &table);
    // To read and to list is enough.
    site.write("sas", &emulated.sas("rl"));
    let (large, small) = bundles();
    let send = |files: &[PathBuf]| {
        let url = format!("{url}?{}", emulated.sas("rwlac"));
        let sent = Command::new(&python).args(["-c", SDK, &url]).args(files).output().unwrap();
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    };
    for bundle in [small, large] {
        // Of the second one, the signatures come before the manifest that they are for.
        let (last, mut all): (Vec<PathBuf>, Vec<PathBuf>) =
            files(bundle).into_iter().partition(|file| file.ends_with("b.json"));
        all.extend(last);
        for (at, file) in all.iter().enumerate() {
            send(std::slice::from_ref(file));
            let looked = site.look(0);
            assert_eq!(looked[0], u64::from(at + 1 == all.len()), "{}: {looked:?}", file.display());
        }
        site.holds(bundle);
    }
    assert_eq!(site.look(0), [0, 0, 0, 0, 1]);
}

#[test]
fn t9_a_bundle_arrives_in_a_bucket_by_rclone() {
    let (Some(host), Some(bucket)) = (var("PACKMULE_TEST_S3"), var("PACKMULE_TEST_S3_BUCKET")) else { return };
    let (Some(secret), Some(rclone)) = (var("PACKMULE_TEST_S3_SECRET"), var("PACKMULE_TEST_RCLONE")) else { return };
    let prefix = format!("watch-{}", std::process::id());
    let more = format!(
        "[storage.dark]\nurl = \"s3://{bucket}/{prefix}\"\nendpoint = \"http://{host}\"\ncredential = \"s3\"\n\
         [credential.s3]\naccess_key_id = \"mule\"\nsecret_access_key = {{ file = \"secret\" }}\n"
    );
    let site = Site::of("bucket", "storage = \"dark\"", &more);
    site.write("secret", &secret);
    let (large, small) = bundles();
    let send = |bundle: &str| {
        let from = dir().join(bundle).parent().unwrap().to_owned();
        let sent = Command::new(&rclone)
            .args([
                "copy",
                "--config",
                "/dev/null",
                "--s3-provider",
                "Other",
                "--s3-endpoint",
                &format!("http://{host}"),
            ])
            .arg(from)
            .arg(format!(":s3:{bucket}/{prefix}"))
            .env("RCLONE_S3_ACCESS_KEY_ID", "mule")
            .env("RCLONE_S3_SECRET_ACCESS_KEY", &secret)
            .output()
            .unwrap();
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    };
    let mut watching = site.watch("state");
    for bundle in [small, large] {
        send(bundle);
        watching.wait_for("imported b sha256:");
        site.holds(bundle);
    }
    watching.term();
    assert_eq!(site.look(0), [0, 0, 0, 0, 1]);
}

#[test]
fn t9_a_bundle_arrives_in_a_directory_by_rclone() {
    let Some(rclone) = var("PACKMULE_TEST_RCLONE") else { return };
    let site = Site::new("rclone");
    let (large, _) = bundles();
    let from = dir().join(large).parent().unwrap().to_owned();
    let mut watching = site.watch("state");
    let mut sending = Command::new(rclone)
        .args(["copy", "--config", "/dev/null", "--bwlimit", "16M"])
        .args([from, site.path("in")])
        .spawn()
        .unwrap();
    watching.wait_for("imported b sha256:");
    assert!(sending.wait().unwrap().success());
    site.holds(large);
    watching.term();
    assert!(site.runs().iter().all(|run| run["state"] == "done"), "no run of half a bundle: {:?}", site.runs());
}
