//! PDB text to chains.
//!
//! Strict where it matters (coordinates, residue numbers, occupancy and B factor must be numbers), easy
//! elsewhere: serial numbers are not read at all (overflowing and hybrid-36 ones do no harm), CRYST1 is skipped,
//! element columns, TER and END may be missing, lines may stop after the coordinates.

use std::collections::HashMap;

use super::header::{Header, chain_name, columns};
use crate::builder::{Atom, Counts, Draft, Parents, Polymer, aatype_of, is_water};
use crate::fields::{decimal, hybrid36, shown};
use crate::lines::Lines;
use crate::{Chain, Error, Limits, Monomer, Place, Structure, seqres};

/// Reads the first model.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Structure, Error> {
    let mut counts = Counts::new(limits);
    let mut header = Header::default();
    let mut chains = Chains::default();
    let mut models = 0;
    for line in Lines::new(bytes, limits.line) {
        let (number, line) = line?;
        let at = Place { line: number, column: 1 };
        match columns(line, 1, 6) {
            record if is_atom(record) => {
                counts.atom(at)?;
                let residue = residue_name(line);
                if is_water(residue) {
                    continue;
                }
                let atom = atom(number, line, residue)?;
                chains.turn_to(line, &atom);
                if let Some(draft) = chains.current() {
                    draft.push(&atom, &mut counts)?;
                }
            }
            record if record.starts_with(b"TER") => {
                if let Some(draft) = chains.current() {
                    draft.closed = true;
                }
            }
            record if record.starts_with(b"ENDMDL") || record.trim_ascii() == b"END" => break,
            record if record.starts_with(b"MODEL") => {
                models += 1;
                if models > 1 {
                    break;
                }
            }
            _ => header.record(at, line, &mut counts)?,
        }
    }
    finish(header, chains.drafts, &counts)
}

/// `ATOM`, or `HETATM`, also with a serial number that overflows to the left.
fn is_atom(record: &[u8]) -> bool {
    match record.strip_prefix(b"ATOM") {
        Some(rest) => rest.iter().all(|b| *b == b' ' || b.is_ascii_digit()),
        None => record == b"HETATM",
    }
}

fn residue_name(line: &[u8]) -> &[u8] {
    columns(line, 18, 20).trim_ascii()
}

fn atom<'a>(number: usize, line: &'a [u8], residue: &'a [u8]) -> Result<Atom<'a>, Error> {
    let place = |column| Place { line: number, column };
    let fail = |column, what| Err(Error::Syntax { at: place(column), what });
    if line.len() < 54 {
        let what = format!("expected x, y, z up to column 54, found a line of {} bytes", line.len());
        return fail(line.len() + 1, what);
    }
    let name = columns(line, 13, 16).trim_ascii();
    if name.is_empty() {
        return fail(13, "expected an atom name, found blanks".into());
    }
    if residue.is_empty() {
        return fail(18, "expected a residue name, found blanks".into());
    }
    let field = columns(line, 23, 26);
    let Some(residue_number) = hybrid36(field, 4) else {
        return fail(23, format!("residue number {} is not a number", shown(field)));
    };
    let mut xyz = [0.0; 3];
    for (k, axis) in ["x", "y", "z"].into_iter().enumerate() {
        let column = 31 + 8 * k;
        let field = columns(line, column, column + 7);
        let Some(value) = decimal(field) else {
            return fail(column, format!("{axis} coordinate {} is not a number", shown(field)));
        };
        xyz[k] = value;
    }
    let optional = |column: usize, what: &str, default: f32| {
        let field = columns(line, column, column + 5);
        if field.trim_ascii().is_empty() {
            return Ok(default);
        }
        let what = || format!("{what} {} is not a number", shown(field));
        decimal(field).ok_or_else(|| Error::Syntax { at: place(column), what: what() })
    };
    let insertion = line.get(26).copied().filter(|b| b.is_ascii_graphic()).map(char::from);
    Ok(Atom {
        at: place(1),
        residue,
        number: residue_number,
        insertion,
        label_seq: None,
        hetero: line.starts_with(b"HETATM"),
        name,
        xyz,
        occupancy: optional(55, "occupancy", 1.0)?,
        b_factor: optional(61, "B factor", 0.0)?,
    })
}

/// Chains so far, and which of them the last atom belongs to.
#[derive(Default)]
struct Chains {
    drafts: Vec<Draft>,
    current: usize,
    /// By name: the chain opened last, and how many there are of that name.
    by_name: HashMap<String, (usize, usize)>,
}

impl Chains {
    fn current(&mut self) -> Option<&mut Draft> {
        self.drafts.get_mut(self.current)
    }

    /// Makes the atom's chain the current one. A chain goes on after its TER (ligands; breaks of simulation
    /// programs) unless its numbers start again: then it is another chain of the same name.
    fn turn_to(&mut self, line: &[u8], atom: &Atom<'_>) {
        let name = columns(line, 21, 22).trim_ascii();
        if self.current().is_some_and(|d| d.id.as_bytes() == name && !d.closed) {
            return;
        }
        let id = chain_name(line, 22);
        let known = self.by_name.get(&id).copied();
        if let Some((index, _)) = known
            && let Some(draft) = self.drafts.get_mut(index)
        {
            let goes_on = draft.last_number().is_none_or(|last| atom.number > last);
            if draft.closed && !atom.hetero && goes_on {
                draft.closed = false;
            }
            if !draft.closed || atom.hetero {
                self.current = index;
                return;
            }
        }
        let same_name = known.map_or(0, |(_, count)| count) + 1;
        let label = if same_name == 1 { id.clone() } else { format!("{id}{same_name}") };
        self.drafts.push(Draft::new(&id, &label));
        self.current = self.drafts.len() - 1;
        self.by_name.insert(id, (self.current, same_name));
    }
}

