//! Global alignment of two sequences with affine gaps (Gotoh, J. Mol. Biol. 1982), ends free.

/// BLOSUM62 in the order ARNDCQEGHILKMFPSTWYV, half bits (Henikoff & Henikoff, PNAS 1992). Unknown residues score −1.
#[rustfmt::skip]
const BLOSUM62: [[i8; 20]; 20] = [
    [ 4,-1,-2,-2, 0,-1,-1, 0,-2,-1,-1,-1,-1,-2,-1, 1, 0,-3,-2, 0],
    [-1, 5, 0,-2,-3, 1, 0,-2, 0,-3,-2, 2,-1,-3,-2,-1,-1,-3,-2,-3],
    [-2, 0, 6, 1,-3, 0, 0, 0, 1,-3,-3, 0,-2,-3,-2, 1, 0,-4,-2,-3],
    [-2,-2, 1, 6,-3, 0, 2,-1,-1,-3,-4,-1,-3,-3,-1, 0,-1,-4,-3,-3],
    [ 0,-3,-3,-3, 9,-3,-4,-3,-3,-1,-1,-3,-1,-2,-3,-1,-1,-2,-2,-1],
    [-1, 1, 0, 0,-3, 5, 2,-2, 0,-3,-2, 1, 0,-3,-1, 0,-1,-2,-1,-2],
    [-1, 0, 0, 2,-4, 2, 5,-2, 0,-3,-3, 1,-2,-3,-1, 0,-1,-3,-2,-2],
    [ 0,-2, 0,-1,-3,-2,-2, 6,-2,-4,-4,-2,-3,-3,-2, 0,-2,-2,-3,-3],
    [-2, 0, 1,-1,-3, 0, 0,-2, 8,-3,-3,-1,-2,-1,-2,-1,-2,-2, 2,-3],
    [-1,-3,-3,-3,-1,-3,-3,-4,-3, 4, 2,-3, 1, 0,-3,-2,-1,-3,-1, 3],
    [-1,-2,-3,-4,-1,-2,-3,-4,-3, 2, 4,-2, 2, 0,-3,-2,-1,-2,-1, 1],
    [-1, 2, 0,-1,-3, 1, 1,-2,-1,-3,-2, 5,-1,-3,-1, 0,-1,-3,-2,-2],
    [-1,-1,-2,-3,-1, 0,-2,-3,-2, 1, 2,-1, 5, 0,-2,-1,-1,-1,-1, 1],
    [-2,-3,-3,-3,-2,-3,-3,-3,-1, 0, 0,-3, 0, 6,-4,-2,-2, 1, 3,-1],
    [-1,-2,-2,-1,-3,-1,-1,-2,-2,-3,-3,-1,-2,-4, 7,-1,-1,-4,-3,-2],
    [ 1,-1, 1, 0,-1, 0, 0, 0,-1,-2,-2, 0,-1,-2,-1, 4, 1,-3,-2,-2],
    [ 0,-1, 0,-1,-1,-1,-1,-2,-2,-1,-1,-1,-1,-2,-1, 1, 5,-2,-2, 0],
    [-3,-3,-4,-4,-2,-2,-3,-2,-2,-3,-2,-3,-1, 1,-4,-3,-2,11, 2,-3],
    [-2,-2,-2,-3,-2,-1,-2,-3, 2,-1,-1,-2,-1, 3,-3,-2,-2, 2, 7,-1],
    [ 0,-3,-3,-3,-1,-2,-2,-3,-3, 3, 1,-2, 1,-1,-2,-2, 0,-3,-1, 4],
];

/// Cost of a gap's first residue and of each further one; gaps at the ends cost nothing.
const OPEN: i32 = 11;
const EXTEND: i32 = 1;
/// Most cells of the table: a byte each.
const MAX_CELLS: usize = 1 << 28;

fn score(a: u8, b: u8) -> i32 {
    let row = BLOSUM62.get(a as usize).and_then(|row| row.get(b as usize));
    row.map_or(-1, |&s| i32::from(s))
}

/// Aligned pairs (index in `query`, index in `template`), both ascending; types 0–20.
/// `None` if the table would have too many cells.
pub(crate) fn align(query: &[u8], template: &[u8]) -> Option<Vec<(usize, usize)>> {
    const NEVER: i32 = i32::MIN / 2;
    let (n, m) = (query.len(), template.len());
    let cells = (n + 1).checked_mul(m + 1).filter(|&c| c <= MAX_CELLS)?;
    // Bits 0–1: where the best end at this cell comes from (0 pair, 1 up, 2 left); bit 2: the gap in the
    // template goes on; bit 3: the gap in the query goes on.
    let mut trace = vec![0u8; cells];
    let mut best = vec![0i32; m + 1];
    let mut up = vec![NEVER; m + 1];
    for i in 1..=n {
        let mut diagonal = best[0];
        let mut left = NEVER;
        best[0] = 0;
        for j in 1..=m {
            // A gap along the last row or column is at an end.
            let (open_up, extend_up) = if j == m { (0, 0) } else { (OPEN, EXTEND) };
            let (open_left, extend_left) = if i == n { (0, 0) } else { (OPEN, EXTEND) };
            let mut flags = 0;
            let (from_best, going_on) = (best[j] - open_up, up[j] - extend_up);
            if going_on > from_best {
                flags |= 4;
            }
            up[j] = going_on.max(from_best);
            let (from_best, going_on) = (best[j - 1] - open_left, left - extend_left);
            if going_on > from_best {
                flags |= 8;
            }
            left = going_on.max(from_best);
            let pair = diagonal + score(query[i - 1], template[j - 1]);
            diagonal = best[j];
            best[j] = pair.max(up[j]).max(left);
            if best[j] != pair {
                flags |= if best[j] == up[j] { 1 } else { 2 };
            }
            trace[i * (m + 1) + j] = flags;
        }
    }
    let (mut i, mut j, mut state) = (n, m, None);
    let mut pairs = Vec::with_capacity(n.min(m));
    while i > 0 && j > 0 {
        let flags = trace[i * (m + 1) + j];
        match state.unwrap_or(flags & 3) {
            0 => {
                (i, j) = (i - 1, j - 1);
                pairs.push((i, j));
                state = None;
            }
            1 => {
                state = (flags & 4 != 0).then_some(1);
                i -= 1;
            }
            _ => {
                state = (flags & 8 != 0).then_some(2);
                j -= 1;
            }
        }
    }
    pairs.reverse();
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Vec<u8> {
        text.bytes().map(|l| chem::residue::aatype_of_letter(l).unwrap_or(20)).collect()
    }

    #[test]
    fn ends_are_free_and_gaps_are_kept_together() {
        let pairs = align(&types("MKVLAWGDEYF"), &types("GGMKVLAWGDEYFRR")).unwrap();
        assert_eq!(pairs, (0..11).map(|i| (i, i + 2)).collect::<Vec<_>>());
        let pairs = align(&types("MKVLAWCHHWPWGDEYFKRW"), &types("MKVLAWCHGDEYFKRW")).unwrap();
        let skipped: Vec<usize> = (0..20).filter(|i| pairs.iter().all(|p| p.0 != *i)).collect();
        assert_eq!(skipped.len(), 4);
        assert_eq!(skipped[3] - skipped[0], 3, "one gap of four: {skipped:?}");
        assert_eq!(align(&types("MKV"), &[]).unwrap(), []);
    }

    #[test]
    fn the_matrix_is_symmetric() {
        assert!((0..20).all(|a| (0..20).all(|b| BLOSUM62[a][b] == BLOSUM62[b][a])));
    }
}
