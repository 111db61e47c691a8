//! An mmCIF file with everything at once, and the same file with parts missing.

use structure::{Chain, Error, Limits, Structure, read};

const MIXED: &str = include_str!("mixed.cif");

fn read_text(text: &str) -> Result<Structure, Error> {
    read(text.as_bytes(), None, &Limits::default())
}

/// The full sequence as component, type and whether there are coordinates.
fn sequence(chain: &Chain) -> Vec<(&str, u8, bool)> {
    chain.full_sequence().into_iter().map(|p| (p.name, p.aatype, p.residue.is_some())).collect()
}

/// The file without one column of `atom_site`.
fn without(item: &str) -> String {
    let lines: Vec<&str> = MIXED.lines().collect();
    let sites: Vec<&str> = lines.iter().copied().filter(|l| l.starts_with("_atom_site.")).collect();
    let column = sites.iter().position(|s| s.ends_with(&format!(".{item}"))).unwrap();
    let mut text = String::new();
    for line in lines.into_iter().filter(|l| *l != sites[column]) {
        if line.starts_with("ATOM") || line.starts_with("HETATM") {
            let mut cells: Vec<&str> = line.split_whitespace().collect();
            cells.remove(column);
            text += &cells.join(" ");
        } else {
            text += line;
        }
        text += "\r\n";
    }
    text
}

#[test]
fn header() {
    let structure = read_text(MIXED).unwrap();
    assert_eq!(structure.id, "9XYZ");
    assert_eq!(structure.title.as_deref(), Some("A \"mixed\" bag"));
    assert_eq!(structure.method.as_deref(), Some("x-ray diffraction,solution nmr"));
    assert_eq!(structure.resolution, Some(1.85), "refinement counts before reflections");
    assert_eq!(structure.released.as_deref(), Some("2003-04-05"));
    assert_eq!(structure.notes, Vec::<String>::new());
}

#[test]
fn proteins_of_the_first_model_with_unresolved_residues() {
    let structure = read_text(MIXED).unwrap();
    let names: Vec<(&str, &str)> =
        structure.chains.iter().map(|c| (c.id.as_str(), c.label.as_str())).collect();
    assert_eq!(names, [("H", "A"), ("L", "C")], "no DNA, ligand, water, second model");
    let one = [
        ("GLY", 7, false),
        ("MSE", 12, true), // MET
        ("ODD", 11, true), // LYS, as the file says
        ("SER", 15, true),
        ("TRP", 17, true),
        ("VAL", 19, false),
    ];
    assert_eq!(sequence(&structure.chains[0]), one);
    let there: Vec<bool> = sequence(&structure.chains[1]).iter().map(|p| p.2).collect();
    assert_eq!(there, [true, false, false, false, false, true]);
    assert_eq!(structure.chain("L"), structure.chain("C"));
    let first = &structure.chains[0].residues[0];
    let sulphur = chem::atoms::atom_order("SD").unwrap();
    assert!(first.hetero && first.mask[sulphur]);
    assert_eq!(first.mask.iter().filter(|&&m| m).count(), 2);
    assert_eq!((first.positions[sulphur], first.b_factor[sulphur]), ([1.5, 2.5, 3.5], 12.0));
    let places: Vec<_> =
        structure.chains[0].residues.iter().map(|r| (r.number, r.insertion, r.label_seq)).collect();
    assert_eq!(
        places,
        [(12, None, Some(2)), (12, None, Some(3)), (12, Some('A'), Some(4)), (13, None, Some(5))]
    );
}

#[test]
fn missing_columns() {
    let full = read_text(MIXED).unwrap();
    for item in ["id", "label_alt_id", "label_entity_id", "group_PDB", "B_iso_or_equiv"] {
        let structure = read_text(&without(item)).unwrap();
        let same = structure.chains.iter().zip(&full.chains).all(|(a, b)| sequence(a) == sequence(b));
        assert!(same && structure.chains.len() == 2, "{item}");
    }
    let structure = read_text(&without("auth_asym_id")).unwrap();
    assert_eq!(structure.chains[0].id, "A");
    let structure = read_text(&without("auth_seq_id")).unwrap();
    assert_eq!(structure.chains[0].residues[3].number, 5, "label_seq_id instead");
    let structure = read_text(&without("pdbx_PDB_model_num")).unwrap();
    assert_eq!(structure.chains.len(), 3, "nothing tells the models apart");
    let error = read_text(&without("Cartn_y")).unwrap_err().to_string();
    assert_eq!(error, "48:1: atom_site: expected a column Cartn_y, found none");
}

#[test]
fn form_feeds_are_blanks() {
    let structure = read_text(&MIXED.replace("loop_\n", "loop_\u{c}")).unwrap();
    assert_eq!(structure.chains, read_text(MIXED).unwrap().chains);
}

#[test]
fn broken_values_are_named() {
    let cases = [
        ("4.0   5.0  6.0", "4.0   5.x  6.0", "67:37: y coordinate \"5.x\" is not a number"),
        ("1 4 THR y", "1 iv THR y", "35:1: sequence position \"iv\" is not a number"),
        ("12 H 2\nATOM", "12 H\nATOM", "78:8: row of \"_atom_site.\": expected 16 values, found 15"),
    ];
    for (old, new, expected) in cases {
        assert!(MIXED.contains(old), "{old}");
        let error = read_text(&MIXED.replacen(old, new, 1)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let only_dna = MIXED.replace("ATOM ", "#").replace("HETATM", "#");
    let error = read_text(&only_dna).unwrap_err().to_string();
    assert!(error.contains("expected at least one protein chain"), "{error}");
}

#[test]
fn a_sequence_its_coordinates_contradict_is_set_aside() {
    let text = MIXED.replace("1 6 VAL n\n", "");
    let structure = read_text(&text).unwrap();
    assert_eq!(structure.chains[0].sequence.as_ref().map(Vec::len), Some(5));
    assert_eq!(structure.chains[1].sequence, None);
    assert!(structure.notes[0].starts_with("chain L: position 6 is not in entity_poly_seq"));
}

#[test]
fn many_chains_of_one_long_sequence_take_no_quadratic_memory() {
    let mut text = String::from(
        "data_x\nloop_\n_entity_poly_seq.entity_id\n_entity_poly_seq.num\n_entity_poly_seq.mon_id\n",
    );
    (1..=90_000).for_each(|i| text += &format!("1 {i} ALA\n"));
    text += "loop_\n_atom_site.label_atom_id\n_atom_site.label_comp_id\n_atom_site.label_asym_id\n\
             _atom_site.label_entity_id\n_atom_site.label_seq_id\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n";
    (1..=90_000).for_each(|i| text += &format!("CA ALA c{i} 1 {i} 1.0 2.0 3.0\n"));
    let error = read_text(&text).unwrap_err().to_string();
    assert_eq!(
        error,
        "1:1: more than 200000 residues in the sequences of all chains, the limit for one structure"
    );
    // The same, not a protein: chains by the thousand, each with the same long sequence to look through.
    let error = read_text(&text.replace("ALA", "DA")).unwrap_err().to_string();
    assert!(error.contains("expected at least one protein chain"), "{error}");
}
