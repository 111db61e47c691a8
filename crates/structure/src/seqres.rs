//! Placing observed residues on a chain's deposited sequence, where the file does not say where they go
//! (PDB files; mmCIF gives `label_seq_id`).

use crate::{Monomer, Residue};

/// Work limit, cells observed × deposited: chains of 8,000 residues.
const MAX_CELLS: usize = 64_000_000;
/// Memory limit of the alignment, cells: 64 MB of back pointers.
const MAX_ALIGNED: usize = 16_000_000;

/// Index in `sequence` of every residue, increasing; `None` if the sequence does not contain the residues in order.
///
/// First one shift for all residue numbers is tried (the smallest that fits); otherwise the cheapest
/// placement, where a gap costs nothing at a chain break whose numbers skip as many residues, little at other
/// breaks, and much between bonded residues.
pub(crate) fn place(residues: &[Residue], sequence: &[Monomer]) -> Option<Vec<usize>> {
    let cells = residues.len().checked_mul(sequence.len())?;
    if residues.is_empty() || residues.len() > sequence.len() || cells > MAX_CELLS {
        return None;
    }
    by_number(residues, sequence)
        .or_else(|| if cells > MAX_ALIGNED { None } else { align(residues, sequence) })
}

fn same(residue: &Residue, monomer: &Monomer) -> bool {
    residue.name == monomer.name || (residue.aatype == monomer.aatype && residue.aatype < 20)
}

fn by_number(residues: &[Residue], sequence: &[Monomer]) -> Option<Vec<usize>> {
    let first = residues.first()?;
    let increasing = residues.windows(2).all(|w| w[0].number < w[1].number);
    if !increasing || residues.iter().any(|r| r.insertion.is_some()) {
        return None;
    }
    let index = |r: &Residue, start: usize| {
        usize::try_from(start as i64 + i64::from(r.number) - i64::from(first.number)).ok()
    };
    let fits = |start: usize| {
        residues.iter().all(|r| index(r, start).and_then(|i| sequence.get(i)).is_some_and(|m| same(r, m)))
    };
    // Starts in the order of how far they move the numbers: 1 at index 0 is no move.
    let unmoved = i64::from(first.number) - 1;
    let mut starts: Vec<usize> = (0..sequence.len()).filter(|&j| same(first, &sequence[j])).collect();
    starts.sort_by_key(|&j| (j as i64 - unmoved).abs());
    let start = starts.into_iter().find(|&j| fits(j))?;
    residues.iter().map(|r| index(r, start)).collect()
}

const IMPOSSIBLE: u32 = u32::MAX / 2;

/// D[i][j] = least cost with residue i at position j.
fn align(residues: &[Residue], sequence: &[Monomer]) -> Option<Vec<usize>> {
    let width = sequence.len();
    let start = |j: usize| if same(&residues[0], &sequence[j]) { 0 } else { IMPOSSIBLE };
    let mut before: Vec<u32> = (0..width).map(start).collect();
    let mut back = vec![0u32; residues.len() * width]; // [i][j] = where residue i-1 went
    for (i, pair) in residues.windows(2).enumerate() {
        let (left, right) = (&pair[0], &pair[1]);
        let bonded = bonded(left, right);
        let step = usize::try_from(i64::from(right.number) - i64::from(left.number)).unwrap_or(0);
        let (adjacent, skip) = match bonded {
            Some(true) => (0, 20),
            Some(false) => (1, 1),
            None => (0, 2),
        };
        let numbered = if bonded == Some(true) { 20 } else { 0 };
        let mut now = vec![IMPOSSIBLE; width];
        let (mut least, mut least_at) = (IMPOSSIBLE, 0); // over before[..j - 1]
        for j in 1..width {
            if j >= 2 && before[j - 2] < least {
                (least, least_at) = (before[j - 2], j - 2);
            }
            if !same(right, &sequence[j]) {
                continue;
            }
            let mut best = (before[j - 1] + adjacent, j - 1);
            if step >= 2 && step <= j && before[j - step] + numbered < best.0 {
                best = (before[j - step] + numbered, j - step);
            }
            if least + skip < best.0 {
                best = (least + skip, least_at);
            }
            if best.0 < IMPOSSIBLE {
                now[j] = best.0;
                back[(i + 1) * width + j] = best.1 as u32;
            }
        }
        before = now;
    }
    let (mut at, cost) = before.iter().copied().enumerate().min_by_key(|&(_, cost)| cost)?;
    if cost >= IMPOSSIBLE {
        return None;
    }
    let mut places = vec![0; residues.len()];
    for i in (0..residues.len()).rev() {
        places[i] = at;
        at = back[i * width + at] as usize;
    }
    Some(places)
}

