//! The guard build: checks that it builds, also for Windows, what it contains, and how large it is.
//!
//! The program is linked statically against musl if the toolchain is available; otherwise a message
//! says so and the program for this system is checked instead. It is run on every vector here.
//! Further tests are in `tests/attacks/guard.rs`. The build for Windows is linted;
//! [`windows`](super::windows) runs it.

use crate::install;
use crate::shell::{self, Failed};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const STATIC: &str = "x86_64-unknown-linux-musl";
pub(crate) const WINDOWS: &str = "x86_64-pc-windows-gnu";
pub(crate) const FEATURES: [&str; 3] = ["--no-default-features", "--features", "guard"];

/// Maximum size in bytes of the static program without symbols. Lower it when the program shrinks.
/// Raising it requires a reason in the changelog.
const LARGEST: u64 = 5_000_000;

/// Crates that must not be in it: HTTP, TLS, async, registries, private keys, prompts, modules.
const FOREIGN: [&str; 23] = [
    "reqwest",
    "hyper",
    "hyper-util",
    "h2",
    "http",
    "rustls",
    "native-tls",
    "openssl",
    "openssl-sys",
    "ring",
    "aws-lc-rs",
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "futures-util",
    "http-auth",
    "docker_credential",
    "rpassword",
    "pkcs5",
    "cryptoki",
    "libloading",
];

/// Functions of the C library, also as names in source paths, that a program without network access
/// does not contain. It starts only scanners as other programs. (The standard library uses socket
/// pairs within one process to start programs, which are harmless: `socketpair`, `recvmsg`, and
/// functions that musl links with them.)
const CALLS: [&str; 8] = ["socket", "connect", "bind", "listen", "accept", "accept4", "sendto", "getaddrinfo"];
const NAMES: [&str; 5] = ["reqwest", "rustls", "hyper", "tokio", "http-auth"];

/// Lints the small builds.
pub fn lint(root: &Path) -> Result<(), Failed> {
    for features in [&FEATURES[..], &["--no-default-features"], &["--no-default-features", "--features", "carry"]] {
        let words = [&["clippy", "--quiet", "--lib", "--bins"], features, &["--", "-D", "warnings"]].concat();
        shell::run(shell::command("cargo").current_dir(root).args(words))?;
    }
    Ok(())
}

/// Builds and inspects the program. Returns it for the tests if it is static.
pub fn build(root: &Path) -> Result<Option<PathBuf>, Failed> {
    tree(root)?;
    windows(root)?;
    let target = match ready(STATIC, "musl-gcc", "musl-tools") {
        Ok(()) => Some(STATIC),
        Err(e) => {
            // Not an error in CI either: a toolchain's download is not available everywhere.
            eprintln!("!! SKIPPED static guard build: {e}");
            None
        }
    };
    // With symbols, for the inspection.
    let keep = ["--config", "profile.guard.strip=\"none\""];
    let mut words = [&["build", "--quiet", "--profile", "guard"], &keep[..], &FEATURES].concat();
    words.extend(target.iter().flat_map(|target| ["--target", target]));
    // A separate folder, so that it and the ordinary program do not replace each other.
    let folder = if target.is_some() { shell::target() } else { shell::target().join("guard") };
    shell::run(shell::command("cargo").current_dir(root).args(words).arg("--target-dir").arg(&folder))?;
    let program = folder.join(target.unwrap_or_default()).join("guard/packmule");
    inspect(&program, target.is_some())?;
    vectors(root, &[], &[program.as_ref()])?;
    Ok(target.map(|_| program))
}

/// Verifies every vector that a command can be given, using `command`. `words` are for the runner.
pub fn vectors(root: &Path, words: &[&str], command: &[&OsStr]) -> Result<(), Failed> {
    if shell::which("python3").is_none() {
        return install::missing("vectors by the program", &Failed::new("python3: not available here"));
    }
    let mut runner = shell::command("python3");
    runner.current_dir(root).args(["spec/vectors.py", "testdata/vectors"]).args(words).args(command).arg("verify");
    shell::run(&mut runner)
}

