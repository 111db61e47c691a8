//! Template embedding: pair features, pair stack, pointwise attention. AF2 Suppl. Alg. 2 lines 9–13, Alg. 16, 17.

use crate::Result;
use crate::attention::PointwiseAttention;
use crate::config::{Bins, Config};
use crate::convert::{distance_bins, distance_bins_of, from_vec};
use crate::layers::{Linear, Norm};
use crate::pair_stack::{Order, PairUpdates};
use crate::taps::Taps;
use candle_core::{DType, Device, Tensor};
use chem::atoms::{C, CA, N};
use features::TemplateInput;
use nn::{Params, ops};

/// Residue types, gap included, in a template's one-hot.
const TYPES: usize = 22;

/// Embeds templates into the pair representation.
pub struct TemplateEmbedder {
    linear: Linear,
    blocks: Vec<PairUpdates>,
    norm: Norm,
    attention: PointwiseAttention,
    bins: Bins,
    unit_vectors: bool,
}

impl TemplateEmbedder {
    /// Parameters below `p`; the pair stack's matrices are held in `stacks`.
    pub fn load(p: &Params, config: &Config, stacks: DType) -> nn::Result<Self> {
        let t = &config.embeddings_and_evoformer.template;
        let c_t = config.template_channel();
        let stack = p.sub("template_pair_stack");
        let features = t.dgram_features.num_bins + 1 + 2 * TYPES + 3 + 1;
        let block = |i| {
            PairUpdates::load(
                &stack.sub(format!("blocks.{i}")).matrices_in(stacks),
                c_t,
                &t.template_pair_stack.pair,
                Order::AttendFirst,
            )
        };
        Ok(Self {
            linear: Linear::load(&p.sub("template_pair_embedder.linear"), features, c_t)?,
            blocks: (0..t.template_pair_stack.num_block).map(block).collect::<nn::Result<_>>()?,
            norm: Norm::load(&stack.sub("layer_norm"), c_t)?,
            attention: PointwiseAttention::load(&p.sub("template_pointwise_att.mha"), config)?,
            bins: t.dgram_features.clone(),
            unit_vectors: t.use_template_unit_vector,
        })
    }

    /// The update of `z` `[r, r, c_z]`; none where no template is present.
    pub fn forward(
        &self,
        z: &Tensor,
        mask: &Tensor,
        input: &TemplateInput,
        taps: &Taps,
    ) -> Result<Option<Tensor>> {
        if input.mask.iter().sum::<f32>() <= 0.0 {
            return Ok(None);
        }
        let mut embedded = Vec::new();
        for t in 0..input.mask.len() {
            let mut x = if z.device().is_cpu() {
                let (features, width) = self.pair_features(input, t);
                let r = input.aatype.ncols();
                self.linear.forward(&from_vec(features, &[r, r, width], z.device())?)?
            } else {
                self.embed_where_it_lies(input, t, z.device())?
            };
            for (b, block) in self.blocks.iter().enumerate() {
                x = block.forward(x, mask, &format!("template_embedder.{t}.blocks.{b}"), taps)?;
            }
            let x = self.norm.forward(&x)?;
            taps.add(|| format!("template_embedder.{t}"), &x);
            embedded.push(x);
        }
        let present: Vec<f32> = input.mask.to_vec();
        Ok(Some(self.attention.forward(z, &embedded, &present)?))
    }

