//! `${VAR}` in the values of a configuration file.
//!
//! Variables are expanded in parsed values, never in the file's text, so that a variable cannot add
//! keys. Keys are not expanded.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::fault::Fault;
use crate::toml_file::error::Text;

/// Expands all values of `table`; `$${` stands for `${` itself.
///
/// # Errors
/// Class usage: a variable that is unset or not UTF-8, with its line.
pub fn table(table: &mut DeTable<'_>, env: &BTreeMap<OsString, OsString>, file: Text<'_>) -> Result<(), Fault> {
    table.iter_mut().try_for_each(|(_, one)| value(one, env, file))
}

fn value(spanned: &mut Spanned<DeValue<'_>>, env: &BTreeMap<OsString, OsString>, file: Text<'_>) -> Result<(), Fault> {
    let span = spanned.span();
    match spanned.get_mut() {
        DeValue::String(text) => {
            if text.contains("${") {
                let expanded = expand(text, env).map_err(|(what, help)| file.at(&span).wrong(what, help))?;
                *text = expanded.into();
            }
            Ok(())
        }
        DeValue::Array(list) => list.iter_mut().try_for_each(|one| value(one, env, file)),
        DeValue::Table(inner) => table(inner, env, file),
        _ => Ok(()),
    }
}

fn expand(text: &str, env: &BTreeMap<OsString, OsString>) -> Result<String, (String, String)> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let name = rest[at + 2..].split_once('}').filter(|(name, _)| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        let Some((name, behind)) = name else {
            let what = "expected ${VARIABLE}, found ${ with something else".to_owned();
            return Err((what, "write $${ for a literal ${".to_owned()));
        };
        let value = env.get(OsStr::new(name)).ok_or_else(|| {
            let what = format!("variable {name}: expected a value, found it unset");
            (what, format!("set {name}, or write $${{{name}}} for the literal text"))
        })?;
        let value = value.to_str().ok_or_else(|| {
            (
                format!("variable {name}: expected text, found bytes that are not UTF-8"),
                format!("set {name} to UTF-8 text"),
            )
        })?;
        expanded.push_str(value);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_once() {
        let env = [("A", "1"), ("B_2", "${A}"), ("E", "")];
        let env = env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let one = |text: &str| expand(text, &env);
        assert_eq!(one("x${A}y${A}").unwrap(), "x1y1");
        assert_eq!(one("${B_2}").unwrap(), "${A}");
        assert_eq!(one("[${E}]").unwrap(), "[]");
        assert_eq!(one("$${A} $${ $$${A}").unwrap(), "${A} ${ $${A}");
        assert_eq!(one("$A $").unwrap(), "$A $");
        assert!(one("${C}").unwrap_err().0.contains('C'));
        for wrong in ["${", "${}", "${A", "${A b}", "${1}", "${A-x}"] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
    }
}
