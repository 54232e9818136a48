//! Container engines and helm pull through the cache: by the names of its rules, and by those of the
//! source through a mirror. The second time, the upstream is gone.

use super::hosts::address;
use super::serve_clients::{Process, says};
use super::serve_runtimes::{BUNDLE, Containerd, MIRRORED, chart, demo, engine, is_of_demo, mirror, pull_chart};
use super::served::Site;

/// Starts a cache with one rule, whose upstream is `upstream` under the name `host`.
fn cache(site: &Site, name: &str, host: &str, upstream: &str) -> Process {
    let config = format!(
        "[rule.{name}]\nsource = \"{host}/*\"\ntarget = \"{name}/*\"\nrefresh = \"1s\"\n\
         [registry.\"{host}\"]\nendpoint = \"http://{upstream}\"\nplain_http = true\n"
    );
    std::fs::write(site.dir.path().join("rules.toml"), config).unwrap();
    Process::start(site, &["--cache", "cache", "--config", "rules.toml", "--retries", "0"])
}

#[test]
fn c11_podman_and_buildah_pull_through_the_cache() {
    let site = demo();
    for variable in ["PACKMULE_TEST_PODMAN", "PACKMULE_TEST_BUILDAH"] {
        let Some(program) = address(variable) else { continue };
        drop(std::fs::remove_dir_all(site.dir.path().join("cache")));
        let upstream = Process::start(&site, &BUNDLE);
        let process = cache(&site, "hub", "docker.io", &upstream.host);
        let name = format!("{}/hub/library/tide:1.4", process.host);
        let id = engine(&program, &name);
        assert!(is_of_demo(&site, &id), "{variable}: {id}");
        drop(upstream);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(engine(&program, &name), id, "{variable}: the kept copy");
    }
}

#[test]
fn c11_containerd_pulls_through_the_cache_by_name_and_through_a_mirror() {
    let (Some(containerd), Some(ctr)) = (address("PACKMULE_TEST_CONTAINERD"), address("PACKMULE_TEST_CTR")) else {
        return;
    };
    let site = demo();
    let upstream = Process::start(&site, &BUNDLE);
    let process = cache(&site, "hub", "docker.io", &upstream.host);
    let name = format!("{}/hub/library/tide:1.4", process.host);
    let pull = |source: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        mirror(dir.path(), &process.host);
        let _running = Containerd::start(&containerd, dir.path());
        says(&ctr, source, dir.path());
        says(&ctr, &["-a", "s", "images", "list"], dir.path())
    };
    let by_name = ["-a", "s", "images", "pull", "--snapshotter", "native", "--plain-http", &name];
    assert!(pull(&by_name).contains(&name));
    // The mirror is asked under the source's own name, with `ns`.
    let by_mirror = [&MIRRORED[..], &["docker.io/library/tide:1.4"]].concat();
    assert!(pull(&by_mirror).contains("docker.io/library/tide:1.4"));
    drop(upstream);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(pull(&by_mirror).contains("docker.io/library/tide:1.4"), "the kept copy");
}

#[test]
fn c11_helm_pulls_a_chart_through_the_cache() {
    let Some(helm) = address("PACKMULE_TEST_HELM") else { return };
    let (site, dir) = (Site::new(), tempfile::tempdir().unwrap());
    let chart = chart(&site, &helm, dir.path());
    let upstream = Process::start(&site, &["oci:layout"]);
    let process = cache(&site, "far", "reg.example", &upstream.host);
    let name = format!("{}/far/charts/tide", process.host);
    assert!(pull_chart(&helm, &name, dir.path()) == chart.0);
    drop(upstream);
    std::fs::remove_dir_all(dir.path().join("out")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(pull_chart(&helm, &name, dir.path()) == chart.0, "the kept copy");
}
