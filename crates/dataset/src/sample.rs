//! Chains for tests: made up, of sizes that all differ.

use crate::Chain;
use crate::record::slots;
use chem::residue::letter;

/// A chain of `length` residues whose types, gaps and atoms vary; `rows` of alignment, none for 1.
pub(crate) fn chain(length: usize, rows: usize, side_chains: bool) -> Chain {
    let aatype: Vec<u8> = (0..length).map(|i| (i * 7 % 21) as u8).collect();
    let sequence: String = aatype.iter().map(|&a| letter(a) as char).collect();
    let mut number = -3;
    let mut chain = Chain {
        residue_index: (0..length)
            .map(|i| {
                number += if i % 9 == 5 { 4 } else { 1 };
                number
            })
            .collect(),
        positions: vec![[[0.0; 3]; 37]; length],
        mask: vec![[false; 37]; length],
        msa: None,
        sequence,
        aatype,
    };
    for i in (0..length).filter(|i| i % 11 != 4) {
        let allowed = slots::mask37(chain.aatype[i]);
        let atoms = (0..37).filter(|&a| allowed[a] && (side_chains || matches!(a, 0 | 1 | 2 | 4)));
        for a in atoms.filter(|a| (i + a) % 13 != 6) {
            let at = |k: usize| ((i * 380 + a * 151 + k * 97) % 2311) as f64 - 900.0 + (i * 120) as f64;
            chain.positions[i][a] = [0, 1, 2].map(|k| (at(k) / 100.0) as f32);
            chain.mask[i][a] = true;
        }
    }
    if rows > 1 {
        let mut text = format!(">q\n{}\n", chain.sequence);
        for row in 1..rows {
            text.push_str(&format!(">{row}\n"));
            for (i, l) in chain.sequence.chars().enumerate() {
                if (i + row) % 10 == 3 {
                    text.push_str(&"acd"[..1 + row % 3]);
                }
                text.push(if (i * row) % 7 == 2 {
                    '-'
                } else if (i + row) % 4 == 0 {
                    'W'
                } else {
                    l
                });
            }
            text.push('\n');
        }
        chain.msa = Some(msa::a3m::parse("sample", text.as_bytes(), &msa::Limits::default()).unwrap().0);
    }
    chain
}
