//! JSON into a dialect's types; what is wrong is named by line, column and pointer.

use crate::file::File;
use crate::place::step;
use crate::types::List;
use crate::{Error, Place};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment, Track};

/// The one value of a file.
pub(crate) fn parse<'a, T: Deserialize<'a>>(file: &File<'a>) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_str(file.text);
    let mut track = Track::new();
    let read = T::deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let place = |error: &serde_json::Error, pointer| Place {
        line: error.line(),
        column: error.column(),
        pointer,
        ..Place::file(file.name)
    };
    let value = read.map_err(|error| {
        let at = pointer(&track.path());
        Error::Syntax { place: place(&error, at), message: message(&error.to_string()) }
    })?;
    json.end().map_err(|error| {
        let message = "expected the end of the file, found more after the JSON".to_string();
        Error::Syntax { place: place(&error, String::new()), message }
    })?;
    Ok(value)
}

/// The entries of a list, or the one entry of a file that holds no list, with their pointers.
pub(crate) fn entries<T: DeserializeOwned>(file: &File<'_>) -> Result<Vec<(String, T)>, Error> {
    if !file.text.trim_start().starts_with('[') {
        return Ok(vec![(String::new(), parse(file)?)]);
    }
    let List(entries) = parse::<List<T>>(file)?;
    numbered(file, "", entries)
}

/// Entries with their pointers below `pointer`, as many as a file may have.
pub(crate) fn numbered<T>(
    file: &File<'_>,
    pointer: &str,
    entries: Vec<T>,
) -> Result<Vec<(String, T)>, Error> {
    let most = file.limits.entries;
    if entries.len() > most {
        return Err(Error::limit(&file.at(pointer), "jobs", most as u64));
    }
    Ok(entries.into_iter().enumerate().map(|(i, entry)| (step(pointer, i), entry)).collect())
}

/// A path as a JSON pointer.
pub(crate) fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => step(&pointer, index),
        Segment::Map { key } => step(&pointer, key),
        Segment::Enum { variant } => step(&pointer, variant),
        Segment::Unknown => pointer,
    })
}

/// serde's words in ours: without the place, which is named in front, and expected before found.
pub(crate) fn message(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    let turned = kinds.iter().find_map(|kind| {
        let (found, expected) = text.strip_prefix(kind)?.rsplit_once(", expected ")?;
        let expected = match expected {
            "u64" | "u32" | "usize" => "a whole number from 0",
            "i32" => "a whole number",
            "f64" => "a number",
            other => other,
        };
        Some(format!("expected {expected}, found {found}"))
    });
    let text = turned.unwrap_or_else(|| text.to_string());
    match text.char_indices().nth(240) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
