//! Predictions as PDB, laid out as AlphaFold's `protein.to_pdb` does: one model, 80 columns, pLDDT as B factor.

use chem::atoms::ATOM_TYPES;
use chem::residue::name;

use crate::fields::to_hybrid36;
use crate::{PredictedChain, Prediction};

/// A prediction as PDB text. Atoms beyond 99,999 and residues beyond 9,999 are counted in hybrid-36;
/// chains whose name has more than one letter get a free one.
pub fn write_pdb(prediction: &Prediction) -> String {
    let mut out = String::with_capacity(prediction.positions.len() * 800);
    let mut put = |line: String| {
        out.push_str(&format!("{line:<80}\n"));
    };
    put("MODEL     1".into());
    let (mut serial, mut r) = (0, 0);
    for (chain, id) in prediction.chains.iter().zip(chain_names(&prediction.chains)) {
        let mut last = String::new();
        for (&aatype, &number) in chain.aatype.iter().zip(&chain.numbers) {
            let (Some(xyz), Some(mask)) = (prediction.positions.get(r), prediction.mask.get(r)) else {
                continue;
            };
            let plddt = prediction.plddt.get(r).copied().unwrap_or(0.0);
            r += 1;
            last = format!("{}{id:>2}{}", name(aatype), to_hybrid36(number.into(), 4));
            for ((atom, p), _) in ATOM_TYPES.iter().zip(xyz).zip(mask).filter(|(_, m)| **m) {
                serial += 1;
                let (x, y, z) = (column(p[0]), column(p[1]), column(p[2]));
                let spaced = format!(" {atom}");
                let atom_name = if atom.len() == 4 { atom } else { spaced.as_str() };
                let element = &atom[..1];
                let count = to_hybrid36(serial, 5);
                put(format!(
                    "ATOM  {count} {atom_name:<4} {last}    {x}{y}{z}  1.00{plddt:>6.2}          {element:>2}"
                ));
            }
        }
        serial += 1;
        put(format!("TER   {}      {last}", to_hybrid36(serial, 5)));
    }
    put("ENDMDL".into());
    put("END".into());
    out
}

/// A coordinate in 8 columns: three decimals, fewer where they do not fit.
fn column(value: f32) -> String {
    let fits = (0..=3).rev().map(|d| format!("{value:>8.d$}")).find(|s| s.len() == 8);
    fits.unwrap_or_else(|| " 9999999".into())
}

/// PDB names of chains: their own if one character, else a free one; after 62 chains two characters
/// (columns 21–22), as programs for large assemblies read.
fn chain_names(chains: &[PredictedChain]) -> Vec<String> {
    const SYMBOLS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let taken: Vec<&str> = chains.iter().map(|c| c.id.as_str()).filter(|id| id.len() == 1).collect();
    let single = SYMBOLS.chars().map(String::from).filter(|s| !taken.contains(&s.as_str()));
    let double = SYMBOLS.chars().flat_map(|a| SYMBOLS.chars().map(move |b| format!("{a}{b}")));
    let mut free = single.chain(double);
    let pick = |c: &PredictedChain| {
        if c.id.len() == 1 { c.id.clone() } else { free.next().unwrap_or_else(|| "zz".into()) }
    };
    chains.iter().map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_every_coordinate() {
        assert_eq!(column(-0.5), "  -0.500");
        assert_eq!(column(-1234.567), "-1234.57");
        assert_eq!(column(999_999.0), "999999.0");
        assert_eq!(column(-999_999.0), " -999999");
    }
}
