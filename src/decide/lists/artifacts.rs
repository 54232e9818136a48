//! TOML: `artifacts = [{ ref = "…", as = "…", semver = "…" }]`, with the keys of selectors.

use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::found::List;
use crate::base::fault::Fault;
use crate::decide::selector::{Selector, Source};

/// Reads a whole text.
pub fn read(text: &str, found: &mut List) {
    let line = |span: Range<usize>| text[..span.start.min(text.len())].lines().count().max(1);
    let starts = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(0, line);
            found.refuse(line, "", format!("not TOML: {}", error.message()));
            return;
        }
    };
    for (key, value) in table.get_ref() {
        let at = starts(key.span());
        match value.get_ref() {
            DeValue::Array(items) if key.get_ref() == "artifacts" => {
                for item in items {
                    artifact(starts(item.span()), item, found);
                }
            }
            _ if key.get_ref() == "artifacts" => {
                found.refuse(at, "artifacts", "expected an array, found another value");
            }
            _ => found.pass(at, key.get_ref().as_ref(), "not a list of artifacts"),
        }
    }
    if !table.get_ref().iter().any(|(key, _)| key.get_ref() == "artifacts") {
        found.refuse(0, "", "expected an array artifacts, found none");
    }
}

fn artifact(line: usize, item: &Spanned<DeValue<'_>>, found: &mut List) {
    let place = "artifacts";
    let table = match item.get_ref() {
        DeValue::String(text) => {
            match Selector::parse(text) {
                Ok(selector) => found.take(line, selector),
                Err(fault) => found.fault(line, place, &fault),
            }
            return;
        }
        DeValue::Table(table) => table,
        _ => {
            found.refuse(line, place, "expected a table with ref, or a text, found another value");
            return;
        }
    };
    let value = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_ref());
    if value("images_in").is_some() {
        found.refuse(line, place, "images_in: not read from a list; give that file as a list of its own");
        return;
    }
    let Some(DeValue::String(reference)) = value("ref") else {
        found.refuse(line, place, "expected ref = \"HOST/REPO:TAG\", found none");
        return;
    };
    let read = || -> Result<Selector, Fault> {
        let mut selector = Selector::new(Source::parse(reference)?);
        for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "ref") {
            let name = match key.get_ref().as_ref() {
                "platforms" => "platform",
                other => other,
            };
            for text in texts(name, value.get_ref())? {
                selector.set(name, &text)?;
            }
        }
        selector.checked(reference)
    };
    match read() {
        Ok(selector) => found.take(line, selector),
        Err(fault) => found.fault(line, place, &fault),
    }
}

/// Returns the values of a key: a text, a number, or several texts.
fn texts(key: &str, value: &DeValue<'_>) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::usage(format!("{key}: expected a text, found another value"), "write it in quotes");
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if key == "latest" => Ok(number.to_string()),
        _ => Err(wrong()),
    };
    match value {
        DeValue::Array(items) => items.iter().map(|item| one(item.get_ref())).collect(),
        other => one(other).map(|text| vec![text]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_with_the_keys_of_selectors() {
        let text = "[x]\na = 1\n[[artifacts]]\nref = \"h.example/ns/*\"\nsemver = \"^2\"\nlatest = 3\nexclude = [\"*-rc*\"]\n[[artifacts]]\nref = \"alpine:3.20\"\nas = \"localhost/a\"\nplatforms = [\"linux/amd64\"]\n";
        let mut found = List::default();
        read(text, &mut found);
        let names: Vec<String> = found.entries.iter().map(|one| one.selector.to_string()).collect();
        assert_eq!(
            names,
            [
                "h.example/ns/*,semver=^2,latest=3,exclude=*-rc*",
                "docker.io/library/alpine:3.20,platform=linux/amd64,as=localhost/a"
            ]
        );
        assert_eq!((found.passed_over.len(), found.refused.len()), (1, 0));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        let text = "artifacts = [\n  { ref = \"a:1\" },\n  { ref = \"A/b\" },\n  { as = \"x\" },\n  { ref = \"a\", colour = \"red\" },\n  7,\n]\n";
        let mut found = List::default();
        read(text, &mut found);
        assert_eq!(found.refused.iter().map(|one| one.line).collect::<Vec<_>>(), [3, 4, 5, 6]);
        let mut found = List::default();
        read("artifacts = [\n", &mut found);
        assert!(found.refused[0].reason.starts_with("not TOML"), "{found:?}");
    }
}
