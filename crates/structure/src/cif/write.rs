//! ModelCIF: mmCIF with the `ma_` categories (github.com/ihmwg/ModelCIF 1.4.9).

use std::collections::BTreeSet;
use std::fmt::Write;

use chem::atoms::ATOM_TYPES;
use chem::residue::{letter, name};

use super::text::{block_name, quoted};
use crate::{Prediction, Provenance};

/// A prediction as ModelCIF. Chains of equal sequence are one entity; positions in the sequence are
/// `label_seq_id`, residue numbers `auth_seq_id`; pLDDT (0–100) stands in `ma_qa_metric_local` and as B factor.
///
/// PAE is not in here: r² rows of text belong into a file of their own.
pub fn write_modelcif(prediction: &Prediction, provenance: &Provenance) -> String {
    let mut out = String::with_capacity(prediction.positions.len() * 1000);
    let entry = block_name(&prediction.name);
    let (entities, entity_of) = entities(prediction);
    header(&mut out, &entry, prediction);
    polymers(&mut out, prediction, &entities, &entity_of);
    origin(&mut out, provenance, entities.len());
    instances(&mut out, prediction, &entity_of);
    metrics(&mut out, prediction, provenance);
    atoms(&mut out, prediction, &entity_of);
    out
}

/// Distinct sequences in order of appearance, and each chain's entity from 0.
fn entities(prediction: &Prediction) -> (Vec<&[u8]>, Vec<usize>) {
    let mut entities: Vec<&[u8]> = Vec::new();
    let mut entity_of = Vec::new();
    for chain in &prediction.chains {
        let known = entities.iter().position(|e| *e == chain.aatype);
        entity_of.push(known.unwrap_or(entities.len()));
        if known.is_none() {
            entities.push(&chain.aatype);
        }
    }
    (entities, entity_of)
}

/// Writing into a `String` does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{ let _ = writeln!($out, $($text)*); }};
}

fn table(out: &mut String, category: &str, items: &[&str]) {
    put!(out, "#\nloop_");
    for item in items {
        put!(out, "_{category}.{item}");
    }
}

fn header(out: &mut String, entry: &str, prediction: &Prediction) {
    put!(out, "data_{entry}\n#\n_entry.id {entry}\n#");
    put!(out, "_audit_conform.dict_name mmcif_ma.dic\n_audit_conform.dict_version 1.4.9");
    put!(
        out,
        "_audit_conform.dict_location https://raw.githubusercontent.com/ihmwg/ModelCIF/master/dist/mmcif_ma.dic"
    );
    put!(out, "#\n_struct.entry_id {entry}\n_struct.title {}", quoted(&prediction.name));
}