/// Whether a peptide bond joins them (C–N below 2 Å); `None` without both atoms.
fn bonded(left: &Residue, right: &Residue) -> Option<bool> {
    const N: usize = chem::atoms::N;
    const C: usize = chem::atoms::C;
    if !(left.mask[C] && right.mask[N]) {
        return None;
    }
    let squared: f32 = (0..3).map(|k| (left.positions[C][k] - right.positions[N][k]).powi(2)).sum();
    Some(squared < 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(letters: &str) -> Vec<Monomer> {
        let monomer = |b: u8| {
            let aatype = chem::residue::aatype_of_letter(b).unwrap();
            Monomer { name: chem::residue::name(aatype).into(), aatype }
        };
        letters.bytes().map(monomer).collect()
    }

    /// Residues with numbers; consecutive ones are bonded unless a space separates them.
    fn observed(letters: &str, numbers: &[i32]) -> Vec<Residue> {
        let mut x = 0.0;
        let mut all = Vec::new();
        for word in letters.split(' ') {
            x += 50.0;
            for monomer in sequence(word) {
                let mut residue = Residue {
                    name: monomer.name,
                    aatype: monomer.aatype,
                    number: numbers[all.len()],
                    insertion: None,
                    label_seq: None,
                    hetero: false,
                    positions: [[0.0; 3]; 37],
                    mask: [false; 37],
                    b_factor: [0.0; 37],
                    occupancy: [1.0; 37],
                };
                (residue.positions[0][0], residue.positions[2][0]) = (x, x + 2.5);
                (residue.mask[0], residue.mask[2]) = (true, true);
                x += 3.8;
                all.push(residue);
            }
        }
        all
    }

    #[test]
    fn numbers_decide_where_the_sequence_repeats() {
        let deposited = sequence("GAGAGAGAKL");
        let placed = place(&observed("GA GA", &[3, 4, 7, 8]), &deposited);
        assert_eq!(placed, Some(vec![2, 3, 6, 7]));
        // Numbers shifted by 100: the smallest shift that fits.
        let placed = place(&observed("GA KL", &[107, 108, 109, 110]), &deposited);
        assert_eq!(placed, Some(vec![6, 7, 8, 9]));
    }

    #[test]
    fn without_usable_numbers_bonds_decide() {
        let deposited = sequence("MAAAAGW");
        // Numbered 1..5 although two alanines are missing at the break.
        assert_eq!(place(&observed("MA AGW", &[1, 2, 3, 4, 5]), &deposited), Some(vec![0, 1, 4, 5, 6]));
        // The same atoms bonded throughout: A A stay together, the gap goes where it must.
        let mut inserted = observed("MA AGW", &[1, 1, 2, 3, 4]);
        inserted[1].insertion = Some('A');
        assert_eq!(place(&inserted, &deposited), Some(vec![0, 1, 4, 5, 6]));
    }

    #[test]
    fn numbers_say_how_many_are_missing_at_a_break() {
        let deposited = sequence("MAKAAKAAKAGW");
        let mut residues = observed("MA KAGW", &[1, 2, 9, 10, 11, 12]);
        assert_eq!(place(&residues, &deposited), Some(vec![0, 1, 8, 9, 10, 11]));
        residues[0].number = -5; // no single shift fits any more
        assert_eq!(place(&residues, &deposited), Some(vec![0, 1, 8, 9, 10, 11]));
    }

    #[test]
    fn a_sequence_that_does_not_contain_the_residues_is_refused() {
        assert_eq!(place(&observed("MAW", &[1, 2, 3]), &sequence("MAAAG")), None);
        assert_eq!(place(&observed("MAA", &[1, 2, 3]), &sequence("MA")), None);
        assert_eq!(place(&[], &sequence("MA")), None);
        assert_eq!(place(&observed("M", &[1]), &[]), None);
    }
}
