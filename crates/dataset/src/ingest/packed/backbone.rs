//! Backbones: a table of chains, and their coordinates as one array of 16-bit integers.

use super::alignments::Alignments;
use super::read;
use crate::ingest::table::{Table, text};
use crate::ingest::{Found, Job, Reason, Refused};
use crate::{Chain, Error};
use chem::atoms::{C, CA, N, O};
use chem::residue::{UNKNOWN, aatype_of_letter, letter};
use std::path::Path;
use std::sync::Arc;

/// Where a chain of the table is.
struct Row {
    id: String,
    sequence: String,
    first_residue: i32,
    /// Its residues before it in the array.
    start: usize,
}

pub(super) struct Backbone {
    rows: std::vec::IntoIter<Row>,
    planes: Arc<Planes>,
}

impl Backbone {
    /// Reads `index.tsv.gz` and `coords.npy.zst`.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("coords.npy.zst");
        let planes = Planes::parse(&path.display().to_string(), read(&path)?)?;
        let path = folder.join("index.tsv.gz");
        let place = path.display().to_string();
        let table = text(&place, read(&path)?)?;
        let rows = rows(&place, &table)?;
        let residues = rows.last().map_or(0, |r| r.start + r.sequence.len());
        if residues != planes.residues {
            let what =
                format!("expected the {} residues of coords.npy.zst, found {residues}", planes.residues);
            return Err(Error::source(place, what));
        }
        Ok(Self { rows: rows.into_iter(), planes: Arc::new(planes) })
    }

    pub fn jobs(&self) -> usize {
        self.rows.len()
    }

    pub fn next(&mut self, alignments: &Arc<Alignments>) -> Option<Job> {
        let row = self.rows.next()?;
        let (planes, alignments) = (self.planes.clone(), alignments.clone());
        Some(Box::new(move || {
            let mut chain = planes.chain(&row);
            let mut notes: Vec<String> = alignments.attach(&row.id, &mut chain).into_iter().collect();
            match trace_fault(&chain) {
                Some((what, true)) => {
                    return vec![Err(Refused::new(&row.id, "backbone", Reason::Unreadable, what))];
                }
                Some((what, false)) => notes.push(what),
                None => {}
            }
            vec![Ok(Found {
                id: row.id,
                source: "backbone".into(),
                chain,
                resolution: None,
                date: None,
                notes,
            })]
        }))
    }
}

fn rows(place: &str, text: &str) -> Result<Vec<Row>, Error> {
    let mut table = Table::new(place, text)?;
    let [id, length, first, sequence] =
        ["id", "length", "first_residue", "sequence"].map(|c| table.column(c));
    let (id, length, first, sequence) = (id?, length?, first?, sequence?);
    let (mut rows, mut start) = (Vec::new(), 0);
    while let Some(fields) = table.next() {
        let fields = fields?;
        let number = |column: usize| {
            let text = fields.get(column);
            text.parse::<i32>()
                .map_err(|_| table.wrong(fields.line, format!("expected a number, found {text:?}")))
        };
        let sequence = fields.get(sequence).to_string();
        if number(length)? as usize != sequence.len() || sequence.is_empty() {
            let what =
                format!("expected a sequence of {} residues, found {}", number(length)?, sequence.len());
            return Err(table.wrong(fields.line, what));
        }
        let row = Row { id: fields.get(id).to_string(), first_residue: number(first)?, start, sequence };
        start += row.sequence.len();
        rows.push(row);
    }
    Ok(rows)
}

/// Planes N.x N.y N.z CA.x … O.z, each with a 16-bit number for every residue of all chains, 0.01 Å. Cα counts
/// from the previous residue's (the first from the origin), the others from their Cα.
struct Planes {
    bytes: Vec<u8>,
    /// Where the numbers begin.
    start: usize,
    residues: usize,
}

const PLANES: usize = 12;

impl Planes {
    /// NumPy format 1.0: magic, version, u16 length, header text, data.
    fn parse(place: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::source(place, format!("expected int16 [12, residues] in NumPy's format, {what}"))
        };
        if !bytes.starts_with(b"\x93NUMPY\x01\x00") || bytes.len() < 10 {
            return Err(wrong("found other bytes"));
        }
        let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header =
            bytes.get(10..start).map(String::from_utf8_lossy).ok_or_else(|| wrong("found no header"))?;
        let plain: String = header.split_whitespace().collect();
        let residues = plain.split_once("'shape':(12,").and_then(|(_, rest)| rest.split_once(')'));
        let residues = residues.and_then(|(n, _)| n.trim_end_matches(',').parse::<usize>().ok());
        let little = plain.contains("'descr':'<i2'") && plain.contains("'fortran_order':False");
        let residues =
            residues.filter(|_| little).ok_or_else(|| wrong(&format!("found {}", header.trim())))?;
        if residues.checked_mul(2 * PLANES).and_then(|n| n.checked_add(start)) != Some(bytes.len()) {
            return Err(wrong(&format!("found {} bytes for {residues} residues", bytes.len() - start)));
        }
        Ok(Self { bytes, start, residues })
    }

    fn get(&self, plane: usize, residue: usize) -> i32 {
        let at = self.start + 2 * (plane * self.residues + residue);
        i32::from(i16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    fn chain(&self, row: &Row) -> Chain {
        let aatype: Vec<u8> = row.sequence.bytes().map(|l| aatype_of_letter(l).unwrap_or(UNKNOWN)).collect();
        let mut chain = Chain {
            sequence: aatype.iter().map(|&a| letter(a) as char).collect(),
            residue_index: (0..aatype.len() as i32).map(|i| row.first_residue.saturating_add(i)).collect(),
            positions: Vec::with_capacity(aatype.len()),
            mask: Vec::with_capacity(aatype.len()),
            aatype,
            msa: None,
        };
        let mut ca = [0i32; 3];
        let mut mask = [false; 37];
        [N, CA, C, O].iter().for_each(|&a| mask[a] = true);
        for residue in row.start..row.start + row.sequence.len() {
            let mut positions = [[0.0; 3]; 37];
            for axis in 0..3 {
                ca[axis] += self.get(3 + axis, residue);
                for (first, atom) in [(0, N), (6, C), (9, O)] {
                    positions[atom][axis] = angstrom(ca[axis] + self.get(first + axis, residue));
                }
                positions[CA][axis] = angstrom(ca[axis]);
            }
            chain.positions.push(positions);
            chain.mask.push(mask);
        }
        chain
    }
}

fn angstrom(hundredths: i32) -> f32 {
    (f64::from(hundredths) / 100.0) as f32
}

/// Neighbouring Cα are 3.8 Å apart, or 2.9 at a cis bond. What is far off and whether it shows that the planes
/// were read wrongly (most distances are off).
fn trace_fault(chain: &Chain) -> Option<(String, bool)> {
    let distance =
        |w: &[[[f32; 3]; 37]]| (0..3).map(|k| (w[1][CA][k] - w[0][CA][k]).powi(2)).sum::<f32>().sqrt();
    let odd: Vec<f32> =
        chain.positions.windows(2).map(distance).filter(|d| !(2.6..4.2).contains(d)).collect();
    let first = odd.first()?;
    let all = chain.len() - 1;
    let what =
        format!("{} of {all} neighbouring CA–CA distances outside 2.6–4.2 Å, one {first:.2}", odd.len());
    Some((what, odd.len() * 2 > all))
}
