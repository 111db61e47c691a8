//! CIF tokens to rows of tables. A loop is a table; single items of one category are a table of one row.

use super::lexer::{Lexer, Token, Value};
use crate::fields::shown;
use crate::{Error, Place};

/// Columns of a table: `_category.item` tags as written.
pub(super) struct Columns<'a> {
    /// Where the table begins.
    pub(super) at: Place,
    tags: Vec<&'a [u8]>,
}

/// Cells of one row with their places.
pub(super) type Row<'a> = [(Place, Value<'a>)];

impl<'a> Columns<'a> {
    /// Category with its point, as written: `_atom_site.`.
    pub(super) fn category(&self) -> &'a [u8] {
        self.tags.first().map_or(&[], |tag| category(tag))
    }

    /// Index of an item (case does not matter), if the table has it.
    pub(super) fn index(&self, item: &str) -> Option<usize> {
        self.tags.iter().position(|tag| tag[category(tag).len()..].eq_ignore_ascii_case(item.as_bytes()))
    }

    /// The value of an item in a row, if the table has it and it is set.
    pub(super) fn get(&self, row: &Row<'a>, item: &str) -> Option<&'a [u8]> {
        row.get(self.index(item)?)?.1.set()
    }
}

fn category(tag: &[u8]) -> &[u8] {
    tag.iter().position(|&b| b == b'.').map_or(tag, |point| &tag[..=point])
}

/// What takes the rows.
pub(super) trait Rows<'a> {
    /// A data block begins; false ends the reading here.
    fn block(&mut self, name: &'a [u8]) -> bool;
    /// A table begins.
    fn table(&mut self, columns: &Columns<'a>) -> Result<(), Error>;
    /// One row of the table that began last.
    fn row(&mut self, columns: &Columns<'a>, row: &Row<'a>) -> Result<(), Error>;
}

/// Hands every row of a CIF file to `rows`.
pub(super) fn read_rows<'a>(mut lexer: Lexer<'a>, rows: &mut impl Rows<'a>) -> Result<(), Error> {
    // Single items of the category in progress.
    let mut single = Columns { at: Place { line: 1, column: 1 }, tags: Vec::new() };
    let mut cells: Vec<(Place, Value<'a>)> = Vec::new();
    let mut next = lexer.next()?;
    while let Some((at, token)) = next {
        let same_category =
            matches!(token, Token::Tag(tag) if category(tag).eq_ignore_ascii_case(single.category()));
        if !same_category && !cells.is_empty() {
            rows.table(&single)?;
            rows.row(&single, &cells)?;
            (single.tags, cells) = (Vec::new(), Vec::new());
        }
        match token {
            Token::Data(name) => {
                if !rows.block(name) {
                    return Ok(());
                }
                next = lexer.next()?;
            }
            Token::Tag(tag) => {
                match lexer.next()? {
                    Some((value_at, Token::Value(value))) => {
                        if cells.is_empty() {
                            single.at = at;
                        }
                        single.tags.push(tag);
                        cells.push((value_at, value));
                    }
                    _ => {
                        let what = format!("expected a value after {}, found none", shown(tag));
                        return Err(Error::Syntax { at, what });
                    }
                }
                next = lexer.next()?;
            }
            Token::Loop => next = read_loop(at, &mut lexer, rows)?,
            Token::Value(value) => {
                let what = format!("expected an item name or loop_, found the value {}", shown(value.text));
                return Err(Error::Syntax { at, what });
            }
            Token::Other => next = lexer.next()?,
        }
    }
    if !cells.is_empty() {
        rows.table(&single)?;
        rows.row(&single, &cells)?;
    }
    Ok(())
}

/// Reads a loop; returns the token after it.
fn read_loop<'a>(
    at: Place,
    lexer: &mut Lexer<'a>,
    rows: &mut impl Rows<'a>,
) -> Result<Option<(Place, Token<'a>)>, Error> {
    let mut columns = Columns { at, tags: Vec::new() };
    let mut next = lexer.next()?;
    while let Some((_, Token::Tag(tag))) = next {
        columns.tags.push(tag);
        next = lexer.next()?;
    }
    if columns.tags.is_empty() {
        return Err(Error::Syntax { at, what: "expected item names after loop_, found none".into() });
    }
    rows.table(&columns)?;
    let mut cells = Vec::with_capacity(columns.tags.len().min(1024));
    while let Some((place, Token::Value(value))) = next {
        cells.push((place, value));
        if cells.len() == columns.tags.len() {
            rows.row(&columns, &cells)?;
            cells.clear();
        }
        next = lexer.next()?;
    }
    if let Some(&(row_at, _)) = cells.first() {
        let (expected, found) = (columns.tags.len(), cells.len());
        let name = shown(columns.category());
        let what = format!("row of {name}: expected {expected} values, found {found} before the table ends");
        return Err(Error::Syntax { at: row_at, what });
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl<'a> Rows<'a> for Seen {
        fn block(&mut self, name: &'a [u8]) -> bool {
            self.0.push(format!("block {}", String::from_utf8_lossy(name)));
            name != b"last"
        }
        fn table(&mut self, columns: &Columns<'a>) -> Result<(), Error> {
            self.0.push(format!("{} at {}", String::from_utf8_lossy(columns.category()), columns.at));
            Ok(())
        }
        fn row(&mut self, columns: &Columns<'a>, row: &Row<'a>) -> Result<(), Error> {
            let b = columns.get(row, "B").map(|v| String::from_utf8_lossy(v).into_owned());
            self.0.push(format!("{} cells, b {b:?}", row.len()));
            Ok(())
        }
    }

    fn seen(text: &str) -> Result<Vec<String>, Error> {
        let mut rows = Seen::default();
        read_rows(Lexer::new(text.as_bytes(), 999), &mut rows).map(|()| rows.0)
    }

    #[test]
    fn loops_and_single_items() {
        let text = "data_x\n_c.a 1\n_C.b two\n_d.b ?\nloop_ _e.b\n_e.c 1 2\n3 4\nsave_q\nloop_\n_f.a\ndata_last\n_g.a";
        let expected = [
            "block x",
            "_c. at 2:1",
            "2 cells, b Some(\"two\")",
            "_d. at 4:1",
            "1 cells, b None",
            "_e. at 5:1",
            "2 cells, b Some(\"1\")",
            "2 cells, b Some(\"3\")",
            "_f. at 9:1",
            "block last",
        ];
        assert_eq!(seen(text).unwrap(), expected);
    }

    #[test]
    fn broken_tables_are_named() {
        let cases = [
            (
                "data_x loop_ _a.b _a.c 1 2 3",
                "1:28: row of \"_a.\": expected 2 values, found 1 before the table ends",
            ),
            ("data_x\n_a.b\n_a.c 1", "2:1: expected a value after \"_a.b\", found none"),
            ("data_x\nloop_\nloop_", "2:1: expected item names after loop_, found none"),
            ("data_x\n stray", "2:2: expected an item name or loop_, found the value \"stray\""),
        ];
        for (text, expected) in cases {
            assert_eq!(seen(text).unwrap_err().to_string(), expected);
        }
    }
}
