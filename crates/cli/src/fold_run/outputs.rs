//! The files of one prediction.

use super::draft::Draft;
use fold::Prediction;
use serde_json::{Value, json};
use structure::{PredictedChain, Provenance};

/// Writes `rank_NNN.{pdb,cif,scores.json,pae.json}`; the names of the files.
///
/// # Errors  a prediction with values no file can hold, or the file system's.
pub fn write_model(
    draft: &Draft,
    name: &str,
    sequence: &str,
    rank: usize,
    model: &Prediction,
    provenance: &Provenance,
) -> anyhow::Result<Vec<String>> {
    let stem = format!("rank_{rank:03}");
    let aatype: Vec<u8> = sequence
        .bytes()
        .map(|l| chem::residue::aatype_of_letter(l).unwrap_or(chem::residue::UNKNOWN))
        .collect();
    let numbers = (1..=aatype.len() as i32).collect();
    let chain = PredictedChain { id: "A".into(), aatype, numbers };
    let (positions, mask) = (model.positions.clone(), model.mask.clone());
    let prediction = structure::Prediction::new(name, vec![chain], positions, mask, model.plddt.clone())?;
    let mut files = vec![
        (format!("{stem}.pdb"), structure::write_pdb(&prediction)),
        (format!("{stem}.cif"), structure::write_modelcif(&prediction, provenance)),
        (format!("{stem}.scores.json"), scores(model).to_string() + "\n"),
    ];
    if let Some(text) = alphafold_db_pae(model) {
        files.push((format!("{stem}.pae.json"), text.to_string() + "\n"));
    }
    for (name, content) in &files {
        draft.write(name, content)?;
    }
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

/// About what the files of one prediction take, bytes: PDB, ModelCIF and page grow with r, errors with r².
pub fn size(r: usize, pae: bool) -> u64 {
    let r = r as u64;
    60_000 + 2800 * r + if pae { 16 * r * r } else { 0 }
}

/// Rounded to two places; what is not finite becomes null.
fn two(value: f32) -> Value {
    json!((f64::from(value) * 100.0).round() / 100.0)
}

fn scores(model: &Prediction) -> Value {
    let r = model.plddt.len();
    let rows = |pae: &Vec<f32>| -> Vec<Vec<Value>> {
        pae.chunks(r.max(1)).map(|row| row.iter().map(|&v| two(v)).collect()).collect()
    };
    json!({
        "plddt": model.plddt.iter().map(|&v| two(v)).collect::<Vec<_>>(),
        "mean_plddt": two(model.mean_plddt()),
        "ptm": model.ptm.map(|p| (f64::from(p) * 1e4).round() / 1e4),
        "iptm": null,
        "pae": model.pae.as_ref().map(rows),
        "max_pae": model.max_pae.map(two),
    })
}

/// A list of one object with whole Å, as AlphaFold DB serves it; `None` without a PAE head.
fn alphafold_db_pae(model: &Prediction) -> Option<Value> {
    let r = model.plddt.len().max(1);
    let rows: Vec<Vec<i32>> =
        model.pae.as_ref()?.chunks(r).map(|row| row.iter().map(|v| v.round() as i32).collect()).collect();
    Some(json!([{ "predicted_aligned_error": rows, "max_predicted_aligned_error": model.max_pae.map(two) }]))
}

/// N, Cα, C and O of each residue, for the report's view; `None` where one is missing, as in `X`.
pub fn backbone(model: &Prediction) -> Vec<Option<[[f32; 3]; 4]>> {
    let atoms = ["N", "CA", "C", "O"].map(|name| chem::atoms::atom_order(name).unwrap_or(0));
    let residues = model.positions.iter().zip(&model.mask);
    residues
        .map(|(at, mask)| atoms.iter().all(|&atom| mask[atom]).then(|| atoms.map(|atom| at[atom])))
        .collect()
}

#[cfg(test)]
pub(super) fn example(sequence: &str, plddt: f32) -> Prediction {
    let r = sequence.len();
    let mut mask = [false; 37];
    mask[..3].fill(true);
    mask[4] = true;
    Prediction {
        positions: (0..r).map(|i| std::array::from_fn(|atom| [3.8 * i as f32, atom as f32, 0.125])).collect(),
        mask: vec![mask; r],
        plddt: (0..r).map(|i| plddt - i as f32).collect(),
        pae: Some((0..r * r).map(|k| k as f32 * 0.3).collect()),
        max_pae: Some(31.75),
        ptm: Some(0.71239),
        passes: 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let (sequence, at) = ("MKVXG", |name: &str| folder.path().join("t").join(name));
        let model = example(sequence, 91.5);
        let draft = Draft::begin(folder.path(), "t").unwrap();
        let provenance =
            Provenance { software: "foldry".into(), created: "2026-01-02".into(), ..Default::default() };
        let files = write_model(&draft, "t", sequence, 3, &model, &provenance).unwrap();
        assert_eq!(files, ["rank_003.pdb", "rank_003.cif", "rank_003.scores.json", "rank_003.pae.json"]);
        assert!(!folder.path().join("t").exists());
        draft.finish().unwrap();
        for file in &files[..2] {
            let bytes = fs::read(at(file)).unwrap();
            let read = structure::read(&bytes, None, &structure::Limits::default()).unwrap();
            let residues = &read.chains[0].residues;
            assert_eq!(residues.len(), 5, "{file}");
            assert_eq!((residues[2].number, residues[2].positions[1]), (3, [7.6, 1.0, 0.125]));
            assert_eq!(residues[1].b_factor[0], 90.5);
            assert_eq!(residues[3].aatype, 20);
        }
        let json = |file: &str| serde_json::from_slice::<Value>(&fs::read(at(file)).unwrap()).unwrap();
        let scores = json("rank_003.scores.json");
        assert_eq!(scores["plddt"], json!([91.5, 90.5, 89.5, 88.5, 87.5]));
        assert_eq!(
            (&scores["mean_plddt"], &scores["ptm"], &scores["iptm"]),
            (&json!(89.5), &json!(0.7124), &Value::Null)
        );
        assert_eq!((&scores["pae"][1][2], &scores["max_pae"]), (&json!(2.1), &json!(31.75)));
        let pae = json("rank_003.pae.json");
        assert_eq!(pae[0]["predicted_aligned_error"][4], json!([6, 6, 7, 7, 7]));
        assert_eq!(pae.as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_size_of_results_is_foreseen() {
        let folder = tempfile::tempdir().unwrap();
        let sequence = "WRKY".repeat(40);
        let mut model = example(&sequence, 90.0);
        // As many atoms as tryptophan, arginine, lysine and tyrosine have on average.
        model.mask.fill(std::array::from_fn(|atom| atom < 12));
        model.pae = Some((0..160 * 160).map(|k| (k % 3000) as f32 * 0.01 + 1.23).collect());
        model.plddt.fill(90.0);
        let draft = Draft::begin(folder.path(), "t").unwrap();
        for (rank, pae) in [(1, true), (2, false)] {
            if !pae {
                model.pae = None;
            }
            let files = write_model(&draft, "t", &sequence, rank, &model, &Provenance::default()).unwrap();
            let at = |f: &String| fs::metadata(folder.path().join(".t.partial").join(f)).unwrap().len();
            let bytes: u64 = files.iter().map(at).sum();
            assert!((bytes..4 * bytes).contains(&size(160, pae)), "{bytes} against {}", size(160, pae));
        }
    }

    #[test]
    fn residues_without_coordinates_are_left_out_of_the_view() {
        let mut model = example("MXV", 50.0);
        model.mask[1] = [false; 37];
        let shown = backbone(&model);
        assert_eq!(shown.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(shown[2].unwrap()[3], [7.6, 4.0, 0.125]);
    }

    #[test]
    fn without_a_pae_head_there_is_no_pae_file() {
        let folder = tempfile::tempdir().unwrap();
        let model = Prediction { pae: None, max_pae: None, ptm: None, ..example("MKV", 50.0) };
        let draft = Draft::begin(folder.path(), "t").unwrap();
        let files = write_model(&draft, "t", "MKV", 1, &model, &Provenance::default()).unwrap();
        assert_eq!(files.len(), 3);
        assert_eq!(scores(&model)["pae"], Value::Null);
    }
}
