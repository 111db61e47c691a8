//! The index of a part: a row of fixed size for each record, then the strings they point into.

use crate::chain::{MAX_CELLS, MAX_RESIDUES};
use crate::cursor::Cursor;
use crate::entry::{Entry, Kind, Split};
use crate::{Date, Error};

/// Bytes of a row.
pub(crate) const ENTRY: usize = 80;
/// Longest id, cluster or source, bytes.
pub(crate) const MAX_TEXT: usize = 4096;
/// Flag: no training chain is similar.
const NO_HOMOLOG: u8 = 1;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub offset: u64,
    pub size: u32,
    pub crc: u32,
}

pub(crate) fn encode(rows: &[(Entry, Location)]) -> Vec<u8> {
    let mut strings = Vec::new();
    let mut out = Vec::with_capacity(rows.len() * (ENTRY + 40));
    for (entry, location) in rows {
        out.extend_from_slice(&location.offset.to_le_bytes());
        for number in [location.size, location.crc, entry.length as u32, entry.depth as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&[
            entry.split as u8,
            entry.kind as u8,
            if entry.no_train_homolog { NO_HOMOLOG } else { 0 },
            0,
        ]);
        out.extend_from_slice(&entry.resolution.unwrap_or(f32::NAN).to_le_bytes());
        out.extend_from_slice(&entry.date.map_or(0, Date::packed).to_le_bytes());
        out.extend_from_slice(&entry.sequence_hash);
        for text in [&entry.id, &entry.cluster, &entry.source] {
            out.extend_from_slice(&(strings.len() as u32).to_le_bytes());
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            strings.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(&strings);
    out
}

/// Rows of a part; `end` is where its records end, `offset` where the index begins.
pub(crate) fn decode(
    file: &str,
    bytes: &[u8],
    records: usize,
    offset: u64,
) -> Result<Vec<(Entry, Location)>, Error> {
    let (rows, strings) = bytes.split_at(records * ENTRY);
    let row = |(i, row): (usize, &[u8])| {
        let at = offset + (i * ENTRY) as u64;
        let wrong = |what: String| Error::Format {
            file: file.to_string(),
            offset: at,
            expected: format!("a row of the index for record {}", i + 1),
            found: what,
        };
        let (entry, location) = decode_row(row, strings).map_err(wrong)?;
        let end = location.offset.checked_add(location.size.into());
        if location.offset < super::HEAD as u64 || end.is_none_or(|end| end > offset) {
            let Location { offset, size, .. } = location;
            return Err(wrong(format!("a record of {size} bytes at {offset}, outside the records")));
        }
        Ok((entry, location))
    };
    rows.chunks_exact(ENTRY).enumerate().map(row).collect()
}

fn decode_row(row: &[u8], strings: &[u8]) -> Result<(Entry, Location), String> {
    let mut c = Cursor::new(row);
    let location = Location { offset: c.u64()?, size: c.u32()?, crc: c.u32()? };
    let (length, depth) = (c.u32()? as usize, c.u32()? as usize);
    if !(1..=MAX_RESIDUES).contains(&length) || depth < 1 || length.saturating_mul(depth) > MAX_CELLS {
        return Err(format!("{length} residues and {depth} alignment rows"));
    }
    let [split, kind, flags, _] = c.bytes()?;
    let split = *Split::ALL.get(usize::from(split)).ok_or_else(|| format!("split {split}"))?;
    let kind = *Kind::ALL.get(usize::from(kind)).ok_or_else(|| format!("kind {kind}"))?;
    let resolution = Some(c.f32()?).filter(|r| !r.is_nan());
    if resolution.is_some_and(|r| !(0.0..1e4).contains(&r)) {
        return Err(format!("resolution {resolution:?}"));
    }
    let date = match c.u32()? {
        0 => None,
        packed => Some(Date::unpacked(packed).ok_or_else(|| format!("date {packed}"))?),
    };
    let sequence_hash = c.bytes()?;
    let mut text = || {
        let (start, size) = (c.u32()? as usize, c.u32()? as usize);
        let bytes =
            start.checked_add(size).filter(|_| size <= MAX_TEXT).and_then(|end| strings.get(start..end));
        let bytes = bytes.ok_or_else(|| format!("a string of {size} bytes at {start}"))?;
        std::str::from_utf8(bytes).map(str::to_string).map_err(|_| "a string that is not UTF-8".to_string())
    };
    let (id, cluster, source) = (text()?, text()?, text()?);
    if id.is_empty() {
        return Err("an empty id".into());
    }
    let no_train_homolog = flags & NO_HOMOLOG != 0;
    let entry = Entry {
        id,
        cluster,
        split,
        no_train_homolog,
        length,
        depth,
        kind,
        resolution,
        date,
        source,
        sequence_hash,
    };
    Ok((entry, location))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<(Entry, Location)> {
        let entry = |id: &str, split, resolution, date| Entry {
            id: id.into(),
            cluster: format!("{id}-cluster"),
            split,
            no_train_homolog: split == Split::Val,
            length: 31,
            depth: 7,
            kind: Kind::AllAtom,
            resolution,
            date,
            source: "x/y.cif".into(),
            sequence_hash: [5; 16],
        };
        let at = |offset| Location { offset, size: 11, crc: 99 };
        vec![
            (entry("a", Split::Train, Some(2.5), Date::new(2018, 4, 30)), at(16)),
            (entry("ß", Split::Val, None, None), at(27)),
            (entry("c", Split::Test, Some(0.0), None), at(38)),
        ]
    }

    #[test]
    fn rows_come_back_and_have_their_size() {
        let bytes = encode(&rows());
        assert_eq!(encode(&rows()[..1]).len(), ENTRY + "a".len() + "a-cluster".len() + "x/y.cif".len());
        assert_eq!(decode("x", &bytes, 3, 49).unwrap(), rows());
    }

    #[test]
    fn rows_that_cannot_be_are_refused_by_place() {
        let good = encode(&rows());
        for (at, value, word) in [
            (7, 1, "outside the records"),
            (8, 200, "outside the records"),
            (19, 1, "residues"),
            (23, 1, "alignment rows"),
            (24, 3, "split 3"),
            (25, 2, "kind 2"),
            (31, 0xbf, "resolution"),
            (32, 77, "date"),
            (55, 1, "string"),
        ] {
            let mut bytes = good.clone();
            bytes[ENTRY + at] = value; // second row
            if at == 32 {
                bytes[ENTRY + 33] = 1;
            }
            let error = decode("x", &bytes, 3, 49).map(|_| at).unwrap_err().to_string();
            assert!(error.starts_with("x: byte 129: ") && error.contains(word), "{at}: {error}");
        }
    }
}
