//! Bundles in a container of Azure, from outside: the built binary with access signatures from a
//! file, against the emulator.

use std::sync::Mutex;

use super::azurite::{Emulated, hours, minutes};
use super::proxy;
use super::sites::{Site, reads, removes, writes};
use super::world::var;

/// A site with a container.
struct Azure {
    site: Site,
    emulated: Emulated,
}

impl Azure {
    /// Makes the site; the layout has an image of `size` bytes.
    fn new(test: &str, size: usize) -> Option<Self> {
        let emulated = Emulated::new(var)?;
        let made = Self { site: Site::new(&format!("azure-{test}"), size, Vec::new()), emulated };
        made.configure(&made.emulated.address());
        made.give(&made.emulated.sas("rwla"));
        Some(made)
    }

    /// Names the container by `url`.
    fn configure(&self, url: &str) {
        self.site.write("packmule.toml", &format!("[storage.low]\nurl = \"{url}/apps\"\nsas = {{ file = \"sas\" }}\n"));
    }

    /// Writes the signature that the next runs use.
    fn give(&self, sas: &str) {
        let (_, signature) = sas.trim().rsplit_once("sig=").unwrap();
        let decoded = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        for part in [signature, &decoded, &decoded[..12]] {
            self.site.hide(part);
        }
        self.site.write("sas", &format!("{sas}\n"));
    }

    fn ask(&self, rest: &str) -> String {
        self.emulated.request("GET", rest, &self.emulated.sas("rl"), b"")
    }

    /// Returns the ids and sizes of an object's blocks of a kind.
    fn blocks(&self, name: &str, kind: &str) -> Vec<(String, u64)> {
        let list = self.ask(&format!("/apps/{name}?comp=blocklist&blocklisttype={kind}"));
        let between = |text: &str, tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let blocks = list.split("<Block>").skip(1);
        blocks.map(|text| (between(text, "Name").unwrap(), between(text, "Size").unwrap().parse().unwrap())).collect()
    }
}

#[test]
fn t13_t17_a_bundle_goes_through_a_container_of_azure() {
    let Some(azure) = Azure::new("round", 40_000_000) else { return };
    let site = &azure.site;
    // Without the right to remove.
    writes(site);
    azure.give(&format!("?{}", azure.emulated.sas("rl")));
    reads(site);
    assert!(site.run(&["rm", "storage:low/b", "-vv"], 21).contains("the right d"));
    azure.give(&azure.emulated.sas("rwld"));
    removes(site);
}

