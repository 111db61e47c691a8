//! What a pickle may call: the classes of state dicts, made as our own values.

use super::FileError;
use super::error::clip;
use super::pickle::{Machine, Outcome};
use super::pickle_value::{Global, Id, Storage, Value, View};

/// Axes a tensor may have.
const MAX_AXES: usize = 32;

impl Machine<'_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Outcome<()> {
        match Global::named(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(FileError::Refused {
                file: self.file.into(),
                entry: self.entry.into(),
                global: clip(&format!("{module}.{name}")),
            }),
        }
    }

    /// `("storage", TYPE, KEY, LOCATION, COUNT)`.
    pub(super) fn persistent(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let items = self.items(id)?;
        let [tag, dtype, key, _, count] = items[..] else {
            return Err(self.bad("a storage of five parts", format!("{} parts", items.len())));
        };
        match (self.get(tag), self.get(dtype), self.get(key), self.get(count)) {
            (
                Value::Text(tag),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Int(count @ 0..),
            ) if &*tag == "storage" => {
                let storage = Storage { dtype, key, count: count as usize };
                self.push(Value::Storage(storage))
            }
            (_, dtype, key, count) => {
                let found = format!("{}, {}, {}", dtype.kind(), key.kind(), count.kind());
                Err(self.bad("a storage's type, key and size", found))
            }
        }
    }

    pub(super) fn reduce(&mut self) -> Outcome<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let arguments = self.items(arguments)?;
        let Value::Global(function) = self.get(function) else {
            let kind = self.get(function).kind();
            return Err(self.bad("a known class to make", kind));
        };
        match (function, &arguments[..]) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Global::OrderedDict, &[pairs]) => {
                let mut all = Vec::new();
                for pair in self.items(pairs)? {
                    all.extend(self.items(pair)?);
                }
                self.push(Value::Dict(Vec::new()))?;
                self.set(&all)
            }
            (Global::RebuildParameter, &[tensor, ..]) => match self.get(tensor) {
                Value::Tensor(_) => {
                    self.stack.push(tensor);
                    Ok(())
                }
                other => Err(self.bad("a tensor as parameter", other.kind())),
            },
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = self.get(storage) else {
                    let kind = self.get(storage).kind();
                    return Err(self.bad("a storage for the tensor", kind));
                };
                let view = View {
                    storage,
                    offset: self.size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                if view.shape.len() != view.strides.len() {
                    return Err(self.bad("a stride for each axis", format!("{view:?}")));
                }
                self.push(Value::Tensor(view))
            }
            (function, arguments) => {
                Err(self.bad("a call torch makes", format!("{function:?} of {}", arguments.len())))
            }
        }
    }

    /// Python attributes set on a dict (torch's `_metadata`) say nothing about tensors.
    pub(super) fn build(&mut self) -> Outcome<()> {
        self.pop()?;
        let target = self.top()?;
        match self.get(target) {
            Value::Dict(_) => Ok(()),
            other => Err(self.bad("attributes of a dict", format!("of {}", other.kind()))),
        }
    }

    fn size(&self, id: Id) -> Outcome<usize> {
        match self.get(id) {
            Value::Int(value @ 0..) => Ok(value as usize),
            Value::Int(value) => Err(self.bad("a size", format!("{value}"))),
            other => Err(self.bad("a size", other.kind())),
        }
    }

    fn sizes(&self, id: Id) -> Outcome<Vec<usize>> {
        let items = self.items(id)?;
        if items.len() > MAX_AXES {
            return Err(self.bad(&format!("at most {MAX_AXES} axes"), format!("{}", items.len())));
        }
        items.into_iter().map(|id| self.size(id)).collect()
    }
}