fn polymers(out: &mut String, prediction: &Prediction, entities: &[&[u8]], entity_of: &[usize]) {
    let used: BTreeSet<&str> = entities.iter().flat_map(|e| e.iter()).map(|&a| name(a)).collect();
    table(out, "chem_comp", &["id", "type", "mon_nstd_flag"]);
    for component in used {
        let kind = if component == "GLY" { "'peptide linking'" } else { "'L-peptide linking'" };
        put!(out, "{component} {kind} {}", if component == "UNK" { "n" } else { "y" });
    }
    table(out, "entity", &["id", "type", "src_method", "pdbx_description", "pdbx_number_of_molecules"]);
    for i in 0..entities.len() {
        let copies = entity_of.iter().filter(|&&e| e == i).count();
        put!(out, "{} polymer man 'model target {}' {copies}", i + 1, i + 1);
    }
    let items = ["entity_id", "type", "nstd_linkage", "nstd_monomer", "pdbx_strand_id"];
    let codes = ["pdbx_seq_one_letter_code", "pdbx_seq_one_letter_code_can"];
    table(out, "entity_poly", &[&items[..], &codes[..]].concat());
    for (i, entity) in entities.iter().enumerate() {
        let copies = prediction.chains.iter().zip(entity_of).filter(|(_, e)| **e == i);
        let strands: Vec<&str> = copies.map(|(c, _)| c.id.as_str()).collect();
        let letters: Vec<u8> = entity.iter().map(|&a| letter(a)).collect();
        let lines: Vec<String> =
            letters.chunks(80).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        let text = format!(";{}\n;", lines.join("\n"));
        // Unknown residues are (UNK) in the first code, X in the canonical one.
        let coded: String = text.replace('X', "(UNK)");
        put!(out, "{} polypeptide(L) no no '{}'\n{coded}\n{text}", i + 1, strands.join(","));
    }
    table(out, "entity_poly_seq", &["entity_id", "num", "mon_id", "hetero"]);
    for (i, entity) in entities.iter().enumerate() {
        for (k, &aatype) in entity.iter().enumerate() {
            put!(out, "{} {} {} n", i + 1, k + 1, name(aatype));
        }
    }
    table(
        out,
        "struct_asym",
        &["id", "entity_id", "pdbx_blank_PDB_chainid_flag", "pdbx_modified", "details"],
    );
    for (chain, entity) in prediction.chains.iter().zip(entity_of) {
        put!(out, "{} {} N N .", chain.id, entity + 1);
    }
    let items = [
        "asym_id",
        "entity_id",
        "seq_id",
        "mon_id",
        "hetero",
        "ndb_seq_num",
        "pdb_seq_num",
        "auth_seq_num",
        "pdb_mon_id",
        "auth_mon_id",
        "pdb_strand_id",
        "pdb_ins_code",
    ];
    table(out, "pdbx_poly_seq_scheme", &items);
    for (chain, entity) in prediction.chains.iter().zip(entity_of) {
        for (k, (&aatype, number)) in chain.aatype.iter().zip(&chain.numbers).enumerate() {
            let (id, three, seq) = (&chain.id, name(aatype), k + 1);
            put!(out, "{id} {} {seq} {three} n {seq} {number} {number} {three} {three} {id} .", entity + 1);
        }
    }
}

fn origin(out: &mut String, provenance: &Provenance, entities: usize) {
    let items = ["pdbx_ordinal", "name", "version", "type", "classification", "description", "date"];
    table(out, "software", &items);
    let (software, version) = (quoted(&provenance.software), quoted(&provenance.version));
    put!(
        out,
        "1 {software} {version} program 'model building' 'structure prediction' {}",
        date(&provenance.created)
    );
    table(out, "ma_software_parameter", &["parameter_id", "group_id", "data_type", "name", "value"]);
    let own = [("model", &provenance.model), ("weights_sha256", &provenance.weights_sha256)];
    let more = provenance.parameters.iter().map(|(name, value)| (name.as_str(), value));
    for (i, (name, value)) in own.into_iter().chain(more).enumerate() {
        put!(out, "{} 1 string {} {}", i + 1, quoted(name), quoted(value));
    }
    table(out, "ma_software_group", &["ordinal_id", "group_id", "software_id", "parameter_group_id"]);
    put!(out, "1 1 1 1");
    table(out, "ma_data", &["id", "name", "content_type"]);
    put!(out, "1 'model coordinates' 'model coordinates'");
    for i in 0..entities {
        put!(out, "{} 'target sequence {}' target", i + 2, i + 1);
    }
    table(out, "ma_target_entity", &["entity_id", "data_id", "origin"]);
    for i in 0..entities {
        // One of two words is asked for; the other, 'reference database', wants an accession.
        put!(out, "{} {} designed", i + 1, i + 2);
    }
    put!(out, "#\n_ma_model_list.ordinal_id 1\n_ma_model_list.model_name {}", quoted(&provenance.model));
    put!(out, "_ma_model_list.model_type 'Ab initio model'\n_ma_model_list.data_id 1");
    table(
        out,
        "ma_protocol_step",
        &["ordinal_id", "protocol_id", "step_id", "method_type", "step_name", "software_group_id", "details"],
    );
    let search = [("'coevolution MSA'", &provenance.msa), ("'template search'", &provenance.templates)];
    let mut step = 0;
    for (kind, details) in search {
        if let Some(details) = details {
            step += 1;
            put!(out, "{step} 1 {step} {kind} . . {}", quoted(details));
        }
    }
    step += 1;
    put!(out, "{step} 1 {step} modeling . 1 {}", quoted(&provenance.model));
}

/// A day as `YYYY-MM-DD`, or `?`: the dictionary knows no other form.
fn date(text: &str) -> String {
    let form = |(i, b): (usize, u8)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() };
    let is_date = text.len() == 10 && text.bytes().enumerate().all(form);
    if is_date { text.into() } else { "?".into() }
}

