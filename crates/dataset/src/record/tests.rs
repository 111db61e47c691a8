//! Records come back, and damage behind the checksum is an error, never a panic.

use super::*;
use crate::sample::chain;
use damage::Random;

#[test]
fn rounded_coordinates_and_all_atoms_come_back() {
    let mut one = chain(40, 3, true);
    // Far from the origin, far from each other, and between hundredths.
    one.positions[0][1] = [-999_999.0, 0.004, 123.456];
    one.mask[0][1] = true;
    one.positions[39][0] = [999_998.0, -7.125, 0.0];
    one.mask[39][0] = true;
    let bytes = encode("x", &one).unwrap();
    let back = decode(&bytes, 40, 3, crate::Kind::AllAtom).unwrap();
    assert_eq!((&back.mask, back.depth()), (&one.mask, 3));
    for (a, b) in back.positions.iter().flatten().flatten().zip(one.positions.iter().flatten().flatten()) {
        assert!((a - b).abs() <= 0.005 + 1e-6 * b.abs(), "{a} {b}");
    }
    assert_eq!(encode("x", &back).unwrap(), bytes, "what was read is written the same");
}

#[test]
fn backbones_cost_little() {
    let mut one = chain(300, 1, false);
    for i in 0..300 {
        one.mask[i] = std::array::from_fn(|a| matches!(a, 0 | 1 | 2 | 4));
        for a in [0, 1, 2, 4] {
            // Steps of 3.8 Å and offsets of 1.5 Å in changing directions.
            let turn = (i * 7 + a * 3) as f64;
            let at = [turn.sin(), turn.cos(), (turn * 0.7).sin()].map(|v| v * 1.5 + i as f64 * 2.2);
            one.positions[i][a] = at.map(|v| ((v * 100.0).round() / 100.0) as f32);
        }
    }
    let size = encode("x", &one).unwrap().len();
    assert!(size < 300 * 15, "{size} bytes for 300 residues");
}

#[test]
fn chains_that_do_not_fit_are_not_written() {
    let good = chain(23, 2, true);
    let say = |change: &dyn Fn(&mut Chain)| {
        let mut bad = good.clone();
        change(&mut bad);
        encode("x", &bad).unwrap_err().to_string()
    };
    let cases: [(&dyn Fn(&mut Chain), &str); 9] = [
        (&|c| c.aatype.clear(), "expected 1 to 100000 residues, found 0"),
        (&|c| c.aatype[2] = 21, "residue 3: expected letter - of type 21"),
        (&|c| c.aatype[2] = 3, "residue 3: expected letter D of type 3, found P"),
        (&|c| c.mask.truncate(22), "expected 23 masks, found 22"),
        (&|c| c.residue_index[5] = c.residue_index[4], "expected rising residue numbers"),
        (&|c| c.positions[0][0][1] = f32::NAN, "residue 1: expected coordinates within"),
        (&|c| c.positions[0][0][1] = 1e6, "residue 1: expected coordinates within"),
        (&|c| c.mask[0][35] = true, "residue 1: ALA has no atom NZ"),
        (&|c| c.msa = Some(msa::Msa::single("AGP", "q")), "begins with the sequence"),
    ];
    for (change, word) in cases {
        let message = say(change);
        assert!(message.starts_with("chain x: ") && message.contains(word), "{word}: {message}");
    }
}

#[test]
fn sizes_that_lie_take_no_memory() {
    // A head that would unpack to a gibibyte, for a chain of five residues.
    let bomb = zstd::bulk::compress(&vec![b'A'; 1 << 24], 3).unwrap();
    let mut bytes = (bomb.len() as u32).to_le_bytes().to_vec();
    bytes.extend(bomb);
    bytes.extend([0; 4]);
    assert!(decode(&bytes, 5, 1, Kind::Backbone).unwrap_err().contains("at most 60 bytes"));
    for (length, depth) in [(0, 1), (MAX_RESIDUES + 1, 1), (9, 0), (100_000, 100_000), (1, usize::MAX)] {
        assert!(decode(&bytes, length, depth, Kind::Backbone).unwrap_err().contains("possible size"));
    }
    assert!(decode(&[0xff; 9], 5, 1, Kind::Backbone).unwrap_err().contains("more bytes, found 5"));
    assert!(decode(&[], 5, 1, Kind::Backbone).is_err());
}

/// The three parts of a record, unpacked.
fn parts(bytes: &[u8], length: usize, depth: usize) -> [Vec<u8>; 3] {
    let mut cursor = Cursor::new(bytes);
    let size = cursor.u32().unwrap() as usize;
    let head = decompress(cursor.take(size).unwrap(), length * 12).unwrap();
    let size = cursor.u32().unwrap() as usize;
    let places = cursor.take(size).unwrap().to_vec();
    let text = decompress(cursor.take_rest(), depth * (length * 11 + 1)).unwrap();
    [head, places, text]
}

fn packed([head, places, text]: &[Vec<u8>; 3]) -> Vec<u8> {
    let head = zstd::bulk::compress(head, 1).unwrap();
    let mut bytes = (head.len() as u32).to_le_bytes().to_vec();
    bytes.extend(head);
    bytes.extend((places.len() as u32).to_le_bytes());
    bytes.extend(places);
    bytes.extend(zstd::bulk::compress(text, 1).unwrap());
    bytes
}

#[test]
fn damage_behind_the_checksums_never_panics() {
    let (length, depth) = (37, 4);
    let good = encode("x", &chain(length, depth, true)).unwrap();
    let whole = parts(&good, length, depth);
    assert!(decode(&packed(&whole), length, depth, Kind::AllAtom).is_ok());
    let mut random = Random::new(20_261_124);
    let (mut read, mut refused) = (0, 0);
    for round in 0..6000 {
        // Half of the damage hits what is inside the zstd frames.
        let mut damaged = whole.clone();
        let mut bytes = match round % 2 {
            0 => good.clone(),
            _ => std::mem::take(&mut damaged[round / 2 % 3]),
        };
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
                2 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                _ => bytes.insert(at, b"\0\x7f\xff.A-9\n"[random.below(8)]),
            }
        }
        if round % 2 == 1 {
            damaged[round / 2 % 3] = bytes;
            bytes = packed(&damaged);
        }
        match decode(&bytes, length, depth, Kind::AllAtom) {
            Ok(chain) => {
                read += 1;
                chain.check("x").unwrap();
            }
            Err(what) => {
                refused += 1;
                assert!(what.len() < 400, "{what}");
            }
        }
    }
    assert!(read > 300 && refused > 2000, "{read} read, {refused} refused: too weak or too strong");
}
