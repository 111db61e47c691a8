//! Values that dialects share: lists of bounded length, one or many, numbers written as text.

use crate::limits::LIST;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A list that ends in an error where it gets too long to hold. `null` is an empty one.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries { text: None, entries: PhantomData })
    }
}

/// A text or a list of texts. Numbers are texts too: YAML's `id: 1`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: fn(String) -> Text = Text;
        let List(texts) = deserializer.deserialize_any(Entries { text: Some(text), entries: PhantomData })?;
        Ok(Self(texts.into_iter().map(|Text(text)| text).collect()))
    }
}

/// A text, perhaps written as a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_string()))
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A seed: a whole number from 0, perhaps written as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(pub u64);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Seed;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seed, a whole number from 0")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Seed, E> {
                Ok(Seed(number))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Seed, E> {
                let number =
                    text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                Ok(Seed(number))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

struct Entries<T> {
    /// Makes an entry of a text that stands in place of a list, where that may be.
    text: Option<fn(String) -> T>,
    entries: PhantomData<T>,
}

impl<T> Entries<T> {
    fn one<E: Error>(&self, text: String) -> Result<List<T>, E> {
        match self.text {
            Some(make) => Ok(List(vec![make(text)])),
            None => Err(E::invalid_type(serde::de::Unexpected::Str(&text), &"a list")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_some() { "a text or a list of texts" } else { "a list" })
    }

    fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
        Ok(List::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List<T>, E> {
        self.one(text.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<List<T>, E> {
        match self.text {
            Some(_) => self.one(number.to_string()),
            None => Err(E::invalid_type(serde::de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            if entries.len() == LIST {
                return Err(A::Error::custom(format_args!("expected at most {LIST} entries, found more")));
            }
            entries.push(entry);
        }
        Ok(List(entries))
    }
}
