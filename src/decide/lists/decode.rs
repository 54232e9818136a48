//! The text of a list: UTF-8 or UTF-16, with or without a byte order mark.

/// Returns the text of `bytes`, without byte order mark.
///
/// # Errors
/// The reason why it is not text.
pub fn text(bytes: &[u8]) -> Result<String, String> {
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = bytes.as_chunks::<2>();
        let text = String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<u16>>());
        text.ok().filter(|_| odd.is_empty()).ok_or_else(|| "expected text, found broken UTF-16".to_owned())
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        // Ends of lines in UTF-16 have a zero on one side.
        [_, 0, _, 0, ..] => units(bytes, u16::from_le_bytes)?,
        [0, _, 0, _, ..] => units(bytes, u16::from_be_bytes)?,
        other => utf8(other)?,
    };
    if text.contains('\0') {
        return Err("expected a list as text, found binary content".to_owned());
    }
    // Every kind of line end counts as one, for the numbers of lines.
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("expected UTF-8 or UTF-16 text, found other bytes in line {line}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_utf8_and_utf16() {
        for bytes in [&b"a\n"[..], b"\xef\xbb\xbfa\n", b"\xff\xfea\0\n\0", b"\xfe\xff\0a\0\n", b"a\0\n\0", b"\0a\0\n"] {
            assert_eq!(text(bytes).unwrap(), "a\n", "{bytes:?}");
        }
        assert_eq!(text(b"a\r\nb\rc\n").unwrap(), "a\nb\nc\n");
        for bytes in [&b"\xff\xfea"[..], b"a\n\xff", b"\x1f\x8b\x08\0", b"ab\0"] {
            assert!(text(bytes).is_err(), "{bytes:?}");
        }
        assert!(text(b"a\n\xff").unwrap_err().ends_with("line 2"));
    }
}
