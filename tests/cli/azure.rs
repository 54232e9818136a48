//! Bundles in a container of Azure, from outside: the built binary with access signatures from a
//! file, against the emulator.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::azurite::{Emulated, hours};
use super::shelf::Image;
use super::world::{command, dir, layout, text, var};

/// Returns `length` bytes that no compression makes smaller.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// A folder of a test with a configuration, a layout and a container.
struct Site {
    name: String,
    emulated: Emulated,
}

impl Site {
    /// Makes the folder; the layout has an image of `size` bytes.
    fn new(test: &str, size: usize) -> Option<Self> {
        let emulated = Emulated::new(var)?;
        let name = format!("azure/{test}");
        std::fs::create_dir_all(dir().join(&name)).unwrap();
        layout(&format!("{name}/layout"), &[Image::new(vec![content(size)])]);
        let made = Self { name, emulated };
        let url = made.emulated.address();
        let config = format!("[storage.low]\nurl = \"{url}/apps\"\nsas = {{ file = \"sas\" }}\n");
        std::fs::write(made.path("packmule.toml"), config).unwrap();
        made.give(&made.emulated.sas("rwla"));
        Some(made)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        dir().join(&self.name).join(name)
    }

    /// Writes the signature that the next runs use.
    fn give(&self, sas: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path("sas"), format!("{sas}\n")).unwrap();
        std::fs::set_permissions(self.path("sas"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let config = self.path("packmule.toml");
        let mut command = command(args);
        command.arg("--config").arg(config).env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Runs packmule, expects `code`, and that the signature is in no output; returns all output.
    fn run(&self, args: &[&str], code: i32) -> String {
        let output = self.command(args).output().unwrap();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{all}");
        let sas = std::fs::read_to_string(self.path("sas")).unwrap();
        let (_, signature) = sas.trim().rsplit_once("sig=").unwrap();
        let decoded = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        for part in [signature, &decoded, &decoded[..12]] {
            assert!(!all.contains(part), "{args:?}: the signature shows\n{all}");
        }
        all
    }

    fn export(&self) -> Vec<String> {
        let of = |name: &str| format!("{}/{name}", self.name);
        ["export", &format!("oci:{}", of("layout")), "-o", &of("out/b"), "--sign", "k.pem"]
            .map(ToOwned::to_owned)
            .to_vec()
    }

    fn exported(&self) -> String {
        std::fs::create_dir_all(self.path("out")).unwrap();
        let args = self.export();
        let output = command(&args.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        format!("{}/out/b", self.name)
    }
}

#[test]
fn t13_t17_a_bundle_goes_through_a_container_of_azure() {
    let Some(site) = Site::new("round", 40_000_000) else { return };
    let bundle = site.exported();
    site.run(&["upload", &bundle, "storage:low", "-vv"], 0);
    assert!(site.run(&["upload", &bundle, "storage:low", "--json"], 0).contains("\"sent\":0"));
    site.run(&["upload", &bundle, "storage:low", "--overwrite", "-vv"], 0);
    site.give(&format!("?{}", site.emulated.sas("rl")));
    site.run(&["ls", "storage:low", "-vv"], 0);
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], 0);
    site.run(&["inspect", "storage:low/b", "-vv"], 0);
    let into = format!("oci:{}/site", site.name);
    site.run(&["import", "storage:low/b", "--key", "k.pub.pem", "--to", &into, "-vv"], 0);
    let down = format!("{}/down", site.name);
    std::fs::create_dir_all(site.path("down")).unwrap();
    site.run(&["download", "storage:low/b", &down], 0);
    for name in std::fs::read_dir(site.path("out")).unwrap().map(|entry| entry.unwrap().file_name()) {
        let of = |folder: &str| std::fs::read(site.path(folder).join(&name)).unwrap();
        assert!(of("out") == of("down"), "{name:?}");
    }
    assert!(site.run(&["rm", "storage:low/b", "-vv"], 21).contains("the right d"));
    site.give(&site.emulated.sas("rwld"));
    site.run(&["rm", "storage:low/b", "-vv"], 0);
}

#[test]
fn t14_wrong_signatures_end_a_run_before_the_first_byte() {
    let Some(site) = Site::new("rights", 100_000) else { return };
    let bundle = site.exported();
    let (read, write) =
        (["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], ["upload", &bundle, "storage:low", "-vv"]);
    for (sas, args, code, part) in [
        (site.emulated.sas("rl"), &write[..], 21, "the right w"),
        (site.emulated.sas("wa"), &read, 20, "the right r"),
        (site.emulated.sas_until("rl", &hours(-1)), &read, 20, "it ended at"),
        (site.emulated.sas_until("rwla", &hours(-1)), &write, 21, "it ended at"),
        (site.emulated.account_sas("b", "sco", "rwl", "https"), &write, 21, "only for https"),
        (site.emulated.account_sas("q", "s", "rwl", ""), &write, 21, "the blob service (ss); objects (srt)"),
    ] {
        site.give(&sas);
        let told = site.run(args, code);
        assert!(told.contains(part), "{part}: {told}");
    }
    let list = site.emulated.request("GET", "?restype=container&comp=list", &site.emulated.sas("rl"), b"");
    assert!(!list.contains("<Name>"), "nothing was sent: {list}");
}

#[test]
fn t17_an_upload_that_is_killed_goes_on() {
    let Some(site) = Site::new("killed", 80_000_000) else { return };
    let bundle = site.exported();
    let mut run = site.command(&["upload", &bundle, "storage:low", "--limit-rate", "10MiB/s"]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let rest = "?restype=container&comp=list&include=uncommittedblobs";
    let has_begun = || site.emulated.request("GET", rest, &site.emulated.sas("rl"), b"").contains("<Name>");
    while !has_begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before a block was there");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = site.run(&["upload", &bundle, "storage:low", "--json"], 0);
    let done: serde_json::Value = serde_json::from_str(done.lines().next().unwrap()).unwrap();
    let number = |name: &str| done["result"][name].as_u64().unwrap();
    assert!(number("sent") < number("bytes"), "{done}");
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem"], 0);
}