    /// Template `t` embedded, `[r, r, c]`, from what is known of each residue: on a GPU, to which the features of all pairs would have to be
    /// made and carried in every pass. The sum of a linear layer of features in another order.
    pub(crate) fn embed_where_it_lies(
        &self,
        input: &TemplateInput,
        t: usize,
        device: &Device,
    ) -> Result<Tensor> {
        let (r, bins) = (input.aatype.ncols(), self.bins.num_bins);
        let column = |values: Vec<f32>| from_vec(values, &[r, 1], device);
        let pairs = |of: &Tensor| of.unsqueeze(1)?.broadcast_mul(&of.unsqueeze(0)?); // [r, r, 1]
        let weight = |start: usize, len: usize| self.linear.weight.narrow(1, start, len)?.contiguous();
        let beta =
            from_vec((0..3 * r).map(|i| input.pseudo_beta[[t, i / 3, i % 3]]).collect(), &[r, 3], device)?;
        let distances = distance_bins_of(&beta, bins, self.bins.min_bin, self.bins.max_bin)?;
        let mut types = vec![0.0; r * TYPES];
        for (i, row) in types.chunks_exact_mut(TYPES).enumerate() {
            if let Some(kind) = usize::try_from(input.aatype[[t, i]]).ok().filter(|&kind| kind < TYPES) {
                row[kind] = 1.0;
            }
        }
        let types = from_vec(types, &[r, TYPES], device)?;
        let of_j = ops::linear(&types, &weight(bins + 1, TYPES)?, None)?.unsqueeze(0)?;
        let of_i = ops::linear(&types, &weight(bins + 1 + TYPES, TYPES)?, None)?.unsqueeze(1)?;
        let mut x =
            ops::linear_update(&distances, &weight(0, bins)?, None).onto(of_i.broadcast_add(&of_j)?)?;
        drop(distances);
        let known = pairs(&column((0..r).map(|i| input.pseudo_beta_mask[[t, i]]).collect())?)?;
        x = ops::linear_update(&known, &weight(bins, 1)?, None).onto(x)?;
        let (rotations, places, backbone) = backbones(input, t);
        let both = pairs(&column(backbone)?)?;
        if self.unit_vectors {
            let places = from_vec(places.concat(), &[r, 3], device)?;
            let away = places.unsqueeze(0)?.broadcast_sub(&places.unsqueeze(1)?)?; // [i, j]: from i to j
            let rotations = from_vec(rotations.concat().concat(), &[r, 3, 3], device)?;
            let local = away.matmul(&rotations)?;
            let length = (local.sqr()?.sum_keepdim(2)? + 1e-6)?.sqrt()?;
            let units = local.broadcast_div(&length)?;
            x = ops::linear_update(&units, &weight(bins + 1 + 2 * TYPES, 3)?, None).onto(x)?;
        }
        // The backbone's own feature, which is 1 where anything is left.
        let last = weight(bins + 1 + 2 * TYPES + 3, 1)?.squeeze(1)?;
        Ok(x.broadcast_add(&last)?.broadcast_mul(&both)?.broadcast_add(&self.linear.bias)?)
    }

    /// Features of template `t`, `[r, r, width]`: distance bins, pseudo-β mask, residue types of j and of i,
    /// directions, backbone mask; all times the backbone mask.
    pub(crate) fn pair_features(&self, input: &TemplateInput, t: usize) -> (Vec<f32>, usize) {
        let r = input.aatype.ncols();
        let bins = self.bins.num_bins;
        let width = bins + 1 + 2 * TYPES + 4;
        let beta: Vec<[f32; 3]> = (0..r).map(|i| [0, 1, 2].map(|x| input.pseudo_beta[[t, i, x]])).collect();
        let dgram = distance_bins(&beta, bins, self.bins.min_bin, self.bins.max_bin);
        let (rotations, places, backbone) = backbones(input, t);
        let mut out = vec![0.0; r * r * width];
        for i in 0..r {
            for j in 0..r {
                let both = backbone[i] * backbone[j];
                if both == 0.0 {
                    continue;
                }
                let row = &mut out[(i * r + j) * width..][..width];
                row[..bins].copy_from_slice(&dgram[(i * r + j) * bins..][..bins]);
                row[bins] = input.pseudo_beta_mask[[t, i]] * input.pseudo_beta_mask[[t, j]];
                for (start, residue) in [(bins + 1, j), (bins + 1 + TYPES, i)] {
                    if let Some(kind) =
                        usize::try_from(input.aatype[[t, residue]]).ok().filter(|&k| k < TYPES)
                    {
                        row[start + kind] = 1.0;
                    }
                }
                if self.unit_vectors {
                    let (to, from) = (places[j], places[i]);
                    let d = [0, 1, 2].map(|x| to[x] - from[x]);
                    let local = [0, 1, 2].map(|x| (0..3).map(|y| rotations[i][y][x] * d[y]).sum::<f32>());
                    let inverse = 1.0 / (1e-6 + local.iter().map(|v| v * v).sum::<f32>()).sqrt();
                    for x in 0..3 {
                        row[bins + 1 + 2 * TYPES + x] = local[x] * inverse * both;
                    }
                }
                row[width - 1] = both;
                row.iter_mut().for_each(|v| *v *= both);
            }
        }
        (out, width)
    }
}

