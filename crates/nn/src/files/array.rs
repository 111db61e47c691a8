//! One array: element type, shape, and little-endian bytes in row-major order.

use super::{Bytes, strided};
use half::{bf16, f16};

/// Element type of an [`Array`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 16-bit unsigned integer.
    U16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit signed integer.
    I64,
    /// 64-bit unsigned integer.
    U64,
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an f32.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// A row-major array; cloning, slicing the first axis and reshaping share its bytes.
#[derive(Clone)]
pub struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Bytes,
}

impl Array {
    /// An array over little-endian bytes; `None` unless they are exactly as many as shape and type need.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Bytes) -> Option<Self> {
        let size = byte_count(dtype, &shape)?;
        (size == bytes.len()).then_some(Self { dtype, shape, bytes })
    }

    /// An f32 array.
    /// # Panics  if `data` does not fill `shape`.
    pub fn from_f32(shape: &[usize], data: &[f32]) -> Self {
        Self::from_le(Dtype::F32, shape, data.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// An i32 array.
    /// # Panics  if `data` does not fill `shape`.
    pub fn from_i32(shape: &[usize], data: &[i32]) -> Self {
        Self::from_le(Dtype::I32, shape, data.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn from_le(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        let count = bytes.len();
        Self::new(dtype, shape.to_vec(), bytes.into())
            .unwrap_or_else(|| panic!("array of shape {shape:?} from {count} bytes of {dtype}"))
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Extent of every axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// True if some axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements, little-endian, row-major.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Elements as f32; integers and f64 are rounded to the nearest, booleans become 0 and 1.
    pub fn to_f32(&self) -> Vec<f32> {
        let b = &self.bytes;
        match self.dtype {
            Dtype::F32 => each(b, f32::from_le_bytes),
            Dtype::F16 => each(b, |v| f16::from_le_bytes(v).to_f32()),
            Dtype::BF16 => each(b, |v| bf16::from_le_bytes(v).to_f32()),
            _ => self.to_f64().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// Elements as f64; 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        let b = &self.bytes;
        match self.dtype {
            Dtype::F64 => each(b, f64::from_le_bytes),
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => self.to_f32().into_iter().map(f64::from).collect(),
            Dtype::U64 => each(b, |v| u64::from_le_bytes(v) as f64),
            _ => self.to_i64().into_iter().map(|v| v as f64).collect(),
        }
    }

    /// Elements as i64; fractions are cut off, values out of range saturate, NaN becomes 0.
    pub fn to_i64(&self) -> Vec<i64> {
        let b = &self.bytes;
        match self.dtype {
            Dtype::Bool => b.iter().map(|&v| i64::from(v != 0)).collect(),
            Dtype::U8 => b.iter().map(|&v| i64::from(v)).collect(),
            Dtype::I8 => each(b, |v| i64::from(i8::from_le_bytes(v))),
            Dtype::I16 => each(b, |v| i64::from(i16::from_le_bytes(v))),
            Dtype::U16 => each(b, |v| i64::from(u16::from_le_bytes(v))),
            Dtype::I32 => each(b, |v| i64::from(i32::from_le_bytes(v))),
            Dtype::U32 => each(b, |v| i64::from(u32::from_le_bytes(v))),
            Dtype::I64 => each(b, i64::from_le_bytes),
            Dtype::U64 => each(b, |v| u64::from_le_bytes(v).min(i64::MAX as u64) as i64),
            Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 => {
                self.to_f64().into_iter().map(|v| v as i64).collect()
            }
        }
    }

    /// The same values as f32, bf16 or f16 (rounded to nearest even); shares memory if nothing changes.
    /// # Panics  for any other target type.
    pub fn to_float(&self, dtype: Dtype) -> Self {
        if dtype == self.dtype {
            return self.clone();
        }
        let values = self.to_f32();
        let bytes: Vec<u8> = match dtype {
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            other => panic!("{other} is not a floating-point weight type"),
        };
        Self { dtype, shape: self.shape.clone(), bytes: bytes.into() }
    }

    /// Row `index` of the first axis, sharing memory; `None` for a scalar or beyond the end.
    pub fn row(&self, index: usize) -> Option<Self> {
        let (&rows, rest) = self.shape.split_first()?;
        let size = byte_count(self.dtype, rest)?;
        if index >= rows {
            return None;
        }
        let bytes = self.bytes.slice(index.checked_mul(size)?, size)?;
        Some(Self { dtype: self.dtype, shape: rest.to_vec(), bytes })
    }

    /// The same elements in another shape; `None` if their number differs.
    pub fn reshape(&self, shape: &[usize]) -> Option<Self> {
        Self::new(self.dtype, shape.to_vec(), self.bytes.clone())
    }

    /// A matrix with its axes exchanged, [a, b] → [b, a]; `None` unless there are two axes.
    pub fn transpose(&self) -> Option<Self> {
        let &[rows, columns] = &self.shape[..] else { return None };
        let bytes = strided::transpose(self.dtype.size(), &self.bytes, rows, columns);
        Some(Self { dtype: self.dtype, shape: vec![columns, rows], bytes: bytes.into() })
    }

    /// Equal arrays stacked along a new first axis; `None` if there is none, or shapes or types differ.
    pub fn stack(rows: &[Self]) -> Option<Self> {
        let first = rows.first()?;
        let mut bytes = Vec::with_capacity(first.bytes.len() * rows.len());
        for row in rows {
            if row.dtype != first.dtype || row.shape != first.shape {
                return None;
            }
            bytes.extend_from_slice(&row.bytes);
        }
        let shape = std::iter::once(rows.len()).chain(first.shape.iter().copied()).collect();
        Self::new(first.dtype, shape, bytes.into())
    }
}

impl PartialEq for Array {
    /// Same type, shape and bits.
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes[..] == other.bytes[..]
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape)
    }
}

/// Bytes that an array of this type and shape takes; `None` on overflow.
pub(crate) fn byte_count(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    // A zero extent makes the product zero, whatever the other extents say.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(dtype.size(), |n, &extent| n.checked_mul(extent))
}

fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&v| convert(v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_every_type() {
        let of = |dtype, bytes: Vec<u8>, n| Array::new(dtype, vec![n], bytes.into()).unwrap();
        assert_eq!(of(Dtype::Bool, vec![0, 1, 2], 3).to_f32(), [0.0, 1.0, 1.0]);
        assert_eq!(of(Dtype::I8, vec![0xff, 2], 2).to_f32(), [-1.0, 2.0]);
        assert_eq!(of(Dtype::U8, vec![0xff], 1).to_i64(), [255]);
        assert_eq!(of(Dtype::U16, vec![1, 1], 1).to_f32(), [257.0]);
        assert_eq!(of(Dtype::I16, (-300i16).to_le_bytes().into(), 1).to_f64(), [-300.0]);
        assert_eq!(of(Dtype::U32, u32::MAX.to_le_bytes().into(), 1).to_i64(), [u32::MAX as i64]);
        assert_eq!(of(Dtype::I64, (-5i64).to_le_bytes().into(), 1).to_f32(), [-5.0]);
        assert_eq!(of(Dtype::U64, u64::MAX.to_le_bytes().into(), 1).to_i64(), [i64::MAX]);
        assert_eq!(of(Dtype::F64, 0.1f64.to_le_bytes().into(), 1).to_f32(), [0.1f32]);
        assert_eq!(of(Dtype::F16, vec![0x00, 0xc1], 1).to_f32(), [-2.5]);
        assert_eq!(of(Dtype::BF16, vec![0x20, 0xc0], 1).to_f32(), [-2.5]);
        assert_eq!(
            Array::from_f32(&[2], &[1.0 + 1.0 / 256.0, -3.0]).to_float(Dtype::BF16).to_f32(),
            [1.0, -3.0]
        );
    }

    #[test]
    fn rows_reshape_transpose_and_stack() {
        let a = Array::from_i32(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(a.row(1).unwrap(), Array::from_i32(&[3], &[4, 5, 6]));
        assert!(a.row(2).is_none());
        assert_eq!(a.transpose().unwrap(), Array::from_i32(&[3, 2], &[1, 4, 2, 5, 3, 6]));
        assert_eq!(a.reshape(&[3, 2]).unwrap().shape(), [3, 2]);
        assert!(a.reshape(&[4]).is_none());
        assert_eq!(Array::stack(&[a.row(0).unwrap(), a.row(1).unwrap()]).unwrap(), a);
        assert!(Array::stack(&[a.row(0).unwrap(), a.clone()]).is_none());
        assert!(Array::stack(&[]).is_none());
    }

    #[test]
    fn sizes_must_fit() {
        assert!(Array::new(Dtype::F32, vec![2, 3], vec![0; 23].into()).is_none());
        assert!(Array::new(Dtype::F64, vec![usize::MAX, 2], Vec::new().into()).is_none());
        assert_eq!(Array::new(Dtype::F32, vec![], vec![0; 4].into()).unwrap().len(), 1);
        assert!(Array::new(Dtype::F32, vec![usize::MAX, 0, 9], Vec::new().into()).unwrap().is_empty());
    }
}
