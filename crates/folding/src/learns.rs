//! Tests of the task as a whole: gradients reach every parameter, equal samples give equal losses, nothing held out is
//! trained on.

use crate::recipe::{ChainFilter, Network, Passes, ValidationConfig, Violations};
use crate::source::{TrainingChains, known, training_view};
use crate::task::{FoldingTask, validation_view};
use crate::truth::testing::{config, features, helix, losses};
use crate::{Known, Sample, SampleConfig};
use candle_core::{Device, Tensor, Var};
use dataset::{Chain, Dataset, Prepared, Split, Writer};
use fold::Model;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use train::{DataSource, RngKey, StepCtx, Task};

const SEQUENCE: &str = "MKVLAWGDERTYPSFNHQICMKDLRW";

/// Parameters none of which is zero, so that no layer hides another.
fn noise() -> BTreeMap<String, Tensor> {
    Model::parameters_by(&config(), |name, shape| {
        let mut state = name.bytes().fold(7u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let x = (state >> 40) as f32 / (1u32 << 24) as f32;
                // Wide moves, so that residues lie apart when they are recycled.
                let wide = if name.contains("bb_update") { 100.0 } else { 1.0 };
                let scale = wide / (*shape.last().unwrap_or(&1) as f32).sqrt();
                if x < 0.5 { -scale * (x + 0.2) } else { scale * (x - 0.3) }
            })
            .collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    })
    .unwrap()
}

fn network() -> Network {
    let mut features = features();
    // So few clusters that rows are left for the extra stack.
    features.eval.max_msa_clusters = 2;
    Network { features, config: config(), losses: losses() }
}

/// A chain in a dataset; only its backbone if `bare`.
fn chain(known: &Known, bare: bool) -> Chain {
    let mut chain = Chain {
        sequence: known.sequence.clone(),
        residue_index: known.residue_index.clone(),
        aatype: known.aatype.clone(),
        positions: known.positions.clone(),
        mask: known.mask.clone(),
        msa: known.msa.clone(),
    };
    if bare {
        for (mask, positions) in chain.mask.iter_mut().zip(&mut chain.positions) {
            mask[chem::atoms::CB] = false;
            positions[chem::atoms::CB] = [0.0; 3];
        }
    }
    chain
}

/// Chains of all splits; `copy` is a training chain with the sequence of a test chain.
fn dataset() -> Arc<Dataset> {
    let folder = std::env::temp_dir().join(format!(
        "foldry-learns-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.foldset");
    let mut writer = Writer::create(&path, None).unwrap();
    let other: String = SEQUENCE.chars().rev().collect();
    for (id, sequence, split, bare) in [
        ("one", SEQUENCE, Split::Train, false),
        ("two", &SEQUENCE[..20], Split::Train, true),
        ("held", &other, Split::Test, false),
        ("copy", &other, Split::Train, true),
        ("judge", "WYDRKEHNQGTSPFMLIVCAAWYDRK", Split::Val, true),
        ("short", &SEQUENCE[..17], Split::Train, true),
    ] {
        let known = helix(sequence, 4);
        let prepared = Prepared::new(id, "test", &chain(&known, bare)).unwrap();
        writer.add(prepared.with_split(id, split, id == "judge")).unwrap();
    }
    writer.finish().unwrap();
    let dataset = Dataset::open(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    Arc::new(dataset)
}

fn sample_config() -> SampleConfig {
    SampleConfig { crop: 19, recycles: 1, single_sequence: 0.0, clamped: 0.9 }
}

#[test]
fn every_parameter_gets_a_finite_nonzero_gradient() {
    let violations = Violations { from_step: Some(0), weight: 1.0 };
    let held = ValidationConfig { chains: 1, longest: 64, recycles: 0 };
    let task = FoldingTask::new(network(), Passes::default(), violations, &held, &dataset()).unwrap();
    let vars: BTreeMap<String, Var> =
        noise().into_iter().map(|(name, t)| (name, Var::from_tensor(&t).unwrap())).collect();
    let tensors = vars.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone())).collect();
    // Two passes: parameters of recycling have gradients only where something was recycled.
    let sample = (0..20)
        .map(|seed| {
            Sample::draw(&helix(SEQUENCE, 3), &network().features, &sample_config(), 1, seed).unwrap()
        })
        .find(|s| s.passes[1].num_extra() > 1)
        .unwrap();
    let total = task.losses(&tensors, &sample, 5).unwrap().total;
    let grads = std::thread::scope(|s| {
        let thread = std::thread::Builder::new().stack_size(1 << 28);
        thread.spawn_scoped(s, || total.backward().unwrap()).unwrap().join().unwrap()
    });
    let mut without = Vec::new();
    for (name, var) in &vars {
        let grad = grads.get(var.as_tensor()).map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let grad = grad.unwrap_or_default();
        assert!(grad.iter().all(|g| g.is_finite()), "{name}");
        // This one adds the same to all keys' logits, which softmax does not see.
        let unseen = name == "structure_module.ipa.linear_b.bias";
        if grad.iter().all(|g| *g == 0.0) && !unseen {
            without.push(name.as_str());
        }
    }
    assert_eq!(without, Vec::<&str>::new(), "of {}", vars.len());
}

