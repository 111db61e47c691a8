//! What a checkpoint's pickle can hold here: plain containers and tensors, in one arena.

use super::Dtype;
use std::rc::Rc;

/// A value's place in the arena.
pub(crate) type Id = u32;

/// One unpickled value. Containers refer to others by [`Id`], so shared and even cyclic ones are harmless.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Int(i64),
    Text(Rc<str>),
    /// A number or byte string that no tensor needs.
    Other,
    Items(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
}

impl Value {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Int(_) => "an integer",
            Self::Text(_) => "a string",
            Self::Other => "a number or bytes",
            Self::Items(_) => "a list or tuple",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// The only Python names a checkpoint may mention; each stands for an action of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    pub fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::Bool),
            _ => return None,
        })
    }
}

/// A flat run of elements in the archive entry `data/KEY`.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub dtype: Dtype,
    pub key: Rc<str>,
    /// Elements the pickle says it has.
    pub count: usize,
}

/// A tensor: a strided view of a storage, in elements.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}
