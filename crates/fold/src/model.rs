//! The whole network: one pass, and the passes of recycling. AF2 Suppl. Alg. 2.

use crate::config::Config;
use crate::convert::tensor;
use crate::evoformer::{Block, Stack};
use crate::heads::Heads;
use crate::input::{ExtraEmbedder, InputEmbedder};
use crate::layers::Linear;
use crate::outputs::{Outputs, Previous};
use crate::recycling::RecyclingEmbedder;
use crate::structure_module::StructureModule;
use crate::taps::Taps;
use crate::template::TemplateEmbedder;
use crate::torsion_rows::TorsionRows;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use features::ModelInput;
use nn::{Params, ops};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The network with its parameters.
pub struct Model {
    config: Config,
    parameters: usize,
    input: InputEmbedder,
    recycling: RecyclingEmbedder,
    template: Option<TemplateEmbedder>,
    torsions: Option<TorsionRows>,
    pub(crate) extra: ExtraEmbedder,
    pub(crate) extra_blocks: Vec<Arc<Block>>,
    pub(crate) blocks: Vec<Arc<Block>>,
    single: Linear,
    structure: StructureModule,
    heads: Heads,
}

/// Features of a pass on a GPU, made while it still computes the pass before.
pub struct Ready {
    msa: Tensor,
    extra: Tensor,
}

/// What a pass reads more than once.
pub(crate) struct Given {
    /// Which alignment rows exist, 1 or 0, `[s, r]`; those of template torsions at the end.
    pub msa_mask: Tensor,
    /// The same of extra rows, `[e, r]`.
    pub extra_mask: Tensor,
    /// The same of pairs, `[r, r]`.
    pub pair_mask: Tensor,
    /// Template torsions `[t, r, 57]`, if they become rows.
    torsions: Option<Tensor>,
}

impl Model {
    /// A network of these sizes with parameters by our names. `stacks` is what the matrices of the Evoformer,
    /// extra-MSA and template pair stacks are held in, f32 or bf16; all else is f32.
    ///
    /// # Errors  Lists every parameter that is missing, misshapen or surplus.
    pub fn load(config: &Config, params: BTreeMap<String, Tensor>, stacks: DType) -> Result<Self> {
        Self::build(config, Params::new(params), stacks)
    }

    /// A network of these sizes with made-up parameters, for timing.
    ///
    /// # Errors  If a tensor cannot be made.
    pub fn made_up(config: &Config, seed: u64, stacks: DType, device: &Device) -> Result<Self> {
        Self::build(config, Params::made_up(seed, device), stacks)
    }

    /// The parameters a network of these sizes has, by our names, as `maker` makes them from name and shape.
    ///
    /// # Errors  If `maker` fails.
    pub fn parameters_by(
        config: &Config,
        maker: impl Fn(&str, &[usize]) -> nn::Result<Tensor> + Send + Sync + 'static,
    ) -> Result<BTreeMap<String, Tensor>> {
        let params = Params::made_by(maker);
        Self::build(config, params.clone(), DType::F32)?;
        Ok(params.made())
    }

    /// Where the parameters are, and everything is computed.
    pub fn device(&self) -> &Device {
        self.single.weight.device()
    }

