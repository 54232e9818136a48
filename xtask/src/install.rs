//! Installs the programs that tests need, only through package clients: Go's for Go modules, apt
//! for Debian packages, npm and pip for theirs.
//!
//! Existing programs are not touched, so a second run needs no network. Except for Debian packages,
//! everything is installed in `target/tools`.

pub mod azure;
pub mod storage;

use crate::shell::{self, Failed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A program in Go: name, package, version.
type GoProgram = (&'static str, &'static str, &'static str);

/// Programs installed by `go install`.
const GO: &[GoProgram] = &[
    ("registry", "github.com/distribution/distribution/v3/cmd/registry", "v3.1.2"),
    ("crane", "github.com/google/go-containerregistry/cmd/crane", "v0.22.1"),
    ("regctl", "github.com/regclient/regclient/cmd/regctl", "v0.11.7"),
    ("helm", "helm.sh/helm/v3/cmd/helm", "v3.22.0"),
    ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1"),
    ("conformance", "github.com/opencontainers/distribution-spec/conformance", "v0.0.0-20260831232431-97274622c111"),
];

/// Programs whose module has replacements, so that they must be built from a module of our own.
const GO_BY_MODULE: &[GoProgram] = &[("oras", "oras.land/oras/cmd/oras", "v1.3.3")];

/// Our own programs under `xtask/go`.
const OWN: &[&str] = &["k3s", "manifests", "token", "referrers"];

/// Programs from Debian: name, package.
const DEBIAN: &[(&str, &str)] = &[
    ("skopeo", "skopeo"),
    ("podman", "podman"),
    ("buildah", "buildah"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("umoci", "umoci"),
    ("docker-registry", "docker-registry"),
    ("debootstrap", "debootstrap"),
    ("htpasswd", "apache2-utils"),
    ("zstd", "zstd"),
    ("pigz", "pigz"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("strace", "strace"),
    // Only for viewing pages.
    ("chromium", "chromium"),
    ("clamscan", "clamav"),
    ("softhsm2-util", "softhsm2"),
];

/// Paths of the programs by name. Programs that are not available are missing.
#[derive(Debug, Clone, Default)]
pub struct Tools(BTreeMap<String, PathBuf>);

impl Tools {
    /// Returns the path of a program. Fails with its name if it is missing.
    pub fn get(&self, name: &str) -> Result<&Path, Failed> {
        self.0.get(name).map(PathBuf::as_path).ok_or_else(|| Failed::new(format!("{name}: not available here")))
    }
}

/// Returns the folder for programs built here.
pub fn folder() -> PathBuf {
    shell::target().join("tools")
}

/// Whether this run must not skip anything (`CI` is set).
pub fn strict() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Handles something that is not available: an error in CI, otherwise a visible message.
pub fn missing(what: &str, why: &Failed) -> Result<(), Failed> {
    if strict() {
        return Err(Failed::new(format!("{what}: {why}")));
    }
    eprintln!("!! SKIPPED {what}: {why}");
    Ok(())
}

/// Installs all missing programs, Debian packages in parallel with the Go builds.
pub fn all() -> Result<Tools, Failed> {
    std::fs::create_dir_all(folder())?;
    let (debian, go) = std::thread::scope(|scope| {
        let debian = scope.spawn(debian);
        let go = go();
        (debian.join().unwrap_or_else(|_| Err(Failed::new("apt: worker panicked"))), go)
    });
    if let Err(e) = debian {
        missing("Debian packages", &e)?;
    }
    go?;
    azure::all()?;
    storage::python()?;
    let mut tools = Tools::default();
    let built = GO.iter().chain(storage::GO).chain(GO_BY_MODULE).map(|(name, ..)| *name).chain(OWN.iter().copied());
    for name in built {
        let path = folder().join(name);
        if path.is_file() {
            tools.0.insert(name.to_owned(), path);
        }
    }
    for (name, _) in DEBIAN {
        if let Some(path) = shell::which(name) {
            tools.0.insert((*name).to_owned(), path);
        }
    }
    Ok(tools)
}

fn debian() -> Result<(), Failed> {
    let wanted: Vec<&str> =
        DEBIAN.iter().filter(|(name, _)| shell::which(name).is_none()).map(|(_, package)| *package).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    apt(&wanted)
}

/// Installs Debian packages, after updating the package lists.
pub fn apt(packages: &[&str]) -> Result<(), Failed> {
    shell::quiet(shell::command("apt-get").args(["-qq", "-o", "DPkg::Lock::Timeout=600", "update"]))?;
    shell::quiet(
        shell::command("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Installing a package must not start its daemon: ours run on their own ports.
            .env("RUNLEVEL", "1")
            // Several stages install at once.
            .args(["-qq", "-y", "-o", "DPkg::Lock::Timeout=600", "--no-install-recommends", "install"])
            .args(packages),
    )
}

fn go() -> Result<(), Failed> {
    for (name, package, version) in GO.iter().chain(storage::GO) {
        built(name, &format!("{package}@{version}"), |wanted| {
            shell::quiet(shell::command("go").env("GOBIN", folder()).args(["install", wanted]))
        })?;
    }
    for (name, package, version) in GO_BY_MODULE {
        built(name, &format!("{package}@{version}"), |wanted| {
            let module = folder().join("build").join(name);
            drop(std::fs::remove_dir_all(&module));
            std::fs::create_dir_all(&module)?;
            shell::quiet(shell::command("go").current_dir(&module).args(["mod", "init", "build"]))?;
            shell::quiet(shell::command("go").current_dir(&module).args(["get", wanted]))?;
            let install = &mut shell::command("go");
            shell::quiet(install.current_dir(&module).env("GOBIN", folder()).args(["install", package]))
        })?;
    }
    // These are small and change with the tree. Go's cache decides what to build.
    let own = shell::quiet(
        shell::command("go")
            .current_dir(shell::workspace().join("xtask/go"))
            .env("GOBIN", folder())
            .args(["install", "./..."]),
    );
    own.or_else(|e| missing("our own Go programs", &e))
}

/// Runs `make` unless the program exists in exactly this version.
fn built(name: &str, wanted: &str, make: impl Fn(&str) -> Result<(), Failed>) -> Result<(), Failed> {
    let stamp = folder().join(format!("{name}.version"));
    if folder().join(name).is_file() && std::fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    match make(wanted) {
        Ok(()) => Ok(std::fs::write(&stamp, wanted)?),
        Err(e) => missing(name, &e),
    }
}
