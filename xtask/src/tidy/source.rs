//! Prepares Rust text for searching: removes comments, the content of strings, and test modules,
//! and keeps line numbers.
//!
//! It reads formatted text and is not a parser: it relies on `cargo fmt` for the closing brace of a
//! test module.

/// Returns the lines of `text` with comments, string contents and `#[cfg(test)]` modules blanked.
/// The number of lines does not change.
pub fn code(path: &str, text: &str) -> Vec<String> {
    let bare = blank(text);
    let mut lines: Vec<String> = bare.lines().map(str::to_owned).collect();
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        lines.iter_mut().for_each(String::clear);
        return lines;
    }
    let mut at = 0;
    while at < lines.len() {
        let indent = lines[at].len() - lines[at].trim_start().len();
        let opens = lines[at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| is_module(next.trim()));
        if !opens {
            at += 1;
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let one_line = lines[at + 1].trim_end().ends_with(';');
        let end = if one_line {
            at + 1
        } else {
            (at + 1..lines.len()).find(|&i| lines[i].trim_end() == close).unwrap_or(lines.len() - 1)
        };
        lines[at..=end].iter_mut().for_each(String::clear);
        at = end + 1;
    }
    lines
}

/// Returns the lines of `text` with everything blanked except comments and strings. The number of lines does not change.
pub fn prose(text: &str) -> Vec<String> {
    let code = blank(text);
    let prose = text.chars().zip(code.chars()).map(|(c, code)| if c == code && c != '\n' { ' ' } else { c });
    prose.collect::<String>().lines().map(str::to_owned).collect()
}

fn is_module(line: &str) -> bool {
    ["mod ", "pub mod ", "pub(crate) mod "].iter().any(|start| line.starts_with(start))
}

/// Replaces comments and the contents of strings by blanks, character by character, keeping
/// newlines.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let keep = |c: char| if c == '\n' { '\n' } else { ' ' };
    while i < chars.len() {
        let rest = &chars[i..];
        let end = if rest.starts_with(&['/', '/']) {
            i + rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            i + block_comment(rest)
        } else if let Some(length) = raw_string(rest, i.checked_sub(1).map(|before| chars[before])) {
            i + length
        } else if rest[0] == '"' {
            i + string(rest)
        } else if let Some(length) = character(rest) {
            i + length
        } else {
            out.push(chars[i]);
            i += 1;
            continue;
        };
        out.extend(chars[i..end].iter().map(|&c| keep(c)));
        i = end;
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0usize, 0);
    while i < rest.len() {
        if rest[i..].starts_with(&['/', '*']) {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(&['*', '/']) {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char], before: Option<char>) -> Option<usize> {
    if rest[0] != 'r' || before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    let from = 2 + hashes;
    let found = (from..rest.len()).find(|&i| rest[i..].starts_with(&close));
    Some(found.map_or(rest.len(), |i| i + close.len()))
}

/// Returns the length of a character literal such as `'"'` or `'\''`, or `None` for a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().take(10).position(|&c| c == '\'').map(|at| 3 + at + 1),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_tests_go_and_lines_stay() {
        let text = "a // crate::b\n/* c\nd */ e\nlet s = \"crate::x\"; let c = '\"'; f\nlet r = r#\"g\"h\"#; i\n\
                    #[cfg(test)]\nmod tests {\n    use crate::j;\n}\nk\n";
        let lines = code("src/x.rs", text);
        assert_eq!(lines.len(), 10);
        let joined = lines.concat();
        for gone in ["crate", "c\n", "g", "j"] {
            assert!(!joined.contains(gone), "{gone} in {joined}");
        }
        assert_eq!(lines[9], "k");
        assert!(lines[3].ends_with('f') && lines[4].ends_with('i') && lines[2].ends_with('e'));
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(code("src/x.rs", "fn f<'a>(x: &'a str) {} \"s\"").concat().trim_end(), "fn f<'a>(x: &'a str) {}");
    }
}
