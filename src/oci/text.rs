//! A short string without its own allocation. A manifest may list millions of tags.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Maximum length of text stored inline.
const INLINE: usize = 14;

/// A string of which up to 14 bytes are stored inline in its 16 bytes. Ordered and hashed like its
/// text.
#[derive(Clone)]
pub struct Text(Held);

#[derive(Clone)]
enum Held {
    Short { length: u8, bytes: [u8; INLINE] },
    // Boxed twice, so that it takes one word here.
    Long(Box<Box<str>>),
}

impl Text {
    /// Creates a text.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; INLINE];
        match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
            (Ok(length), Some(own)) => {
                own.copy_from_slice(text.as_bytes());
                Self(Held::Short { length, bytes })
            }
            _ => Self(Held::Long(Box::new(text.into()))),
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // The bytes were copied from a `&str`, so they are UTF-8.
            Held::Short { length, bytes } => std::str::from_utf8(&bytes[..usize::from(*length)]).unwrap_or_default(),
            Held::Long(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_kept_and_ordered_as_text() {
        let texts: Vec<String> = (0..60).map(|length| "é".repeat(length / 2) + &"z".repeat(length % 7)).collect();
        for one in &texts {
            let own = Text::new(one);
            assert_eq!(own.as_str(), one);
            assert_eq!(format!("{own:?}"), format!("{one:?}"));
            for other in &texts {
                let another = Text::new(other);
                assert_eq!(own.cmp(&another), one.cmp(other));
                assert_eq!(own == another, one == other);
            }
        }
        assert_eq!(size_of::<Text>(), 16);
    }
}
