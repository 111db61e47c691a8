//! CIF text to tokens. Tokens are slices of the input, nothing is copied.

use crate::fields::shown;
use crate::{Error, Place};

/// One token of a CIF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `data_NAME`.
    Data(&'a [u8]),
    /// `loop_`.
    Loop,
    /// `_category.item`.
    Tag(&'a [u8]),
    /// A value.
    Value(Value<'a>),
    /// `save_NAME`, `global_`, `stop_`: not found in structures, skipped by the reader.
    Other,
}

/// A value: its text, and whether it was written bare (only then `?` and `.` mean "none").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) text: &'a [u8],
    pub(super) bare: bool,
}

impl<'a> Value<'a> {
    /// The text, or `None` for `?` and `.`.
    pub(super) fn set(self) -> Option<&'a [u8]> {
        if self.bare && (self.text == b"?" || self.text == b".") { None } else { Some(self.text) }
    }
}

/// Position in a CIF file.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    line_limit: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], line_limit: usize) -> Self {
        Lexer { bytes, at: 0, line: 1, line_start: 0, line_limit }
    }

    /// Place of the byte at `offset`, which must be on the current line.
    fn place(&self, offset: usize) -> Place {
        Place { line: self.line, column: offset.saturating_sub(self.line_start) + 1 }
    }

    /// Next token and where it starts; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Place, Token<'a>)>, Error> {
        self.skip_blanks()?;
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else { return Ok(None) };
        let place = self.place(start);
        let token = match first {
            b';' if start == self.line_start => self.text_block(place)?,
            b'\'' | b'"' => self.quoted(first, place)?,
            _ => classify(self.bare_word()),
        };
        if self.at.saturating_sub(self.line_start) > self.line_limit {
            return Err(self.too_long());
        }
        Ok(Some((place, token)))
    }

    fn too_long(&self) -> Error {
        let at = Place { line: self.line, column: self.line_limit + 1 };
        Error::TooLarge { at, limit: self.line_limit, unit: "bytes in a line" }
    }

    /// Steps over the line end at `self.at`.
    fn newline(&mut self) -> Result<(), Error> {
        if self.at - self.line_start > self.line_limit {
            return Err(self.too_long());
        }
        self.at += 1;
        self.line += 1;
        self.line_start = self.at;
        Ok(())
    }

    fn skip_blanks(&mut self) -> Result<(), Error> {
        while let Some(&b) = self.bytes.get(self.at) {
            match b {
                b'\n' => self.newline()?,
                b'#' => self.at = self.line_end(self.at),
                // The same set that ends a bare word, form feed included: else nothing would move on.
                b if b.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
        Ok(())
    }

    /// Offset of the next line end, or of the end of the file.
    fn line_end(&self, from: usize) -> usize {
        self.bytes[from..].iter().position(|&b| b == b'\n').map_or(self.bytes.len(), |n| from + n)
    }

    fn bare_word(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// `'…'` or `"…"`: ends at the quote that a blank follows, on the same line.
    fn quoted(&mut self, quote: u8, place: Place) -> Result<Token<'a>, Error> {
        let line_end = self.line_end(self.at);
        let line = &self.bytes[self.at + 1..line_end];
        let is_end = |i: &usize| line[*i] == quote && line.get(i + 1).is_none_or(u8::is_ascii_whitespace);
        let Some(length) = (0..line.len()).find(is_end) else {
            let quote = char::from(quote);
            let what = format!("expected a closing {quote} on the same line, found {}", shown(line));
            return Err(Error::Syntax { at: place, what });
        };
        self.at += length + 2;
        Ok(Token::Value(Value { text: &line[..length], bare: false }))
    }

    /// `;` at the start of a line up to the next one: the lines between, without the last line end.
    fn text_block(&mut self, place: Place) -> Result<Token<'a>, Error> {
        let start = self.at + 1;
        loop {
            self.at = self.line_end(self.at);
            if self.at >= self.bytes.len() {
                let what = "expected a line starting with ; to end this text, found the end of the file";
                return Err(Error::Syntax { at: place, what: what.into() });
            }
            let end = self.at;
            self.newline()?;
            if self.bytes.get(self.at) == Some(&b';') {
                self.at += 1;
                let text = &self.bytes[start..end];
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                return Ok(Token::Value(Value { text, bare: false }));
            }
        }
    }
}

fn classify(word: &[u8]) -> Token<'_> {
    let starts =
        |keyword: &str| word.get(..keyword.len()).is_some_and(|w| w.eq_ignore_ascii_case(keyword.as_bytes()));
    match word.first().map(u8::to_ascii_lowercase) {
        Some(b'_') => Token::Tag(word),
        Some(b'd') if starts("data_") => Token::Data(&word[5..]),
        Some(b'l') if starts("loop_") && word.len() == 5 => Token::Loop,
        Some(b's') if starts("save_") || (starts("stop_") && word.len() == 5) => Token::Other,
        Some(b'g') if starts("global_") && word.len() == 7 => Token::Other,
        _ => Token::Value(Value { text: word, bare: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<(String, Token<'_>)>, Error> {
        let mut lexer = Lexer::new(text.as_bytes(), 99);
        let mut all = Vec::new();
        while let Some((place, token)) = lexer.next()? {
            all.push((place.to_string(), token));
        }
        Ok(all)
    }

    fn value(text: &str, bare: bool) -> Token<'_> {
        Token::Value(Value { text: text.as_bytes(), bare })
    }

    #[test]
    fn every_kind_of_token() {
        let text = "# a comment\r\nDATA_1abc\n_struct.title 'O5'x it''s' #x\n;two\nlines ; \n;\nloop_\n _a.b 1.5 ? \"?\" a#b\n";
        let found = tokens(text).unwrap();
        let expected = [
            ("2:1", Token::Data(b"1abc")),
            ("3:1", Token::Tag(b"_struct.title")),
            ("3:15", value("O5'x it''s", false)),
            ("4:1", value("two\nlines ; ", false)),
            ("7:1", Token::Loop),
            ("8:2", Token::Tag(b"_a.b")),
            ("8:7", value("1.5", true)),
            ("8:11", value("?", true)),
            ("8:13", value("?", false)),
            ("8:17", value("a#b", true)),
        ];
        assert_eq!(found.len(), expected.len());
        for ((place, token), (at, wanted)) in found.iter().zip(expected) {
            assert_eq!((place.as_str(), *token), (at, wanted));
        }
        assert_eq!(Value { text: b"?", bare: true }.set(), None);
        assert_eq!(Value { text: b"?", bare: false }.set(), Some(&b"?"[..]));
    }

    #[test]
    fn what_never_ends() {
        let open = tokens("_a.b 'unfinished\n").unwrap_err().to_string();
        assert_eq!(open, "1:6: expected a closing ' on the same line, found \"unfinished\"");
        let text = tokens("x\n;no end\nhere").unwrap_err().to_string();
        assert!(text.starts_with("2:1: expected a line starting with ;"), "{text}");
        for long in ["a".repeat(120), format!(";\n{}\n;\n", "a ".repeat(60)), "# ".repeat(60) + "\n"] {
            assert!(matches!(tokens(&long), Err(Error::TooLarge { .. })), "{long}");
        }
    }
}
