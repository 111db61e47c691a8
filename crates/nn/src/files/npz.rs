//! `.npz`: a zip of `.npy` entries; names may hold slashes, as AlphaFold's parameters do.

use super::{Arrays, Bytes, FileError, Limits, archive, npy, write_atomically};
use std::io::{Cursor, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Reads every array of an npz file; stored entries stay memory-mapped.
/// # Errors  [`FileError`] if the zip, a checksum, a header or a size is wrong.
pub fn read(path: &Path) -> Result<Arrays, FileError> {
    parse(&path.display().to_string(), &Bytes::map(path)?, &Limits::default())
}

/// Like [`read`], from bytes; `file` is the name used in errors.
/// # Errors  as [`read`].
pub fn parse(file: &str, bytes: &Bytes, limits: &Limits) -> Result<Arrays, FileError> {
    let mut arrays = Arrays::new();
    let mut left = limits.memory;
    for entry in archive::entries(file, bytes, limits)? {
        let name = entry
            .name
            .strip_suffix(".npy")
            .ok_or_else(|| FileError::entry(file, &entry.name, "entries named *.npy", "another name"))?;
        let array = npy::parse(file, name, &entry.data, limits, &mut left)?;
        if arrays.insert(name.to_string(), array).is_some() {
            return Err(FileError::entry(file, name, "one array of this name", "two"));
        }
    }
    Ok(arrays)
}

/// Writes an npz file (stored, version 1 headers, zip64 where needed), whole or not at all.
/// The same arrays give the same bytes.
/// # Errors  [`FileError`] if the file cannot be written, or an array is bf16, which npy does not have.
pub fn write(path: &Path, arrays: &Arrays) -> Result<(), FileError> {
    let file = path.display().to_string();
    write_atomically(path, |out| write_to(&file, out, arrays))
}

/// The bytes [`write`] would write.
/// # Errors  as [`write`].
pub fn to_bytes(arrays: &Arrays) -> Result<Vec<u8>, FileError> {
    let mut out = Cursor::new(Vec::new());
    write_to("npz", &mut out, arrays)?;
    Ok(out.into_inner())
}

fn write_to(file: &str, out: impl Write + Seek, arrays: &Arrays) -> Result<(), FileError> {
    let io = |e: std::io::Error| FileError::io(file, e);
    let mut zip = ZipWriter::new(out);
    for (name, array) in arrays {
        let header =
            npy::header(array).map_err(|found| FileError::entry(file, name, "an npy type", found))?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(array.bytes().len() as u64 + header.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(format!("{name}.npy"), options).map_err(|e| io(e.into()))?;
        zip.write_all(&header).map_err(io)?;
        zip.write_all(array.bytes()).map_err(io)?;
    }
    zip.finish().map_err(|e| io(e.into()))?.flush().map_err(io)
}

#[cfg(test)]
mod tests {
    use super::super::mutate::{Random, damaged};
    use super::super::{Array, Dtype};
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    fn one(header: &str, data: &[u8]) -> Result<Array, FileError> {
        let mut left = 1 << 20;
        npy::parse("f.npz", "x", &npy(header, data).into(), &Limits::default(), &mut left)
    }

    fn sample() -> Arrays {
        let long = "alphafold/alphafold_iteration/evoformer//weights";
        [
            (long.to_string(), Array::from_f32(&[2, 3], &[0.5, -1.0, 2.0, 3.0, f32::MIN, 1e-40])),
            ("scalar".into(), Array::from_i32(&[], &[-7])),
            ("empty".into(), Array::from_f32(&[0, 5], &[])),
            ("vector".into(), Array::from_f32(&[4], &[1.0, 2.0, 3.0, 4.0]).to_float(Dtype::F16)),
        ]
        .into()
    }

    #[test]
    fn reads_back_what_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write(&path, &sample()).unwrap();
        assert_eq!(read(&path).unwrap(), sample());
        assert_eq!(std::fs::read(&path).unwrap(), to_bytes(&sample()).unwrap());
        let bf16 = [("b".to_string(), Array::from_f32(&[1], &[1.0]).to_float(Dtype::BF16))].into();
        assert!(write(&path, &bf16).unwrap_err().to_string().contains("bf16"));
        assert_eq!(read(&path).unwrap(), sample());
    }

    #[test]
    fn reads_deflated_entries() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("a/b//c.npy", options).unwrap();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3000,), }";
        zip.write_all(&npy(header, &[0; 12000])).unwrap();
        let bytes: Bytes = zip.finish().unwrap().into_inner().into();
        assert!(bytes.len() < 1000);
        let arrays = parse("f.npz", &bytes, &Limits::default()).unwrap();
        assert_eq!(arrays["a/b//c"].shape(), [3000]);
        let limits = Limits { memory: 11_000, ..Limits::default() };
        let error = parse("f.npz", &bytes, &limits).unwrap_err().to_string();
        assert_eq!(error, "f.npz: a/b//c.npy: decompressed bytes over the limit of 11000");
    }

    #[test]
    fn reads_orders_and_types() {
        let fortran = one("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", &[1, 2, 3, 4, 5, 6]);
        assert_eq!(fortran.unwrap().to_f32(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let big = one("{\"shape\":(2L,),'fortran_order':False,'descr':'>i2'}", &[1, 0, 0, 2]).unwrap();
        assert_eq!(big.to_i64(), [256, 2]);
        let text = one("{'descr': '|S2', 'fortran_order': True, 'shape': (2, 2), }", b"aabbccdd").unwrap();
        assert_eq!((text.shape(), &**text.bytes()), (&[2, 2, 2][..], &b"aaccbbdd"[..]));
        let letters =
            one("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", b"A\0\0\0C\0\0\0").unwrap();
        assert_eq!((letters.shape(), letters.to_i64()), (&[1, 2][..], vec![65, 67]));
        let bf16 = one("{'descr': '<V2', 'fortran_order': False, 'shape': (2,), }", &[0x80, 0x3f, 0, 0xc0]);
        assert_eq!(bf16.unwrap().to_f32(), [1.0, -2.0]);
        let scalar = one("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", &2.5f64.to_le_bytes());
        assert_eq!(scalar.unwrap().to_f32(), [2.5]);
        let mut second = b"\x93NUMPY\x02\x00".to_vec();
        let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }";
        second.extend((header.len() as u32).to_le_bytes());
        second.extend(header.as_bytes());
        second.extend([1, 0]);
        let array = npy::parse("f", "x", &second.into(), &Limits::default(), &mut 0).unwrap();
        assert_eq!(array.dtype(), Dtype::Bool);
    }

    #[test]
    fn says_what_is_wrong() {
        let wrong = |header: &str, data: &[u8]| one(header, data).unwrap_err().to_string();
        let fits = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        assert_eq!(wrong(fits, &[0; 7]), "f.npz: x: expected 8 bytes for f32 [2], found 7 bytes");
        assert_eq!(wrong(fits, &[0; 9]), "f.npz: x: expected 8 bytes for f32 [2], found 9 bytes");
        let object = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }";
        assert!(wrong(object, &[0; 16]).ends_with("found python objects"));
        let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }";
        assert!(wrong(huge, &[]).contains("fits in memory"));
        assert!(wrong("{'descr': [('a', '<f4')], }", &[]).contains("structured"));
        assert!(wrong("{'descr': '<f4', 'shape': (1,)}", &[]).contains("found fewer"));
        assert!(wrong("{'descr': '<f4', 'x': 1}", &[]).ends_with("found x"));
        assert!(wrong(&"(".repeat(500), &[]).contains("\"{\""));
        let mut bytes = to_bytes(&sample()).unwrap();
        let at = bytes.windows(4).position(|w| w == 0.5f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        assert!(
            parse("f.npz", &bytes.into(), &Limits::default()).unwrap_err().to_string().contains("CRC-32")
        );
    }

    #[test]
    fn damaged_files_never_panic_nor_grow() {
        let valid = to_bytes(&sample()).unwrap();
        let limits = Limits { memory: 1 << 16, ..Limits::default() };
        let (mut random, mut refused) = (Random::new(41), 0);
        for _ in 0..4000 {
            let data = damaged(&valid, &mut random);
            match parse("f.npz", &data.clone().into(), &limits) {
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() < 1000);
                }
                Ok(arrays) => {
                    let bytes: usize = arrays.values().map(|a| a.bytes().len()).sum();
                    assert!(bytes <= data.len() * 2 + (1 << 16));
                }
            }
        }
        assert!(refused > 2000, "{refused}");
        // Headers alone, past the checksums.
        let valid = npy("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }", &[7; 24]);
        for _ in 0..4000 {
            let data = damaged(&valid, &mut random).into();
            if let Ok(array) = npy::parse("f", "x", &data, &limits, &mut (1 << 12)) {
                assert!(array.bytes().len() <= 4096 + data.len());
            }
        }
    }
}
