//! A blob read a part at a time.

use super::folder::blocking;
use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a file read at a time.
const PART: u64 = 256 * 1024;

/// What is left of a range. A blob that is swept meanwhile is read to its end.
pub struct Parts {
    source: Source,
    /// Where it is, for errors.
    place: PathBuf,
    /// The first byte that was not read yet.
    at: u64,
    end: u64,
}

enum Source {
    /// Read from its position on.
    File(Option<File>),
    #[cfg(feature = "s3")]
    Stream(futures_util::stream::BoxStream<'static, Result<Vec<u8>>>),
    /// Nothing to read.
    #[cfg(feature = "s3")]
    Empty,
}

impl Parts {
    pub(super) fn of_file(file: File, place: &Path, at: u64, end: u64) -> Self {
        Self { source: Source::File(Some(file)), place: place.to_owned(), at, end }
    }

    #[cfg(feature = "s3")]
    pub(super) fn of_stream(
        stream: futures_util::stream::BoxStream<'static, Result<Vec<u8>>>,
        place: PathBuf,
        at: u64,
        end: u64,
    ) -> Self {
        Self { source: Source::Stream(stream), place, at, end }
    }

    #[cfg(feature = "s3")]
    pub(super) fn nothing(place: PathBuf, at: u64) -> Self {
        Self { source: Source::Empty, place, at, end: at }
    }

    /// The next bytes; `None` at the end of the range.
    /// # Errors  `Damaged` if the blob ends before the range; `Io`, `Remote`.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        let part = match &mut self.source {
            Source::File(file) => {
                // Gone only if an earlier call was given up half-way.
                let mut open = file.take().ok_or(Error::Closed)?;
                let place = self.place.clone();
                let (open, part) = blocking(move || {
                    let mut part = Vec::new();
                    (&mut open).take(left.min(PART)).read_to_end(&mut part).map_err(Error::io(&place))?;
                    Ok((open, part))
                })
                .await?;
                *file = Some(open);
                part
            }
            #[cfg(feature = "s3")]
            Source::Stream(stream) => {
                futures_util::StreamExt::next(stream).await.unwrap_or(Ok(Vec::new()))?
            }
            #[cfg(feature = "s3")]
            Source::Empty => Vec::new(),
        };
        if part.is_empty() {
            let expected = format!("at least {} bytes", self.end);
            return Err(Error::damaged(&self.place, expected, self.at));
        }
        self.at += part.len() as u64;
        Ok(Some(part))
    }
}
