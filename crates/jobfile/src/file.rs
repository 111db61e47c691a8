//! The text of a job file and its places.

use crate::{Error, Limits, Place};

/// One job file's text, byte order mark gone.
pub(crate) struct File<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub limits: &'a Limits,
}

impl<'a> File<'a> {
    /// # Errors  if the bytes are not UTF-8.
    pub fn new(name: &'a str, bytes: &'a [u8], limits: &'a Limits) -> Result<Self, Error> {
        let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
            let found = format!("byte 0x{:02x}", bytes.get(before.len()).unwrap_or(&0));
            Error::value(&Place::line(name, line), "UTF-8 text", found)
        })?;
        Ok(Self { name, text, limits })
    }

    /// A place by its pointer.
    pub fn at(&self, pointer: &str) -> Place {
        Place { pointer: pointer.to_string(), ..Place::file(self.name) }
    }

    /// File name without folders and endings, for formats whose jobs have no name.
    pub fn stem(&self) -> &'a str {
        let file = self.name.rsplit(['/', '\\']).next().unwrap_or(self.name);
        let file = [".gz", ".zst", ".zstd"].iter().find_map(|e| file.strip_suffix(e)).unwrap_or(file);
        match file.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => file,
        }
    }
}
