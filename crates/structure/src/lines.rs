//! Lines of a file, numbered, without their ends (Unix or Windows), none longer than allowed.

use crate::{Error, Place};

pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
    limit: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(bytes: &'a [u8], limit: usize) -> Self {
        Lines { rest: bytes, number: 0, limit }
    }
}

impl<'a> Iterator for Lines<'a> {
    /// Line number from 1, and the line.
    type Item = Result<(usize, &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.iter().position(|&b| b == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        if line.len() > self.limit {
            self.rest = &[];
            let at = Place { line: self.number, column: self.limit + 1 };
            return Some(Err(Error::TooLarge { at, limit: self.limit, unit: "bytes in a line" }));
        }
        Some(Ok((self.number, line.strip_suffix(b"\r").unwrap_or(line))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_limits() {
        let lines: Vec<_> = Lines::new(b"one\r\n\ntwo", 9).collect::<Result<_, _>>().unwrap();
        assert_eq!(lines, [(1, &b"one"[..]), (2, b""), (3, b"two")]);
        let error = Lines::new(b"fine\nmuch too long\n", 8).find_map(Result::err).unwrap();
        assert_eq!(error.to_string(), "2:9: more than 8 bytes in a line, the limit for one structure");
    }
}