fn finish(mut header: Header, drafts: Vec<Draft>, counts: &Counts) -> Result<Structure, Error> {
    let method = header.method();
    let mut structure = header.structure;
    structure.method = method;
    for draft in drafts {
        let Some(mut chain) = draft.finish(&header.parents, Polymer::Unsaid) else { continue };
        if let Some(names) = header.sequences.remove(&chain.id) {
            let note = attach(&mut chain, names, &header.parents);
            structure.notes.extend(note);
        }
        structure.chains.push(chain);
    }
    if structure.chains.is_empty() {
        return Err(Error::NoProtein { found: format!("{} atom records", counts.atoms) });
    }
    Ok(structure)
}

/// Gives the chain its SEQRES sequence if its residues fit; a note if they do not.
fn attach(chain: &mut Chain, names: Vec<String>, parents: &Parents) -> Option<String> {
    let monomer = |name: String| {
        let aatype = aatype_of(&name, parents).unwrap_or(chem::residue::UNKNOWN);
        Monomer { name, aatype }
    };
    let sequence: Vec<Monomer> = names.into_iter().map(monomer).collect();
    let Some(places) = seqres::place(&chain.residues, &sequence) else {
        return Some(format!(
            "chain {}: SEQRES ({} residues) does not contain the {} observed residues in order; only these are used",
            chain.id,
            sequence.len(),
            chain.residues.len()
        ));
    };
    for (residue, place) in chain.residues.iter_mut().zip(places) {
        residue.label_seq = u32::try_from(place + 1).ok();
    }
    chain.sequence = Some(sequence);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Structure, Error> {
        read(text.as_bytes(), &Limits::default())
    }

    fn line(serial: &str, atom: &str, residue: &str, place: &str, rest: &str) -> String {
        format!("ATOM  {serial:>5} {atom:<4} {residue} {place}   {rest}\n")
    }

    #[test]
    fn residue_numbers_in_hybrid_36_and_insertion_codes() {
        let xyz = "   1.000   2.000  -3.500  1.00 50.00           C";
        let text = line("A0000", " CA ", "ALA", "B9999 ", xyz)
            + &line("*****", " CA ", "GLY", "BA000 ", xyz)
            + &line("A0002", " CA ", "GLY", "BA000A", xyz);
        let structure = read_text(&text).unwrap();
        let found: Vec<_> = structure.chains[0].residues.iter().map(|r| (r.number, r.insertion)).collect();
        assert_eq!(found, [(9999, None), (10_000, None), (10_000, Some('A'))]);
        assert_eq!(structure.chains[0].id, "B");
        assert_eq!(structure.chains[0].residues[0].positions[1], [1.0, 2.0, -3.5]);
        assert_eq!(structure.chains[0].residues[0].b_factor[1], 50.0);
    }

    #[test]
    fn errors_name_line_and_column() {
        let good = line("1", " CA ", "ALA", "A   1 ", "   1.000   2.000   3.000  1.00  0.00");
        let cases = [
            (
                line("2", " CA ", "ALA", "A   2 ", "  27.2x1   2.000   3.000"),
                "2:31: x coordinate \"27.2x1\" is not a number",
            ),
            (
                line("2", " CA ", "ALA", "A   2 ", "   1.000     nan   3.000"),
                "2:39: y coordinate \"nan\" is not a number",
            ),
            (
                line("2", " CA ", "ALA", "A   2 ", "   1.000   2.000   3.000  *.**"),
                "2:55: occupancy \"*.**\" is not a number",
            ),
            (
                line("2", " CA ", "ALA", "A  2x ", "   1.000   2.000   3.000"),
                "2:23: residue number \"2x\" is not a number",
            ),
            (
                line("2", " CA ", "ALA", "A   2 ", "   1.000   2.000"),
                "2:47: expected x, y, z up to column 54, found a line of 46 bytes",
            ),
            (
                line("2", "    ", "ALA", "A   2 ", "   1.000   2.000   3.000"),
                "2:13: expected an atom name, found blanks",
            ),
        ];
        for (bad, expected) in cases {
            assert_eq!(read_text(&(good.clone() + &bad)).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn chains_that_restart_after_ter() {
        let xyz = "   1.000   2.000   3.000";
        let text = line("1", " CA ", "ALA", "    1 ", xyz)
            + &line("2", " CA ", "GLY", "    2 ", xyz)
            + "TER\n"
            + &line("3", " CA ", "SER", "    4 ", xyz)
            + "TER\n"
            + &line("4", " CA ", "TRP", "    1 ", xyz);
        let structure = read_text(&text).unwrap();
        let lengths: Vec<usize> = structure.chains.iter().map(|c| c.residues.len()).collect();
        assert_eq!(lengths, [3, 1], "a break goes on, a restart is a new chain");
    }
}
