//! Tab-separated tables with a header line.

use crate::Error;
use std::path::Path;

/// Rows of a table by the names of its columns.
pub(crate) struct Table<'a> {
    place: &'a str,
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    columns: Vec<&'a str>,
}

/// One row; `line` counts from 1.
pub(crate) struct Fields<'a> {
    pub line: usize,
    fields: Vec<&'a str>,
}

impl<'a> Table<'a> {
    /// `place` is the file's name in messages.
    pub fn new(place: &'a str, text: &'a str) -> Result<Self, Error> {
        let mut lines = text.lines().enumerate();
        let header = lines.next().map_or("", |(_, l)| l);
        Ok(Self { place, lines, columns: header.trim_start_matches('\u{feff}').split('\t').collect() })
    }

    /// Place of a column in a row.
    pub fn column(&self, name: &str) -> Result<usize, Error> {
        self.columns.iter().position(|c| *c == name).ok_or_else(|| {
            let found = self.columns.join(", ");
            Error::source(self.place, format!("expected a column {name}, found {found}"))
        })
    }

    /// Place of the first column whose name begins so.
    pub fn column_beginning(&self, name: &str) -> Result<usize, Error> {
        self.columns
            .iter()
            .position(|c| c.starts_with(name))
            .map_or_else(|| self.column(&format!("{name}…")), Ok)
    }

    /// An error in a row.
    pub fn wrong(&self, line: usize, what: impl std::fmt::Display) -> Error {
        Error::source(format!("{}:{line}", self.place), what.to_string())
    }

    /// The next row that is not empty; one with another number of fields is an error.
    pub fn next(&mut self) -> Option<Result<Fields<'a>, Error>> {
        let (index, text) = self.lines.find(|(_, l)| !l.is_empty())?;
        let fields: Vec<&str> = text.split('\t').collect();
        let (expected, found) = (self.columns.len(), fields.len());
        if expected != found {
            return Some(Err(self.wrong(index + 1, format!("expected {expected} fields, found {found}"))));
        }
        Some(Ok(Fields { line: index + 1, fields }))
    }
}

impl<'a> Fields<'a> {
    /// # Panics  for a column that is none of [`Table::column`].
    pub fn get(&self, column: usize) -> &'a str {
        self.fields[column]
    }
}

/// Text of a file, which may be compressed, and its name in messages.
pub(crate) fn read(path: &Path) -> Result<(String, String), Error> {
    let place = path.display().to_string();
    let bytes = msa::read(path, &msa::Limits::default()).map_err(|e| Error::source(&place, e.to_string()))?;
    let text = text(&place, bytes)?;
    Ok((place, text))
}

/// Text of a file's bytes.
pub(crate) fn text(place: &str, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::source(place, "expected UTF-8 text, found other bytes"))
}
