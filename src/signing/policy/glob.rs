//! Patterns of a policy: `*` matches any sequence of characters, including `/`. All other
//! characters match themselves.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Creates a pattern.
    pub const fn new(pattern: String) -> Self {
        Self(pattern)
    }

    /// Returns the pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches all of `text`. Takes at most pattern × text steps.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        // The part before the first star must be at the start, the part after the last star at the
        // end.
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        let Some(middle) = rest.strip_suffix(last) else { return false };
        rest = middle;
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_the_rest_for_itself() {
        for (pattern, text, fits) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/b/c", true),
            ("a/*", "a", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*b", "ab", true),
            ("*b", "ba", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "xabab", true),
            ("*ab*ab*", "xxabxb", false),
            ("a*a", "a", false),
            ("a**a", "aa", true),
            ("docker.io/library/*", "docker.io/libraryx/a", false),
            ("application/vnd.*", "application/vndx", false),
            ("[ab]?", "a", false),
        ] {
            assert_eq!(Glob::new(pattern.to_owned()).matches(text), fits, "{pattern} {text}");
        }
        let slow = Glob::new("a*".repeat(200) + "b");
        assert!(!slow.matches(&"a".repeat(10_000)));
    }
}
