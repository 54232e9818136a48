//! Debian systems as tar files: a complete minimal system of this machine's architecture, and the
//! first stage of another.
//!
//! Uses the mirror and the suite of the machine's apt. The same packages always give the same
//! bytes.

use crate::install::Tools;
use crate::shell::{self, Failed};
use std::path::{Path, PathBuf};

/// Newer times (of the installation, not of packages) are set to this: 2020-09-13, in seconds.
const NEWEST: &str = "@1600000000";

/// Paths excluded from a base: docs, caches, logs, machine state, and debootstrap's files for a
/// second stage.
const LEFT_OUT: &[&str] = &[
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/locale/*",
    "./usr/share/info/*",
    "./usr/share/zoneinfo/*",
    "./var/cache/*",
    "./var/log/*",
    "./var/lib/apt/lists/*",
    "./var/lib/dpkg/*-old",
    "./debootstrap",
    "./dev/*",
    "./proc/*",
    "./sys/*",
    "./etc/hostname",
    "./etc/resolv.conf",
    "./etc/machine-id",
];

/// Two unpacked systems.
#[derive(Debug)]
pub struct Trees {
    /// OCI name of this machine's architecture, and the tree.
    pub native: (String, PathBuf),
    /// Another architecture, first stage only.
    pub foreign: (String, PathBuf),
}

/// Downloads both systems by debootstrap, in parallel.
pub fn trees(tools: &Tools, work: &Path) -> Result<Trees, Failed> {
    let (mirror, suite) = source()?;
    let native = shell::output(shell::command("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let foreign = if native == "arm64" { "amd64" } else { "arm64" }.to_owned();
    let debootstrap = tools.get("debootstrap")?;
    let get = |arch: &str, first_stage_only: bool| {
        let tree = work.join(arch);
        let mut command = shell::command(debootstrap);
        command.arg(format!("--arch={arch}")).arg("--variant=minbase");
        if first_stage_only {
            command.arg("--foreign");
        }
        shell::quiet(command.arg(&suite).arg(&tree).arg(&mirror)).map(|()| tree)
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| get(&foreign, true));
        // Without permission to chroot, use the first stage, which does not need it.
        let own = get(&native, false).or_else(|e| {
            eprintln!("!! whole system not available, using its first stage: {e}");
            drop(std::fs::remove_dir_all(work.join(&native)));
            get(&native, true)
        });
        (own, other.join().unwrap_or_else(|_| Err(Failed::new("debootstrap: worker panicked"))))
    });
    Ok(Trees { native: (native.clone(), one?), foreign: (foreign.clone(), two?) })
}

/// Returns mirror and suite of the machine's first Debian source.
fn source() -> Result<(String, String), Failed> {
    let listed = shell::output(shell::command("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))?;
    let first = listed.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (mirror, suite, component) = (words.next()?, words.next()?, words.next()?);
        let whole = component == "main" && !suite.contains(['-', '/']) && mirror.contains("debian");
        whole.then(|| (mirror.trim_end_matches('/').to_owned(), suite.to_owned()))
    });
    first.ok_or_else(|| Failed::new("apt: no Debian source with component main among its index targets"))
}

/// Writes a base as a tar file, without files that no image needs.
pub fn whole(tree: &Path, to: &Path) -> Result<(), Failed> {
    let mut command = tar(tree, to);
    for pattern in LEFT_OUT {
        command.arg(format!("--exclude={pattern}"));
    }
    shell::quiet(command.arg("."))
}

/// Writes some folders of a tree as a tar file, below `opt/NAME`.
pub fn part(tree: &Path, folders: &[&str], name: &str, to: &Path) -> Result<(), Failed> {
    let mut command = tar(tree, to);
    command.arg(format!("--transform=flags=rh;s,^,opt/{name}/,"));
    shell::quiet(command.args(folders))
}

/// Writes some folders of a tree as a tar file, owned by root and otherwise unchanged.
pub fn plain(tree: &Path, folders: &[&str], to: &Path) -> Result<(), Failed> {
    shell::quiet(tar(tree, to).args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"]).args(folders))
}

fn tar(tree: &Path, to: &Path) -> std::process::Command {
    let mut command = shell::command("tar");
    command.arg("-C").arg(tree).arg("-cf").arg(to).args(["--sort=name", "--numeric-owner", "--clamp-mtime"]);
    command.arg(format!("--mtime={NEWEST}"));
    command
}
