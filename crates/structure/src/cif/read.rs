//! mmCIF text to chains, by AlphaFold's rules (`data/mmcif_parsing.py`): first model, chains by
//! `label_asym_id`, sequences from `entity_poly_seq`, an entity is protein if any of its components is a peptide.

use std::collections::HashMap;

use super::lexer::{Lexer, Value};
use super::table::{Columns, Row, Rows, read_rows};
use super::tables::Tables;
use crate::builder::{Atom, Counts, Draft, Polymer, aatype_of, is_water};
use crate::fields::{decimal, integer, shown, text};
use crate::{Chain, Error, Limits, Monomer, Place, Structure};

/// Reads the first model of the first data block that has atoms.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Structure, Error> {
    let mut reader = Reader {
        counts: Counts::new(limits),
        tables: Tables::default(),
        site: None,
        model: None,
        drafts: Vec::new(),
        by_label: HashMap::new(),
        current: 0,
    };
    read_rows(Lexer::new(bytes, limits.line), &mut reader)?;
    reader.finish()
}

struct Reader<'a> {
    counts: Counts,
    tables: Tables,
    site: Option<Site>,
    /// Model number of the first atom.
    model: Option<&'a [u8]>,
    /// One a `label_asym_id`, with the entity its atoms name.
    drafts: Vec<(Draft, Option<String>)>,
    by_label: HashMap<&'a [u8], usize>,
    current: usize,
}

/// Columns of `atom_site`.
struct Site {
    group: Option<usize>,
    atom: usize,
    residue: usize,
    label_chain: usize,
    author_chain: usize,
    entity: Option<usize>,
    /// Whether there is a `label_seq_id` at all.
    label_seq: Option<usize>,
    number: usize,
    insertion: Option<usize>,
    xyz: [usize; 3],
    occupancy: Option<usize>,
    b_factor: Option<usize>,
    model: Option<usize>,
}

impl Site {
    fn new(columns: &Columns<'_>) -> Result<Self, Error> {
        let either = |first: &str, second: &str| {
            let what = || format!("atom_site: expected a column {first}, found none");
            let index = columns.index(first).or_else(|| columns.index(second));
            index.ok_or_else(|| Error::Syntax { at: columns.at, what: what() })
        };
        Ok(Site {
            group: columns.index("group_PDB"),
            atom: either("label_atom_id", "auth_atom_id")?,
            residue: either("label_comp_id", "auth_comp_id")?,
            label_chain: either("label_asym_id", "auth_asym_id")?,
            author_chain: either("auth_asym_id", "label_asym_id")?,
            entity: columns.index("label_entity_id"),
            label_seq: columns.index("label_seq_id"),
            number: either("auth_seq_id", "label_seq_id")?,
            insertion: columns.index("pdbx_PDB_ins_code"),
            xyz: [
                either("Cartn_x", "Cartn_x")?,
                either("Cartn_y", "Cartn_y")?,
                either("Cartn_z", "Cartn_z")?,
            ],
            occupancy: columns.index("occupancy"),
            b_factor: columns.index("B_iso_or_equiv"),
            model: columns.index("pdbx_PDB_model_num"),
        })
    }
}

impl<'a> Rows<'a> for Reader<'a> {
    fn block(&mut self, name: &'a [u8]) -> bool {
        if !self.drafts.is_empty() {
            return false;
        }
        self.tables = Tables::default();
        self.tables.structure.id = text(name);
        true
    }

    fn table(&mut self, columns: &Columns<'a>) -> Result<(), Error> {
        let is_site = columns.category().eq_ignore_ascii_case(b"_atom_site.");
        self.site = if is_site { Some(Site::new(columns)?) } else { None };
        Ok(())
    }

    fn row(&mut self, columns: &Columns<'a>, row: &Row<'a>) -> Result<(), Error> {
        match self.site.take() {
            Some(site) => {
                let done = self.atom(&site, row);
                self.site = Some(site);
                done
            }
            None => self.tables.row(columns, row, &mut self.counts),
        }
    }
}

impl<'a> Reader<'a> {
    fn atom(&mut self, site: &Site, row: &Row<'a>) -> Result<(), Error> {
        let at = row.first().map_or(Place { line: 1, column: 1 }, |cell| cell.0);
        let cell = |index: usize| row.get(index).copied().unwrap_or((at, Value { text: b"", bare: true }));
        let optional = |index: Option<usize>| index.and_then(|i| cell(i).1.set());
        if let Some(model) = optional(site.model)
            && *self.model.get_or_insert(model) != model
        {
            return Ok(());
        }
        self.counts.atom(at)?;
        let residue = cell(site.residue).1.text;
        if is_water(residue) {
            return Ok(());
        }
        let whole = |index: usize, what: &str| {
            let (at, value) = cell(index);
            let Some(field) = value.set() else { return Ok(None) };
            let what = || format!("{what} {} is not a number", shown(field));
            integer(field).map(Some).ok_or_else(|| Error::Syntax { at, what: what() })
        };
        let real = |index: usize, what: &str| {
            let (at, value) = cell(index);
            let what = || format!("{what} {} is not a number", shown(value.text));
            decimal(value.text).ok_or_else(|| Error::Syntax { at, what: what() })
        };
        let real_or = |index: Option<usize>, what: &str, default: f32| match optional(index) {
            Some(_) => real(index.unwrap_or(usize::MAX), what),
            None => Ok(default),
        };
        let label_seq = match site.label_seq {
            Some(index) => whole(index, "label_seq_id")?,
            None => None,
        };
        let atom = Atom {
            at,
            residue,
            number: whole(site.number, "residue number")?.or(label_seq).unwrap_or(0),
            insertion: optional(site.insertion).and_then(|i| i.first()).map(|&b| char::from(b)),
            label_seq: label_seq.and_then(|n| u32::try_from(n).ok()),
            hetero: optional(site.group) == Some(b"HETATM"),
            name: cell(site.atom).1.text,
            xyz: [
                real(site.xyz[0], "x coordinate")?,
                real(site.xyz[1], "y coordinate")?,
                real(site.xyz[2], "z coordinate")?,
            ],
            b_factor: real_or(site.b_factor, "B factor", 0.0)?,
            occupancy: real_or(site.occupancy, "occupancy", 1.0)?,
        };
        let label = cell(site.label_chain).1.text;
        let author = cell(site.author_chain).1.text;
        let entity = optional(site.entity);
        let draft = self.draft(label, author, entity);
        let Some((draft, _)) = self.drafts.get_mut(draft) else { return Ok(()) };
        draft.push(&atom, &mut self.counts)
    }

