//! The `.npy` format, versions 1 to 3: magic, a Python dict literal as header, raw elements.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use super::array::byte_count;
use super::{Array, Bytes, Dtype, FileError, Limits, strided};

/// Axes an array may have; numpy's own limit is 64.
const MAX_AXES: usize = 32;

struct Header {
    dtype: Dtype,
    /// Elements lie most significant byte first.
    big_endian: bool,
    /// Letters of one `S` or `U` string: a further axis of u8 or u32 at the end.
    text: Option<usize>,
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads one array. C-order little-endian data stays where it lies; other orders are rearranged into
/// new memory, at most `left` bytes, which is reduced accordingly.
pub(crate) fn parse(
    file: &str,
    entry: &str,
    bytes: &Bytes,
    limits: &Limits,
    left: &mut u64,
) -> Result<Array, FileError> {
    let bad = |expected: &str, found: String| FileError::entry(file, entry, expected, found);
    if !bytes.starts_with(b"\x93NUMPY") || bytes.len() < 10 {
        return Err(bad("the npy magic \\x93NUMPY", format!("{} other bytes", bytes.len())));
    }
    let (start, length) = match bytes[6] {
        1 => (10, u64::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        2 | 3 if bytes.len() >= 12 => {
            (12, u64::from(u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]])))
        }
        version => return Err(bad("npy version 1, 2 or 3", format!("version {version}"))),
    };
    if length > limits.header as u64 {
        return Err(FileError::limit(file, entry, format!("header of {length} bytes"), limits.header as u64));
    }
    let length = length as usize;
    let Some(text) = bytes.get(start..start + length) else {
        return Err(bad(&format!("a header of {length} bytes"), format!("{} bytes", bytes.len() - start)));
    };
    let text = String::from_utf8_lossy(text);
    let header = Literal { text: &text, at: 0 }.header().map_err(|(e, f)| bad(&e, f))?;

    let Header { dtype, big_endian, text, fortran, mut shape } = header;
    if let Some(width) = text {
        shape.push(width);
    }
    let size = byte_count(dtype, &shape)
        .ok_or_else(|| bad("a shape that fits in memory", format!("{shape:?} of {dtype}")))?;
    let data = bytes.slice(start + length, size).filter(|_| bytes.len() - start - length == size);
    let Some(mut data) = data else {
        let found = format!("{} bytes", bytes.len() - start - length);
        return Err(bad(&format!("{size} bytes for {dtype} {shape:?}"), found));
    };
    let rearranged = (big_endian && dtype.size() > 1) || (fortran && shape.len() > 1);
    if rearranged {
        if size as u64 > *left {
            return Err(FileError::limit(file, entry, "bytes to rearrange", limits.memory));
        }
        *left -= size as u64;
    }
    if big_endian && dtype.size() > 1 {
        let mut swapped = data.to_vec();
        swapped.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
        data = swapped.into();
    }
    if fortran && shape.len() > 1 {
        // Text keeps its characters together: only the axes before them are in Fortran order.
        let unit = text.unwrap_or(1);
        let axes = shape.len() - usize::from(text.is_some());
        let mut strides = vec![1; shape.len()];
        let mut stride = unit;
        for axis in 0..axes {
            strides[axis] = stride;
            stride = stride.saturating_mul(shape[axis]);
        }
        let ordered = strided::gather(dtype.size(), &data, 0, &shape, &strides);
        data = ordered.ok_or_else(|| bad("a Fortran-ordered array", format!("{shape:?}")))?.into();
    }
    Array::new(dtype, shape, data).ok_or_else(|| bad("an array", "none".into()))
}

