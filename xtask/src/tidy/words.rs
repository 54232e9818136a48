//! Words that are allowed only in certain places: process state, crates, unfinished work, hosts,
//! file names.
//!
//! Words are concatenated from parts, so that this file passes its own check.

pub mod phrases;

use super::floors::after;
use super::{File, Finding};

/// Crates and the only modules that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rpassword", &["cli"]),
    ("granit_parser", &["yaml"]),
    ("toml", &["cli", "decide", "signing", "toml_file"]),
    ("toml_edit", &["cli"]),
    ("reqwest", &["identity", "network", "registry", "storage"]),
    ("tokio", &["network", "serve", "storage"]),
];

/// File and folder names without meaning.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "types"];

/// Marks of unfinished work.
const UNFINISHED: &[&str] =
    &[concat!("to", "do!"), concat!("unimple", "mented!"), concat!("FIX", "ME"), concat!("#[ign", "ore")];

/// Hosts of package registries. The machine's settings decide which one is used.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("gopro", "xy.io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("yarn", "pkg.com"),
    concat!("maven.apache", ".org"),
    concat!("repo1.maven", ".org"),
    concat!("deb.debian", ".org"),
    concat!("ftp.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("snapshot.debian", ".org"),
];

/// Reports entries of `CRATES` for modules that do not name the crate.
pub fn phantoms(files: &[File], found: &mut Vec<Finding>) {
    for (name, modules) in CRATES {
        for module in *modules {
            let used = files
                .iter()
                .filter(|file| super::floors::module(&file.path) == Some(module))
                .any(|file| ["::", ";", "]"].iter().any(|end| file.text.contains(&format!("{name}{end}"))));
            if !used {
                found.push(Finding {
                    path: "xtask/src/tidy/words.rs".into(),
                    line: 0,
                    text: format!("CRATES lets `{module}` name the crate `{name}`, which it does not do"),
                });
            }
        }
    }
}

/// Reports package registry hosts. The lock file is exempt, since it names its source.
pub fn hosts(file: &File, found: &mut Vec<Finding>) {
    if file.path.ends_with("Cargo.lock") {
        return;
    }
    for (number, line) in file.text.lines().enumerate() {
        for host in HOSTS.iter().filter(|host| line.contains(**host)) {
            found.push(Finding {
                path: file.path.clone(),
                line: number + 1,
                text: format!("names the package registry host {host}; leave it to the machine's settings"),
            });
        }
    }
}

/// Reports meaningless names of Rust files and of their folders.
pub fn name(file: &File, found: &mut Vec<Finding>) {
    let Some(stem) = file.path.strip_suffix(".rs") else {
        return;
    };
    for part in stem.split('/').filter(|part| EMPTY_NAMES.contains(part)) {
        found.push(Finding {
            path: file.path.clone(),
            line: 0,
            text: format!("`{part}` says nothing about what is inside; name the noun or the verb"),
        });
    }
}

/// Reports marks of unfinished work and disabled tests.
pub fn unfinished(file: &File, found: &mut Vec<Finding>) {
    for (number, line) in file.text.lines().enumerate() {
        for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
            found.push(Finding {
                path: file.path.clone(),
                line: number + 1,
                text: format!("`{mark}`: finish it, or leave it out"),
            });
        }
    }
}

/// Reports, in the code of one file of `src/`: environment, clock, exit codes and crates outside
/// their module.
pub fn reserved(path: &str, module: &str, code: &[String], found: &mut Vec<Finding>) {
    let text = code.join("\n");
    let mut report = |line, text: String| {
        found.push(Finding { path: path.into(), line, text });
    };
    if path != "src/cli/world.rs" {
        for (line, _) in after(&text, "std").into_iter().filter(|(_, name)| name == "env") {
            report(line, "reads the environment; only src/cli/world.rs does".into());
        }
        for clock in ["SystemTime", "Instant"] {
            for (line, _) in after(&text, clock).into_iter().filter(|(_, name)| name == "now") {
                report(line, format!("`{clock}::now`: only src/cli/world.rs reads the clock"));
            }
        }
    }
    if !["cli", "main"].contains(&module) {
        let named = after(&text, "process").into_iter().filter(|(_, name)| ["ExitCode", "exit"].contains(&&**name));
        for (line, name) in named {
            report(line, format!("`process::{name}`: only cli knows exit codes"));
        }
    }
    for (name, modules) in CRATES.iter().filter(|(_, modules)| !modules.contains(&module)) {
        let uses = format!("use {name};");
        let plain = code.iter().position(|line| line.contains(&uses)).map(|at| at + 1);
        for line in after(&text, name).into_iter().map(|(line, _)| line).chain(plain) {
            report(line, format!("names the crate `{name}`; only {} does", modules.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::each;

    fn one(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: format!("//! x\n{text}") };
        each(&[file]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn environment_and_clock_are_read_in_one_file() {
        for wrong in
            ["use std::env;", "use std::{env, fmt};", "std::env::var(X)", "Instant::now()", "time::SystemTime::now()"]
        {
            assert_eq!(one("src/cli.rs", wrong).len(), 1, "{wrong}");
            assert!(one("src/cli/world.rs", wrong).is_empty(), "{wrong}");
        }
        assert!(one("src/cli.rs", "#[cfg(test)]\nmod tests {\n    use std::env;\n}\n").is_empty());
        assert!(one("src/cli.rs", "/// std::env\nuse std::fmt;").is_empty());
    }

    #[test]
    fn crates_and_exit_codes_stay_where_they_belong() {
        assert_eq!(one("src/operate/export.rs", "use clap::Parser;").len(), 1);
        assert_eq!(one("src/bundle/mod.rs", "#[tokio::main]\nasync fn f() {}").len(), 1);
        assert_eq!(one("src/operate/export.rs", "use std::process::ExitCode;").len(), 1);
        assert_eq!(one("src/registry/client.rs", "use tokio::runtime;").len(), 1);
        assert!(one("src/network/runtime.rs", "use tokio::runtime;").is_empty());
        assert!(one("src/cli/exit.rs", "use std::process::ExitCode;").is_empty());
    }

    #[test]
    fn unfinished_work_empty_names_and_hosts_are_named() {
        for mark in UNFINISHED {
            assert_eq!(one("tests/a.rs", mark).len(), 1, "{mark}");
        }
        assert_eq!(one("tests/common/mod.rs", "").len(), 1);
        assert_eq!(one("src/oci/types.rs", "").len(), 1);
        for host in HOSTS {
            assert_eq!(one("README.md", &format!("see https://{host}/x")).len(), 1, "{host}");
        }
        assert!(one("Cargo.lock", HOSTS[0]).is_empty());
    }
}
