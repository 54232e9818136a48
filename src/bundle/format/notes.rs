//! Annotations of a manifest: keys and values in one string, because a manifest may list millions
//! of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Keys and their values, in order of the keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Notes {
    // Key, value, key, value.
    text: String,
    // End of each of these; below 2^32, because a manifest has at most 64 MiB.
    ends: Vec<u32>,
}

impl Notes {
    /// Adds an annotation at the end. Returns `None` if it is out of order or the text gets too
    /// long.
    fn push(&mut self, key: &str, value: &str) -> Option<()> {
        if self.iter().next_back().is_some_and(|(last, _)| last >= key) {
            return None;
        }
        for part in [key, value] {
            self.ends.push(u32::try_from(self.text.len() + part.len()).ok()?);
            self.text.push_str(part);
        }
        Some(())
    }

    /// Whether there are no annotations.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn part(&self, index: usize) -> &str {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[from..self.ends[index] as usize]
    }

    /// Returns each key with its value, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + ExactSizeIterator {
        (0..self.ends.len() / 2).map(|pair| (self.part(2 * pair), self.part(2 * pair + 1)))
    }
}

impl From<&BTreeMap<String, String>> for Notes {
    /// # Panics
    /// If there are more than 4 GiB of text, which no manifest holds.
    fn from(map: &BTreeMap<String, String>) -> Self {
        let mut notes = Self::default();
        for (key, value) in map {
            assert!(notes.push(key, value).is_some(), "a map is in order, and no manifest holds 4 GiB");
        }
        notes
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Notes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Refuses keys that are out of order or duplicate: no canonical form has them.
impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Notes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Notes, A::Error> {
                let mut notes = Notes::default();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    notes
                        .push(&key, &value)
                        .ok_or_else(|| A::Error::custom("annotations: expected keys in order, each once"))?;
                }
                Ok(notes)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_a_map_in_order() {
        let pairs = [("", "empty"), ("a", ""), ("b", "ü\"x\"")];
        let map: BTreeMap<String, String> =
            pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let notes = Notes::from(&map);
        assert_eq!(notes.iter().collect::<Vec<_>>(), pairs);
        let text = serde_json::to_string(&notes).unwrap();
        assert_eq!(text, serde_json::to_string(&map).unwrap());
        assert_eq!(serde_json::from_str::<Notes>(&text).unwrap(), notes);
        assert!(Notes::default().is_empty() && Notes::default().iter().next().is_none());
        for wrong in [r#"{"b":"","a":""}"#, r#"{"a":"","a":""}"#, r#"{"a":1}"#, "[]", "null"] {
            assert!(serde_json::from_str::<Notes>(wrong).is_err(), "{wrong}");
        }
    }
}
