//! A zip archive that is made while it is sent: one chunk in memory, whatever its size (APPNOTE 6.3.10).
//!
//! Sizes and checksums follow each file in a data descriptor, since they are known only then. No file and no archive
//! reaches 4 GiB, so no zip64.

use crate::stream::{Gone, Sink};
use flate2::write::DeflateEncoder;
use flate2::{Compression, CrcWriter};
use jobs::{Blobs, Digest};
use std::io::Write;

/// 1980-01-01 00:00, the earliest date there is: the same files are the same archive.
const DATE: u32 = 0x0021_0000;
/// General purpose bits: a data descriptor follows (3); names are UTF-8 (11).
const FLAGS: u16 = 1 << 3 | 1 << 11;
const DEFLATE: u16 = 8;

/// A file to be packed.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// What the directory at the end says of a packed file.
struct Entry {
    name: String,
    crc: u32,
    packed: u32,
    size: u32,
    offset: u32,
}

/// Sends the archive of these files.
pub(crate) async fn send(blobs: Blobs, members: Vec<Member>, sink: Sink) {
    match archive(&blobs, members, &sink).await {
        Ok(()) | Err(Stop::Gone) => {}
        Err(Stop::Broken(why)) => sink.fail(why).await,
    }
}

enum Stop {
    Gone,
    Broken(String),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

async fn archive(blobs: &Blobs, members: Vec<Member>, sink: &Sink) -> Result<(), Stop> {
    let (mut entries, mut offset) = (Vec::with_capacity(members.len()), 0u64);
    for member in members {
        let start = small(offset)?;
        let (entry, written) = pack(blobs, member, start, sink).await?;
        offset += written;
        entries.push(entry);
    }
    let (start, mut out) = (small(offset)?, Vec::new());
    for entry in &entries {
        put(&mut out, &[0x0201_4b50]); // central file header
        out.extend([20, 0]); // made by version 2.0
        head(&mut out, entry.crc, entry.packed, entry.size, &entry.name);
        out.extend([0; 2 + 2 + 2 + 4]); // no comment, disk 0, no attributes
        put(&mut out, &[entry.offset]);
        out.extend_from_slice(entry.name.as_bytes());
    }
    let size = out.len() as u32;
    let count = (entries.len() as u16).to_le_bytes();
    put(&mut out, &[0x0605_4b50, 0]); // end of central directory, of disk 0
    out.extend(count.iter().chain(&count));
    put(&mut out, &[size, start]);
    out.extend([0, 0]); // no comment
    Ok(sink.send(out).await?)
}

/// Sends one file; what the directory needs, and the bytes that were sent.
async fn pack(blobs: &Blobs, member: Member, offset: u32, sink: &Sink) -> Result<(Entry, u64), Stop> {
    let broken = |error: std::io::Error| Stop::Broken(format!("{}: {error}", member.name));
    let mut out = Vec::new();
    put(&mut out, &[0x0403_4b50]); // local file header
    head(&mut out, 0, 0, 0, &member.name);
    out.extend_from_slice(member.name.as_bytes());
    let header = out.len() as u64;
    sink.send(out).await?;

    let mut encoder = CrcWriter::new(DeflateEncoder::new(Vec::new(), Compression::fast()));
    let (mut size, mut packed) = (0u64, 0u64);
    let stop = |error: jobs::Error| Stop::Broken(error.to_string());
    let mut parts = blobs.parts(member.digest, 0..member.bytes).await.map_err(stop)?;
    while let Some(part) = parts.next().await.map_err(stop)? {
        size += part.len() as u64;
        encoder.write_all(&part).map_err(broken)?;
        let done = std::mem::take(encoder.get_mut().get_mut());
        packed += done.len() as u64;
        if !done.is_empty() {
            sink.send(done).await?;
        }
    }
    let crc = encoder.crc().sum();
    let mut rest = encoder.into_inner().finish().map_err(broken)?;
    packed += rest.len() as u64;
    let entry = Entry { name: member.name, crc, packed: small(packed)?, size: small(size)?, offset };
    put(&mut rest, &[0x0807_4b50, entry.crc, entry.packed, entry.size]); // data descriptor
    sink.send(rest).await?;
    Ok((entry, header + packed + 16))
}

/// The part that both headers have: from the version that is needed to the lengths of name and extra field.
fn head(out: &mut Vec<u8>, crc: u32, packed: u32, size: u32, name: &str) {
    out.extend([20, 0]); // needs version 2.0
    out.extend(FLAGS.to_le_bytes());
    out.extend(DEFLATE.to_le_bytes());
    put(out, &[DATE, crc, packed, size]);
    out.extend((name.len() as u16).to_le_bytes());
    out.extend([0, 0]);
}

fn put(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
}

fn small(number: u64) -> Result<u32, Stop> {
    u32::try_from(number).map_err(|_| Stop::Broken("the archive passes 4 GiB".into()))
}
