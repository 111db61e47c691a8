//! True atom14 coordinates, and the same with ambiguous atoms' names traded. Suppl. Table 3, Alg. 26.

use chem::ambiguity::{ATOM14_IS_AMBIGUOUS, ATOM14_SWAP};
use chem::atoms::ATOM14_TO_ATOM37;

/// Ground truth in the prediction's atom layout; r residues.
#[derive(Debug, Clone, PartialEq)]
pub struct Atom14Truth {
    /// [r] coordinates, Å; 0 where unresolved.
    pub positions: Vec<[[f32; 3]; 14]>,
    /// [r] 1 = resolved.
    pub exists: Vec<[f32; 14]>,
    /// [r] coordinates after trading names.
    pub alt_positions: Vec<[[f32; 3]; 14]>,
    /// [r] 1 = resolved, after trading names (differs where one of a pair is missing).
    pub alt_exists: Vec<[f32; 14]>,
    /// [r] 1 = the name is ambiguous.
    pub ambiguous: Vec<[f32; 14]>,
}

impl Atom14Truth {
    /// # Panics  if lengths differ or a residue type exceeds 20.
    pub(super) fn derive(
        aatype: &[u8],
        positions: &[[[f32; 3]; 37]],
        mask: &[[f32; 37]],
        atom14_exists: &[[f32; 14]],
    ) -> Self {
        let mut truth = Self {
            positions: vec![],
            exists: vec![],
            alt_positions: vec![],
            alt_exists: vec![],
            ambiguous: vec![],
        };
        for (i, a) in aatype.iter().map(|a| usize::from(*a)).enumerate() {
            let map = &ATOM14_TO_ATOM37[a];
            let exists: [f32; 14] = std::array::from_fn(|j| atom14_exists[i][j] * mask[i][map[j]]);
            let at: [[f32; 3]; 14] = std::array::from_fn(|j| positions[i][map[j]].map(|x| x * exists[j]));
            let swap = &ATOM14_SWAP[a];
            truth.alt_positions.push(swap.map(|j| at[j]));
            truth.alt_exists.push(swap.map(|j| exists[j]));
            truth.positions.push(at);
            truth.exists.push(exists);
            truth.ambiguous.push(ATOM14_IS_AMBIGUOUS[a]);
        }
        truth
    }
}