/// Of each residue of template `t`: its backbone's rotation, its Cα, and 1 if all of its backbone is known, else 0.
fn backbones(input: &TemplateInput, t: usize) -> (Vec<[[f32; 3]; 3]>, Vec<[f32; 3]>, Vec<f32>) {
    let r = input.aatype.ncols();
    let point =
        |i: usize, atom: usize| -> [f32; 3] { [0, 1, 2].map(|x| input.all_atom_positions[[t, i, atom, x]]) };
    let known = |i: usize| [N, CA, C].iter().map(|&a| input.all_atom_masks[[t, i, a]]).product();
    let rotation = |i: usize| backbone_rotation(point(i, N), point(i, CA), point(i, C));
    ((0..r).map(rotation).collect(), (0..r).map(|i| point(i, CA)).collect(), (0..r).map(known).collect())
}

/// Rotation whose columns are the residue's local axes: Cα at the origin, C on x, N in the x–y plane.
/// As AlphaFold builds it, by three turns with ε = 1e-20 under each root.
fn backbone_rotation(n: [f32; 3], ca: [f32; 3], c: [f32; 3]) -> [[f32; 3]; 3] {
    const EPS: f32 = 1e-20;
    let (n, c) = ([0, 1, 2].map(|x| n[x] - ca[x]), [0, 1, 2].map(|x| c[x] - ca[x]));
    let [x, y, z] = c;
    let norm = (EPS + x * x + y * y).sqrt();
    let (sin1, cos1) = (-y / norm, x / norm);
    let first = [[cos1, -sin1, 0.0], [sin1, cos1, 0.0], [0.0, 0.0, 1.0]];
    let norm = (EPS + x * x + y * y + z * z).sqrt();
    let (sin2, cos2) = (z / norm, (x * x + y * y).sqrt() / norm);
    let second = [[cos2, 0.0, sin2], [0.0, 1.0, 0.0], [-sin2, 0.0, cos2]];
    let turned = product(second, first);
    let [_, y, z] = [0, 1, 2].map(|i| (0..3).map(|k| turned[i][k] * n[k]).sum::<f32>());
    let norm = (EPS + y * y + z * z).sqrt();
    let (sin3, cos3) = (-z / norm, y / norm);
    let third = [[1.0, 0.0, 0.0], [0.0, cos3, -sin3], [0.0, sin3, cos3]];
    let rotation = product(third, turned);
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| rotation[j][i]))
}

fn product(a: [[f32; 3]; 3], b: [[f32; 3]; 3]) -> [[f32; 3]; 3] {
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_lies_on_x_and_n_in_the_plane() {
        let (n, ca, c) = ([1.0, 2.0, 0.5], [0.3, 0.7, -0.2], [-0.6, 1.1, 0.9]);
        let r = backbone_rotation(n, ca, c);
        let local = |p: [f32; 3]| [0, 1, 2].map(|x| (0..3).map(|y| r[y][x] * (p[y] - ca[y])).sum::<f32>());
        let (c, n) = (local(c), local(n));
        assert!(c[0] > 0.0 && c[1].abs() < 1e-6 && c[2].abs() < 1e-6, "{c:?}");
        assert!(n[1] > 0.0 && n[2].abs() < 1e-6, "{n:?}");
    }
}
