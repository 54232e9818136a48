//! Records of a pax extended header (POSIX pax, "pax Header Block"): `LENGTH KEY=VALUE` and a line
//! end, where the length is that of the whole record. Values may contain any byte, including line
//! ends.
//!
//! Uses only values that determine where content begins and ends. Malformed records are refused.

/// Values of an extended header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Name of the member.
    pub path: Option<Vec<u8>>,
    /// Size of the member's content.
    pub size: Option<u64>,
}

/// Reads all records. The last record of a key counts; an empty value removes it.
///
/// # Errors
/// A description of the invalid content for a message.
pub(super) fn read(mut bytes: &[u8]) -> Result<Said, &'static str> {
    const FORM: &str = "an extended header that is not in its form";
    let mut said = Said::default();
    while !bytes.is_empty() {
        let blank = bytes.iter().take(20).position(|&byte| byte == b' ').ok_or(FORM)?;
        let length = number(&bytes[..blank]).and_then(|length| usize::try_from(length).ok()).ok_or(FORM)?;
        if length <= blank + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(FORM);
        }
        let record = &bytes[blank + 1..length - 1];
        bytes = &bytes[length..];
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(FORM)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => {
                if value.contains(&0) {
                    return Err(FORM);
                }
                said.path = (!value.is_empty()).then(|| value.to_vec());
            }
            b"size" => said.size = if value.is_empty() { None } else { Some(number(value).ok_or(FORM)?) },
            key if key.starts_with(b"GNU.sparse.") => return Err("a sparse file"),
            _ => {}
        }
    }
    Ok(said)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a2_records_are_read_by_their_length() {
        let said = read(b"12 path=a/b\n10 size=7\n29 SCHILY.xattr.x=a\n9 path=y\n").unwrap();
        assert_eq!(said, Said { path: Some(b"a/b".to_vec()), size: Some(7) });
        assert_eq!(read(b"").unwrap(), Said::default());
        assert_eq!(read(b"10 size=7\n8 size=\n").unwrap(), Said::default());
    }

    #[test]
    fn a2_records_that_are_not_in_their_form_are_refused() {
        for wrong in [
            &b"x"[..],
            b" path=a\n",
            b"99 path=a\n",
            b"9 path=a",
            b"10 path=ab\n",
            b"9 pathab\n",
            b"0 \n",
            b"3 \n",
            b"11 size=-1\n",
            b"11 size=+1\n",
            b"12 size=0x1\n",
            b"11 path=a\0\n",
            b"29 size=99999999999999999999\n",
            b"18446744073709551615 a=b\n",
            b"22 GNU.sparse.major=1\n",
        ] {
            assert!(read(wrong).is_err(), "{:?}", String::from_utf8_lossy(wrong));
        }
    }
}