    /// Index of the chain of an atom.
    fn draft(&mut self, label: &'a [u8], author: &[u8], entity: Option<&[u8]>) -> usize {
        if self.drafts.get(self.current).is_some_and(|(d, _)| d.label.as_bytes() == label) {
            return self.current;
        }
        self.current = match self.by_label.get(label) {
            Some(&index) => index,
            None => {
                self.drafts.push((Draft::new(&text(author), &text(label)), entity.map(text)));
                self.by_label.insert(label, self.drafts.len() - 1);
                self.drafts.len() - 1
            }
        };
        self.current
    }

    fn finish(self) -> Result<Structure, Error> {
        let mut tables = self.tables;
        let mut structure = std::mem::take(&mut tables.structure);
        structure.method = tables.method();
        // Entities that are polypeptides, looked up once each: there may be as many chains as residues.
        let peptides: HashMap<&String, bool> = tables
            .sequences
            .iter()
            .map(|(e, m)| (e, m.iter().any(|(_, name)| is_peptide(name, &tables))))
            .collect();
        let mut monomers_given = 0;
        for (draft, entity) in self.drafts {
            let entity = tables.entity_of.get(&draft.label).or(entity.as_ref());
            let said = entity.and_then(|e| peptides.get(e)).copied();
            let polymer = polymer(&draft, said, &tables);
            let Some(mut chain) = draft.finish(&tables.parents, polymer) else { continue };
            if let Some(monomers) = entity.and_then(|e| tables.sequences.get(e)) {
                monomers_given += monomers.len();
                let limit = self.counts.limits.residues;
                if monomers_given > limit {
                    let at = Place { line: 1, column: 1 };
                    return Err(Error::TooLarge {
                        at,
                        limit,
                        unit: "residues in the sequences of all chains",
                    });
                }
                structure.notes.extend(attach(&mut chain, monomers, &tables));
            }
            structure.chains.push(chain);
        }
        if structure.chains.is_empty() {
            return Err(Error::NoProtein { found: format!("{} atom_site rows", self.counts.atoms) });
        }
        Ok(structure)
    }
}

fn is_peptide(name: &String, tables: &Tables) -> bool {
    match tables.is_peptide.get(name) {
        Some(&said) => said,
        None => aatype_of(name, &tables.parents).is_some(),
    }
}

/// Whether a chain is a polypeptide: as its entity's sequence says; without one, from its atoms.
fn polymer(draft: &Draft, said: Option<bool>, tables: &Tables) -> Polymer {
    match said {
        Some(true) => Polymer::Peptide,
        Some(false) => Polymer::Other,
        None if !tables.sequences.is_empty() => Polymer::Other,
        None if draft.residues.iter().any(|r| r.residue.label_seq.is_some()) => {
            let known = draft.residues.iter().any(|r| is_peptide(&r.residue.name, tables));
            if known { Polymer::Peptide } else { Polymer::Other }
        }
        None => Polymer::Unsaid,
    }
}

/// Gives the chain its sequence, positions counted from 1 without holes; a note if its residues contradict it.
fn attach(chain: &mut Chain, monomers: &[(i32, String)], tables: &Tables) -> Option<String> {
    let mut sorted: Vec<&(i32, String)> = monomers.iter().collect();
    sorted.sort_by_key(|(number, _)| *number);
    // Positions with several components (microheterogeneity) are one position; the first is deposited as the main.
    sorted.dedup_by_key(|(number, _)| *number);
    let monomer = |name: &String| {
        let aatype = aatype_of(name, &tables.parents).unwrap_or(chem::residue::UNKNOWN);
        Monomer { name: name.clone(), aatype }
    };
    let sequence: Vec<Monomer> = sorted.iter().map(|(_, name)| monomer(name)).collect();
    for residue in &mut chain.residues {
        let number = residue.label_seq.and_then(|n| i32::try_from(n).ok());
        let index = number.and_then(|n| sorted.binary_search_by_key(&n, |(number, _)| *number).ok());
        let Some(index) = index else {
            let (id, found) = (&chain.id, residue.label_seq.unwrap_or(0));
            return Some(format!(
                "chain {id}: position {found} is not in entity_poly_seq; only residues with coordinates are used"
            ));
        };
        residue.label_seq = u32::try_from(index + 1).ok();
    }
    chain.sequence = Some(sequence);
    None
}
