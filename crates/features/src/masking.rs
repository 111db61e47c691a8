//! The masked MSA: a share of all cells is replaced. AF2 Suppl. 1.2.7; AlphaFold `make_masked_msa`.

use crate::log::ln;
use crate::philox::Operations;
use crate::{MaskedMsa, RawFeatures};
use ndarray::Array2;
use rayon::prelude::*;

/// Type of a cell whose residue is hidden.
pub(crate) const MASK: u8 = 22;
/// Residue types of rows, without the mask token.
const TYPES: usize = 22;
/// With it.
const CLASSES: usize = 23;

/// Share of each type in each column, over all rows, [r][22]; AlphaFold's `hhblits_profile`.
pub(crate) fn profile(raw: &RawFeatures) -> Vec<[f32; TYPES]> {
    let r = raw.num_res();
    let rows_at_once = (1usize << 20).div_ceil(r);
    let counts = raw
        .msa
        .par_chunks(rows_at_once * r)
        .map(|rows| {
            let mut counts = vec![[0u32; TYPES]; r];
            for row in rows.chunks_exact(r) {
                for (column, &aatype) in counts.iter_mut().zip(row) {
                    column[aatype as usize] += 1;
                }
            }
            counts
        })
        .reduce_with(|mut sum, part| {
            for (a, b) in sum.iter_mut().flatten().zip(part.iter().flatten()) {
                *a += b;
            }
            sum
        });
    let rows = raw.num_alignments() as f32;
    counts.unwrap_or_default().iter().map(|column| column.map(|count| count as f32 / rows)).collect()
}

/// Cumulative weights of the replacements of each type in each column: what every sample draws from.
pub(crate) struct Replacements {
    /// [r][22][23], running sums of exp(logit − largest logit) in f64, as TensorFlow's `categorical` has them.
    cumulative: Vec<[[f64; CLASSES]; TYPES]>,
    fraction: f32,
}

impl Replacements {
    /// The mixture of `config` over `profile` [r][22], applied to a share `fraction` of cells.
    pub(crate) fn new(config: &MaskedMsa, profile: &[[f32; TYPES]], fraction: f32) -> Self {
        let (uniform, by_profile, same) =
            (config.uniform_prob as f32, config.profile_prob as f32, config.same_prob as f32);
        let mask = config.mask_prob() as f32;
        let cumulative = profile
            .par_iter()
            .map(|column| {
                std::array::from_fn(|from| {
                    let logits: [f64; CLASSES] = std::array::from_fn(|to| {
                        let probability = if to == MASK as usize {
                            mask
                        } else {
                            let random = if to < 20 { 0.05 } else { 0.0 };
                            let stay = if to == from { 1.0 } else { 0.0 };
                            uniform * random + by_profile * column[to] + same * stay
                        };
                        f64::from(ln(probability + 1e-10))
                    });
                    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let mut sum = 0.0;
                    logits.map(|logit| {
                        sum += (logit - largest).exp();
                        sum
                    })
                })
            })
            .collect();
        Replacements { cumulative, fraction }
    }

    fn draw(&self, column: usize, from: u8, uniform: f64) -> u8 {
        let cumulative = &self.cumulative[column][from as usize];
        let target = uniform * cumulative[CLASSES - 1];
        cumulative.iter().position(|&sum| sum > target).unwrap_or(0) as u8
    }

    /// Masks the rows `msa` [s · r] in place; returns which cells were chosen, 1 or 0, [s, r].
    /// A chosen cell may keep its residue.
    pub(crate) fn apply(&self, msa: &mut [u8], operations: &mut Operations) -> Array2<f32> {
        let r = self.cumulative.len();
        let (chosen, start) = operations.uniform(msa.len());
        let (drawn, draw_start) = operations.categorical(msa.len());
        let mut bert_mask = vec![0.0; msa.len()];
        msa.par_chunks_mut(r).zip(bert_mask.par_chunks_mut(r)).enumerate().for_each(|(row, (msa, mask))| {
            for column in 0..r {
                let cell = row * r + column;
                if chosen.float(start, cell) < self.fraction {
                    mask[column] = 1.0;
                    msa[column] = self.draw(column, msa[column], drawn.double(draw_start, cell));
                }
            }
        });
        Array2::from_shape_vec((bert_mask.len() / r, r), bert_mask).expect("rows of r cells")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_mixture() {
        let config = MaskedMsa { profile_prob: 0.1, same_prob: 0.1, uniform_prob: 0.1 };
        let mut column = [0.0; TYPES];
        (column[3], column[21]) = (0.5, 0.5);
        let replacements = Replacements::new(&config, &[column; 17], 0.15);
        let rows = 6007;
        let mut msa = vec![9u8; rows * 17];
        let mask = replacements.apply(&mut msa, &mut Operations::new(1, 3, 0));
        let chosen = mask.sum() as f64;
        assert!((chosen / (rows * 17) as f64 - 0.15).abs() < 0.005);
        let share = |aatype: u8| {
            let cells = msa.iter().zip(&mask).filter(|(a, m)| **a == aatype && **m == 1.0);
            cells.count() as f64 / chosen
        };
        let expected = [(MASK, 0.7), (9, 0.105), (3, 0.055), (21, 0.05), (0, 0.005), (20, 0.0)];
        for (aatype, expected) in expected {
            assert!((share(aatype) - expected).abs() < 0.01, "type {aatype}: {}", share(aatype));
        }
        assert!(msa.iter().zip(&mask).all(|(a, m)| *a == 9 || *m == 1.0));
    }
}
