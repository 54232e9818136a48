//! The page of a server in a browser: on a phone and on a desk, with a cache and its rules, and with
//! names and texts that are meant to break it.

use std::path::Path;
use std::process::Command;

use packmule::content::Destination as _;
use packmule::layout::Layout;
use packmule::oci::{Document, Repository, Tag, media_type};

use super::hosts::{Bytes, address, content};
use super::serve_clients::Process;
use super::served::{Site, put};
use super::server::{Server, reply};

const EVIL: &str =
    "<script>document.title='caught'</script><img src=x onerror=\"document.title='caught'\">'\"&\u{202e}";

/// Opens an address in a browser; returns its document afterwards.
fn chromium(program: &str, address: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let ended = Command::new(program)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=10000", "--window-size=1600,1200", "--dump-dom", address])
        .output()
        .unwrap();
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// Puts an artifact whose every free text is evil, under the longest names.
fn evil(layout: &Layout) {
    let long = format!("reg.example/{}", ["a".repeat(63).as_str(); 3].join("/"));
    let repository = Repository::exact(&long).unwrap();
    let (config, layer) = (Bytes(b"{\"evil\":1}".to_vec()), content(33, 5));
    for blob in [&config, &layer] {
        layout.put_blob(&repository, &blob.descriptor(), blob).unwrap();
    }
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": EVIL,
        "config": config.descriptor(), "layers": [layer.descriptor()],
        "annotations": {"org.opencontainers.image.title": EVIL},
    });
    let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
    layout.put_manifest(&repository, &document).unwrap();
    let mut child = serde_json::to_value(document.descriptor()).unwrap();
    child["platform"] = serde_json::json!({"os": EVIL, "architecture": "x".repeat(300)});
    let json = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [child]});
    let index = Document::parse(media_type::OCI_INDEX, json.to_string().into_bytes()).unwrap();
    layout.put_manifest(&repository, &index).unwrap();
    layout.set_tag(&repository, &Tag::new("1").unwrap(), &document).unwrap();
    let many: Vec<String> = (0..30).map(|number| format!("t{number}-{}", "x".repeat(100))).collect();
    many.iter().for_each(|tag| layout.set_tag(&repository, &Tag::new(tag).unwrap(), &index).unwrap());
}

/// A server of the site, of a layout of evil, and of rules whose upstreams fail with evil texts.
fn served(site: &Site) -> (Process, Server) {
    let dir = site.dir.path().join("<b>oci&'dir\u{202e}");
    let layout = Layout::create(&dir).unwrap();
    evil(&layout);
    put(&layout, "reg.example/plain", &["1"], b"{\"b\":2}", &content(10, 9));
    layout.finish().unwrap();
    drop(layout);
    let told = serde_json::json!({"errors": [{"code": "DENIED", "message": EVIL}]}).to_string();
    let upstream = Server::start(move |_, _| reply(400, told.clone()).with("Content-Type", "application/json"));
    let config = format!(
        "[credential.{evil:?}]\nusername = \"u\"\npassword = {{ env = \"NONE\" }}\n\
         [rule.down]\nsource = \"{host}/*\"\ntarget = \"down/*\"\n\
         [rule.asked]\nsource = \"quay.io/{long}/*\"\ntarget = \"{long}/*\"\ncredential = {evil:?}\n",
        evil = "<b>'&\"",
        host = upstream.host,
        long = "b".repeat(120),
    );
    std::fs::write(site.dir.path().join("rules.toml"), config).unwrap();
    let place = format!("oci:{}", dir.file_name().unwrap().to_str().unwrap());
    let args = ["oci:layout", &place, "--cache", "cache", "--config", "rules.toml", "--retries", "0"];
    let process = Process::start(site, &args);
    Command::new("curl")
        .args(["-s", "-o", "/dev/null", &format!("http://{}/v2/down/x/manifests/1", process.host)])
        .status()
        .unwrap();
    (process, upstream)
}

/// The text of every element of a kind in a dumped document.
fn elements<'a>(dom: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut found = Vec::new();
    for part in dom.split(&open[..]).skip(1) {
        let Some((_, rest)) = part.split_once('>').filter(|(head, _)| head.is_empty() || head.starts_with(' ')) else {
            continue;
        };
        found.push(rest.split(&close[..]).next().unwrap_or_default());
    }
    found
}

#[test]
fn c14_the_page_with_rules_and_hostile_names_is_text_in_a_browser() {
    let Some(program) = address("PACKMULE_TEST_CHROMIUM") else { return };
    let site = Site::new();
    let (process, _upstream) = served(&site);
    let dom = chromium(&program, &format!("http://{}/", process.host));
    let titles = elements(&dom, "title");
    assert!(titles.len() == 1 && titles[0].ends_with("packmule serve"), "{titles:?}");
    for forbidden in ["script", "img", "iframe", "object", "form", "input", "link"] {
        assert!(elements(&dom, forbidden).is_empty(), "{forbidden}");
    }
    let links: Vec<&str> = dom.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(links, ["/healthz", "/metrics"]);
    let repositories = elements(&dom, "h3");
    for name in ["down", "asked", "org/app", "library/base", "plain"] {
        assert!(repositories.contains(&name), "{name}: {repositories:?}");
    }
    assert!(elements(&dom, "h2").iter().any(|one| one.contains("&lt;b&gt;oci&amp;'dir")), "{:?}", elements(&dom, "h2"));
    assert!(!dom.contains('\u{202e}'), "no text changes its direction");
    assert!(dom.contains("\\u{202e}"), "it is shown");
    assert!(dom.contains("&lt;script&gt;document.title"), "as text");
    // The rules: one failing with what its upstream said, one not asked; no secret, and nothing to press.
    let rules = &dom[dom.find("Cache rules").unwrap()..dom.find("<h2>Contents").unwrap()];
    assert!(rules.contains("failing") && rules.contains("not asked yet") && rules.contains("&lt;b&gt;"), "{rules}");
}

#[test]
fn c14_the_page_is_never_wider_than_a_phone_or_a_desk() {
    let Some(program) = address("PACKMULE_TEST_CHROMIUM") else { return };
    let site = Site::new();
    let (process, _upstream) = served(&site);
    let dir = site.dir.path();
    let saved = |name: &str| dir.join(name).display().to_string();
    let fetched = Command::new("curl")
        .args(["-s", "-o", &saved("page.html"), &format!("http://{}/", process.host)])
        .status()
        .unwrap();
    assert!(fetched.success());
    let frames: String = [320, 390, 768, 1280]
        .iter()
        .map(|width| format!("<iframe src=page.html style='width:{width}px;height:800px;border:0'></iframe>"))
        .collect();
    let script = "onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>{const d=f.contentDocument;\
        d.querySelectorAll('details').forEach(one=>one.open=true);\
        const bad=[...d.querySelectorAll('*')].flatMap(e=>[...e.attributes]).filter(a=>a.name.startsWith('on')||a.name=='src');\
        return [d.documentElement.scrollWidth<=f.clientWidth,bad.length,d.querySelectorAll('article').length>4].join()}).join(' ')}";
    std::fs::write(
        dir.join("harness.html"),
        format!("<!doctype html><title>-</title>{frames}<script>{script}</script>"),
    )
    .unwrap();
    let dom = chromium(&program, &format!("file://{}", Path::new(&saved("harness.html")).display()));
    assert_eq!(elements(&dom, "title"), [["true,0,true"; 4].join(" ")]);
}
