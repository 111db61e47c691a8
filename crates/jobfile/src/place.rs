//! Where something stands in a job file.

use std::fmt;

/// A place in a job file: as far as known a line, a column (both from 1) and a JSON pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// File name as given.
    pub file: String,
    /// Line, from 1; 0 where it is not known.
    pub line: usize,
    /// Column, from 1; 0 where the line or the pointer says enough.
    pub column: usize,
    /// Pointer to the value, `""` for the whole document.
    pub pointer: String,
}

impl Place {
    pub(crate) fn file(file: &str) -> Self {
        Self { file: file.to_string(), ..Self::default() }
    }

    pub(crate) fn line(file: &str, line: usize) -> Self {
        Self { file: file.to_string(), line, ..Self::default() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        if !self.pointer.is_empty() {
            write!(f, ": {}", self.pointer)?;
        }
        Ok(())
    }
}

/// One more step of a pointer.
pub(crate) fn step(pointer: &str, key: impl fmt::Display) -> String {
    let key: String = key.to_string().chars().take(60).collect();
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
