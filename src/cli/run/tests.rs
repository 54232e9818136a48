//! The grammar and its help, compared with each other and with `spec/cli.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::grammar;
use crate::cli::args::trust;
use crate::cli::help::screens::examples;
use crate::cli::world::World;

/// Commands that people type.
fn shown(grammar: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    grammar.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

#[test]
fn every_command_fits_a_screen_and_ends_in_two_examples() {
    let mut long = Vec::new();
    for width in [80, 100] {
        let mut grammar = grammar().term_width(width);
        grammar.build();
        let names: Vec<String> = shown(&grammar).map(|command| command.get_name().to_owned()).collect();
        for name in names {
            let command = grammar.find_subcommand_mut(&name).unwrap();
            let text = command.render_help().to_string();
            let lines = text.trim_end().lines().count();
            if lines > 40 {
                long.push(format!("{name} -h has {lines} lines at {width} columns:\n{text}"));
            }
            let (_, two) =
                examples().find(|(named, _)| *named == name).unwrap_or_else(|| panic!("{name}: no examples"));
            assert!(two.iter().all(|example| example.len() <= 77), "{two:?}");
            let end = format!("\n\nExamples:\n  {}\n  {}", two[0], two[1]);
            assert!(text.trim_end().ends_with(&end), "{text}");
            let all = command.render_long_help().to_string();
            assert!(all.trim_end().ends_with(&end) && all.contains("--json"), "{all}");
            assert!(!text.contains("--json"), "{text}");
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_example_is_a_command_line_of_this_program() {
    let there: BTreeSet<String> = shown(&grammar()).map(|command| command.get_name().to_owned()).collect();
    for (name, lines) in examples().filter(|(name, _)| there.contains(*name)) {
        for line in lines {
            for part in line.split(" | ").filter(|part| part.starts_with("packmule ")) {
                let part =
                    part.split([' ']).take_while(|word| !matches!(*word, ">" | "<")).collect::<Vec<_>>().join(" ");
                let words = shell_words::split(&part).unwrap();
                if let Err(error) = grammar().try_get_matches_from(&words) {
                    panic!("{name}: {line}: {error}");
                }
                assert_eq!(words[1], if part == line.split(" | ").next().unwrap_or(line) { name } else { &words[1] });
            }
        }
    }
}

/// Returns what standard output says.
fn run(words: &[&str]) -> (u8, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, stdout, stderr) = World::for_test(words, dir.path());
    let code = crate::cli::run(&mut world);
    (code, stdout.text(), stderr.text())
}

#[test]
fn a_bare_packmule_shows_every_command_once_under_its_role() {
    let (code, page, told) = run(&[]);
    assert_eq!((code, &*told), (0, ""));
    assert!(page.lines().count() <= 40 && page.lines().all(|line| line.len() <= 80), "{page}");
    assert!(!page.contains("Others:"), "give each command a role: {page}");
    for command in shown(&grammar()) {
        let line = format!("\n  {:13}", command.get_name());
        assert_eq!(page.matches(&line).count(), 1, "{line}: {page}");
    }
    let (_, help, _) = run(&["--help"]);
    assert!(help.contains("Guard:\n") && help.contains("--report <") && help.contains("--version"), "{help}");
    // A program that gives options wants a command.
    assert_eq!(run(&["--json"]).0, 2);
    // A group of commands without one is still a mistake.
    #[cfg(feature = "carry")]
    assert_eq!(run(&["key"]).0, 2);
}

#[test]
fn what_a_later_version_has_is_refused_as_that() {
    for words in [&["repair", "b"][..], &["export", "b", "--kit"]] {
        let (code, _, told) = run(words);
        assert!(code == 2 && told.contains("comes with a later version"), "{words:?}: {told}");
    }
    for words in [&["repare", "b"][..], &["export", "a", "--kitt"], &["inspect", "b", "--kit"]] {
        let (code, _, told) = run(words);
        assert!(code == 2 && !told.contains("later version"), "{words:?}: {told}");
    }
}

/// Returns the commands of the published contract that this version has, each with its line of
/// options.
fn published() -> BTreeMap<String, String> {
    let page = include_str!("../../../spec/cli.md");
    let block = page.split_once("```text\n").unwrap().1.split_once("```").unwrap().0;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut name = None;
    for line in block.lines() {
        if let Some(line) = line.strip_prefix("✓ ") {
            let first = line.split_whitespace().next().unwrap().to_owned();
            *found.entry(first.clone()).or_default() += line;
            name = Some(first);
        } else if line.starts_with("      ") {
            if let Some(name) = &name {
                *found.get_mut(name).unwrap() += line;
            }
        } else {
            name = None;
        }
    }
    found
}

/// Options that the page describes for all commands that have them, and not in their lines.
const DESCRIBED: [&str; 3] = ["--authfile", "--config", "--passphrase-file"];

/// Returns the long options and short letters in a text.
fn options(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.len() > 1 && word.starts_with('-'))
        .map(ToOwned::to_owned)
        .collect()
}

/// Returns the arguments of a command and of the commands below it.
fn arguments(command: &clap::Command) -> Vec<&clap::Arg> {
    command.get_subcommands().flat_map(arguments).chain(command.get_arguments()).collect()
}

#[cfg(feature = "online")]
#[test]
fn the_contract_and_the_grammar_have_the_same_commands_and_options() {
    let published = published();
    let grammar = grammar();
    let names: BTreeSet<String> = shown(&grammar).map(|command| command.get_name().to_owned()).collect();
    assert_eq!(published.keys().cloned().collect::<BTreeSet<_>>(), names);
    let mut wrong = Vec::new();
    for command in shown(&grammar) {
        let (name, text) = (command.get_name(), &published[command.get_name()]);
        let written = options(text);
        let shared = |arg: &clap::Arg| matches!(arg.get_help_heading(), Some("Network" | "Everywhere"));
        let own: Vec<&clap::Arg> =
            arguments(command).into_iter().filter(|arg| !shared(arg) && !arg.is_hide_set()).collect();
        let names = |arg: &clap::Arg| {
            let long = arg.get_long().map(|long| format!("--{long}"));
            (long, arg.get_short().map(|short| format!("-{short}")))
        };
        for arg in &own {
            let (Some(long), short) = names(arg) else { continue };
            let is_trust = trust::OPTIONS.contains(&&long[2..]) && text.contains("TRUST");
            let is_described = DESCRIBED.contains(&&*long);
            if !(is_trust
                || is_described
                || written.contains(&long)
                || short.is_some_and(|short| written.contains(&short)))
            {
                wrong.push(format!("{name} {long} is not in spec/cli.md"));
            }
        }
        let all: Vec<&clap::Arg> = arguments(command).into_iter().chain(grammar.get_arguments()).collect();
        for option in written {
            let is_known = all.iter().any(|arg| {
                let (long, short) = names(arg);
                long.as_ref() == Some(&option) || short.as_ref() == Some(&option)
            });
            if !is_known {
                wrong.push(format!("{name} {option} of spec/cli.md is not in the grammar"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
