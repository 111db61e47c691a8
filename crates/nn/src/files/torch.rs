//! `.pt` and `.ckpt`: a zip with `data.pkl` and one entry a storage, as `torch.save` writes it.
//! Tensors become arrays named by their dict keys, nested ones joined by `/` (`ema/params/NAME`).

use super::pickle::{self, Document};
use super::pickle_value::{Id, Value, View};
use super::{Array, Arrays, Bytes, FileError, Limits, archive, strided};
use std::collections::HashMap;
use std::path::Path;

/// Dicts in dicts that are followed.
const MAX_DEPTH: usize = 16;
/// Values that are looked at; a dict that is shared counts each time.
const MAX_VISITS: usize = 2_000_000;
/// Bytes of one tensor's full name.
const MAX_NAME: usize = 1024;

/// Reads every tensor of a checkpoint; numbers and strings beside them are passed over. Contiguous
/// tensors stay memory-mapped. Nothing is executed: a Python object that is not a tensor is refused.
/// # Errors  [`FileError`] if the zip or pickle is not as it should be or names anything else.
pub fn read(path: &Path) -> Result<Arrays, FileError> {
    parse(&path.display().to_string(), &Bytes::map(path)?, &Limits::default())
}

/// Like [`read`], from bytes; `file` is the name used in errors.
/// # Errors  as [`read`].
pub fn parse(file: &str, bytes: &Bytes, limits: &Limits) -> Result<Arrays, FileError> {
    let mut entries: HashMap<String, Bytes> = HashMap::new();
    for entry in archive::entries(file, bytes, limits)? {
        entries.insert(entry.name, entry.data);
    }
    let main = entries.keys().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl")).cloned();
    let main = main.ok_or_else(|| FileError::format(file, "an archive with data.pkl", "none"))?;
    let folder = main.strip_suffix("data.pkl").unwrap_or_default().to_string();
    if let Some(order) = entries.get(&format!("{folder}byteorder"))
        && &**order != b"little"
    {
        let found = super::error::clip(&String::from_utf8_lossy(order));
        return Err(FileError::entry(file, "byteorder", "little", found));
    }
    let pickled = &entries[&main];
    if pickled.len() > limits.header {
        return Err(FileError::limit(file, &main, format!("{} bytes", pickled.len()), limits.header as u64));
    }
    let document = pickle::load(file, &main, pickled)?;
    let mut walk = Walk { file, document: &document, limits, found: Vec::new(), visits: 0 };
    walk.visit(document.root, &mut String::new(), 0)?;
    let mut left = limits.memory;
    let mut arrays = Arrays::new();
    for (name, view) in walk.found {
        let array = tensor(file, &folder, &name, view, &entries, &mut left, limits)?;
        if arrays.insert(name.clone(), array).is_some() {
            return Err(FileError::entry(file, &name, "one tensor of this name", "two"));
        }
    }
    Ok(arrays)
}

/// Collects the tensors below a value, each with its path.
struct Walk<'a> {
    file: &'a str,
    document: &'a Document,
    limits: &'a Limits,
    found: Vec<(String, &'a View)>,
    visits: usize,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, path: &mut String, depth: usize) -> Result<(), FileError> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(FileError::limit(self.file, path, "values", MAX_VISITS as u64));
        }
        if depth > MAX_DEPTH {
            return Err(FileError::limit(self.file, path, "nesting", MAX_DEPTH as u64));
        }
        let document = self.document;
        match &document.values[id as usize] {
            Value::Tensor(view) => {
                if self.found.len() >= self.limits.entries {
                    let limit = self.limits.entries as u64;
                    return Err(FileError::limit(self.file, path, "tensors", limit));
                }
                self.found.push((path.clone(), view));
            }
            Value::Dict(pairs) => {
                for &(key, value) in pairs {
                    match &document.values[key as usize] {
                        Value::Text(key) => self.enter(key, value, path, depth)?,
                        Value::Int(key) => self.enter(&key.to_string(), value, path, depth)?,
                        other => {
                            let found = other.kind();
                            return Err(FileError::entry(self.file, path, "a key of text", found));
                        }
                    }
                }
            }
            Value::Items(items) => {
                for (index, &value) in items.iter().enumerate() {
                    self.enter(&index.to_string(), value, path, depth)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, key: &str, value: Id, path: &mut String, depth: usize) -> Result<(), FileError> {
        let length = path.len();
        if length + key.len() + 1 > MAX_NAME {
            return Err(FileError::limit(self.file, key, "bytes of a name", MAX_NAME as u64));
        }
        if length > 0 {
            path.push('/');
        }
        path.push_str(key);
        self.visit(value, path, depth + 1)?;
        path.truncate(length);
        Ok(())
    }
}

/// One tensor's elements: a slice of its storage if contiguous, a rearranged copy otherwise.
fn tensor(
    file: &str,
    folder: &str,
    name: &str,
    view: &View,
    entries: &HashMap<String, Bytes>,
    left: &mut u64,
    limits: &Limits,
) -> Result<Array, FileError> {
    let View { storage, offset, shape, strides } = view;
    let size = storage.dtype.size();
    let data = entries.get(&format!("{folder}data/{}", storage.key)).ok_or_else(|| {
        FileError::entry(file, name, format!("the storage data/{}", storage.key), "no such entry")
    })?;
    if storage.count.checked_mul(size) != Some(data.len()) {
        let expected = format!("{} elements of {}", storage.count, storage.dtype);
        return Err(FileError::entry(file, name, expected, format!("{} bytes", data.len())));
    }
    let outside = || {
        let expected = format!("a view inside its storage of {} elements", storage.count);
        FileError::entry(
            file,
            name,
            expected,
            format!("shape {shape:?}, strides {strides:?}, offset {offset}"),
        )
    };
    let total = super::array::byte_count(storage.dtype, shape).ok_or_else(outside)?;
    let place = offset.checked_mul(size).ok_or_else(outside)?;
    let bytes = if contiguous(shape, strides) {
        data.slice(if total == 0 { 0 } else { place }, total).ok_or_else(outside)?
    } else {
        if total as u64 > *left {
            return Err(FileError::limit(file, name, "bytes to rearrange", limits.memory));
        }
        *left -= total as u64;
        strided::gather(size, data, *offset, shape, strides).ok_or_else(outside)?.into()
    };
    Array::new(storage.dtype, shape.clone(), bytes).ok_or_else(outside)
}

/// True if the elements lie in row-major order without gaps; strides of single-element axes do not matter.
fn contiguous(shape: &[usize], strides: &[usize]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut expected = 1usize;
    for (&extent, &stride) in shape.iter().zip(strides).rev() {
        if extent != 1 {
            if stride != expected {
                return false;
            }
            expected = expected.saturating_mul(extent);
        }
    }
    true
}

#[cfg(test)]
#[path = "torch_tests.rs"]
mod tests;