fn instances(out: &mut String, prediction: &Prediction, entity_of: &[usize]) {
    table(out, "ma_target_entity_instance", &["asym_id", "entity_id", "details"]);
    for (chain, entity) in prediction.chains.iter().zip(entity_of) {
        put!(out, "{} {} .", chain.id, entity + 1);
    }
}

fn metrics(out: &mut String, prediction: &Prediction, provenance: &Provenance) {
    let scores = [("pTM", provenance.ptm), ("ipTM", provenance.iptm)];
    let given: Vec<(&str, f32)> =
        scores.into_iter().filter_map(|(n, v)| v.filter(|v| v.is_finite()).map(|v| (n, v))).collect();
    table(out, "ma_qa_metric", &["id", "name", "description", "type", "mode", "software_group_id"]);
    put!(out, "1 pLDDT 'mean predicted lDDT, 0 to 100' pLDDT global 1");
    put!(out, "2 pLDDT 'predicted lDDT of a residue, 0 to 100' pLDDT local 1");
    for (i, (name, _)) in given.iter().enumerate() {
        put!(out, "{} {name} 'predicted TM-score, 0 to 1' {name} global 1", i + 3);
    }
    table(out, "ma_qa_metric_global", &["ordinal_id", "model_id", "metric_id", "metric_value"]);
    put!(out, "1 1 1 {:.2}", prediction.mean_plddt());
    for (i, (_, value)) in given.iter().enumerate() {
        put!(out, "{} 1 {} {value:.4}", i + 2, i + 3);
    }
    let items = [
        "ordinal_id",
        "model_id",
        "label_asym_id",
        "label_seq_id",
        "label_comp_id",
        "metric_id",
        "metric_value",
    ];
    table(out, "ma_qa_metric_local", &items);
    let mut r = 0;
    for chain in &prediction.chains {
        for (k, &aatype) in chain.aatype.iter().enumerate() {
            let plddt = prediction.plddt.get(r).copied().unwrap_or(0.0);
            r += 1;
            put!(out, "{r} 1 {} {} {} 2 {plddt:.2}", chain.id, k + 1, name(aatype));
        }
    }
}

fn atoms(out: &mut String, prediction: &Prediction, entity_of: &[usize]) {
    let mut elements = BTreeSet::new();
    let mut rows = String::with_capacity(prediction.positions.len() * 700);
    let (mut serial, mut r) = (0, 0);
    for (chain, entity) in prediction.chains.iter().zip(entity_of) {
        for (k, (&aatype, number)) in chain.aatype.iter().zip(&chain.numbers).enumerate() {
            let (Some(xyz), Some(mask)) = (prediction.positions.get(r), prediction.mask.get(r)) else {
                continue;
            };
            let plddt = prediction.plddt.get(r).copied().unwrap_or(0.0);
            r += 1;
            for ((atom, p), _) in ATOM_TYPES.iter().zip(xyz).zip(mask).filter(|(_, m)| **m) {
                serial += 1;
                let (id, three, element) = (&chain.id, name(aatype), &atom[..1]);
                elements.insert(element);
                put!(
                    rows,
                    "ATOM {serial} {element} {atom} . {three} {id} {} {} ? {:.3} {:.3} {:.3} 1.00 {plddt:.2} {number} {three} {id} {atom} 1",
                    entity + 1,
                    k + 1,
                    p[0],
                    p[1],
                    p[2]
                );
            }
        }
    }
    table(out, "atom_type", &["symbol"]);
    for element in elements {
        put!(out, "{element}");
    }
    let items = [
        "group_PDB",
        "id",
        "type_symbol",
        "label_atom_id",
        "label_alt_id",
        "label_comp_id",
        "label_asym_id",
        "label_entity_id",
        "label_seq_id",
        "pdbx_PDB_ins_code",
        "Cartn_x",
        "Cartn_y",
        "Cartn_z",
        "occupancy",
        "B_iso_or_equiv",
        "auth_seq_id",
        "auth_comp_id",
        "auth_asym_id",
        "auth_atom_id",
        "pdbx_PDB_model_num",
    ];
    table(out, "atom_site", &items);
    out.push_str(&rows);
    out.push_str("#\n");
}
