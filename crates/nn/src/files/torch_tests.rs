//! Checkpoints by hand, opcode by opcode, and one written by torch itself.

use super::super::mutate::{Random, damaged};
use super::super::{Dtype, Format, detect};
use super::*;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Written by torch 1.13.1: dicts, lists, views, every type, a parameter (tests/golden/weights/tiny.py).
const TINY: &[u8] = include_bytes!("../../../../tests/golden/weights/tiny.pt");
/// Written likewise, holding a `torch.Size`.
const REFUSED: &[u8] = include_bytes!("../../../../tests/golden/weights/refused.pt");
/// Written likewise, in the format of before torch 1.6.
const LEGACY: &[u8] = include_bytes!("../../../../tests/golden/weights/legacy.pt");

fn load(data: &[u8]) -> Result<Arrays, FileError> {
    parse("w.pt", &data.to_vec().into(), &Limits::default())
}

/// A checkpoint with this pickle, and one storage `0` of six floats.
fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let floats: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    for (name, data) in [("archive/data.pkl", pickle), ("archive/data/0", &floats[..])] {
        zip.start_file(name, options).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The pickle of `{"w": view}` over that storage.
fn view(offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
    let mut p = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
    p.extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQK");
    p.extend([offset, b'K', shape[0], b'K', shape[1], 0x86, b'K', strides[0], b'K', strides[1], 0x86]);
    p.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    p
}

#[test]
fn reads_what_torch_writes() {
    let arrays = load(TINY).unwrap();
    let names: Vec<_> = arrays.keys().map(String::as_str).collect();
    let expected = "300 ema/params/count ema/params/linear.bias ema/params/linear.weight ema/params/norm.bias \
                    ema/params/norm.weight param tuple/0 types/bf16 types/f64 types/flag types/half types/i16 \
                    types/i32 types/i8 types/u8 views/0 views/1 views/2 views/3";
    assert_eq!(names.join(" "), expected);
    assert_eq!(arrays["ema/params/linear.weight"].to_f32(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
    assert_eq!(arrays["ema/params/linear.weight"].shape(), [2, 3]);
    assert_eq!((arrays["ema/params/count"].shape(), arrays["ema/params/count"].to_i64()), (&[][..], vec![7]));
    assert_eq!(arrays["views/0"].shape(), [4, 2, 3]);
    assert_eq!(arrays["views/0"].to_f32()[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
    assert_eq!(arrays["views/1"].to_f32(), [13.0, 14.0, 17.0, 18.0, 21.0, 22.0]);
    assert_eq!(arrays["views/2"].to_f32(), [0.0; 6]);
    assert_eq!(arrays["views/3"].shape(), [0, 3, 4]);
    let types = [
        ("bf16", Dtype::BF16, vec![1.0, -2.5]),
        ("half", Dtype::F16, vec![0.5]),
        ("f64", Dtype::F64, vec![0.1]),
        ("i32", Dtype::I32, vec![-3.0]),
        ("i16", Dtype::I16, vec![-4.0]),
        ("i8", Dtype::I8, vec![-5.0]),
        ("u8", Dtype::U8, vec![250.0]),
        ("flag", Dtype::Bool, vec![1.0, 0.0]),
    ];
    for (name, dtype, values) in types {
        let array = &arrays[&format!("types/{name}")];
        assert_eq!((array.dtype(), array.to_f32()), (dtype, values), "{name}");
    }
}

#[test]
fn refuses_everything_that_is_not_a_tensor() {
    let error = load(REFUSED).unwrap_err().to_string();
    assert!(error.contains("refused the python object torch.Size"), "{error}");
    for call in [&b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."[..], b"\x80\x04\x8c\x02os\x8c\x06system\x93."] {
        let error = load(&checkpoint(call)).unwrap_err().to_string();
        assert!(error.contains("archive/data.pkl: refused the python object os.system"), "{error}");
    }
    // INST, OBJ, NEWOBJ, EXT1: ways to a class that are not even read.
    for op in [b'i', b'o', 0x81, 0x82] {
        let error = load(&checkpoint(&[0x80, 2, op])).unwrap_err().to_string();
        assert!(error.contains(&format!("found 0x{op:02x}")), "{error}");
    }
    let error = detect("w.pt", &LEGACY.to_vec().into()).unwrap_err().to_string();
    assert!(error.contains("before 1.6"), "{error}");
    assert_eq!(detect("w.pt", &TINY.to_vec().into()).unwrap(), Format::Torch);
}

#[test]
fn views_stay_inside_their_storage() {
    let read = |p: &[u8]| load(&checkpoint(p));
    assert_eq!(read(&view(0, [2, 3], [3, 1])).unwrap()["w"].to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(&view(1, [2, 2], [1, 3])).unwrap()["w"].to_f32(), [1.0, 4.0, 2.0, 5.0]);
    for wrong in [view(1, [2, 3], [3, 1]), view(0, [2, 2], [9, 1]), view(7, [1, 1], [1, 1])] {
        let error = read(&wrong).unwrap_err().to_string();
        assert!(error.starts_with("w.pt: w: expected a view inside its storage of 6 elements"), "{error}");
    }
}

#[test]
fn nesting_sharing_and_cycles_end() {
    // A list that holds itself.
    let error = load(&checkpoint(b"\x80\x02]q\0h\0a.")).unwrap_err().to_string();
    assert!(error.contains("nesting over the limit"), "{error}");
    // Sixteen lists, each holding the one before forty times.
    let mut bomb = b"\x80\x02]q\0".to_vec();
    for level in 0..14u8 {
        bomb.extend([b']', b'q', level + 1, b'(']);
        for _ in 0..40 {
            bomb.extend([b'h', level]);
        }
        bomb.push(b'e');
    }
    bomb.push(b'.');
    let error = load(&checkpoint(&bomb)).unwrap_err().to_string();
    assert!(error.contains("values over the limit"), "{error}");
    let many = [&b"\x80\x02"[..], &b"N".repeat(3_000_000)].concat();
    assert!(load(&checkpoint(&many)).unwrap_err().to_string().contains("values over the limit"));
    // Popping below a mark, and keys without values.
    assert!(load(&checkpoint(b"\x80\x02N(0.")).is_err());
    assert!(load(&checkpoint(b"\x80\x02}(Nu.")).unwrap_err().to_string().contains("a key without"));
}

#[test]
fn damaged_checkpoints_never_panic_nor_grow() {
    let limits = Limits { memory: 1 << 16, ..Limits::default() };
    let mut random = Random::new(47);
    for _ in 0..2000 {
        let data: Bytes = damaged(TINY, &mut random).into();
        if let Ok(arrays) = parse("w.pt", &data, &limits) {
            let bytes: usize = arrays.values().map(|a| a.bytes().len()).sum();
            assert!(bytes <= 40 * data.len() + (1 << 16));
        }
    }
    // Past the checksums: the pickle alone is damaged.
    let pickle = view(1, [2, 2], [1, 3]);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..6000 {
        let damaged = damaged(&pickle, &mut random);
        match parse("w.pt", &checkpoint(&damaged).into(), &limits) {
            Ok(arrays) => {
                read += 1;
                assert!(arrays.values().all(|a| a.bytes().len() <= 1 << 16));
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().len() < 1500);
            }
        }
    }
    assert!(refused > 3000 && read > 20, "{refused} {read}");
}
