//! Tables of comma- or tab-separated values, quoted as in RFC 4180.

use crate::{Error, Place};

/// A row and the line it begins on.
pub(crate) struct Row {
    pub line: usize,
    pub fields: Vec<String>,
}

/// Reads rows one by one; blank lines are skipped.
pub(crate) struct Rows<'a> {
    file: &'a str,
    rest: &'a str,
    separator: char,
    line: usize,
}

/// Fields of one row; tables here have a few.
const FIELDS: usize = 100;

impl<'a> Rows<'a> {
    /// The separator is a tab if the first line holds one, else a comma.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let separator = if text.lines().next().is_some_and(|l| l.contains('\t')) { '\t' } else { ',' };
        Self { file, rest: text, separator, line: 1 }
    }

    /// # Errors  a quote that is not closed or in the middle of a field; too many fields.
    pub fn next(&mut self) -> Result<Option<Row>, Error> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let line = self.line;
            let fields = self.row()?;
            if fields.iter().any(|f| !f.is_empty()) {
                return Ok(Some(Row { line, fields }));
            }
        }
    }

    fn row(&mut self) -> Result<Vec<String>, Error> {
        let place = Place::line(self.file, self.line);
        let mut fields = Vec::new();
        loop {
            if fields.len() == FIELDS {
                return Err(Error::limit(&place, "columns", FIELDS as u64));
            }
            let field = match self.rest.strip_prefix('"') {
                Some(rest) => self.quoted(rest, &place)?,
                None => {
                    let end = self.rest.find([self.separator, '\n', '\r']).unwrap_or(self.rest.len());
                    let (field, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    field.trim().to_string()
                }
            };
            fields.push(field);
            let Some(next) = self.rest.chars().next() else { return Ok(fields) };
            let ending = if self.rest.starts_with("\r\n") { 2 } else { next.len_utf8() };
            match next {
                _ if next == self.separator => self.rest = &self.rest[1..],
                '\n' | '\r' => {
                    self.rest = &self.rest[ending..];
                    self.line += 1;
                    return Ok(fields);
                }
                _ => {
                    let found = "text after the closing quote";
                    return Err(Error::value(&place, "a separator or the end of the line", found));
                }
            }
        }
    }

    /// A field up to its closing quote; two quotes are one.
    fn quoted(&mut self, mut rest: &'a str, place: &Place) -> Result<String, Error> {
        let mut field = String::new();
        loop {
            let Some((part, after)) = rest.split_once('"') else {
                return Err(Error::value(place, "a closing quote", "the end of the file"));
            };
            self.line += part.matches('\n').count();
            field.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Ok(field);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, Error> {
        let mut rows = Rows::new("x.csv", text);
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            read.push((row.line, row.fields));
        }
        Ok(read)
    }

    #[test]
    fn quotes_and_line_ends_are_read() {
        let read = rows("id, sequence\r\n\r\n\"a \"\"x\"\", b\",\"M\nK\"\nc,\n").unwrap();
        let fields = |a: &str, b: &str| vec![a.to_string(), b.to_string()];
        assert_eq!(
            read,
            [(1, fields("id", "sequence")), (3, fields("a \"x\", b", "M\nK")), (5, fields("c", ""))]
        );
        assert_eq!(rows("a\tb,c").unwrap(), [(1, fields("a", "b,c"))]);
    }

    #[test]
    fn broken_quotes_are_placed() {
        let message = |text| rows(text).unwrap_err().to_string();
        assert_eq!(message("a\n\"b\n"), "x.csv:2: expected a closing quote, found the end of the file");
        assert!(message("\"b\"c\n").starts_with("x.csv:1: expected a separator"), "{}", message("\"b\"c\n"));
        assert_eq!(message(&",".repeat(100)), "x.csv:1: expected at most 100 columns, found more");
    }
}
