//! TOML: `artifacts = [{ ref = "…", as = "…", semver = "…" }]`, with the keys of selectors; and
//! `{ images_in = "FILE" }`, another list, which the caller reads.

use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::format::Format;
use super::found::{Include, List};
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
    match (value("ref"), value("images_in")) {
        (Some(DeValue::String(reference)), None) => match selector(reference, table) {
            Ok(selector) => found.take(line, selector),
            Err(fault) => found.fault(line, place, &fault),
        },
        (None, Some(DeValue::String(file))) => match include(line, file, table) {
            Ok(include) => found.includes.push(include),
            Err(fault) => found.fault(line, format!("{place}, images_in {file}"), &fault),
        },
        (Some(_), Some(_)) => found.refuse(line, place, "expected ref or images_in, found both"),
        _ => found.refuse(line, place, "expected ref = \"HOST/REPO:TAG\" or images_in = \"FILE\", found neither"),
    }
}

fn selector(reference: &str, table: &DeTable<'_>) -> Result<Selector, Fault> {
    let mut selector = Selector::new(Source::parse(reference)?);
    for (name, text) in keys(table, "ref")? {
        selector.set(&name, &text)?;
    }
    selector.checked(reference)
}

fn include(line: usize, file: &str, table: &DeTable<'_>) -> Result<Include, Fault> {
    if file.is_empty() || file.contains("://") {
        let what = format!("expected a file, found {file:?}");
        return Err(Fault::usage(what, "write the path of a list or of Kubernetes YAML"));
    }
    let mut keys = keys(table, "images_in")?;
    let format = keys.iter().position(|(name, _)| name == "format").map(|place| keys.remove(place).1);
    let format = format.map(|name| {
        Format::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format).ok_or_else(|| {
            let known = Format::ALL.map(|(name, _)| name).join(", ");
            Fault::usage(
                format!("format: expected one of {known}, found {name:?}"),
                "leave it out to recognize the kind",
            )
        })
    });
    let mut all = Selector::new(Source::File(file.into()));
    for (name, text) in &keys {
        if !matches!(name.as_str(), "platform" | "referrers") {
            let what = format!("expected platforms, referrers or format next to images_in, found {name:?}");
            return Err(Fault::usage(what, "write other keys next to ref"));
        }
        all.set(name, text)?;
    }
    Ok(Include { line, file: file.into(), format: format.transpose()?, keys })
}

/// Returns all keys of a table but `but`, with their values, by their names in selectors.
fn keys(table: &DeTable<'_>, but: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut all = Vec::new();
    for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != but) {
        let name = match key.get_ref().as_ref() {
            "platforms" => "platform",
            other => other,
        };
        all.extend(texts(name, value.get_ref())?.into_iter().map(|text| (name.to_owned(), text)));
    }
    Ok(all)
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
    fn other_lists_are_named_with_what_applies_to_their_entries() {
        let text = "artifacts = [\n  { images_in = \"a b.yaml\" },\n  { images_in = \"x.txt\", format = \"text\", platforms = [\"linux/amd64\", \"linux/arm64\"], referrers = \"none\" },\n]\n";
        let mut found = List::default();
        read(text, &mut found);
        assert!(found.refused.is_empty(), "{found:?}");
        let [one, two] = &found.includes[..] else { panic!("{found:?}") };
        assert_eq!((one.line, one.file.to_str(), one.format, one.keys.len()), (2, Some("a b.yaml"), None, 0));
        assert_eq!((two.line, two.format, two.keys.len()), (3, Some(Format::Text), 3));
        for wrong in [
            "{ images_in = 1 }",
            "{ images_in = '' }",
            "{ images_in = 'https://h.example/x' }",
            "{ images_in = 'x', ref = 'a:1' }",
            "{ images_in = 'x', as = 'a:1' }",
            "{ images_in = 'x', latest = 1 }",
            "{ images_in = 'x', format = 'xml' }",
            "{ images_in = 'x', platforms = ['amd64'] }",
        ] {
            let mut found = List::default();
            read(&format!("artifacts = [\n{wrong}]\n"), &mut found);
            assert_eq!((found.refused.len(), found.includes.len()), (1, 0), "{wrong}: {found:?}");
            assert_eq!(found.refused[0].line, 2, "{wrong}");
        }
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
