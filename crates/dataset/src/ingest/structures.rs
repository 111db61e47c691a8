//! From a chain as structure files give it to a chain of a dataset.

use crate::Chain;
use crate::record::slots;
use chem::atoms::{C, N};
use chem::residue::letter;

/// A peptide bond is 1.33 Å; beyond this the chain is broken.
const BONDED: f32 = 2.0;

/// The chain with every residue of its full sequence, unresolved ones without atoms; no alignment.
///
/// Residues are numbered by their position where the file gives the full sequence. Else the authors'
/// numbers count, so that gaps stay gaps; but residues that are bonded follow each other whatever their
/// numbers, and insertion codes and falling numbers move on by one.
pub(crate) fn chain(read: &structure::Chain) -> Chain {
    let all = read.full_sequence();
    let known = read.sequence.is_some();
    let mut chain = Chain {
        sequence: all.iter().map(|p| letter(p.aatype) as char).collect(),
        residue_index: Vec::with_capacity(all.len()),
        aatype: all.iter().map(|p| p.aatype).collect(),
        positions: Vec::with_capacity(all.len()),
        mask: Vec::with_capacity(all.len()),
        msa: None,
    };
    for (i, position) in all.iter().enumerate() {
        let mut at = ([[0.0; 3]; 37], [false; 37]);
        if let Some(residue) = position.residue {
            // A modified residue keeps the atoms it shares with its parent.
            let allowed = slots::mask37(position.aatype);
            for a in (0..37).filter(|&a| residue.mask[a] && allowed[a]) {
                at.0[a] = residue.positions[a];
                at.1[a] = true;
            }
        }
        chain.positions.push(at.0);
        chain.mask.push(at.1);
        chain.residue_index.push(if known { i as i32 + 1 } else { 0 });
    }
    if !known {
        let numbers: Vec<i32> = read.residues.iter().map(|r| r.number).collect();
        renumber(&mut chain, &numbers);
    }
    chain
}

fn renumber(chain: &mut Chain, numbers: &[i32]) {
    for i in 0..numbers.len() {
        chain.residue_index[i] = match i {
            0 => numbers[0],
            _ => {
                let last = chain.residue_index[i - 1];
                let step = numbers[i].saturating_sub(numbers[i - 1]);
                last.saturating_add(if step < 1 || bonded(chain, i) { 1 } else { step })
            }
        };
    }
}

/// Is residue `i` bonded to the one before?
fn bonded(chain: &Chain, i: usize) -> bool {
    let (c, n) = (chain.positions[i - 1][C], chain.positions[i][N]);
    let squared: f32 = (0..3).map(|k| (c[k] - n[k]).powi(2)).sum();
    chain.mask[i - 1][C] && chain.mask[i][N] && squared < BONDED * BONDED
}
