//! Coordinates as hundredths of an Å, each counted from an atom near by.
//!
//! Cα counts from the previous residue's, the other backbone atoms and Cβ from Cα, further atoms of the
//! side chain from the slot before, OXT from C. Values of one slot and axis lie together ([`bits`]), because
//! they need about the same number of bits: 9 or 10 for backbone atoms.

use super::bits;
use super::slots::{C, CA, SLOTS, slots};
use crate::cursor::Cursor;

/// Order in which slots are stored: what others count from comes first.
const ORDER: [usize; SLOTS] = [CA, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
/// Bound of a coordinate, hundredths of an Å: the last whose f32 is below 10⁶ Å.
const BOUND: i32 = 99_999_996;

/// Hundredths of an Å.
type Point = [i32; 3];

/// Points by residue and slot, filled in [`ORDER`].
struct Points<'a> {
    present: &'a [u16],
    at: Vec<[Point; SLOTS]>,
    /// Cα of each residue; where it is missing, of the last one before that has it.
    trace: Vec<Point>,
}

impl Points<'_> {
    fn has(&self, i: usize, slot: usize) -> bool {
        self.present[i] >> slot & 1 == 1
    }

    /// What the atom in `slot` of residue `i` counts from.
    fn origin(&self, i: usize, slot: usize) -> Point {
        let bonded = match slot {
            CA => return if i == 0 { [0; 3] } else { self.trace[i - 1] },
            5..=13 => Some(slot - 1),
            14 => Some(C),
            _ => None,
        };
        bonded.filter(|&s| self.has(i, s)).map_or(self.trace[i], |s| self.at[i][s])
    }

    /// Takes note of a Cα, or of its absence.
    fn extend_trace(&mut self, i: usize) {
        let here = if self.has(i, CA) { self.at[i][CA] } else { self.origin(i, CA) };
        self.trace.push(here);
    }
}

/// - `aatype`    [r]
/// - `present`   [r], bits of the slots that are there
/// - `positions` [r][37], Å
pub(crate) fn put(out: &mut Vec<u8>, aatype: &[u8], present: &[u16], positions: &[[[f32; 3]; 37]]) {
    let fixed = |i: usize| {
        let hundredths = |c: f32| (f64::from(c) * 100.0).round() as i32;
        slots(aatype[i]).map(|a| a.map_or([0; 3], |a| positions[i][a].map(hundredths)))
    };
    let at = (0..aatype.len()).map(fixed).collect();
    let mut points = Points { present, at, trace: Vec::with_capacity(aatype.len()) };
    (0..aatype.len()).for_each(|i| points.extend_trace(i));
    for slot in ORDER {
        let residues: Vec<usize> = (0..aatype.len()).filter(|&i| points.has(i, slot)).collect();
        if residues.is_empty() {
            continue;
        }
        for axis in 0..3 {
            let from_origin = |&i: &usize| points.at[i][slot][axis] - points.origin(i, slot)[axis];
            bits::put(out, &residues.iter().map(from_origin).collect::<Vec<i32>>());
        }
    }
}

/// Positions [r][37], Å, zero where nothing is.
pub(crate) fn take(
    cursor: &mut Cursor<'_>,
    aatype: &[u8],
    present: &[u16],
) -> Result<Vec<[[f32; 3]; 37]>, String> {
    let r = aatype.len();
    let mut points = Points { present, at: vec![[[0; 3]; SLOTS]; r], trace: Vec::with_capacity(r) };
    for slot in ORDER {
        let residues: Vec<usize> = (0..r).filter(|&i| points.has(i, slot)).collect();
        let mut planes = [const { Vec::new() }; 3];
        if !residues.is_empty() {
            for plane in &mut planes {
                *plane = bits::take(cursor, residues.len())?;
            }
        }
        let mut next = 0;
        for i in 0..r {
            if points.has(i, slot) {
                let origin = points.origin(i, slot);
                for axis in 0..3 {
                    let value = origin[axis].saturating_add(planes[axis][next]);
                    if !(-BOUND..=BOUND).contains(&value) {
                        return Err(format!("residue {}: expected coordinates within 10⁶ Å", i + 1));
                    }
                    points.at[i][slot][axis] = value;
                }
                next += 1;
            }
            if slot == CA {
                points.extend_trace(i);
            }
        }
    }
    let residue = |i: usize| {
        let mut positions = [[0.0; 3]; 37];
        for (slot, atom) in slots(aatype[i]).into_iter().enumerate() {
            if let Some(atom) = atom.filter(|_| points.has(i, slot)) {
                // Divided in f64: the nearest f32 of the decimal number, as a parser would give.
                positions[atom] = points.at[i][slot].map(|c| (f64::from(c) / 100.0) as f32);
            }
        }
        positions
    };
    Ok((0..r).map(residue).collect())
}
