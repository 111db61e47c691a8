//! PDB files as programs really write them.

use structure::{Error, Limits, Structure, read};

fn read_text(text: &str) -> Result<Structure, Error> {
    read(text.as_bytes(), None, &Limits::default())
}

fn atom(record: &str, serial: &str, name: &str, residue: &str, place: &str, x: f32, rest: &str) -> String {
    format!(
        "{record:<6}{serial:>5} {name:<4} {residue:>3} {place:<6}   {x:8.3}{:8.3}{:8.3}{rest}\n",
        2.0, 3.0
    )
}

const FULL: &str = "  1.00 50.00           C  ";

#[test]
fn careless_but_readable() {
    // No END, no elements, CRYST1 without Z, hybrid-36 serials, lines that stop after the coordinates.
    let text = String::from("CRYST1   50.000   60.000   70.000  90.00  90.00  90.00 P 21 21 21\n")
        + &atom("ATOM", "99999", " CA", "ALA", "A   7", 1.0, "  0.50 20.00")
        + &atom("ATOM", "A0000", " CA", "GLY", "A   8", 4.0, "")
        + &atom("ATOM", "*****", " CA", "TRP", "A   9", 7.0, "              ");
    for text in [text.clone(), text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
        let structure = read_text(&text).unwrap();
        let residues = &structure.chains[0].residues;
        let found: Vec<_> = residues
            .iter()
            .map(|r| (r.number, r.aatype, r.positions[1][0], r.occupancy[1], r.b_factor[1]))
            .collect();
        assert_eq!(
            found,
            [(7, 0, 1.0, 0.5, 20.0), (8, 7, 4.0, 1.0, 0.0), (9, 17, 7.0, 1.0, 0.0)],
            "{text:?}"
        );
    }
}

#[test]
fn the_first_model_without_water_ligands_and_hydrogens() {
    let text = String::from("MODEL        1\n")
        + &atom("HETATM", "1", "SE", "MSE", "A   1", 1.0, FULL)
        + &atom("ATOM", "2", " CA", "ALA", "A   2", 2.0, FULL)
        + &atom("ATOM", "3", " HA", "ALA", "A   2", 3.0, FULL)
        + "TER\n"
        + &atom("HETATM", "4", "CA", " CA", "A 301", 4.0, FULL)
        + &atom("HETATM", "5", " O", "HOH", "A 401", 5.0, FULL)
        + &atom("ATOM", "6", " P", " DA", "B   1", 6.0, FULL)
        + "ENDMDL\nMODEL        2\n"
        + &atom("ATOM", "7", " CA", "VAL", "C   1", 7.0, FULL);
    let structure = read_text(&text).unwrap();
    assert_eq!(structure.chains.len(), 1);
    let names: Vec<&str> = structure.chains[0].residues.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["MSE", "ALA"]);
    let sulphur = chem::atoms::atom_order("SD").unwrap();
    assert_eq!(structure.chains[0].residues[0].positions[sulphur], [1.0, 2.0, 3.0]);
    assert_eq!(structure.chains[0].residues[1].mask.iter().filter(|&&m| m).count(), 1);
}

#[test]
fn seqres_gives_unresolved_residues() {
    let seqres = "SEQRES   1 A    5  GLY MSE ALA TRP VAL\n";
    let atoms = atom("HETATM", "1", " CA", "MSE", "A  12", 1.0, FULL)
        + &atom("ATOM", "2", " CA", "TRP", "A  14", 2.0, FULL);
    let structure = read_text(&(seqres.to_string() + &atoms)).unwrap();
    let full: Vec<(u8, bool)> =
        structure.chains[0].full_sequence().iter().map(|p| (p.aatype, p.residue.is_some())).collect();
    assert_eq!(full, [(7, false), (12, true), (0, false), (17, true), (19, false)]);
    let wrong = seqres.replace("TRP", "PHE");
    let structure = read_text(&(wrong + &atoms)).unwrap();
    assert_eq!(structure.chains[0].full_sequence().len(), 2);
    assert!(structure.notes[0].starts_with("chain A: SEQRES (5 residues) does not contain"));
}

#[test]
fn many_chains_of_one_name_take_no_quadratic_time() {
    let line = atom("ATOM", "1", " CA", "ALA", "A   1", 1.0, FULL) + "TER\n";
    let structure = read_text(&line.repeat(50_000)).unwrap();
    assert_eq!(structure.chains.len(), 50_000);
    assert_eq!(structure.chains[49_999].label, "A50000");
}

#[test]
fn limits_are_kept() {
    let line = atom("ATOM", "1", " CA", "ALA", "A   1", 1.0, FULL);
    let limits = Limits { atoms: 3, residues: 7, line: 200, bytes: 500 };
    let told = |text: &str, limits: &Limits| read(text.as_bytes(), None, limits).unwrap_err().to_string();
    assert_eq!(told(&line.repeat(4), &limits), "4:1: more than 3 atoms, the limit for one structure");
    assert_eq!(told(&line.repeat(9), &limits), "1:1: more than 500 bytes, the limit for one structure");
    let seqres = "SEQRES   1 A    8  GLY GLY GLY GLY GLY GLY GLY GLY\n".to_string() + &line;
    assert_eq!(told(&seqres, &limits), "1:1: more than 7 residues, the limit for one structure");
}

#[test]
fn other_files_are_recognised() {
    let told = |bytes: &[u8]| read(bytes, None, &Limits::default()).unwrap_err().to_string();
    assert_eq!(told(b""), "1:1: expected a PDB or mmCIF file, found an empty file");
    assert_eq!(told(&[0x1f, 0x8b, 8]), "1:1: expected a PDB or mmCIF file, found gzip data");
    assert_eq!(told(b">x\nMKV\n"), "1:1: expected a PDB or mmCIF file, found \">x\"");
    assert_eq!(told(b"HEADER    X\nEND\n"), "1:1: expected at least one protein chain, found 0 atom records");
}
