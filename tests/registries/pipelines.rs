//! A month of exports and imports between two registries that never meet, by two pipelines and nothing
//! else: through a container of Azure and through a bucket of S3.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use packmule::content::Inventory as _;
use packmule::oci::{Repository, Tag};

use super::azurite::Emulated;
use super::hosts::{address, anonymous};

/// Writes a file that nobody else may read.
fn write(dir: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
    std::fs::write(dir.join(name), text).unwrap();
    std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs packmule with one side's configuration and state. No output may contain `secrets`.
fn run(dir: &Path, side: &str, args: &[&str], secrets: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packmule"));
    command.args(args).args(["--state", &format!("{side}/state"), "-vv"]);
    if args[0] == "pipeline" {
        command.args(["--config", &format!("{side}/packmule.toml")]);
    }
    let done = command.current_dir(dir).env_clear().env("HOME", dir.join(side)).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{args:?}: {told}");
    for secret in secrets {
        assert!(!told.contains(secret), "{args:?} shows a secret: {told}");
    }
    told
}

/// Six months. `low` and `dark` are the `[storage.x]` tables of the two sides, whose secret files are
/// `low/secret` and `dark/secret`.
fn months(test: &str, (low, low_secret): (&str, &str), (dark, dark_secret): (&str, &str)) {
    let names = ["PACKMULE_TEST_DISTRIBUTION", "PACKMULE_TEST_DOCKER_REGISTRY"];
    let [Some(source), Some(site)] = names.map(address) else { return };
    let (folder, prefix) = (tempfile::tempdir().unwrap(), format!("t{}/{test}", std::process::id()));
    let dir = folder.path();
    let secrets = [low_secret, dark_secret, "canary-release", "canary-site"];
    for side in ["low", "dark"] {
        for made in ["state", "stage", "receipts"] {
            std::fs::create_dir_all(dir.join(side).join(made)).unwrap();
        }
    }
    write(dir, "low/secret", low_secret);
    write(dir, "dark/secret", dark_secret);
    write(dir, "low/pass", "canary-release\n");
    write(dir, "dark/pass", "canary-site\n");
    for (side, key) in [("low", "release"), ("dark", "site")] {
        let (key, pass) = (format!("{side}/{key}.pem"), format!("{side}/pass"));
        run(dir, side, &["key", "new", "-o", &key, "--passphrase-file", &pass], &secrets, 0);
    }
    run(dir, "low", &["key", "new", "-o", "low/second.pem", "--no-passphrase"], &secrets, 0);
    write(
        dir,
        "low/packmule.toml",
        &format!(
            "[storage]\n{low}\n[export.monthly]\nstorage = \"low\"\nstage = \"stage\"\nchannel = \"apps\"\n\
             base = \"last\"\nexpires = \"35d\"\nsign = \"release.pem\"\npassphrase = {{ file = \"pass\" }}\n\
             release = {{ signatures = 2, repositories = [\"{source}/{prefix}/*\"] }}\n\
             artifacts = [{{ ref = \"{source}/{prefix}/app:*\" }}]\n"
        ),
    );
    write(
        dir,
        "dark/trust.toml",
        "[key]\nrelease = { public = \"../low/release.pub.pem\", holder = \"desk\", role = \"release\" }\nsecond = { public = \"../low/second.pub.pem\", holder = \"guard\", role = \"guard\" }\n\
         [channel.apps]\nkeys = [\"release\", \"second\"]\n",
    );
    write(
        dir,
        "dark/packmule.toml",
        &format!(
            "[storage]\n{dark}\n[import.dark]\nstorage = \"dark\"\nto = \"{site}/{prefix}\"\npolicy = \"trust.toml\"\n\
             map = [\"{source}/{prefix}/*=apps/*\"]\ntag_conflict = \"move\"\ndelete_source = true\n\
             receipt = {{ dir = \"receipts\", sign = \"site.pem\", passphrase = {{ file = \"pass\" }}, emit = {{ images = \"emitted\" }} }}\n"
        ),
    );
    let client = anonymous();
    let at = |host: &str, path: &str| Repository::new(host, &format!("{prefix}/{path}")).unwrap();
    for month in 1..=6_u32 {
        let (name, tag) = (format!("apps-{month}"), Tag::new(&month.to_string()).unwrap());
        // The developers' own work: one more artifact.
        write(dir, &format!("app-{month}"), &"x".repeat(50_000 + month as usize));
        let taken = [format!("file:app-{month}"), format!("app:{month}")];
        let to = format!("{source}/{prefix}");
        run(dir, "low", &["copy", &taken[0], "--to", &to, "--as", &taken[1]], &secrets, 0);
        let start: &[&str] = if month == 1 { &["--init-state"] } else { &[] };
        if month == 1 {
            assert!(run(dir, "low", &["pipeline", "check", "monthly"], &secrets, 0).contains("good "));
            run(dir, "dark", &["pipeline", "check", "dark"], &secrets, 0);
        }
        let export = [&["pipeline", "run", "monthly"][..], start].concat();
        let waiting = run(dir, "low", &export, &secrets, 15);
        assert!(waiting.contains(&format!("sign {}", dir.join("low/stage").join(&name).display())), "{waiting}");
        run(dir, "dark", &["pipeline", "run", "dark", "--name", &name], &secrets, 20);
        let staged = format!("low/stage/{name}");
        run(dir, "low", &["sign", &staged, "--sign", "low/second.pem"], &secrets, 0);
        run(dir, "low", &["pipeline", "run", "monthly"], &secrets, 0);
        let import = [&["pipeline", "run", "dark", "--name", &name][..], start].concat();
        run(dir, "dark", &import, &secrets, 0);
        for earlier in 1..=month {
            let tag = Tag::new(&earlier.to_string()).unwrap();
            let [there, here] =
                [at(&source, "app"), at(&site, "apps/app")].map(|name| client.registries.tag(&name, &tag).unwrap());
            assert!(there.is_some() && there == here, "{month} {earlier}: {there:?} {here:?}");
        }
        assert!(client.registries.tag(&at(&site, "apps/app"), &tag).unwrap().is_some());
        // It left nothing behind: deleted, and not imported twice.
        run(dir, "dark", &["pipeline", "run", "dark", "--name", &name], &secrets, 20);
        assert_eq!(std::fs::read_dir(dir.join("low/stage")).unwrap().filter(is_bundles).count(), 0);
    }
    let runs = run(dir, "dark", &["runs", "list", "--json"], &secrets, 0);
    assert_eq!(runs.matches("\"state\":\"done\"").count(), 6, "{runs}");
    let emitted = std::fs::read_dir(dir.join("dark/emitted")).unwrap().count();
    assert!(emitted > 0);
}

fn is_bundles(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
    [".tar.zst", ".json", ".sha256"].iter().any(|end| name.ends_with(end))
}

#[test]
fn t3_t4_t7_t20_a_month_through_a_container_of_azure() {
    let Some(emulated) = Emulated::new(address) else { return };
    let url = emulated.address();
    let table = |name: &str| format!("{name} = {{ url = \"{url}/apps\", sas = {{ file = \"secret\" }} }}");
    // Exactly the rights that each side needs.
    let (low, dark) = (emulated.sas("rwla"), emulated.sas("rld"));
    months("azure", (&table("low"), &low), (&table("dark"), &dark));
}

#[test]
fn t3_t4_t7_t20_a_month_through_a_bucket() {
    let names = ["PACKMULE_TEST_S3", "PACKMULE_TEST_S3_BUCKET", "PACKMULE_TEST_S3_SECRET"];
    let [Some(host), Some(bucket), Some(secret)] = names.map(address) else { return };
    let prefix = format!("month-{}", std::process::id());
    let table = |name: &str| {
        format!(
            "{name} = {{ url = \"s3://{bucket}/{prefix}\", endpoint = \"http://{host}\", credential = \"s3\" }}\n\
             [credential.s3]\naccess_key_id = \"mule\"\nsecret_access_key = {{ file = \"secret\" }}"
        )
    };
    months("bucket", (&table("low"), &secret), (&table("dark"), &secret));
}
