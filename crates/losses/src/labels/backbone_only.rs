//! Chains known by their backbone alone: where Cβ must be.

use super::Labels;
use chem::atoms::{ATOM14_NAMES, CA, pseudo_beta};
use chem::rigid::ATOM37_GROUP_POSITIONS;

impl Labels {
    /// Puts pseudo-β atoms that are not resolved to their ideal place in the backbone frame (literature positions, AF2
    /// Suppl. Table 2), where that frame is known: for chains whose source has no side chains, so that the distogram
    /// has its distances. Atoms and their masks stay as they are; no other loss changes.
    pub fn place_beta_on_backbone(&mut self) {
        for i in 0..self.len() {
            let (kind, atom) = (usize::from(self.aatype[i]), pseudo_beta(self.aatype[i]));
            let known = self.frames.exists[i][0] != 0.0;
            if self.pseudo_beta_mask[i] != 0.0 || !known || atom == CA || ATOM14_NAMES[kind][4].is_empty() {
                continue;
            }
            let local = ATOM37_GROUP_POSITIONS[kind][atom];
            let frame = &self.frames.frames[i][0];
            self.pseudo_beta[i] = std::array::from_fn(|k| {
                frame.trans[k] + (0..3).map(|c| frame.rot[k][c] * local[c]).sum::<f32>()
            });
            self.pseudo_beta_mask[i] = 1.0;
        }
    }
}
