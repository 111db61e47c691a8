//! Bodies: received with limits of size, time and memory, then decompressed with limits of size and ratio.

use crate::app::Server;
use crate::budget::Share;
use crate::code::Code;
use crate::problem::{Problem, Result};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::io::Read;
use tokio::time::{Instant, timeout};

/// Below this size the ratio is not looked at: short repeats compress well.
const RATIO_FREE: usize = 1 << 20;

/// A whole body. The memory it takes counts until it is dropped.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// Its `Content-Type`.
    pub(crate) kind: String,
    share: Share,
}

impl Received {
    /// Counts so many bytes more: what is made from the body while it is kept.
    pub(crate) fn keep(&mut self, more: usize) -> Result<()> {
        self.share.grow(self.bytes.len() + more)
    }
}

/// Receives a body and takes its encoding away.
pub(crate) async fn receive(server: &Server, headers: &HeaderMap, body: Body) -> Result<Received> {
    let encoding = Encoding::of(headers)?;
    let limit = server.limits.body;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
    let mut received = Received { bytes: Vec::new(), kind, share: server.budget.share() };
    collect(server, body, &mut received).await?;
    if encoding != Encoding::None {
        let ratio = server.limits.ratio;
        received = server.parse(move || unpack(received, encoding, limit, ratio)).await?;
    }
    Ok(received)
}

async fn collect(server: &Server, mut body: Body, received: &mut Received) -> Result<()> {
    let (idle, end) = (server.limits.body_idle, Instant::now() + server.limits.body_total);
    loop {
        let patience = idle.min(end.saturating_duration_since(Instant::now()));
        let frame = match timeout(patience, body.frame()).await {
            Err(_) => {
                let detail = format!(
                    "expected a part every {} s and all within {} s, found {} bytes so far",
                    idle.as_secs_f32(),
                    server.limits.body_total.as_secs_f32(),
                    received.bytes.len()
                );
                return Err(Problem::new(Code::BodyTimeout, detail));
            }
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => {
                return Err(Problem::new(Code::BadBody, format!("the body broke off: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers are of no interest.
        let Ok(data) = frame.into_data() else { continue };
        let total = received.bytes.len() + data.len();
        if total > server.limits.body {
            return Err(too_large(server.limits.body));
        }
        received.share.grow(total)?;
        received.bytes.extend_from_slice(&data);
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("expected at most {limit} bytes, found more"))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    None,
    Gzip,
    Zstd,
}

impl Encoding {
    /// One layer at most: with more the ratio multiplies.
    fn of(headers: &HeaderMap) -> Result<Self> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::None) };
        let text = value.to_str().unwrap_or("").trim().to_ascii_lowercase();
        match text.as_str() {
            _ if values.next().is_some() || text.contains(',') => Err(Problem::new(
                Code::UnsupportedEncoding,
                "expected one layer of gzip or zstd, found several encodings",
            )),
            "identity" => Ok(Self::None),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Problem::new(
                Code::UnsupportedEncoding,
                "expected gzip, zstd or identity, found another encoding",
            )),
        }
    }

    /// Told by the first bytes.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Takes one encoding away.
pub(crate) fn unpack(packed: Received, encoding: Encoding, limit: usize, ratio: usize) -> Result<Received> {
    let Received { bytes, kind, mut share } = packed;
    let damaged =
        |error: std::io::Error| Problem::new(Code::BadBody, format!("damaged {encoding:?} data: {error}"));
    let mut decoder: Box<dyn Read + '_> = match encoding {
        Encoding::None => Box::new(&bytes[..]),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(&bytes[..])),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(&bytes[..]).map_err(damaged)?),
    };
    let by_ratio = bytes.len().saturating_mul(ratio).max(RATIO_FREE);
    let (mut out, mut part) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let count = decoder.read(&mut part).map_err(damaged)?;
        if count == 0 {
            break;
        }
        if out.len() + count > limit {
            return Err(Problem::new(
                Code::BodyTooLarge,
                format!("expected at most {limit} bytes after decompression, found more"),
            ));
        }
        if out.len() + count > by_ratio {
            let detail = format!("expected at most {ratio} times the compressed size, found more");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        share.grow(bytes.len() + out.len() + count)?;
        out.extend_from_slice(&part[..count]);
    }
    drop(decoder);
    Ok(Received { bytes: out, kind, share })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use std::io::Write;

    fn received(bytes: Vec<u8>) -> Received {
        Received { bytes, kind: String::new(), share: Budget::new(64 << 20).share() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn both_encodings_are_taken_away() {
        let text = b"{\"sequence\": \"MKV\"}".to_vec();
        for packed in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
            let encoding = Encoding::of_bytes(&packed);
            assert_ne!(encoding, Encoding::None);
            assert_eq!(unpack(received(packed), encoding, 1000, 100).ok().unwrap().bytes, text);
        }
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let bomb = vec![b'A'; 8 << 20];
        for (packed, encoding) in
            [(gzip(&bomb), Encoding::Gzip), (zstd::encode_all(&bomb[..], 3).unwrap(), Encoding::Zstd)]
        {
            let code = |limit| unpack(received(packed.clone()), encoding, limit, 100).err().unwrap();
            assert!(code(64 << 20).detail.contains("100 times"));
            assert_eq!(code(1 << 19).code, Code::BodyTooLarge);
            let cut = packed[..packed.len() / 2].to_vec();
            assert_eq!(
                unpack(received(cut), encoding, 64 << 20, usize::MAX).err().unwrap().code,
                Code::BadBody
            );
        }
    }
}
