//! The small tables of an mmCIF file: names, method, resolution, dates, sequences, components.

use std::collections::HashMap;

use super::table::{Columns, Row};
use crate::builder::{Counts, Parents};
use crate::fields::{decimal, shown, text};
use crate::{Error, Structure};

/// What the tables other than `atom_site` say.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) structure: Structure,
    pub(super) parents: Parents,
    /// Monomers (number, component) by entity.
    pub(super) sequences: HashMap<String, Vec<(i32, String)>>,
    /// Entity by chain (`struct_asym`).
    pub(super) entity_of: HashMap<String, String>,
    /// Components whose type says peptide, or does not.
    pub(super) is_peptide: HashMap<String, bool>,
    methods: Vec<String>,
    resolution_rank: Option<usize>,
}

/// Where a resolution may stand, best first (AlphaFold's order).
const RESOLUTION: [(&str, &str); 3] = [
    ("_refine.", "ls_d_res_high"),
    ("_em_3d_reconstruction.", "resolution"),
    ("_reflns.", "d_resolution_high"),
];

impl Tables {
    /// Takes a row of any table but `atom_site`.
    pub(super) fn row<'a>(
        &mut self,
        columns: &Columns<'a>,
        row: &Row<'a>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let get = |item: &str| columns.get(row, item).map(text);
        match columns.category().to_ascii_lowercase().as_slice() {
            b"_entry." => self.structure.id = get("id").unwrap_or_default(),
            b"_struct." => self.structure.title = get("title"),
            b"_exptl." => self.methods.extend(get("method").map(|m| m.to_lowercase())),
            b"_refine." | b"_em_3d_reconstruction." | b"_reflns." => self.resolution(columns, row),
            b"_pdbx_audit_revision_history." => {
                let date = get("revision_date").filter(|d| is_date(d));
                let oldest = self.structure.released.take().into_iter().chain(date).min();
                self.structure.released = oldest;
            }
            b"_entity_poly_seq." => {
                let Some((entity, name)) = get("entity_id").zip(get("mon_id")) else { return Ok(()) };
                let at = row.first().map_or(columns.at, |(at, _)| *at);
                counts.residue(at)?;
                let number = get("num");
                let Some(number) = number.as_ref().and_then(|n| n.parse().ok()) else {
                    let found = number.unwrap_or_default();
                    let what = format!("sequence position {} is not a number", shown(found.as_bytes()));
                    return Err(Error::Syntax { at, what });
                };
                self.sequences.entry(entity).or_default().push((number, name));
            }
            b"_struct_asym." => {
                if let Some((chain, entity)) = get("id").zip(get("entity_id")) {
                    self.entity_of.insert(chain, entity);
                }
            }
            b"_chem_comp." => {
                let Some(name) = get("id") else { return Ok(()) };
                let parent = get("mon_nstd_parent_comp_id").and_then(|p| chem::residue::aatype_of_name(&p));
                if let Some(parent) = parent.filter(|&p| p < 20) {
                    self.parents.insert(name.clone(), parent);
                }
                if let Some(kind) = get("type") {
                    self.is_peptide.insert(name, kind.to_lowercase().contains("peptide"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn resolution<'a>(&mut self, columns: &Columns<'a>, row: &Row<'a>) {
        let category = columns.category().to_ascii_lowercase();
        let Some(rank) = RESOLUTION.iter().position(|(c, _)| c.as_bytes() == category) else { return };
        let value = columns.get(row, RESOLUTION[rank].1).and_then(decimal);
        if value.is_some() && self.resolution_rank.is_none_or(|r| rank < r) {
            self.structure.resolution = value;
            self.resolution_rank = Some(rank);
        }
    }

    pub(super) fn method(&self) -> Option<String> {
        if self.methods.is_empty() { None } else { Some(self.methods.join(",")) }
    }
}

fn is_date(text: &str) -> bool {
    let b = text.as_bytes();
    b.len() == 10
        && b.iter().enumerate().all(|(i, c)| if i == 4 || i == 7 { *c == b'-' } else { c.is_ascii_digit() })
}
