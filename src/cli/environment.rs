//! Options from the environment: `PACKMULE_<OPTION>` for every long option that was not typed.
//!
//! A walk over the words typed finds the command and the options given. For each other long option
//! of the command (or of all commands) whose variable is set, `--option=value` is added after them,
//! so that the parser treats it as typed. (The parser's own support would read the process, not the
//! world.) `-` becomes `_`; a flag accepts only `1`, `true`, `yes`, `0`, `false` and `no`; an empty
//! variable counts as unset. Options of TRUST never come from here: whoever sets the environment
//! must not choose whose signatures count.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

use super::args::trust;
use crate::base::fault::{Class, Fault, differs, escape};

/// The command line with the options from the environment.
pub struct Typed {
    /// Arguments for the parser.
    pub args: Vec<OsString>,
    /// Words of the command: `key`, `new`.
    pub words: Vec<String>,
    /// Whether a JSON document is requested; known even if the parser refuses the rest.
    pub json: bool,
    /// Fault of a variable whose value does not fit its option.
    pub fault: Option<Fault>,
}

/// Adds the options in `env` to `args`, which starts with the program's name.
pub fn read(grammar: &Command, args: &[OsString], env: &BTreeMap<OsString, OsString>) -> Typed {
    let mut walk = Walk { path: vec![grammar], given: BTreeSet::new(), words: Vec::new() };
    let end = walk.over(args);
    let mut typed = Typed { args: args.to_vec(), words: walk.words, json: walk.given.contains("json"), fault: None };
    let known = walk.path.first().into_iter().chain(walk.path.last().filter(|_| walk.path.len() > 1));
    let mut added = Vec::new();
    for arg in known.flat_map(|command| command.get_arguments()) {
        let Some(long) = arg.get_long() else { continue };
        if walk.given.contains(long) || trust::OPTIONS.contains(&long) || matches!(long, "help" | "version") {
            continue;
        }
        let name = format!("PACKMULE_{}", long.to_uppercase().replace('-', "_"));
        let Some(value) = env.get(OsStr::new(&name)).filter(|value| !value.is_empty()) else { continue };
        let mut option = OsString::from(format!("--{long}"));
        if takes_value(arg) {
            option.push("=");
            option.push(value);
        } else {
            match value.to_str() {
                Some("1" | "true" | "yes") => {}
                Some("0" | "false" | "no") => continue,
                _ => {
                    let found = escape(&value.to_string_lossy());
                    let what = differs(name, "1 or 0", found);
                    typed.fault = Some(Fault::new(Class::Usage, what).help("unset it, or set it to 1 or 0"));
                    continue;
                }
            }
        }
        typed.json |= long == "json";
        added.push(option);
    }
    typed.args.splice(end..end, added);
    typed
}

struct Walk<'a> {
    path: Vec<&'a Command>,
    given: BTreeSet<String>,
    words: Vec<String>,
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

impl<'a> Walk<'a> {
    fn find(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&'a Arg> {
        self.path.iter().rev().flat_map(|command| command.get_arguments()).find(|arg| is_it(arg))
    }

    /// Reads the words and returns the position where options can be inserted: at `--`, or at the
    /// end.
    fn over(&mut self, args: &[OsString]) -> usize {
        let mut at = 1;
        while at < args.len() {
            let word = args[at].to_string_lossy();
            at += 1;
            if word == "--" {
                return at - 1;
            }
            let skips = if let Some(long) = word.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                self.given.insert(name.to_owned());
                value.is_none() && self.find(|arg| arg.get_long() == Some(name)).is_some_and(takes_value)
            } else if let Some(shorts) = word.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
                self.shorts(shorts)
            } else {
                let inner = self.path.last().and_then(|command| command.find_subcommand(word.as_ref()));
                if let Some(inner) = inner {
                    self.path.push(inner);
                    self.words.push(inner.get_name().to_owned());
                }
                false
            };
            at += usize::from(skips);
        }
        args.len()
    }

    /// Reads `-qvo` or `-oVALUE`; returns whether the next word is a value.
    fn shorts(&mut self, shorts: &str) -> bool {
        let mut rest = shorts.chars();
        while let Some(short) = rest.next() {
            let Some(arg) = self.find(|arg| arg.get_short() == Some(short)) else { return false };
            self.given.extend(arg.get_long().map(ToOwned::to_owned));
            if takes_value(arg) {
                return rest.as_str().is_empty();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grammar() -> Command {
        let inner = Command::new("verify")
            .arg(Arg::new("key").long("key").action(ArgAction::Append))
            .arg(Arg::new("output").long("output").short('o'))
            .arg(Arg::new("fail-fast").long("fail-fast").short('f').action(ArgAction::SetTrue))
            .arg(Arg::new("bundle"));
        Command::new("packmule")
            .arg(Arg::new("json").long("json").global(true).action(ArgAction::SetTrue))
            .arg(Arg::new("jobs").long("jobs").short('j').global(true))
            .subcommand(inner)
    }

    fn typed(args: &[&str], env: &[(&str, &str)]) -> (String, bool, bool) {
        let args: Vec<OsString> = std::iter::once("packmule").chain(args.iter().copied()).map(Into::into).collect();
        let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let typed = read(&grammar(), &args, &env);
        let words: Vec<_> = typed.args[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
        (words.join(" "), typed.json, typed.fault.is_some())
    }

    #[test]
    fn what_was_not_typed_comes_from_the_environment() {
        let env = [("PACKMULE_JOBS", "3"), ("PACKMULE_FAIL_FAST", "1"), ("PACKMULE_OUTPUT", "x"), ("JOBS", "9")];
        assert_eq!(typed(&["verify", "b"], &env).0, "verify b --jobs=3 --output=x --fail-fast");
        assert_eq!(typed(&["verify", "-fo", "verify", "--jobs", "1", "b"], &env).0, "verify -fo verify --jobs 1 b");
        assert_eq!(typed(&["-j4", "verify", "-oy", "--", "--b"], &env).0, "-j4 verify -oy --fail-fast -- --b");
        assert_eq!(typed(&["verify"], &[("PACKMULE_FAIL_FAST", "0"), ("PACKMULE_JOBS", "")]).0, "verify");
        assert!(typed(&["verify"], &[("PACKMULE_FAIL_FAST", "maybe")]).2);
    }

    #[test]
    fn trust_never_does() {
        assert_eq!(typed(&["verify", "b"], &[("PACKMULE_KEY", "evil.pem"), ("PACKMULE_HELP", "1")]).0, "verify b");
    }

    #[test]
    fn json_is_known_whatever_else_is_wrong() {
        assert!(typed(&["verify", "--nonsense", "--json"], &[]).1);
        assert!(typed(&["nonsense"], &[("PACKMULE_JSON", "1")]).1);
        assert!(!typed(&["verify", "--", "--json"], &[]).1);
    }
}
