//! The overview: which command is for which role. It is printed by a bare `packmule`, and at the top
//! of `packmule --help`.

use clap::Command;

use crate::base::product::TOOL;

/// Column at which the text begins.
const COLUMN: usize = 15;
/// Width of the overview.
const WIDTH: usize = 80;

/// Commands of each role. A name that this build does not have is left out.
const ROLES: [(&str, &[&str]); 5] = [
    ("Source site", &["export", "copy", "split", "parity", "upload", "pipeline"]),
    ("Guard", &["verify", "inspect", "cat", "sign"]),
    ("Disconnected site", &["import", "emit", "serve", "unpack", "diff", "download", "join", "repair"]),
    ("Keys", &["key"]),
    (
        "Settings and the rest",
        &["login", "logout", "credential", "rule", "runs", "ls", "rm", "schema", "completions", "man", "demo"],
    ),
];

/// Returns the lines of all roles.
pub fn roles(grammar: &Command) -> String {
    let mut text = String::new();
    for (role, names) in ROLES {
        let found: Vec<&Command> = names.iter().filter_map(|name| grammar.find_subcommand(name)).collect();
        if found.is_empty() {
            continue;
        }
        text.push_str(&format!("{role}:\n"));
        found.into_iter().for_each(|command| text.push_str(&entry(command)));
    }
    let listed = |name: &str| name == "help" || ROLES.iter().any(|(_, names)| names.contains(&name));
    let others: Vec<&Command> =
        grammar.get_subcommands().filter(|command| !command.is_hide_set() && !listed(command.get_name())).collect();
    if !others.is_empty() {
        text.push_str("Others:\n");
        others.into_iter().for_each(|command| text.push_str(&entry(command)));
    }
    text
}

fn entry(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("  {:width$}", command.get_name(), width = COLUMN - 2);
    let mut at = COLUMN;
    for (index, word) in about.split_whitespace().enumerate() {
        if at + 1 + word.len() > WIDTH {
            text.push_str(&format!("\n{:COLUMN$}", ""));
            at = COLUMN;
        } else if index > 0 {
            text.push(' ');
            at += 1;
        }
        text.push_str(word);
        at += word.len();
    }
    text + "\n"
}

/// Returns the page for a bare `packmule`.
pub fn page(grammar: &Command) -> String {
    let demo = if grammar.find_subcommand("demo").is_some() {
        "Start with `packmule demo`: the whole way on this machine, step by step.\n"
    } else {
        ""
    };
    format!(
        "{} carries container artifacts into places without a network.\n\n{}\n{demo}\
         `packmule COMMAND -h` shows a command on one screen, `--help` all of it.\n",
        TOOL,
        roles(grammar)
    )
}