/// Gradients of one sample, taken on a thread with stack enough.
fn gradients(
    task: &FoldingTask,
    vars: &BTreeMap<String, Var>,
    sample: &Sample,
) -> BTreeMap<String, Vec<u32>> {
    let weights = Arc::new(vars.iter().map(|(name, v)| (name.clone(), v.as_tensor().clone())).collect());
    let ctx = StepCtx { step: 5, steps: 9, micro: 2, key: RngKey::new(1, 5, 2), weights };
    let take = || {
        let out = task.loss(sample, &ctx).unwrap();
        let grads = match out.backward {
            Some(backward) => backward(&out.loss).unwrap(),
            None => out.loss.backward().unwrap(),
        };
        let bits = |v: &Var| {
            let grad = grads.get(v.as_tensor()).map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            grad.unwrap_or_default().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        vars.iter().map(|(name, v)| (name.clone(), bits(v))).collect()
    };
    std::thread::scope(|s| {
        let thread = std::thread::Builder::new().stack_size(1 << 28);
        thread.spawn_scoped(s, take).unwrap().join().unwrap()
    })
}

#[test]
fn blocks_that_are_run_again_give_the_same_gradients_to_the_bit() {
    let vars: BTreeMap<String, Var> =
        noise().into_iter().map(|(name, t)| (name, Var::from_tensor(&t).unwrap())).collect();
    let held = ValidationConfig { chains: 1, longest: 64, recycles: 0 };
    let sample = Sample::draw(&helix(SEQUENCE, 3), &network().features, &sample_config(), 1, 4).unwrap();
    let of = |dropout, checkpoint_activations| {
        let passes = Passes { dropout, checkpoint_activations };
        let task =
            FoldingTask::new(with_dropout(), passes, Violations::default(), &held, &dataset()).unwrap();
        gradients(&task, &vars, &sample)
    };
    let [plain, dropped] = [false, true].map(|dropout| {
        let whole = of(dropout, false);
        assert!(whole.values().all(|grad| !grad.is_empty()));
        let again = of(dropout, true);
        let off: Vec<&String> = whole.keys().filter(|name| whole[*name] != again[*name]).collect();
        assert_eq!(off, Vec::<&String>::new(), "dropout {dropout}");
        whole
    });
    assert_ne!(plain, dropped, "dropout left nothing out");
}

/// The network with dropout of every kind: of single values, one draw for all rows, one for all columns, of the structure module.
fn with_dropout() -> Network {
    let mut network = network();
    let of = |orientation| -> serde_json::Value {
        serde_json::json!({"dropout_rate": 0.25, "shared_dropout": true, "orientation": orientation})
    };
    let trunk = &mut network.config.embeddings_and_evoformer.evoformer;
    trunk.msa_row_attention_with_pair_bias.dropout.rate = 0.15;
    trunk.pair.triangle_multiplication_outgoing.dropout = serde_json::from_value(of("per_row")).unwrap();
    trunk.pair.triangle_attention_ending_node.dropout = serde_json::from_value(of("per_column")).unwrap();
    network.config.heads.structure_module.dropout = 0.1;
    network
}

#[test]
fn the_same_position_gives_the_same_sample_and_another_does_not() {
    let source = TrainingChains::new(dataset(), &filter(16), network().features, sample_config());
    let get = |step| source.get(0, RngKey::new(9, step, 1)).unwrap();
    assert_eq!((get(3).passes, get(3).labels), (get(3).passes, get(3).labels));
    assert_ne!(get(3).passes, get(4).passes);
    // All samples of a step have one number of passes, so that ranks take alike; steps differ.
    let passes = |step, micro| source.get(0, RngKey::new(9, step, micro)).unwrap().passes.len();
    let of_steps: BTreeSet<usize> = (0..12)
        .map(|step| {
            let all: BTreeSet<usize> = (0..5).map(|micro| passes(step, micro)).collect();
            assert_eq!(all.len(), 1, "step {step}: {all:?}");
            all.into_iter().next().unwrap()
        })
        .collect();
    assert_eq!(of_steps, BTreeSet::from([1, 2]));
}

fn filter(shortest: usize) -> ChainFilter {
    ChainFilter { shortest, ..ChainFilter::default() }
}

#[test]
fn nothing_held_out_enters_a_training_batch() {
    let dataset = dataset();
    let ids = |view: &[usize]| view.iter().map(|&i| dataset.entry(i).id.as_str()).collect::<Vec<_>>();
    // `copy` has the sequence of a test chain, though its split says train.
    assert_eq!(ids(&training_view(&dataset, &filter(16))), ["one", "two", "short"]);
    assert_eq!(ids(&training_view(&dataset, &filter(18))), ["one", "two"]);
    let one = ChainFilter { first: Some(1), ..filter(16) };
    assert_eq!(ids(&training_view(&dataset, &one)), ["one"]);
    let judges = ValidationConfig { chains: 8, longest: 64, recycles: 0 };
    assert_eq!(ids(&validation_view(dataset.entries(), &judges)), ["judge"]);

    let source = TrainingChains::new(dataset.clone(), &filter(16), network().features, sample_config());
    let held: BTreeSet<String> = dataset
        .entries()
        .iter()
        .enumerate()
        .filter(|(_, e)| e.split != Split::Train)
        .map(|(i, _)| dataset.chain(i).unwrap().sequence)
        .collect();
    for position in 0..source.len() * 20 {
        let sample = source.get(position % source.len(), RngKey::new(1, position, 0)).unwrap();
        assert!(!["held", "judge", "copy"].contains(&sample.id.as_str()));
        let seen: String = sample.labels.aatype.iter().map(|&a| chem::residue::letter(a) as char).collect();
        assert!(held.iter().all(|h| !h.contains(&seen)), "{} is part of a held-out sequence", sample.id);
    }
}

#[test]
fn chains_without_extra_rows_have_a_loss() {
    let held = ValidationConfig { chains: 1, longest: 64, recycles: 0 };
    let task =
        FoldingTask::new(network(), Passes::default(), Violations::default(), &held, &dataset()).unwrap();
    let alone = SampleConfig { single_sequence: 1.0, ..sample_config() };
    let sample = Sample::draw(&helix(SEQUENCE, 3), &network().features, &alone, 0, 2).unwrap();
    assert_eq!(sample.passes[0].num_extra(), 0);
    let loss = task.losses(&noise(), &sample, 0).unwrap();
    assert!(loss.total.to_scalar::<f32>().unwrap().is_finite());
    // Violations are off before their step: the loss is another one after it.
    let late = Violations { from_step: Some(7), weight: 1.0 };
    let task = FoldingTask::new(network(), Passes::default(), late, &held, &dataset()).unwrap();
    let at = |step| task.losses(&noise(), &sample, step).unwrap().structure.unwrap().violations.is_some();
    assert_eq!((at(6), at(7)), (false, true));
}

#[test]
fn validation_tells_the_loss_of_the_chains_that_judge() {
    let held = ValidationConfig { chains: 1, longest: 64, recycles: 1 };
    let late = Violations { from_step: Some(0), weight: 1.0 };
    let task = FoldingTask::new(network(), Passes::default(), late, &held, &dataset()).unwrap();
    let of = |weights: &BTreeMap<String, Tensor>| {
        let ctx = StepCtx { step: 5, steps: 9, micro: 0, key: RngKey::new(1, 5, 0), weights: Arc::default() };
        task.validate(weights, &ctx).unwrap().scalars["loss"]
    };
    // The same as training has it on the whole chain, but for violations.
    let dataset = dataset();
    let judge = dataset.entries().iter().position(|e| e.id == "judge").unwrap();
    let chain = known(dataset.entry(judge), dataset.chain(judge).unwrap());
    let mut features = network().features;
    features.common.num_recycle = 1;
    let sample = Sample::whole(&chain, &features, false, 0).unwrap();
    let plain =
        FoldingTask::new(network(), Passes::default(), Violations::default(), &held, &dataset).unwrap();
    let expected = plain.losses(&noise(), &sample, 0).unwrap().total.to_scalar::<f32>().unwrap();
    assert_eq!(of(&noise()), f64::from(expected));
    let halved = noise().into_iter().map(|(name, t)| (name, (t * 0.5).unwrap())).collect();
    assert_ne!(of(&halved), f64::from(expected));
}