    fn build(config: &Config, p: Params, stacks: DType) -> Result<Self> {
        let t = &config.embeddings_and_evoformer;
        let (c_m, c_z, c_e) = (t.msa_channel, t.pair_channel, t.extra_msa_channel);
        let in_stacks = p.matrices_in(stacks);
        let stack = |name: &str, n: usize, c: usize, stack: Stack| -> nn::Result<Vec<Arc<Block>>> {
            let block = |i| {
                let path = format!("{name}.blocks.{i}");
                Block::load(&in_stacks, path, c, c_z, &t.evoformer, stack).map(Arc::new)
            };
            (0..n).map(block).collect()
        };
        let templates = p.sub("template_embedder");
        let model = Self {
            input: InputEmbedder::load(&p.sub("input_embedder"), config)?,
            recycling: RecyclingEmbedder::load(&p.sub("recycling_embedder"), config)?,
            template: t
                .template
                .enabled
                .then(|| TemplateEmbedder::load(&templates, config, stacks))
                .transpose()?,
            torsions: (t.template.enabled && t.template.embed_torsion_angles)
                .then(|| TorsionRows::load(&templates.sub("template_single_embedder"), config))
                .transpose()?,
            extra: ExtraEmbedder::load(&p.sub("extra_msa_embedder"), config)?,
            extra_blocks: stack("extra_msa_stack", t.extra_msa_stack_num_block, c_e, Stack::Extra)?,
            blocks: stack("evoformer", t.evoformer_num_block, c_m, Stack::Main)?,
            single: Linear::load(&p.sub("evoformer.linear"), c_m, t.seq_channel)?,
            structure: StructureModule::load(&p.sub("structure_module"), config)?,
            heads: Heads::load(&p.sub("aux_heads"), config)?,
            config: config.clone(),
            parameters: p.elements(),
        };
        p.finish()?;
        Ok(model)
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Elements in all parameters.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// What the first pass recycles: zeros.
    pub fn nothing_before(&self, residues: usize) -> Result<Previous> {
        let t = &self.config.embeddings_and_evoformer;
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, self.device());
        Ok(Previous {
            msa_first_row: zeros(&[residues, t.msa_channel])?,
            pair: zeros(&[residues, residues, t.pair_channel])?,
            positions: zeros(&[residues, 37, 3])?,
        })
    }

    /// The large features of a sample, if the network is on a GPU: uploading them needs no waiting for what the GPU computes, but the
    /// pass waits for them. On the CPU they are made when they are needed.
    ///
    /// # Errors  If they do not fit the network.
    pub fn ready(&self, x: &ModelInput) -> Result<Option<Ready>> {
        if self.device().is_cpu() {
            return Ok(None);
        }
        Ok(Some(Ready { msa: self.input.features(x)?, extra: self.extra.features(x)? }))
    }

