//! AlphaFold's named arrays with a leading sample axis, read strictly.

use crate::Error;
use ndarray::{Array, ArrayD, Dimension, IxDyn};

/// One named array, as AlphaFold's processed features hold it.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureArray {
    /// Real numbers.
    F32(ArrayD<f32>),
    /// Whole numbers.
    I32(ArrayD<i32>),
}

impl FeatureArray {
    /// Shape, leading axis first.
    pub fn shape(&self) -> &[usize] {
        match self {
            FeatureArray::F32(a) => a.shape(),
            FeatureArray::I32(a) => a.shape(),
        }
    }

    /// The elements as f32.
    pub fn to_f32(&self) -> ArrayD<f32> {
        match self {
            FeatureArray::F32(a) => a.clone(),
            FeatureArray::I32(a) => a.mapv(|v| v as f32),
        }
    }

    /// The elements in row-major order, little-endian, as they are hashed and written.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            FeatureArray::F32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
            FeatureArray::I32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

/// A dimension of an expected shape: known, or bound by the first array that has it.
#[derive(Clone, Copy)]
pub(crate) enum Dim {
    Size(usize),
    Named(&'static str),
}

/// Looks arrays up and keeps the sizes that earlier ones fixed.
pub(crate) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<ArrayD<f32>>,
    sizes: Vec<(&'static str, usize)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(get: &'a dyn Fn(&str) -> Option<ArrayD<f32>>) -> Self {
        Reader { get, sizes: Vec::new() }
    }

    fn known(&self, name: &str) -> Option<usize> {
        self.sizes.iter().find(|(n, _)| *n == name).map(|(_, size)| *size)
    }

    /// The size bound to `name`, if an array had that dimension.
    pub(crate) fn size(&self, name: &str) -> usize {
        self.known(name).unwrap_or(0)
    }

    fn describe(&self, dims: &[Dim]) -> String {
        let text: Vec<String> = dims
            .iter()
            .map(|dim| match *dim {
                Dim::Size(size) => size.to_string(),
                Dim::Named(name) => self.known(name).map_or(name.into(), |size| format!("{name}={size}")),
            })
            .collect();
        format!("[{}]", text.join(", "))
    }

    /// The array `name`, which must have the shape `dims`; `None` if it is absent.
    pub(crate) fn optional(&mut self, name: &str, dims: &[Dim]) -> Result<Option<ArrayD<f32>>, Error> {
        let Some(array) = (self.get)(name) else { return Ok(None) };
        let found = array.shape().to_vec();
        let wrong = |reader: &Self| Error::Shape {
            name: name.into(),
            expected: reader.describe(dims),
            found: found.clone(),
        };
        if found.len() != dims.len() {
            return Err(wrong(self));
        }
        for (dim, &size) in dims.iter().zip(&found) {
            let expected = match *dim {
                Dim::Size(size) => Some(size),
                Dim::Named(label) => self.known(label),
            };
            match (expected, *dim) {
                (Some(expected), _) if expected != size => return Err(wrong(self)),
                (None, Dim::Named(label)) => self.sizes.push((label, size)),
                _ => {}
            }
        }
        Ok(Some(array))
    }

    /// As [`Reader::optional`], but absence is an error.
    pub(crate) fn required(&mut self, name: &str, dims: &[Dim]) -> Result<ArrayD<f32>, Error> {
        let found = self.optional(name, dims)?;
        found.ok_or_else(|| Error::Missing { name: name.into(), expected: self.describe(dims) })
    }
}

/// Whole numbers that arrived as f32, each within `range`.
pub(crate) fn integers(
    name: &str,
    array: ArrayD<f32>,
    range: std::ops::RangeInclusive<i32>,
) -> Result<ArrayD<i32>, Error> {
    let bad = array.iter().position(|v| {
        v.fract() != 0.0 || (*v as f64) < *range.start() as f64 || (*v as f64) > *range.end() as f64
    });
    if let Some((index, value)) = bad.and_then(|i| array.iter().nth(i).map(|v| (i, v))) {
        return Err(Error::Value {
            name: name.into(),
            index,
            expected: format!("a whole number from {} to {}", range.start(), range.end()),
            found: value.to_string(),
        });
    }
    Ok(array.mapv(|v| v as i32))
}

/// Sample `n` of an array with a leading axis.
///
/// # Panics
/// If the array has another number of dimensions than D plus the leading one (shapes were checked).
pub(crate) fn sample<T: Clone, D: Dimension>(array: &ArrayD<T>, n: usize) -> Array<T, D> {
    let view = array.index_axis(ndarray::Axis(0), n);
    view.to_owned().into_dimensionality::<D>().expect("rank was checked when the array was read")
}

/// Arrays of all samples, stacked on a new leading axis.
///
/// # Panics
/// If the samples differ in shape.
pub(crate) fn stack<'a, T: Clone + 'a, D: Dimension + 'a>(
    arrays: impl ExactSizeIterator<Item = &'a Array<T, D>> + Clone,
) -> ArrayD<T> {
    let mut shape = vec![arrays.len()];
    if let Some(first) = arrays.clone().next() {
        shape.extend_from_slice(first.shape());
        assert!(arrays.clone().all(|a| a.shape() == first.shape()), "samples of one set share their shapes");
    }
    let data: Vec<T> = arrays.flat_map(|a| a.iter().cloned()).collect();
    ArrayD::from_shape_vec(IxDyn(&shape), data).expect("as many elements as the shape says")
}
