//! `cargo xtask test`: everything that is checked before a change lands, in one run.
//!
//! Standard output ends in cargo test's own closing lines; stages and their durations go to standard error.

use crate::install::{self, Tools};
use crate::services::{self, Services};
use crate::shell::{self, Failed};
use crate::{corpus, guard, tidy, vectors};
use std::path::{Path, PathBuf};

/// What is checked and tested: the ordinary program and PKCS#11, in one build.
const FEATURES: [&str; 2] = ["--features", "packmule/pkcs11"];

/// Formatting, tidiness, generated vectors and lints, then the corpus, the registries, and all tests; `args` go to `cargo test`.
pub fn run(root: &Path, args: &[&str]) -> Result<(), Failed> {
    let cargo = |words: &[&str]| shell::run(shell::command("cargo").current_dir(root).args(words));
    shell::stage("format", || cargo(&["fmt", "--all", "--check"]))?;
    shell::stage("tidy", || tidy::run(root))?;
    shell::stage("vectors", || vectors::run(root, true))?;
    // The downloads of the one side and the compiler of the other hardly meet.
    let (built, prepared) = std::thread::scope(|scope| {
        let prepared = scope.spawn(prepare);
        let built = shell::stage("clippy", || {
            let lint = ["clippy", "--quiet", "--workspace", "--all-targets"];
            cargo(&[&lint[..], &FEATURES, &["--", "-D", "warnings"]].concat())
        })
        .and_then(|()| shell::stage("clippy of the small builds", || guard::lint(root)))
        .and_then(|()| {
            let tests = ["test", "--quiet", "--workspace", "--no-run"];
            shell::stage("build", || cargo(&[&tests, &FEATURES[..], args].concat()))
        });
        (built, prepared.join().unwrap_or_else(|_| Err(Failed::new("preparation: worker panicked"))))
    });
    built?;
    let (tools, layout) = prepared?;
    shell::stage("second verifier", || second(root, &tools))?;
    let guard = shell::stage("guard build", || guard::build(root))?;
    // From this thread, which stays: the services are tied to it.
    let mut services = shell::stage("services", || services::start(&tools))?;
    seed(&mut services, &tools, layout.as_deref())?;
    let mut tests = shell::command("cargo");
    tests.current_dir(root).args(["test", "--workspace"]).args(FEATURES).args(args);
    tests.env("PACKMULE_TEST_GUARD", guard.unwrap_or_else(|| "none".into()));
    tests.envs(services.vars.iter().map(|(name, value)| (name, value)));
    shell::run(&mut tests)
}

/// The second verifier on every vector: it must say what each expects.
fn second(root: &Path, tools: &Tools) -> Result<(), Failed> {
    let python = match tools.get("python3") {
        Ok(python) => python,
        Err(e) => return install::missing("second verifier", &e),
    };
    let mut verifier = shell::command(python);
    verifier.current_dir(root).args(["spec/verify.py", "--vectors", "testdata/vectors"]);
    shell::run(&mut verifier)
}

/// `cargo xtask services`: the same registries, seeded in the same way, until told to stop.
pub fn serve() -> Result<(), Failed> {
    let (tools, layout) = prepare()?;
    services::run(&tools, |services| seed(services, &tools, layout.as_deref()))
}

/// Programs and corpus; no corpus where it cannot be made and nothing demands it.
fn prepare() -> Result<(Tools, Option<PathBuf>), Failed> {
    let tools = shell::stage("install", install::all)?;
    match shell::stage("corpus", || corpus::test(&tools)) {
        Ok(layout) => Ok((tools, Some(layout))),
        Err(e) => install::missing("corpus", &e).map(|()| (tools, None)),
    }
}

/// Fills the first registry with the corpus and names both for the tests.
fn seed(services: &mut Services, tools: &Tools, layout: Option<&Path>) -> Result<(), Failed> {
    let Some(layout) = layout else { return Ok(()) };
    services.set("PACKMULE_TEST_CORPUS", layout.display().to_string());
    let Some(host) = services.var("PACKMULE_TEST_DISTRIBUTION").map(str::to_owned) else { return Ok(()) };
    match shell::stage("seed", || corpus::seed::push(tools, layout, &host)) {
        Ok(()) => services.set("PACKMULE_TEST_SOURCE", host),
        Err(e) => install::missing("PACKMULE_TEST_SOURCE", &e)?,
    }
    Ok(())
}