#[test]
fn t14_wrong_signatures_end_a_run_before_the_first_byte() {
    let Some(azure) = Azure::new("rights", 100_000) else { return };
    let (site, emulated) = (&azure.site, &azure.emulated);
    let bundle = site.exported();
    let (read, write) =
        (["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], ["upload", &bundle, "storage:low", "-vv"]);
    for (sas, args, code, part) in [
        (emulated.sas("rl"), &write[..], 21, "the right w"),
        (emulated.sas("wa"), &read, 20, "the right r"),
        (emulated.sas_until("rl", &hours(-1)), &read, 20, "it ended at"),
        (emulated.sas_until("rwla", &hours(-1)), &write, 21, "it ended at"),
        (emulated.account_sas("b", "sco", "rwl", "https"), &write, 21, "only for https"),
        (emulated.account_sas("q", "s", "rwl", ""), &write, 21, "the blob service (ss); objects (srt)"),
    ] {
        azure.give(&sas);
        let told = site.run(args, code);
        assert!(told.contains(part), "{part}: {told}");
    }
    let list = azure.ask("?restype=container&comp=list");
    assert!(!list.contains("<Name>"), "nothing was sent: {list}");
}

#[test]
fn t14_expiry_warned_where_a_run_takes_longer() {
    let Some(azure) = Azure::new("expiry", 30_000_000) else { return };
    let site = &azure.site;
    let bundle = site.exported();
    site.run(&["upload", &bundle, "storage:low"], 0);
    azure.give(&azure.emulated.sas_until("rwla", &minutes(20)));
    // At this rate they take 50 minutes.
    let host = azure.emulated.address();
    let host = host.split('/').nth(2).unwrap();
    let slow = format!("[registry.\"{host}\"]\nlimit_rate = \"10KiB/s\"\n");
    azure.configure(&azure.emulated.address());
    let config = std::fs::read_to_string(site.path("packmule.toml")).unwrap();
    site.write("packmule.toml", &(config + &slow));
    let export = site.export(&[]);
    let export: Vec<&str> = export.iter().map(String::as_str).collect();
    let into = format!("oci:{}", site.arg("site"));
    std::fs::create_dir_all(site.path("down")).unwrap();
    for args in [
        &export[..],
        &["upload", &bundle, "storage:low/other"],
        &["verify", "storage:low/b", "--key", "k.pub.pem"],
        &["import", "storage:low/b", "--key", "k.pub.pem", "--to", &into],
        &["download", "storage:low/b", &site.arg("down")],
    ] {
        let line = site.first_line(args, "the shared access signature ends at");
        assert!(line.contains("MiB at 10.0 KiB/s take longer"), "{args:?}: {line}");
    }
}

#[test]
fn t17_an_upload_that_is_killed_goes_on() {
    let Some(azure) = Azure::new("killed", 80_000_000) else { return };
    let site = &azure.site;
    let bundle = site.exported();
    let rest = "?restype=container&comp=list&include=uncommittedblobs";
    site.killed(&["upload", &bundle, "storage:low", "--limit-rate", "10MiB/s"], || azure.ask(rest).contains("<Name>"));
    let done = site.json(&["upload", &bundle, "storage:low"], 0);
    let number = |name: &str| done[name].as_u64().unwrap();
    assert!(number("sent") < number("bytes"), "{done}");
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem"], 0);
}

/// Blocks end where frames end, and none of those that are there is sent again, neither by the same
/// export nor by an upload of the same bundle from elsewhere.
#[test]
fn t17_an_export_that_is_killed_sends_no_block_again() {
    let Some(azure) = Azure::new("export-killed", 80_000_000) else { return };
    let site = &azure.site;
    let export = site.export(&["--level", "0", "--limit-rate", "12MiB/s"]);
    let export: Vec<&str> = export.iter().map(String::as_str).collect();
    let volume = "e.0001.tar.zst";
    site.killed(&export, || azure.blocks(volume, "uncommitted").len() > 1);
    let there = azure.blocks(volume, "uncommitted");
    // Blocks that the killed run sent are looked for, so they are not among those that pass here.
    let sent: &'static Mutex<Vec<String>> = Box::leak(Box::default());
    let upstream = azure.emulated.address();
    let host = upstream.split('/').nth(2).unwrap();
    let counting = proxy::start(host, |request| {
        if request.method == "PUT" && request.path.contains("comp=block&") {
            sent.lock().unwrap().push(request.path.clone());
        }
        None
    });
    azure.configure(&upstream.replace(host, &counting.host));
    site.run(&export[..export.len() - 2], 0);
    let sizes: Vec<u64> = azure.blocks(volume, "committed").iter().map(|block| block.1).collect();
    let ids: Vec<String> = sent.lock().unwrap().clone();
    assert_eq!(ids.len(), sizes.len() - there.len(), "{ids:?}, there were {there:?}");
    for (id, _) in &there {
        let encoded = id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        assert!(!ids.iter().any(|path| path.contains(id) || path.contains(&encoded)), "{id} was sent again: {ids:?}");
    }
    let down = site.arg("down");
    std::fs::create_dir_all(site.path("down")).unwrap();
    site.run(&["download", "storage:low/e", &down], 0);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(site.path("down/e.json")).unwrap()).unwrap();
    let frames: Vec<u64> = ends(&manifest);
    let blocks: Vec<u64> = sizes
        .iter()
        .scan(0, |end, size| {
            Some({
                *end += size;
                *end
            })
        })
        .collect();
    assert!(blocks.len() > 3 && blocks.iter().all(|end| frames.contains(end)), "{blocks:?} {frames:?}");
    // The bundle that was downloaded makes the same blocks.
    let config = std::fs::read_to_string(site.path("packmule.toml")).unwrap();
    site.write("packmule.toml", &config.replace("/apps", "/apps2"));
    site.run(&["upload", &site.arg("down/e"), "storage:low"], 0);
    let names = |list: &str| -> Vec<String> {
        list.split("<Name>").skip(1).map(|rest| rest.split_once('<').unwrap().0.to_owned()).collect()
    };
    let list = |folder: &str| names(&azure.ask(&format!("/{folder}/{volume}?comp=blocklist&blocklisttype=committed")));
    assert_eq!(list("apps"), list("apps2"));
}

/// Returns the ends of the frames in the only volume of a manifest.
fn ends(manifest: &serde_json::Value) -> Vec<u64> {
    let mut end = 0;
    let frames = manifest["frames"].as_array().unwrap();
    let of = |frame: &serde_json::Value| {
        // A stored frame: header, raw blocks of 128 KiB with three bytes each, and a checksum.
        let plain = frame["plain"].as_u64().unwrap();
        frame["size"].as_u64().unwrap_or_else(|| plain + stored_overhead(plain))
    };
    frames
        .iter()
        .map(|frame| {
            end += of(frame);
            end
        })
        .collect()
}

fn stored_overhead(plain: u64) -> u64 {
    packmule::bundle::format::frame::stored_size(plain) - plain
}

#[test]
fn t13_account_keys_read_and_write_and_are_checked() {
    let Some(azure) = Azure::new("key", 100_000) else { return };
    let site = &azure.site;
    let address = azure.emulated.address();
    site.write("key", &azure.emulated.key);
    site.hide(&azure.emulated.key);
    let config = |name: &str| {
        format!(
            "[storage.low]\nurl = \"{address}/apps\"\ncredential = \"id\"\n[credential.id]\naccount_key = {{ file = \"{name}\" }}\n"
        )
    };
    site.write("packmule.toml", &config("key"));
    let bundle = site.exported();
    site.run(&["upload", &bundle, "storage:low", "-vv"], 0);
    site.run(&["verify", "storage:low/b", "--key", "k.pub.pem", "-vv"], 0);
    let told = site.run(&["credential", "check", "id", "-vv"], 0);
    assert!(told.contains("ok         storage right: storage low: list"), "{told}");
    site.write("other", "Y2FuYXJ5LWtleQ==");
    site.hide("Y2FuYXJ5LWtleQ==");
    site.write("packmule.toml", &config("other"));
    let told = site.run(&["credential", "check", "id", "-vv"], 20);
    assert!(
        told.contains("REFUSED    storage right: storage low: list") && told.contains("does not accept the login"),
        "{told}"
    );
}