    /// One pass over the members of an ensemble, whose representations (but the MSA's) are averaged. `previous` is
    /// given up once the last member has been embedded, so that its memory is free for the blocks.
    ///
    /// # Errors  If the features do not fit, or `block_done` stops it.
    pub fn pass(
        &self,
        samples: &[ModelInput],
        previous: Previous,
        taps: &Taps,
        block_done: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Outputs> {
        self.pass_of(samples, None, previous, taps, block_done)
    }

    /// The same, with the features of the first sample if they are ready.
    pub(crate) fn pass_of(
        &self,
        samples: &[ModelInput],
        ready: Option<Ready>,
        previous: Previous,
        taps: &Taps,
        block_done: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Outputs> {
        let (first, others) = samples
            .split_first()
            .ok_or_else(|| Error::Features("expected at least one sample, got none".into()))?;
        let mut left = samples.len();
        let mut previous = Some(previous);
        let mut hand = || {
            left -= 1;
            let previous = if left == 0 { previous.take() } else { previous.clone() };
            previous.expect("taken for the last sample only")
        };
        let (msa, mut row, mut pair, mut single) = self.trunk(first, ready, hand(), taps, block_done)?;
        for other in others {
            let (_, r, p, s) = self.trunk(other, None, hand(), &Taps::off(), block_done)?;
            (row, pair, single) = ((row + r)?, (pair + p)?, (single + s)?);
        }
        if !others.is_empty() {
            let n = samples.len() as f64;
            (row, pair, single) = ((row / n)?, (pair / n)?, (single / n)?);
        }
        self.outputs((msa, row, pair, single), first, taps)
    }

    /// Embedders, extra-MSA stack, Evoformer: MSA, its first row, pair and single representations.
    fn trunk(
        &self,
        x: &ModelInput,
        ready: Option<Ready>,
        previous: Previous,
        taps: &Taps,
        block_done: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
        let mut done = 0;
        let mut tick = || {
            done += 1;
            block_done(done).is_break().then_some(()).map_or(Ok(()), |()| Err(Error::Stopped))
        };
        let given = self.given(x)?;
        let (msa, extra) = ready.map(|ready| (ready.msa, ready.extra)).unzip();
        let (mut m, mut z) = self.embed(x, msa, previous, &given, taps)?;
        let mut e = self.extra.forward(extra.map_or_else(|| self.extra.features(x), Ok)?)?;
        for block in &self.extra_blocks {
            (e, z) = block.forward(e, z, (&given.extra_mask, &given.pair_mask), taps)?;
            tick()?;
        }
        drop(e);
        for block in &self.blocks {
            (m, z) = block.forward(m, z, (&given.msa_mask, &given.pair_mask), taps)?;
            tick()?;
        }
        // What the blocks borrowed is more than all that follows: structure and heads have it instead.
        nn::cpu::release_scratch();
        let (m, row, single) = self.read(&m, x)?;
        Ok((m, row, z, single))
    }

    /// Masks and template torsions of a sample.
    pub(crate) fn given(&self, x: &ModelInput) -> Result<Given> {
        let seq = tensor(&x.seq_mask, self.device())?;
        let mut msa_mask = tensor(&x.msa_mask, self.device())?;
        let mut torsions = None;
        if let (Some(embedder), Some(templates)) = (&self.torsions, &x.templates) {
            let (features, mask) = embedder.features(templates)?;
            msa_mask = Tensor::cat(&[&msa_mask, &mask], 0)?;
            torsions = Some(features);
        }
        let pair_mask = seq.unsqueeze(1)?.broadcast_mul(&seq.unsqueeze(0)?)?;
        Ok(Given { msa_mask, extra_mask: tensor(&x.extra_msa_mask, self.device())?, pair_mask, torsions })
    }

    /// The alignment `[s, r, c_m]`, followed by the templates' torsions, and the pair representation before any block.
    pub(crate) fn embed(
        &self,
        x: &ModelInput,
        features: Option<Tensor>,
        previous: Previous,
        given: &Given,
        taps: &Taps,
    ) -> Result<(Tensor, Tensor)> {
        let aatype: Vec<u8> = x.aatype.iter().map(|&a| a.clamp(0, 20) as u8).collect();
        let (m, z) = self.input.forward(x, features.map_or_else(|| self.input.features(x), Ok)?)?;
        let (mut m, mut z) = self.recycling.forward(m, z, &previous, &aatype)?;
        drop(previous);
        if let Some(relative) = self.input.relative_positions(x)? {
            z = relative.onto(z)?;
        }
        taps.add(|| "input_embedder.m".into(), &m);
        taps.add(|| "input_embedder.z".into(), &z);
        if let (Some(embedder), Some(templates)) = (&self.template, &x.templates)
            && let Some(update) = embedder.forward(&z, &given.pair_mask, templates, taps)?
        {
            taps.add(|| "template_embedder".into(), &update);
            z = ops::residual(z, update)?;
        }
        if let (Some(embedder), Some(torsions)) = (&self.torsions, &given.torsions) {
            m = Tensor::cat(&[&m, &embedder.forward(torsions)?], 0)?;
        }
        Ok((m, z))
    }

    /// From the last `m`: the alignment's own rows, the first of them, and the single representation.
    pub(crate) fn read(&self, m: &Tensor, x: &ModelInput) -> Result<(Tensor, Tensor, Tensor)> {
        let row = m.narrow(0, 0, 1)?.squeeze(0)?.contiguous()?;
        let single = self.single.forward(&row)?;
        Ok((m.narrow(0, 0, x.msa_mask.nrows())?.contiguous()?, row, single))
    }

    /// Structure and heads on what a trunk gave.
    pub(crate) fn outputs(
        &self,
        (msa, msa_first_row, pair, single): (Tensor, Tensor, Tensor, Tensor),
        x: &ModelInput,
        taps: &Taps,
    ) -> Result<Outputs> {
        let structure = self.structure.forward(&single, &pair, x, taps)?;
        let logits = self.heads.forward(&msa, &pair, &single, &structure.single)?;
        Ok(Outputs { msa, msa_first_row, pair, single, structure, logits })
    }
}
