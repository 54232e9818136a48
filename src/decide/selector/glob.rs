//! Patterns of tags and of repositories: `*`, `?`, `[a-z]`, `[!a-z]`.

use globset::{GlobBuilder, GlobMatcher};

use crate::base::fault::Fault;

/// Returns whether a text is a pattern.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Checks a pattern.
///
/// # Errors
/// Class usage.
pub fn check(text: &str) -> Result<(), Fault> {
    compile(text, false).map(drop)
}

/// Compiles a pattern that a whole text must match. In a pattern of `paths`, a wildcard matches no
/// slash.
///
/// # Errors
/// Class usage.
pub fn compile(text: &str, paths: bool) -> Result<GlobMatcher, Fault> {
    // `{a,b}` of globset is not part of the syntax.
    let plain = text.replace('{', "[{]").replace('}', "[}]");
    let built = GlobBuilder::new(&plain).literal_separator(paths).backslash_escape(false).build();
    built.map(|glob| glob.compile_matcher()).map_err(|error| {
        Fault::usage(format!("pattern {text:?}: {}", error.kind()), "write a pattern with *, ? and [a-z]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        let matches = |pattern: &str, text: &str| compile(pattern, true).unwrap().is_match(text);
        assert!(matches("1.*", "1.27") && !matches("1.*", "v1.27") && matches("*-rc?", "1-rc1"));
        assert!(matches("[!a-c]x", "dx") && !matches("[!a-c]x", "ax") && matches("{a}", "{a}"));
        assert!(matches("ns/app-*", "ns/app-1") && !matches("ns/app-*", "ns/app-1/x"));
        assert!(compile("[", false).is_err() && compile("a[z-a]", false).is_err());
    }
}