/// Checks the crates in the build.
fn tree(root: &Path) -> Result<(), Failed> {
    let words = ["tree", "--package", "packmule", "--edges", "normal", "--target", "all", "--prefix", "none"];
    let list =
        shell::output(shell::command("cargo").current_dir(root).args(words).args(FEATURES).args(["--format", "{p}"]))?;
    match foreign(&list) {
        Some(name) => Err(Failed::new(format!("guard build: expected nothing that it does not need, found {name}"))),
        None => Ok(()),
    }
}

fn foreign(list: &str) -> Option<&str> {
    list.lines().filter_map(|line| line.split(' ').next()).find(|name| FOREIGN.contains(name))
}

/// Installs the standard library for a target and a C compiler for it from a package.
fn ready(target: &str, compiler: &str, package: &str) -> Result<(), Failed> {
    let installed = shell::output(shell::command("rustup").args(["target", "list", "--installed"]))?;
    if !installed.lines().any(|line| line == target) {
        shell::quiet(shell::command("rustup").args(["target", "add", target]))?;
    }
    if shell::which(compiler).is_none() {
        install::apt(&[package])?;
    }
    Ok(())
}

/// Installs the tools to build for Windows.
pub(crate) fn ready_for_windows() -> Result<(), Failed> {
    ready(WINDOWS, "x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")
}

/// Checks the build for Windows, allowing no warnings. The C code in it (zstd) is compiled too.
fn windows(root: &Path) -> Result<(), Failed> {
    if let Err(e) = ready_for_windows() {
        eprintln!("!! SKIPPED guard build for Windows: {e}");
        return Ok(());
    }
    let words = [&["clippy", "--quiet", "--lib", "--bins", "--target", WINDOWS][..], &FEATURES];
    shell::run(shell::command("cargo").current_dir(root).args(words.concat()).args(["--", "-D", "warnings"]))
}

/// Checks the linked program by its symbols and strings, and its size.
fn inspect(program: &Path, fixed: bool) -> Result<(), Failed> {
    let bytes = std::fs::read(program)?;
    let symbols = shell::output(shell::command("nm").arg(program))?;
    if let Some(found) = linked(&symbols) {
        return Err(Failed::new(format!("{}: expected no such function, found {found}", program.display())));
    }
    if let Some(name) = NAMES.iter().find(|name| bytes.windows(name.len()).any(|part| part == name.as_bytes())) {
        return Err(Failed::new(format!("{}: expected no trace of {name}, found one", program.display())));
    }
    if fixed && shell::output(shell::command("readelf").arg("-lW").arg(program))?.contains("INTERP") {
        return Err(Failed::new(format!("{}: expected a static program, found a dynamic one", program.display())));
    }
    let kind = if fixed { "static" } else { "dynamic" };
    let lean = program.with_extension("lean");
    shell::quiet(shell::command("strip").arg("-o").arg(&lean).arg(program))?;
    let size = std::fs::metadata(&lean)?.len();
    eprintln!("guard build: {size} bytes, {kind}, at most {LARGEST}");
    if size > LARGEST {
        return Err(Failed::new(format!("guard build: expected at most {LARGEST} bytes, found {size}")));
    }
    Ok(())
}

/// Returns the first forbidden function in the output of `nm`: `ADDRESS KIND NAME`, or `U
/// NAME@VERSION`.
fn linked(symbols: &str) -> Option<&str> {
    let names = symbols.lines().filter_map(|line| line.split_whitespace().next_back());
    names.map(|name| name.split('@').next().unwrap_or(name)).find(|name| CALLS.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_belong_is_found() {
        assert_eq!(foreign("packmule v0.1.0\nsha2 v0.11.0\n"), None);
        assert_eq!(foreign("packmule v0.1.0\nhyper v1.0.0 (*)\n"), Some("hyper"));
        assert_eq!(linked("0001 T main\n                 U write@GLIBC_2.2\n"), None);
        assert_eq!(linked("                 U connect@GLIBC_2.2\n"), Some("connect"));
        assert_eq!(linked("00000a T socket\n"), Some("socket"));
        assert_eq!(linked("00000a t _ZN9socketry7connect17h0E\n"), None);
    }
}
