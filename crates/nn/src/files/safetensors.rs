//! `.safetensors`: 8-byte header length, JSON header, raw little-endian data.
//! <https://github.com/huggingface/safetensors>

use super::{Array, Arrays, Bytes, Dtype, FileError, Limits, write_atomically};
use ::safetensors::{Dtype as Stored, SafeTensors};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

/// The header's free text, by key.
pub type Metadata = BTreeMap<String, String>;

/// Reads every array, memory-mapped, and the header's metadata.
/// # Errors  [`FileError`] if the header, an offset or a type is not as it should be.
pub fn read(path: &Path) -> Result<(Arrays, Metadata), FileError> {
    parse(&path.display().to_string(), &Bytes::map(path)?, &Limits::default())
}

/// Like [`read`], from bytes; `file` is the name used in errors.
/// # Errors  as [`read`].
pub fn parse(file: &str, bytes: &Bytes, limits: &Limits) -> Result<(Arrays, Metadata), FileError> {
    let Some(length) = bytes.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else {
        let found = format!("{} bytes", bytes.len());
        return Err(FileError::format(file, "a header length of 8 bytes", found));
    };
    if length > limits.header as u64 {
        let what = format!("length of {length} bytes");
        return Err(FileError::limit(file, "header", what, limits.header as u64));
    }
    let (size, header) = SafeTensors::read_metadata(bytes).map_err(|e| {
        FileError::format(file, "a valid safetensors header", super::error::clip(&e.to_string()))
    })?;
    let infos = header.tensors();
    if infos.len() > limits.entries {
        return Err(FileError::limit(file, "header", "tensors", limits.entries as u64));
    }
    let mut arrays = Arrays::new();
    for (name, info) in infos {
        let dtype = dtype_of(info.dtype).ok_or_else(|| {
            FileError::entry(file, &name, "a plain number type", format!("{:?}", info.dtype))
        })?;
        let (start, end) = info.data_offsets;
        let array = bytes
            .slice(8 + size + start, end.saturating_sub(start))
            .and_then(|data| Array::new(dtype, info.shape.clone(), data))
            .ok_or_else(|| {
                FileError::entry(file, &name, format!("{dtype} {:?}", info.shape), format!("{start}..{end}"))
            })?;
        arrays.insert(name, array);
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((arrays, metadata))
}

/// Writes arrays and metadata, whole or not at all. The same input gives the same bytes: metadata and
/// arrays in name order, wider types first so that every array is aligned to its element.
/// # Errors  [`FileError`] if the file cannot be written.
pub fn write(path: &Path, arrays: &Arrays, metadata: &Metadata) -> Result<(), FileError> {
    let file = path.display().to_string();
    write_atomically(path, |out| write_to(&file, out, arrays, metadata))
}

/// The bytes [`write`] would write.
/// # Errors  as [`write`].
pub fn to_bytes(arrays: &Arrays, metadata: &Metadata) -> Result<Vec<u8>, FileError> {
    let mut out = Vec::new();
    write_to("safetensors", &mut out, arrays, metadata)?;
    Ok(out)
}

fn write_to(file: &str, out: &mut impl Write, arrays: &Arrays, metadata: &Metadata) -> Result<(), FileError> {
    let mut order: Vec<_> = arrays.iter().collect();
    order.sort_by_key(|(_, array)| std::cmp::Reverse(array.dtype().size()));
    let mut header = String::from("{\"__metadata__\":{");
    for (i, (key, value)) in metadata.iter().enumerate() {
        header.push_str(if i == 0 { "" } else { "," });
        quote(&mut header, key);
        header.push(':');
        quote(&mut header, value);
    }
    header.push('}');
    let mut offset = 0;
    for (name, array) in &order {
        let end = offset + array.bytes().len();
        header.push(',');
        quote(&mut header, name);
        let _ = write!(
            header,
            ":{{\"dtype\":\"{}\",\"shape\":{:?},\"data_offsets\":[{offset},{end}]}}",
            stored_name(array.dtype()),
            array.shape(),
        );
        offset = end;
    }
    header.push('}');
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let io = |e| FileError::io(file, e);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    out.write_all(header.as_bytes()).map_err(io)?;
    for (_, array) in &order {
        out.write_all(array.bytes()).map_err(io)?;
    }
    Ok(())
}

/// Appends a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn dtype_of(stored: Stored) -> Option<Dtype> {
    Some(match stored {
        Stored::BOOL => Dtype::Bool,
        Stored::U8 => Dtype::U8,
        Stored::I8 => Dtype::I8,
        Stored::I16 => Dtype::I16,
        Stored::U16 => Dtype::U16,
        Stored::I32 => Dtype::I32,
        Stored::U32 => Dtype::U32,
        Stored::I64 => Dtype::I64,
        Stored::U64 => Dtype::U64,
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::BF16,
        Stored::F32 => Dtype::F32,
        Stored::F64 => Dtype::F64,
        _ => return None,
    })
}

