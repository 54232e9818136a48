//! `-h`: one screen for each command, which ends in two examples. `--help` also shows the options
//! that are left out here.

use clap::{Arg, Command};

use super::overview;

/// Headings of options that many commands share. They are described in `--help` alone.
const SHARED: [&str; 2] = ["Network", "Everywhere"];

/// A command's screen: its name, the long options on it (`None`: all but shared ones), and examples.
type Screen = (&'static str, Option<&'static [&'static str]>, [&'static str; 2]);

/// All screens.
const SCREENS: &[Screen] = &[
    (
        "export",
        Some(&["file", "output", "sign", "platform", "channel", "base", "dry-run"]),
        [
            "packmule export alpine:3.20 -o /media/usb/november --sign release.pem",
            "packmule export -f list.txt --channel apps --base last -o usb --sign k.pem",
        ],
    ),
    (
        "verify",
        Some(&["key", "threshold", "policy", "base", "volume-dir", "scan", "record", "shard", "join"]),
        [
            "packmule verify /media/usb/november --key release.pub.pem",
            "packmule verify usb/november --policy trust.toml --report november.html",
        ],
    ),
    (
        "import",
        Some(&["key", "policy", "to", "map", "tag-conflict", "receipt", "dry-run"]),
        [
            "packmule import usb/november --key release.pub.pem --to reg.example/mirror",
            "packmule import usb/november --key k.pub.pem --to reg.site --receipt r.json",
        ],
    ),
    (
        "copy",
        Some(&["file", "to", "as", "map", "platform", "tag-conflict", "dry-run"]),
        [
            "packmule copy alpine:3.20 --to registry.example/mirror",
            "packmule copy 'ghcr.io/org/app,semver=^2,latest=3' --to reg.example --dry-run",
        ],
    ),
    (
        "inspect",
        None,
        ["packmule inspect /media/usb/november", "packmule inspect november-received.json --key site.pub.pem"],
    ),
    (
        "cat",
        None,
        [
            "packmule cat usb/november | packmule verify - --key release.pub.pem",
            "packmule cat /media/usb/november --frames 3,5-9 > frames",
        ],
    ),
    (
        "diff",
        None,
        [
            "packmule diff /media/usb/november /media/usb/december",
            "packmule diff /media/usb/december registry.example/mirror --check",
        ],
    ),
    (
        "unpack",
        None,
        [
            "packmule unpack /media/usb/november --key release.pub.pem layout",
            "packmule unpack /media/usb/november --policy trust.toml layout",
        ],
    ),
    (
        "sign",
        None,
        [
            "packmule sign /media/usb/november --sign guard.pem",
            "packmule sign /media/usb/november --sign guard.pem -o guard.sig.json",
        ],
    ),
    ("key", None, ["packmule key new -o release.pem", "packmule key public release.pem"]),
    ("ls", None, ["packmule ls registry.example/mirror/library/alpine --digests", "packmule ls oci:layout"]),
    (
        "emit",
        None,
        [
            "packmule emit containerd received.json -o /etc/containerd/certs.d",
            "packmule emit kustomize received/apps-6.json received/apps-7.json -o mirror",
        ],
    ),
    ("demo", None, ["packmule demo", "packmule demo /tmp/tide"]),
    ("completions", None, ["packmule completions bash > packmule.bash", "packmule completions zsh > _packmule"]),
    ("man", None, ["packmule man | man -l -", "packmule man man1"]),
    (
        "serve",
        Some(&["key", "policy", "listen", "tls-cert", "tls-key", "htpasswd", "anonymous", "cache"]),
        [
            "packmule serve /media/usb/november --key release.pub.pem",
            "packmule serve --cache /srv/cache --listen 0.0.0.0:5000 --anonymous",
        ],
    ),
    (
        "upload",
        None,
        [
            "packmule upload /media/usb/november az://account/container/apps",
            "packmule upload /media/usb/november s3://bucket/apps --overwrite",
        ],
    ),
    (
        "download",
        None,
        ["packmule download az://account/container/apps/november /media/usb", "packmule download storage:far/apps-7 ."],
    ),
    ("rm", None, ["packmule rm s3://bucket/apps/november", "packmule rm s3://bucket/apps --incomplete --dry-run"]),
    (
        "login",
        None,
        [
            "packmule login registry.example -u mule",
            "packmule login registry.example -u mule --password-stdin < password",
        ],
    ),
    ("logout", None, ["packmule logout registry.example", "packmule logout registry.example --authfile auth.json"]),
    (
        "credential",
        None,
        [
            "packmule credential set hub host=docker.io username=m password.file=/run/hub",
            "packmule credential check hub",
        ],
    ),
    (
        "rule",
        None,
        ["packmule rule set hub 'source=docker.io/library/*' 'target=lib/*'", "packmule rule test lib/alpine:3.20"],
    ),
    (
        "pipeline",
        None,
        [
            "packmule pipeline set import.dark dir=/media/usb to=registry.example/mirror",
            "packmule pipeline run monthly",
        ],
    ),
    ("runs", None, ["packmule runs list --top 10", "packmule runs show 20260131-120000-0a1b2c3d"]),
    ("schema", None, ["packmule schema config", "packmule schema trust"]),
];

/// Returns the grammar with an overview at the top, short screens and examples.
pub fn apply(grammar: Command) -> Command {
    let overview = overview::roles(&grammar);
    let name = grammar.get_name().to_owned();
    let template =
        format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{overview}\nOptions:\n{{options}}\n");
    let grammar = grammar.help_template(template).mut_args(short);
    grammar.mut_subcommands(|command| screen(command, &name))
}

/// Returns the grammar with examples alone, for manual pages, which have no short form.
pub fn with_examples(grammar: Command) -> Command {
    grammar.mut_subcommands(|command| match examples_of(command.get_name()) {
        Some(examples) => command.after_long_help(examples),
        None => command,
    })
}

/// Returns the examples of a command as text.
fn examples_of(name: &str) -> Option<String> {
    let (_, _, examples) = SCREENS.iter().find(|(screen, ..)| *screen == name)?;
    Some(format!("Examples:\n  {}\n  {}", examples[0], examples[1]))
}

/// Leaves an option that many commands share out of a short screen.
fn short(arg: Arg) -> Arg {
    let is_shared = arg.get_help_heading().is_some_and(|heading| SHARED.contains(&heading));
    if is_shared { arg.hide_short_help(true) } else { arg }
}

fn screen(command: Command, program: &str) -> Command {
    let name = command.get_name().to_owned();
    let found = SCREENS.iter().find(|(screen, ..)| *screen == name);
    let shown = found.and_then(|(_, shown, _)| *shown);
    let command = command.mut_args(|arg| {
        let arg = short(arg);
        let is_shown = arg.get_long().is_none_or(|long| shown.is_none_or(|shown| shown.contains(&long)));
        if is_shown { arg } else { arg.hide_short_help(true) }
    });
    let command = command.mut_subcommands(|inner| inner.mut_args(short));
    let Some(examples) = examples_of(&name) else { return command };
    command.after_help(format!("All options: {program} {name} --help\n\n{examples}")).after_long_help(examples)
}

#[cfg(test)]
pub(in crate::cli) fn examples() -> impl Iterator<Item = (&'static str, [&'static str; 2])> {
    SCREENS.iter().map(|(name, _, examples)| (*name, *examples))
}
