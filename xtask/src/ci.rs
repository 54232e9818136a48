//! Checks to run before a change lands: `quick` while working, `test` for everything, `sweep`
//! without strides.
//!
//! Standard output ends in the count of all tests. Stages, tests and their durations go to standard
//! error.

mod runner;

use crate::install::{self, Tools};
use crate::services::{self, Services};
use crate::shell::{self, Failed};
use crate::{corpus, guard, tidy, vectors};
use std::path::{Path, PathBuf};

/// Features that are checked and tested: the ordinary program and PKCS#11, in one build.
const FEATURES: [&str; 2] = ["--features", "packmule/pkcs11"];

/// Programs with unit tests. The model's library is compiled with loom's types, and its unit tests run with packmule.
const UNITS: [&str; 5] = ["--workspace", "--exclude", "model", "--lib", "--bins"];

/// Variable for tests that otherwise try only some of their cases.
const SWEEP: &str = "PACKMULE_TEST_SWEEP";

/// `cargo xtask quick`: format, tidy, lints, unit tests, and the vectors in process. Needs no
/// services and no installed programs.
pub fn quick(root: &Path, args: &[&str]) -> Result<(), Failed> {
    inspect(root)?;
    lint(root)?;
    let programs = shell::stage("build", || runner::build(root, &[&UNITS[..], &FEATURES].concat()))?;
    shell::stage("unit tests", || runner::run(&programs, args, &[]))?;
    let programs = shell::stage("build", || runner::build(root, &[&["--test", "api"], &FEATURES[..]].concat()))?;
    shell::stage("vectors in process", || runner::run(&programs, &["vectors::"], &[]))
}

/// `cargo xtask test`: everything. `args` go to the test programs.
pub fn test(root: &Path, args: &[&str]) -> Result<(), Failed> {
    all(root, args, &[])
}

/// `cargo xtask sweep`: like `test`, but tests that try some of their cases try all of them.
pub fn sweep(root: &Path, args: &[&str]) -> Result<(), Failed> {
    all(root, args, &[(SWEEP.to_owned(), "1".to_owned())])
}

/// Runs the checks that do not need a build of the program.
fn inspect(root: &Path) -> Result<(), Failed> {
    shell::stage("format", || shell::run(shell::command("cargo").current_dir(root).args(["fmt", "--all", "--check"])))?;
    shell::stage("tidy", || tidy::run(root))
}

fn lint(root: &Path) -> Result<(), Failed> {
    shell::stage("clippy", || {
        let lint = ["clippy", "--quiet", "--workspace", "--all-targets"];
        let words = [&lint[..], &FEATURES, &["--", "-D", "warnings"]].concat();
        shell::run(shell::command("cargo").current_dir(root).args(words))
    })
}

/// Runs formatting, tidiness, generated vectors and lints, then the corpus, the registries, and all
/// tests.
fn all(root: &Path, args: &[&str], vars: &[(String, String)]) -> Result<(), Failed> {
    inspect(root)?;
    shell::stage("vectors", || vectors::run(root, true))?;
    // One side downloads while another compiles, so they hardly compete. The guard build is one unit of code, which
    // leaves a core free.
    let (built, guard, prepared) = std::thread::scope(|scope| {
        let prepared = scope.spawn(prepare);
        let guard = scope.spawn(|| shell::stage("guard build", || guard::build(root)));
        let built = lint(root)
            .and_then(|()| shell::stage("clippy of the small builds", || guard::lint(root)))
            .and_then(|()| shell::stage("pages", || pages(root)))
            .and_then(|()| shell::stage("build", || runner::build(root, &[&["--workspace"], &FEATURES[..]].concat())));
        let guard = guard.join().unwrap_or_else(|_| Err(Failed::new("guard build: worker panicked")));
        (built, guard, prepared.join().unwrap_or_else(|_| Err(Failed::new("preparation: worker panicked"))))
    });
    let programs = built?;
    let guard = guard?;
    let (tools, layout) = prepared?;
    shell::stage("second verifier", || second(root, &tools))?;
    // From this thread, which keeps running: the services end with it.
    let mut services = shell::stage("services", || services::start(&tools))?;
    seed(&mut services, &tools, layout.as_deref())?;
    let mut vars = [&services.vars[..], vars].concat();
    let guard = guard.map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    vars.push(("PACKMULE_TEST_GUARD".to_owned(), guard));
    shell::stage("tests", || runner::run(&programs, args, &vars))
}

/// Builds the documentation, including private items, to check all links in it.
fn pages(root: &Path) -> Result<(), Failed> {
    let words = ["doc", "--quiet", "--package", "packmule", "--no-deps", "--document-private-items"];
    shell::run(shell::command("cargo").current_dir(root).args(words).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs the second verifier on every vector and compares the results.
fn second(root: &Path, tools: &Tools) -> Result<(), Failed> {
    let python = match tools.get("python3") {
        Ok(python) => python,
        Err(e) => return install::missing("second verifier", &e),
    };
    let mut verifier = shell::command(python);
    verifier.current_dir(root).args(["spec/verify.py", "--vectors", "testdata/vectors"]);
    shell::run(&mut verifier)
}

/// `cargo xtask services`: starts and seeds the same registries, and runs until told to stop.
pub fn serve() -> Result<(), Failed> {
    let (tools, layout) = prepare()?;
    services::run(&tools, |services| seed(services, &tools, layout.as_deref()))
}

/// Prepares programs and corpus. There is no corpus if it cannot be built and is not required.
fn prepare() -> Result<(Tools, Option<PathBuf>), Failed> {
    let tools = shell::stage("install", install::all)?;
    match shell::stage("corpus", || corpus::test(&tools)) {
        Ok(layout) => Ok((tools, Some(layout))),
        Err(e) => install::missing("corpus", &e).map(|()| (tools, None)),
    }
}

/// Fills the first registry with the corpus and sets the variables of both for the tests.
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
