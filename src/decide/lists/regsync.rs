//! regsync's configuration: what it copies, with filters of tags. Where it copies to is decided at
//! the import.

use super::found::List;
use super::names::{self, Problem};
use crate::base::fault::Fault;
use crate::decide::selector::Source;
use crate::yaml::Node;

/// Returns whether a document is such a configuration.
pub fn is_list(document: &Node) -> bool {
    let steps = document.get("sync").map(Node::items).unwrap_or_default();
    !steps.is_empty() && steps.iter().all(|step| step.get("source").is_some())
}

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    if let Some(creds) = document.get("creds") {
        found.pass(creds.line, "creds", "logins in a list: not used; log in with `packmule login`");
    }
    let defaults = document.get("defaults");
    for (number, step) in document.get("sync").map(Node::items).unwrap_or_default().iter().enumerate() {
        read_step(step, defaults, &format!("sync[{number}]"), found);
    }
}

fn read_step(step: &Node, defaults: Option<&Node>, place: &str, found: &mut List) {
    let Some(name) = step.text_of("source") else {
        found.refuse(step.line, place, "expected a source, found none");
        return;
    };
    if let Err(problem) = names::check(name) {
        let problem = if let Problem::Template(_) = problem { Problem::Template(false) } else { problem };
        found.problem(step.line, place, &problem);
        return;
    }
    let setting = |key: &str| step.get(key).or_else(|| defaults.and_then(|defaults| defaults.get(key)));
    let mut keys: Vec<(&str, String)> = Vec::new();
    let platforms = setting("platforms").map(Node::items).unwrap_or_default().iter().filter_map(|node| node.text());
    let platform = setting("platform").and_then(Node::text);
    keys.extend(platform.into_iter().chain(platforms).map(|text| ("platform", text.to_owned())));
    let kind = step.text_of("type").unwrap_or("repository");
    if kind != "image" && !filters(step, place, &mut keys, found) {
        return;
    }
    let keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
    match kind {
        "image" => found.image(step.line, place, name, &keys),
        "repository" => match whole(name) {
            Ok(source) => found.source(step.line, place, source, &keys),
            Err(problem) => found.problem(step.line, place, &problem),
        },
        "registry" => registry(step, name, place, &keys, found),
        other => found.refuse(step.line, place, format!("type {other}: expected image, repository or registry")),
    }
    if let Some(target) = step.text_of("target") {
        let renames = target.split_once('/').map(|(_, path)| path) != name.split_once('/').map(|(_, path)| path);
        if renames {
            found.pass(step.line, format!("{place}.target"), "where a name goes is decided at the import (--map)");
        }
    }
}

/// Returns the source of all tags of a repository.
fn whole(name: &str) -> Result<Source, Problem> {
    match names::image(name)? {
        Source::Registry(reference) => Ok(Source::Tags { repository: reference.repository, glob: None }),
        other => Ok(other),
    }
}

/// Adds the filters of a step. Returns whether all of them can be expressed.
fn filters(step: &Node, place: &str, keys: &mut Vec<(&'static str, String)>, found: &mut List) -> bool {
    let texts = |path: &[&str]| -> Vec<&str> {
        let node = step.at(path);
        let items = node.map(Node::items).unwrap_or_default().iter().filter_map(|item| item.text());
        node.and_then(Node::text).into_iter().chain(items).collect()
    };
    let allow = texts(&["tags", "allow"]);
    // regsync matches whole tags.
    match allow[..] {
        [] => {}
        [one] => keys.push(("regex", format!("^(?:{one})$"))),
        ref many => keys.push(("regex", format!("^(?:{})$", many.join("|")))),
    }
    let ranges = texts(&["tags", "semverRange"]);
    if !ranges.is_empty() {
        keys.push(("semver", ranges.join(" || ")));
    }
    for deny in texts(&["tags", "deny"]) {
        match as_glob(deny) {
            Some(glob) => keys.push(("exclude", glob)),
            None => {
                let line = step.at(&["tags", "deny"]).map_or(step.line, |node| node.line);
                let reason =
                    format!("{deny}: expected an expression of letters and .*, found another: write exclude= patterns");
                found.refuse(line, format!("{place}.tags.deny"), reason);
                return false;
            }
        }
    }
    true
}

/// Returns the pattern that matches as an expression of plain characters and `.*` does.
fn as_glob(expression: &str) -> Option<String> {
    let text = expression.strip_prefix('^').unwrap_or(expression);
    let text = text.strip_suffix('$').unwrap_or(text);
    let mut glob = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '.' if characters.next_if_eq(&'*').is_some() => glob.push('*'),
            '.' if characters.peek().is_none_or(|next| !"+?{".contains(*next)) => glob.push('?'),
            '\\' => glob.push(characters.next().filter(|next| ".-".contains(*next))?),
            plain if plain.is_ascii_alphanumeric() || plain == '-' || plain == '_' => glob.push(plain),
            _ => return None,
        }
    }
    Some(glob)
}

fn registry(step: &Node, host: &str, place: &str, keys: &[(&str, &str)], found: &mut List) {
    let texts = |key: &str| -> Vec<&str> {
        let list = step.at(&["repos", key]).map(Node::items).unwrap_or_default();
        list.iter().filter_map(|item| item.text()).collect()
    };
    if !texts("deny").is_empty() {
        found.refuse(step.line, format!("{place}.repos.deny"), "not supported: name the repositories with repos.allow");
        return;
    }
    let allow = texts("allow");
    let patterns: Vec<Option<String>> =
        if allow.is_empty() { vec![Some("*".to_owned())] } else { allow.iter().map(|one| path_glob(one)).collect() };
    for pattern in patterns {
        let read = match &pattern {
            Some(pattern) => Source::parse(&format!("{host}/{pattern}")),
            None => Err(Fault::usage(
                "repos.allow: expected letters and .*, found another expression",
                "write HOST/NAMESPACE/*",
            )),
        };
        match read {
            Ok(Source::Registry(reference)) => {
                let source = Source::Tags { repository: reference.repository, glob: None };
                found.source(step.line, place, source, keys);
            }
            Ok(source) => found.source(step.line, place, source, keys),
            Err(fault) => found.fault(step.line, place, &fault),
        }
    }
}

fn path_glob(expression: &str) -> Option<String> {
    expression.split('/').map(as_glob).collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_expressions_are_patterns() {
        assert_eq!(as_glob("^.*-rc.*$").as_deref(), Some("*-rc*"));
        assert_eq!(as_glob("1\\.2\\..*").as_deref(), Some("1.2.*"));
        assert_eq!(path_glob("library/.*").as_deref(), Some("library/*"));
        for expression in ["[0-9]+", "a|b", "v\\d", "a.+", "x?"] {
            assert_eq!(as_glob(expression), None, "{expression}");
        }
    }
}
