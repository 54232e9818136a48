//! Strict spelling of values: a table only as a table, a word only as a string.
//!
//! Code derived by serde also accepts a list in place of a table, member by member, and `{ word =
//! {} }` in place of a word. All readers must agree on whether a policy is valid
//! (`spec/policy.md`), and a setting must be named by its writer (`spec/configuration.md`).

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A value that must be written as a table.
#[derive(Clone, Debug, Default)]
pub struct Table<T>(T);

impl<T> Table<T> {
    /// Returns the value of the table.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Deref for Table<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Only::<Self>(PhantomData))
    }
}

/// A value that must be written as a string with one of several words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word<T>(T);

impl<T> Deref for Word<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Only::<Self>(PhantomData))
    }
}

struct Only<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<Table<T>> {
    type Value = Table<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Table)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<Word<T>> {
    type Value = Word<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Word<T>, E> {
        T::deserialize(StrDeserializer::new(text)).map(Word)
    }
}
