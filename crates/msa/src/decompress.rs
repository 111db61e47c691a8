//! Gzip and zstd, told by their first bytes, with a bound on what comes out.

use crate::{Error, Limits};
use std::io::Read;

/// Below this much output the ratio is not looked at: short repeats compress well.
const RATIO_FREE: u64 = 16 << 20;

/// The decompressed bytes; others are returned as they are.
///
/// # Errors  [`Error::Compressed`] for damaged data, [`Error::Limit`] for too much of it.
pub(crate) fn decompress(file: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Error> {
    let damaged = |format| move |source| Error::Compressed { file: file.to_string(), format, source };
    match bytes.as_slice() {
        [0x1f, 0x8b, ..] => {
            let decoder = Members(Some(flate2::bufread::GzDecoder::new(bytes.as_slice())));
            bounded(file, decoder, bytes.len(), limits, damaged("gzip"))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::new(bytes.as_slice()).map_err(damaged("zstd"))?;
            bounded(file, decoder, bytes.len(), limits, damaged("zstd"))
        }
        _ => Ok(bytes),
    }
}

/// One gzip member after another; zeros behind the last are padding, as tapes and some tools leave them.
struct Members<'a>(Option<flate2::bufread::GzDecoder<&'a [u8]>>);

impl Read for Members<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let count = decoder.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let rest = self.0.take().map_or(&[][..], flate2::bufread::GzDecoder::into_inner);
            self.0 = rest.iter().any(|&b| b != 0).then(|| flate2::bufread::GzDecoder::new(rest));
        }
        Ok(0)
    }
}

fn bounded(
    file: &str,
    decoder: impl Read,
    compressed: usize,
    limits: &Limits,
    damaged: impl Fn(std::io::Error) -> Error,
) -> Result<Vec<u8>, Error> {
    let by_ratio = (compressed as u64).saturating_mul(limits.ratio).max(RATIO_FREE);
    let limit = limits.bytes.min(by_ratio);
    let mut out = Vec::new();
    decoder.take(limit.saturating_add(1)).read_to_end(&mut out).map_err(damaged)?;
    if out.len() as u64 > limit {
        let what = if limit == limits.bytes {
            "bytes after decompression"
        } else {
            "bytes after decompression (the file unpacks suspiciously far)"
        };
        return Err(Error::Limit { file: file.to_string(), what, limit });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_form_gives_the_same_bytes() {
        let text = b">a\nMKV\n".to_vec();
        let limits = Limits::default();
        let mut two_members = gzip(&text[..4]);
        two_members.extend(gzip(&text[4..]));
        let mut padded = gzip(&text);
        padded.extend([0; 512]);
        for packed in
            [text.clone(), gzip(&text), two_members, padded, zstd::encode_all(&text[..], 3).unwrap()]
        {
            assert_eq!(decompress("x", packed, &limits).unwrap(), text);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let limits = Limits::default();
        let text: Vec<u8> = (0..4000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for (packed, format) in [(gzip(&text), "gzip"), (zstd::encode_all(&text[..], 3).unwrap(), "zstd")] {
            let cut = packed[..packed.len() / 2].to_vec();
            let message = decompress("x", cut, &limits).unwrap_err().to_string();
            assert!(message.starts_with(&format!("x: damaged {format} data: ")), "{message}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let bomb = gzip(&vec![b'A'; 40 << 20]);
        let bomb2 = zstd::encode_all(&vec![b'A'; 40 << 20][..], 3).unwrap();
        for bomb in [bomb, bomb2] {
            let message = decompress("x", bomb.clone(), &Limits::default()).unwrap_err().to_string();
            assert!(message.contains("suspiciously far"), "{message}");
            let limits = Limits { bytes: 1000, ..Limits::default() };
            let message = decompress("x", bomb, &limits).unwrap_err().to_string();
            assert_eq!(message, "x: expected at most 1000 bytes after decompression, found more");
        }
    }
}
