//! `cargo xtask fuzz` and `cargo xtask mutants`: long searches that are not part of CI, by
//! cargo-fuzz (nightly) and cargo-mutants. Each is installed in `target/tools` if it is missing.

use crate::install::folder;
use crate::shell::{self, Failed};
use std::path::Path;
use std::process::Command;

/// Files to mutate: code that decides whether a bundle is valid and who signed it.
const MUTATED: [&str; 2] = ["src/bundle/**", "src/signing/**"];

/// Mutants to try: operators that compare, count and join conditions, guards, and verdicts.
const JUDGING: &str = r"replace (==|!=|[<>]=?|&&|\|\||[-+*/%]=?|<<|>>) with|delete !|match guard|-> bool with";

/// Mutants that no test can distinguish from the original, and why.
const EQUIVALENT: [(&str, &str); 14] = [
    (r"back.rs:.*replace / with . in read_back", "how many threads check what one lane reads"),
    (r"check.rs:.*(>=|<<) with .* in walk_unit", "how often progress is reported, and whether the run was cancelled"),
    (r"frame.rs:.*match guard count as u64 == plain with true in unpack", "zstd itself refuses another content size"),
    (r"append.rs:.*replace / with . in .*fill", "how many threads fetch what shares a frame"),
    (r"append.rs:.*match guard number == volume with false in .*append", "a volume opened anew is the same file"),
    (
        r"append.rs:.*match guard self.flow.is_cancelled\(\) with true in .*take",
        "otherwise a panic, which propagates anyway",
    ),
    (r"append.rs:.*replace \+ with \* in pass", "how many frames are in memory at once"),
    (r"arriving.rs:.*replace > with (>=|==|<) in .*pass_unit", "whether a blob is kept or given while it passes"),
    (r"arriving.rs:.*replace > with (>=|==) in .*early_unit", "the same amount is refused if the blob was to be kept"),
    (r"back.rs:.*match guard !starts_volume with true in spans", "how many threads share a read-back"),
    (r"complete.rs:.*replace > with >= in Trusted::closure", "how much is read for documents before giving up"),
    (r"flat.rs:.*replace << with >>", "how much of a file is read at once"),
    (r"writer.rs:.*replace \|\| with && in settle", "a frame that is not whole is found to be damaged when it is read"),
    (r"passing.rs:.*replace \|\| with && in .*::unit", "how much is still read after the first fault"),
];

/// Runs every target for `seconds`, from the committed corpora and earlier findings.
pub fn run(root: &Path, seconds: u32) -> Result<(), Failed> {
    install("cargo-fuzz")?;
    let corpora = root.join("testdata/fuzz");
    let mut names: Vec<String> =
        std::fs::read_dir(&corpora)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    for name in names {
        let (kept, own) = (corpora.join(&name), shell::target().join("fuzz").join(&name));
        std::fs::create_dir_all(&own)?;
        let (kept, own) = (kept.display().to_string(), own.display().to_string());
        let time = format!("-max_total_time={seconds}");
        let words =
            ["+nightly", "fuzz", "run", "--fuzz-dir", "xtask/fuzz", &name, &own, &kept, "--", &time, "-max_len=65536"];
        shell::stage(&format!("fuzz {name}"), || shell::run(cargo(root).args(words)))?;
    }
    Ok(())
}

/// Runs mutation tests. `args` go to cargo-mutants (`--file src/bundle/gate.rs`, `--shard 1/16`).
/// Without arguments, mutates comparisons, lengths and thresholds of all code that judges, except
/// for [`EQUIVALENT`]. Fails if a mutant is missed.
pub fn mutants(root: &Path, args: &[&str]) -> Result<(), Failed> {
    install("cargo-mutants")?;
    let mut words = vec!["mutants", "--package", "packmule", "--output", "target"];
    if !args.iter().any(|arg| ["--file", "-f", "--in-diff"].contains(arg)) {
        words.extend(MUTATED.iter().flat_map(|glob| ["--file", glob]));
    }
    if !args.iter().any(|arg| ["--re", "-F"].contains(arg)) {
        words.extend(["--re", JUDGING]);
    }
    words.extend(EQUIVALENT.iter().flat_map(|(mutant, _)| ["--exclude-re", mutant]));
    words.extend(args);
    // Without the tests of registries and commands, which do not reach more of the mutated code.
    words.extend(["--", "--lib", "--test", "api", "--test", "attacks", "--test", "crash"]);
    shell::run(cargo(root).args(words))
}

/// Returns cargo with the locally installed subcommands.
fn cargo(root: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder().join("bin")).chain(std::env::split_paths(&path));
    let mut cargo = shell::command("cargo");
    cargo.current_dir(root);
    // A folder whose name contains a colon cannot be in a search path.
    if let Ok(path) = std::env::join_paths(all) {
        cargo.env("PATH", path);
    }
    cargo
}

fn install(program: &str) -> Result<(), Failed> {
    if shell::which(program).is_some() || folder().join("bin").join(program).is_file() {
        return Ok(());
    }
    let words = ["install", "--locked", "--quiet", program, "--root"];
    shell::run(shell::command("cargo").args(words).arg(folder()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_left_out_says_why() {
        assert!(super::EQUIVALENT.iter().all(|(mutant, why)| mutant.contains(".rs") && why.len() > 20));
    }
}
