//! A value of a file that people write in its one spelling: a table only as a table, a word only as a text.
//!
//! Code that serde derives takes a list in the place of a table too, member by member, and `{ word = {} }` in the place of a
//! word. A policy that one reader takes so and another refuses is no policy (`spec/policy.md`); a setting that its writer
//! did not name is no setting (`spec/configuration.md`).

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table<T>(T);

impl<T> Table<T> {
    /// Gives the table's value.
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

/// One of some words.
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
