//! The guard's report from outside: written by the confined program, and as a browser shows it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::strace::injected;
use super::world::{command, dir, fresh, text, var};

/// Makes a bundle of the demo's artifacts with hostile annotations; returns where its keys are.
fn bundle(test: &str) -> String {
    let name = fresh(test);
    let made = command(&["demo", &format!("{test}/demo")]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let evil = format!("note=<img src=x onerror=alert(1)>{}", "W".repeat(3000));
    let from = format!("from={}", "العربية \u{202e} ".repeat(9));
    let source = format!("oci:{test}/demo/source");
    let args = ["export", &source, "-o", &name, "--sign", "k.pem", "--annotation", &evil, "--annotation", &from];
    let made = command(&[&args[..], &["--annotation", "ticket=CHG-1042"]].concat()).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    name
}

fn verify(name: &str, args: &[&str], code: i32) -> String {
    let args = [&["verify", name, "--key", "k.pub.pem", "-v"][..], args].concat();
    let ended = command(&args).output().unwrap();
    assert_eq!(ended.status.code(), Some(code), "{}", text(&ended.stderr));
    text(&ended.stderr)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(dir().join(file)).unwrap()
}

/// The confined program writes to its reports, which it opened before, and to nothing else.
#[test]
fn p7_a_confined_guard_writes_its_reports_and_nothing_else() {
    let name = bundle("report-walls");
    let (html, json) = ("report-walls/r.html", "report-walls/r.json");
    let told = verify(&name, &["--report", html, "--report", json], 0);
    assert!(told.contains("landlock") && told.contains("seccomp"), "{told}");
    assert!(read(html).contains("PASS") && read(json).contains("\"verdict\":\"PASS\""));
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let trace = dir().join("report.trace");
    let filter = "trace=%file,seccomp,landlock_restrict_self";
    let ended = Command::new(strace)
        .args(["-f", "-qq", "-e", filter, "-e", "signal=none", "-o"])
        .arg(&trace)
        .args([env!("CARGO_BIN_EXE_packmule"), "verify", &name, "--key", "k.pub.pem", "--report", html])
        .env_clear()
        .current_dir(dir())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let trace = std::fs::read_to_string(trace).unwrap();
    let writes =
        |line: &&str| ["O_RDWR", "O_WRONLY", "O_CREAT", "rename", "unlink"].iter().any(|word| line.contains(word));
    let writes: Vec<&str> = trace.lines().filter(writes).collect();
    assert!(!writes.is_empty() && writes.iter().all(|line| line.contains(html)), "{writes:?}");
    let at =
        |what: &str| trace.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {trace}"));
    assert!(at(html) < at("seccomp(") && at("seccomp(") < at("report-walls/b.json"), "{trace}");
}

/// A stream is read once: the content of its documents is kept as they pass.
#[test]
fn a_stream_has_the_same_report() {
    let name = bundle("report-stream");
    verify(&name, &["--report", "report-stream/r.json"], 0);
    let mut cat = command(&["cat", &name]).stdout(Stdio::piped()).spawn().unwrap();
    let ended = command(&["verify", "-", "--key", "k.pub.pem", "--report", "report-stream/s.json"])
        .stdin(cat.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(cat.wait().unwrap().success() && ended.status.success(), "{}", text(&ended.stderr));
    let parse = |file: &str| {
        let mut value: serde_json::Value = serde_json::from_str(&read(file)).unwrap();
        value.as_object_mut().unwrap().remove("written");
        value
    };
    assert_eq!(parse("report-stream/r.json"), parse("report-stream/s.json"));
    assert_eq!(parse("report-stream/s.json")["contents"]["read"], true);
}

/// Opens a page in chromium; returns the answer that a script put next to it writes into the title.
fn chromium(program: &str, harness: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let ended = Command::new(program)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=10000", "--window-size=1600,1200", "--dump-dom"])
        .arg(format!("file://{}", harness.display()))
        .output()
        .unwrap();
    let dom = text(&ended.stdout);
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    title.unwrap_or_else(|| panic!("{dom}{}", text(&ended.stderr))).to_owned()
}

/// Whatever the annotations, a page never overflows its screen at any width, and nothing of it runs
/// or is loaded.
#[test]
fn m12_no_page_is_wider_than_its_screen() {
    let Some(program) = var("PACKMULE_TEST_CHROMIUM") else { return };
    let name = bundle("report-shown");
    verify(&name, &["--report", "report-shown/pass.html"], 0);
    let strange =
        ["verify", &name, "--key", "report-shown/demo/keys/anna.pub.pem", "--report", "report-shown/refused.html"];
    assert_eq!(command(&strange).output().unwrap().status.code(), Some(13));
    let plain = ["inspect", &name, "--report", "report-shown/plain.html"];
    assert!(command(&plain).output().unwrap().status.success());
    let (side, layout) = (format!("./{name}"), "oci:report-shown/demo/source");
    let differ = ["diff", &side, layout, "--content", "--report", "report-shown/place.html"];
    assert!(command(&differ).output().unwrap().status.success());
    std::fs::create_dir_all(dir().join("report-shown/other/blobs/sha256")).unwrap();
    std::fs::write(dir().join("report-shown/other/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    std::fs::write(dir().join("report-shown/other/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    let differ = ["diff", &side, "oci:report-shown/other", "--check", "--report", "report-shown/differ.html"];
    assert_eq!(command(&differ).output().unwrap().status.code(), Some(15));
    for page in ["pass", "refused", "plain", "place", "differ"] {
        let frames: String = [320, 390, 768, 1280]
            .iter()
            .map(|width| format!("<iframe src={page}.html style='width:{width}px;height:800px;border:0'></iframe>"))
            .collect();
        let script = "onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>{const d=f.contentDocument;\
            return [d.documentElement.scrollWidth<=f.clientWidth,d.querySelectorAll('h2').length>0,\
            d.querySelectorAll('script,img,link,iframe,object,a').length,d.querySelector('h1').innerText.length>3,\
            getComputedStyle(d.querySelector('main')).maxWidth!='none'].join()}).join(' ')}";
        let harness = dir().join(format!("report-shown/{page}-harness.html"));
        std::fs::write(&harness, format!("<!doctype html><title>-</title>{frames}<script>{script}</script>")).unwrap();
        let shown = chromium(&program, &harness);
        assert_eq!(shown, ["true,true,0,true,true"; 4].join(" "), "{page}");
    }
}

/// Killed, or with a full disk, at any call that writes it: the page says that there is no verdict,
/// or is complete.
#[test]
fn p2_x5_a_page_that_was_not_finished_has_no_verdict() {
    let Some(strace) = var("PACKMULE_TEST_STRACE") else { return };
    let name = bundle("report-killed");
    let (html, json) = ("report-killed/r.html", "report-killed/r.json");
    let args = ["verify", &name, "--key", "k.pub.pem", "--report", html, "--report", json];
    for what in ["signal=KILL", "error=ENOSPC"] {
        let mut seen = [0; 2];
        for call in ["write", "fsync", "lseek"] {
            for nth in 1..30 {
                for file in [html, json] {
                    drop(std::fs::remove_file(dir().join(file)));
                }
                let (code, told) = injected(&strace, call, what, nth, &args);
                let place = format!("{call} {nth} {what}: {code:?} {told}");
                if let Ok(page) = std::fs::read_to_string(dir().join(html)).map(|page| page.replace('\0', "")) {
                    // The content of an open comment is not shown.
                    let shown = page.split("<!--").enumerate().filter(|(at, _)| *at != 2).map(|(_, part)| part);
                    let shown: String = if page.contains("NO VERDICT</h1>") { shown.collect() } else { page.clone() };
                    let is_whole = shown.contains("PASS</h1>") && page.ends_with("</html>\n");
                    seen[usize::from(is_whole)] += 1;
                    let is_none = !shown.contains("PASS") && (shown.contains("NO VERDICT") || page.is_empty());
                    assert!(is_whole || is_none, "{place}: {page}");
                }
                if let Ok(page) = std::fs::read_to_string(dir().join(json)) {
                    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&page);
                    let said = parsed.ok().map(|page| (page["verdict"].clone(), page["ok"].clone()));
                    let none = Some(("NONE".into(), false.into()));
                    assert!(
                        said.is_none() || said == none || said == Some(("PASS".into(), true.into())),
                        "{place}: {page}"
                    );
                }
                if code == Some(0) {
                    break;
                }
            }
        }
        assert!(seen[0] > 1 && seen[1] > 0, "{what}: {seen:?}");
    }
}
