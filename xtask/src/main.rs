//! `cargo xtask TASK`: only dispatches to the tasks.

use std::process::ExitCode;
use xtask::shell::{self, Failed};
use xtask::{bench, ci, corpus, fuzz, guard, install, tidy, vectors, windows};

const USAGE: &str = "usage: cargo xtask quick|test|sweep [ARGS of the test programs] | tidy | vectors [--check] | guard | windows | fuzz [SECONDS] | mutants [ARGS of cargo mutants] | services | bench [set|large|memory|copy|import|many|delta|plan|policy|serve|shards|storage [MIB]]... | corpus [bench | push HOST]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = shell::workspace();
    let result = match args[..] {
        ["tidy"] => tidy::run(&root),
        ["vectors"] => vectors::run(&root, false),
        ["vectors", "--check"] => vectors::run(&root, true),
        ["services"] => ci::serve(),
        ["quick", ref rest @ ..] => ci::quick(&root, rest),
        ["test", ref rest @ ..] => ci::test(&root, rest),
        ["sweep", ref rest @ ..] => ci::sweep(&root, rest),
        ["fuzz"] => fuzz::run(&root, 60),
        ["fuzz", seconds] => seconds.parse().map_err(|_| Failed::new(USAGE)).and_then(|time| fuzz::run(&root, time)),
        ["mutants", ref rest @ ..] => fuzz::mutants(&root, rest),
        ["guard"] => guard::lint(&root).and_then(|()| guard::build(&root)).map(drop),
        ["windows"] => windows::run(&root),
        ["bench", ref parts @ ..] => bench::run(&root, parts),
        ["corpus"] => install::all().and_then(|tools| corpus::test(&tools)).map(drop),
        ["corpus", "bench"] => corpus::bench().map(drop),
        ["corpus", "push", host] => {
            install::all().and_then(|tools| corpus::seed::push(&tools, &corpus::test(&tools)?, host))
        }
        _ => Err(Failed::new(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
