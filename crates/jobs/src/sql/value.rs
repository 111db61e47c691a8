//! Parameters of a statement: the few types that both databases have.

use crate::{Digest, JobId, Timestamp};
use std::borrow::Cow;
use uuid::Uuid;

/// A parameter; `None` is NULL of its type.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<&'a [u8]>),
}

/// A slice of parameters, `$1` first.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::sql::Value::from($value)),*] };
}
pub(crate) use values;

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Self::Integer(Some(value.into()))
            }
        }
    )*};
}
integers!(i64, u32, i32);

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Integer(Some(value.0))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        value.as_str().into()
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value.map(Cow::from))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::from))
    }
}

impl From<JobId> for Value<'_> {
    fn from(value: JobId) -> Self {
        value.to_string().into()
    }
}

impl From<Uuid> for Value<'_> {
    fn from(value: Uuid) -> Self {
        value.to_string().into()
    }
}

impl<'a> From<&'a Digest> for Value<'a> {
    fn from(value: &'a Digest) -> Self {
        Some(value).into()
    }
}

impl<'a> From<Option<&'a Digest>> for Value<'a> {
    fn from(value: Option<&'a Digest>) -> Self {
        Self::Bytes(value.map(|digest| &digest.as_bytes()[..]))
    }
}
