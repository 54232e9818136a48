//! RFC 8785 canonical JSON: one spelling for each value, so that bytes can be compared and hashed.
//!
//! Writes only. To check a canonical file, parse it, write it again and compare the bytes. Stricter
//! than the RFC in one respect: numbers are integers within ±(2^53 − 1), and all other numbers are
//! refused (`spec/manifest.md`).

use serde::Serialize;
use serde_json::Value;

/// Largest magnitude that every JSON reader represents exactly.
const MAX_INTEGER: u64 = super::descriptor::MAX_SIZE;

/// Reason why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// A fraction, an exponent, a negative zero, or an integer that not every reader represents
    /// exactly.
    #[error("number {0}: expected an integer within 2^53 - 1")]
    Number(serde_json::Number),
    /// The value cannot be converted to JSON, for example a map whose keys are not strings.
    #[error("value: {0}")]
    Value(#[from] serde_json::Error),
}

/// Returns the canonical bytes of `value`, with nothing after them.
///
/// # Errors
/// [`CanonicalError::Number`].
pub fn to_vec(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write(&mut out, value)?;
    Ok(out)
}

/// Returns the canonical bytes of a serializable value: [`to_vec`] of its [`Value`].
///
/// # Errors
/// [`CanonicalError`].
pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    to_vec(&serde_json::to_value(value)?)
}

fn write(out: &mut Vec<u8>, value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_none_or(|magnitude| magnitude > MAX_INTEGER) {
                return Err(CanonicalError::Number(number.clone()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // By UTF-16 code units. Differs from byte order outside the basic plane.
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write(out, member)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Writes a string like ECMAScript's JSON.stringify: escapes only `"`, `\` and control characters,
/// in the shortest way.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            control @ 0..=0x1f => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            other => out.push(other),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        String::from_utf8(to_vec(&serde_json::from_str(json).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn keys_sort_by_utf16_code_units() {
        // RFC 8785, section 3.2.3: key order of the sample.
        let given = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let values: Vec<String> =
            canonical(given).split("\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
        assert_eq!(
            values,
            [
                "Carriage Return",
                "One",
                "Control",
                "Latin Small Letter O With Diaeresis",
                "Euro Sign",
                "Emoji: Grinning Face",
                "Hebrew Letter Dalet With Dagesh"
            ]
        );
        assert_eq!(
            canonical(r#"{"b":1,"a":{"d":[3,1],"c":null},"":true}"#),
            r#"{"":true,"a":{"c":null,"d":[3,1]},"b":1}"#
        );
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        // RFC 8785, section 3.2.2.2: string of the sample.
        let given = r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#;
        assert_eq!(canonical(given), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
        assert_eq!(
            canonical(r#""\b\t\n\f\r\u0000\u001f\u007f\u2028<>&""#),
            "\"\\b\\t\\n\\f\\r\\u0000\\u001f\u{7f}\u{2028}<>&\""
        );
    }

    #[test]
    fn numbers_are_integers_that_every_reader_keeps() {
        assert_eq!(canonical("[0,-1,9007199254740991,-9007199254740991]"), "[0,-1,9007199254740991,-9007199254740991]");
        for wrong in
            ["1.0", "1e3", "0.5", "-0", "9007199254740992", "-9007199254740992", "18446744073709551615", "1e300"]
        {
            let value: Value = serde_json::from_str(wrong).unwrap();
            assert!(matches!(to_vec(&value), Err(CanonicalError::Number(_))), "{wrong}");
        }
    }

    #[test]
    fn what_serialises_is_written_by_its_value() {
        #[derive(Serialize)]
        struct Pair {
            z: u8,
            a: Option<&'static str>,
        }
        assert_eq!(serialize(&Pair { z: 1, a: Some("x") }).unwrap(), br#"{"a":"x","z":1}"#);
        let no_text_keys = std::collections::HashMap::from([(vec![1u8], 1)]);
        assert!(matches!(serialize(&no_text_keys), Err(CanonicalError::Value(_))));
    }
}
