//! The committed golden of the small network, as the parity tests read it.

use crate::Config;
use crate::names::from_alphafold;
use candle_core::{Device, Tensor};
use features::{FeatureSet, ModelInput};
use ndarray::{ArrayD, IxDyn};
use nn::Params;
use nn::files::{Array, Arrays, read};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Residues, the padding included.
pub const RESIDUES: usize = 17;
/// Residues that are not padding: the first ones.
pub const PRESENT: usize = 15;

/// The network's sizes and parameters, its features, and what every module of AlphaFold's read and gave.
pub struct Golden {
    taps: Arrays,
    outputs: Arrays,
    /// Shapes of what each call (`module#number`) read and gave.
    pub index: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    pub config: Config,
    pub params: Params,
    /// What the first pass reads.
    pub sample: ModelInput,
    read: RefCell<BTreeSet<String>>,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/fold").join(name)
}

fn arrays(name: &str) -> Arrays {
    read(&path(name)).unwrap().1
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn tensor(a: &Array) -> Tensor {
    Tensor::from_vec(a.to_f32(), a.shape(), &Device::Cpu).unwrap()
}

impl Golden {
    pub fn load() -> Self {
        let features = arrays("features.npz");
        let get = |name: &str| {
            let a = features.get(name)?;
            ArrayD::from_shape_vec(IxDyn(a.shape()), a.to_f32()).ok()
        };
        let params = from_alphafold(&arrays("params.npz")).unwrap();
        let mut taps = arrays("taps.safetensors");
        taps.extend(arrays("recycled_taps.safetensors"));
        Self {
            taps,
            outputs: arrays("outputs.safetensors"),
            index: serde_json::from_value(json("taps_index.json")).unwrap(),
            config: Config::from_alphafold_json(&json("config.json")).unwrap(),
            params: Params::new(params.iter().map(|(n, a)| (n.clone(), tensor(a))).collect()),
            sample: FeatureSet::from_arrays(&get).unwrap().samples[0].clone(),
            read: RefCell::default(),
        }
    }

    /// What a module read or gave: `module#call:in0`, `module#call:out`; the reading is noted.
    pub fn tap(&self, name: &str) -> Tensor {
        self.read.borrow_mut().insert(name.to_owned());
        tensor(self.taps.get(name).unwrap_or_else(|| panic!("no tap {name}")))
    }

    /// As [`Golden::tap`], from what the passes gave: `recycle_0/plddt`.
    pub fn output(&self, name: &str) -> Tensor {
        tensor(self.outputs.get(name).unwrap_or_else(|| panic!("no output {name}")))
    }

    /// A tap or, if there is none of that name, an output; not noted.
    pub fn wanted(&self, name: &str) -> Tensor {
        self.taps.get(name).map_or_else(|| self.output(name), tensor)
    }

    /// How often AlphaFold called a module.
    ///
    /// # Panics  If it never did.
    pub fn calls(&self, module: &str) -> usize {
        let n = self.index.keys().filter(|k| k.rsplit_once('#').is_some_and(|(m, _)| m == module)).count();
        assert!(n > 0, "no module {module}");
        n
    }

    /// Names of all taps.
    pub fn taps(&self) -> impl Iterator<Item = (&String, &[usize])> {
        self.taps.iter().map(|(n, a)| (n, a.shape()))
    }

    /// Whether a test took this tap as input.
    pub fn was_read(&self, name: &str) -> bool {
        self.read.borrow().contains(name)
    }

    /// Residue types.
    pub fn aatype(&self) -> Vec<u8> {
        self.sample.aatype.iter().map(|&a| u8::try_from(a).unwrap()).collect()
    }
}