fn stored_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BOOL",
        Dtype::U8 => "U8",
        Dtype::I8 => "I8",
        Dtype::I16 => "I16",
        Dtype::U16 => "U16",
        Dtype::I32 => "I32",
        Dtype::U32 => "U32",
        Dtype::I64 => "I64",
        Dtype::U64 => "U64",
        Dtype::F16 => "F16",
        Dtype::BF16 => "BF16",
        Dtype::F32 => "F32",
        Dtype::F64 => "F64",
    }
}

#[cfg(test)]
mod tests {
    use super::super::mutate::{Random, damaged};
    use super::*;

    fn sample() -> (Arrays, Metadata) {
        let arrays = [
            ("evoformer.blocks.0.w".to_string(), Array::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, -6.5])),
            ("half".into(), Array::from_f32(&[5], &[1.0; 5]).to_float(Dtype::BF16)),
            ("odd \"name\"\n".into(), Array::new(Dtype::U8, vec![7], vec![3; 7].into()).unwrap()),
            ("whole".into(), Array::from_i32(&[], &[9])),
        ];
        let metadata = [("licence", "CC BY 4.0"), ("source", "a \\ \"b\"\t")];
        (arrays.into(), metadata.map(|(k, v)| (k.to_string(), v.to_string())).into())
    }

    #[test]
    fn reads_back_what_it_writes() {
        let (arrays, metadata) = sample();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write(&path, &arrays, &metadata).unwrap();
        assert_eq!(read(&path).unwrap(), (arrays.clone(), metadata.clone()));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, to_bytes(&arrays, &metadata).unwrap());
        // The reference implementation agrees.
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("half").unwrap().shape(), [5]);
        assert_eq!(theirs.len(), 4);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: Vec<u8>| {
            parse("w.safetensors", &bytes.into(), &Limits::default()).unwrap_err().to_string()
        };
        assert_eq!(error(vec![1, 2]), "w.safetensors: expected a header length of 8 bytes, found 2 bytes");
        assert!(error(vec![0xff; 9]).contains("over the limit"));
        let mut cut = to_bytes(&sample().0, &sample().1).unwrap();
        cut.pop();
        assert!(error(cut).starts_with("w.safetensors: expected a valid safetensors header"));
        let text = r#"{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}"#;
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.bytes().chain([0]));
        assert_eq!(error(bytes), "w.safetensors: a: expected a plain number type, found F8_E5M2");
    }

    #[test]
    fn damaged_files_never_panic_nor_grow() {
        let valid = to_bytes(&sample().0, &sample().1).unwrap();
        let (mut random, mut refused) = (Random::new(43), 0);
        for _ in 0..4000 {
            let data: Bytes = damaged(&valid, &mut random).into();
            match parse("w", &data, &Limits::default()) {
                Ok((arrays, _)) => {
                    assert!(arrays.values().map(|a| a.bytes().len()).sum::<usize>() <= data.len());
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() < 1000);
                }
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
