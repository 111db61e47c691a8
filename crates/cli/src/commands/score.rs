//! `foldry score MODEL REFERENCE`: how close a model comes to a known structure.

use crate::failure::bad_input;
use geometry::pairing::AlignedBy;
use geometry::score::{ScoredChain, ScoredResidue, score};
use std::path::{Path, PathBuf};

/// Compare a model with a reference structure: lDDT, TM-score, GDT, RMSD.
#[derive(clap::Args)]
pub struct Args {
    /// The model, PDB or mmCIF, also .gz and .zst, or `-` for standard input.
    model: PathBuf,
    /// The structure it is held against, PDB or mmCIF.
    reference: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints the scores on stdout.
pub fn run(args: Args) -> anyhow::Result<()> {
    let (model, reference) = (chains(&args.model)?, chains(&args.reference)?);
    let residues = |chains: &[ScoredChain]| chains.iter().map(|c| c.residues.len()).sum::<usize>();
    let (m, r) = (residues(&model), residues(&reference));
    if (1_000_000..=25_000_000).contains(&(m * r)) {
        eprintln!("NOTE  {m} against {r} residues: the structural alignment may take minutes");
    }
    let found = score(&model, &reference).map_err(|e| {
        bad_input(format!("model {} against {}: {e}", args.model.display(), args.reference.display()))
    })?;
    if found.n_common == 0 {
        eprintln!("NOTE  no residue in common, by number or by sequence: TM-score alone says something");
    } else if found.n_common * 2 < found.n_reference {
        let (common, all) = (found.n_common, found.n_reference);
        eprintln!(
            "NOTE  {common} of {all} reference residues are in the model; lDDT and RMSD are of those alone"
        );
    }
    let by = match found.aligned_by {
        AlignedBy::Number => "residue_number",
        AlignedBy::Sequence => "sequence",
    };
    if args.json {
        let object = serde_json::json!({
            "lddt": found.lddt, "lddt_ca": found.lddt_ca, "tm_score": found.tm_score,
            "tm_score_paired": found.tm_score_paired, "gdt_ts": found.gdt_ts, "gdt_ha": found.gdt_ha,
            "rmsd_ca": found.rmsd_ca, "n_common": found.n_common, "n_reference": found.n_reference,
            "aligned_by": by,
        });
        println!("{object}");
        return Ok(());
    }
    let text = |value: Option<f64>| value.map_or("none".into(), |v| format!("{v:.4}"));
    println!("lddt\t{}", text(found.lddt));
    println!("lddt_ca\t{}", text(found.lddt_ca));
    println!("tm_score\t{:.5}", found.tm_score);
    println!("tm_score_paired\t{:.5}", found.tm_score_paired);
    println!("gdt_ts\t{:.4}", found.gdt_ts);
    println!("gdt_ha\t{:.4}", found.gdt_ha);
    println!("rmsd_ca\t{}", found.rmsd_ca.map_or("none".into(), |v| format!("{v:.3}")));
    println!("n_common\t{}", found.n_common);
    println!("n_reference\t{}", found.n_reference);
    println!("aligned_by\t{by}");
    Ok(())
}

fn chains(path: &Path) -> anyhow::Result<Vec<ScoredChain>> {
    let bytes = msa::read(path, &msa::Limits::default()).map_err(bad_input)?;
    let read = structure::read(&bytes, None, &structure::Limits::default());
    let read = read.map_err(|e| bad_input(format!("{}:{e}", path.display())))?;
    let residue = |r: &structure::Residue| ScoredResidue {
        key: (r.number, r.insertion),
        aatype: r.aatype,
        positions: r.positions,
        mask: r.mask,
    };
    let chain = |c: &structure::Chain| ScoredChain {
        name: c.id.clone(),
        residues: c.residues.iter().map(residue).collect(),
    };
    Ok(read.chains.iter().map(chain).collect())
}