/// The npy version 1 header of an array, padded so that the elements start at a multiple of 64.
pub(crate) fn header(array: &Array) -> Result<Vec<u8>, String> {
    let descr = match array.dtype() {
        Dtype::Bool => "|b1",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::I16 => "<i2",
        Dtype::U16 => "<u2",
        Dtype::I32 => "<i4",
        Dtype::U32 => "<u4",
        Dtype::I64 => "<i8",
        Dtype::U64 => "<u8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        Dtype::BF16 => return Err("bf16, which npy does not have".into()),
    };
    let mut shape: String = array.shape().iter().map(|n| format!("{n}, ")).collect();
    if array.shape().len() != 1 {
        shape.truncate(shape.len().saturating_sub(2));
    } else {
        shape.pop();
    }
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let length = u16::try_from(text.len()).map_err(|_| format!("{} axes", array.shape().len()))?;
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(length.to_le_bytes());
    out.extend(text.as_bytes());
    Ok(out)
}

/// What was expected, and what was found.
type Mismatch = (String, String);

/// A reader of the few Python literals a header is made of.
struct Literal<'a> {
    text: &'a str,
    at: usize,
}

impl Literal<'_> {
    fn header(mut self) -> Result<Header, Mismatch> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.accept("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key.as_str() {
                "descr" => descr = Some(self.string()?),
                "fortran_order" => fortran = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                _ => return Err(("the key descr, fortran_order or shape".into(), super::error::clip(&key))),
            }
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err(("the keys descr, fortran_order and shape".into(), "fewer".into()));
        };
        let (dtype, big_endian, text) = element(&descr)?;
        Ok(Header { dtype, big_endian, text, fortran, shape })
    }

    fn rest(&mut self) -> &str {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.text[self.at..]
    }

    fn accept(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), Mismatch> {
        if self.accept(token) { Ok(()) } else { Err(self.mismatch(&format!("{token:?}"))) }
    }

    fn mismatch(&mut self, expected: &str) -> Mismatch {
        let found: String = self.rest().chars().take(20).collect();
        (format!("{expected} in the npy header"), format!("{found:?}"))
    }

    fn string(&mut self) -> Result<String, Mismatch> {
        for quote in ["'", "\""] {
            if self.accept(quote) {
                let rest = &self.text[self.at..];
                if let Some(end) = rest.find(quote) {
                    let value = rest[..end].to_string();
                    self.at += end + 1;
                    return Ok(value);
                }
            }
        }
        Err(self.mismatch("a string (structured types are not read)"))
    }

    fn boolean(&mut self) -> Result<bool, Mismatch> {
        if self.accept("True") {
            Ok(true)
        } else if self.accept("False") {
            Ok(false)
        } else {
            Err(self.mismatch("True or False"))
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, Mismatch> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            let value = self.rest()[..digits].parse();
            shape.push(value.map_err(|_| self.mismatch("an extent"))?);
            if shape.len() > MAX_AXES {
                return Err((format!("at most {MAX_AXES} axes"), "more".into()));
            }
            self.at += digits;
            self.accept("L"); // written by Python 2
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }
}

/// Type, whether big-endian, and the width of text, of a `descr` such as `<f4`.
fn element(descr: &str) -> Result<(Dtype, bool, Option<usize>), Mismatch> {
    let (order, kind) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
        _ => ("<", descr),
    };
    let dtype = match kind {
        "b1" | "?" => Dtype::Bool,
        "u1" => Dtype::U8,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "u2" => Dtype::U16,
        "i4" => Dtype::I32,
        "u4" => Dtype::U32,
        "i8" => Dtype::I64,
        "u8" => Dtype::U64,
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        // NumPy has no bf16: with ml_dtypes, as JAX uses it, it writes two nameless bytes.
        "V2" => Dtype::BF16,
        _ => {
            if let Some(width) = kind.strip_prefix('S').and_then(|n| n.parse().ok()) {
                return Ok((Dtype::U8, false, Some(width)));
            }
            // Names beside the numbers, four bytes a letter.
            if let Some(width) = kind.strip_prefix('U').and_then(|n| n.parse().ok()) {
                return Ok((Dtype::U32, order == ">", Some(width)));
            }
            let found = match kind {
                "O" => "python objects".into(),
                _ => super::error::clip(descr),
            };
            return Err(("numbers, booleans or bytes".into(), found));
        }
    };
    Ok((dtype, order == ">", None))
}
