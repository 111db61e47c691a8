//! Which residue of a model answers to which of a reference: by number, or by sequence.

use crate::Error;

/// How residues were paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlignedBy {
    /// Equal residue numbers; at least nine in ten of them are of the same type.
    Number,
    /// Global alignment of the sequences, end gaps free.
    Sequence,
}

/// Largest product of lengths a sequence alignment may have.
const MOST_CELLS: usize = 1 << 26;

/// Pairs (model, reference) of one chain, increasing. `keys` are (number, insertion code), types as in chem.
/// By number if half of the shorter chain's numbers are common and nine in ten of those agree in type.
/// # Errors  [`Error::TooMany`] if the sequences are too long to align.
pub fn pair(
    model: &[((i32, Option<char>), u8)],
    reference: &[((i32, Option<char>), u8)],
) -> Result<(Vec<(usize, usize)>, AlignedBy), Error> {
    let mut at = std::collections::HashMap::new();
    for (i, (key, _)) in model.iter().enumerate() {
        at.entry(*key).or_insert(i);
    }
    let mut taken = vec![false; model.len()];
    let mut pairs = Vec::new();
    for (j, (key, _)) in reference.iter().enumerate() {
        if let Some(i) = at.get(key)
            && !std::mem::replace(&mut taken[*i], true)
        {
            pairs.push((*i, j));
        }
    }
    let same = pairs.iter().filter(|(i, j)| model[*i].1 == reference[*j].1).count();
    let increasing = pairs.windows(2).all(|w| w[0].0 < w[1].0);
    if increasing && 2 * pairs.len() >= model.len().min(reference.len()) && 10 * same >= 9 * pairs.len() {
        return Ok((pairs, AlignedBy::Number));
    }
    let types = |r: &[((i32, Option<char>), u8)]| r.iter().map(|x| x.1).collect::<Vec<_>>();
    Ok((align(&types(model), &types(reference))?, AlignedBy::Sequence))
}

/// Global alignment: match 5, mismatch -2, gap -8 and -1 for each further residue, end gaps free.
fn align(a: &[u8], b: &[u8]) -> Result<Vec<(usize, usize)>, Error> {
    let width = b.len() + 1;
    if (a.len() + 1).saturating_mul(width) > MOST_CELLS {
        let most = MOST_CELLS / width;
        return Err(Error::TooMany { what: "model, to be aligned by sequence", most, found: a.len() });
    }
    const LOW: i32 = i32::MIN / 2;
    // Per cell: two bits each for where the match, the gap in b and the gap in a came from (0, 1, 2).
    let mut trace = vec![0u8; (a.len() + 1) * width];
    let mut above = vec![[0, LOW, LOW]; width];
    let mut ends = ([0, LOW, LOW], a.len(), 0);
    let best = |c: [i32; 3]| (0..3).fold(0, |k, i| if c[i] > c[k] { i } else { k });
    for i in 1..=a.len() {
        let mut here = vec![[0, LOW, LOW]; width];
        for j in 1..width {
            let gain = if a[i - 1] == b[j - 1] { 5 } else { -2 };
            let open = |c: [i32; 3], own: usize| {
                let mut c = c.map(|v| v - 8);
                c[own] += 7;
                (c[best(c)], best(c))
            };
            let (skip_a, from_a) = open(above[j], 1);
            let (skip_b, from_b) = open(here[j - 1], 2);
            let diagonal = above[j - 1];
            here[j] = [diagonal[best(diagonal)] + gain, skip_a, skip_b];
            trace[i * width + j] = (best(diagonal) | from_a << 2 | from_b << 4) as u8;
        }
        if here[b.len()][0] > ends.0[0] {
            ends = (here[b.len()], i, b.len());
        }
        above = here;
    }
    for (j, cell) in above.iter().enumerate() {
        if cell[0] > ends.0[0] {
            ends = (*cell, a.len(), j);
        }
    }
    let (_, mut i, mut j) = ends;
    let (mut state, mut pairs) = (0u8, Vec::new());
    while i > 0 && j > 0 {
        let came = trace[i * width + j] >> (2 * state) & 3;
        match state {
            0 => {
                pairs.push((i - 1, j - 1));
                (i, j) = (i - 1, j - 1);
            }
            1 => i -= 1,
            _ => j -= 1,
        }
        state = came;
    }
    pairs.reverse();
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(first: i32, letters: &[u8]) -> Vec<((i32, Option<char>), u8)> {
        letters.iter().enumerate().map(|(i, l)| ((first + i as i32, None), *l)).collect()
    }

    #[test]
    fn by_number_when_types_agree() {
        let (pairs, by) = pair(&chain(3, b"CDEFGH"), &chain(1, b"ABCDEFG")).unwrap();
        assert_eq!(by, AlignedBy::Number);
        assert_eq!(pairs, [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]);
    }

    #[test]
    fn by_sequence_when_they_do_not() {
        let (pairs, by) = pair(&chain(1, b"CDEFGHIK"), &chain(1, b"ABCDEFGHIK")).unwrap();
        assert_eq!(by, AlignedBy::Sequence);
        assert_eq!(pairs, (0..8).map(|i| (i, i + 2)).collect::<Vec<_>>());
        let (pairs, _) = pair(&chain(50, b"ABCDEPQRST"), &chain(1, b"ABCDEXXPQRST")).unwrap();
        let expected: Vec<_> = (0..5).map(|i| (i, i)).chain((5..10).map(|i| (i, i + 2))).collect();
        assert_eq!(pairs, expected);
    }
}
