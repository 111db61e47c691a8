//! ColabFold's inputs: chains of a complex behind each other with `:` between them, in FASTA or in a table with the
//! columns `id` and `sequence`. Source: github.com/sokrypton/ColabFold, `colabfold/input.py`.

use crate::csv::Rows;
use crate::draft::Draft;
use crate::error::quote;
use crate::file::File;
use crate::{Alignment, Chain, Each, Error, Place, Request};

pub(crate) fn read(file: &File<'_>) -> Result<Each, Error> {
    let begins = file.text.trim_start();
    if begins.starts_with('>') || begins.starts_with('#') { fasta(file) } else { table(file) }
}

fn fasta(file: &File<'_>) -> Result<Each, Error> {
    let mut records: Vec<(usize, &str, String)> = Vec::new();
    // Old Mac line ends too; empty lines between `\r` and `\n` only shift what is counted below.
    let text = file.text.replace("\r\n", "\n").replace('\r', "\n");
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(header) = line.strip_prefix('>') {
            if records.len() == file.limits.entries {
                let place = Place::file(file.name);
                return Err(Error::limit(&place, "jobs", file.limits.entries as u64));
            }
            records.push((number, header.trim(), String::new()));
        } else if let Some((_, _, sequence)) = records.last_mut() {
            sequence.push_str(line);
        } else if !line.is_empty() && !line.starts_with('#') {
            let place = Place::line(file.name, number);
            return Err(Error::value(&place, "a header line beginning with `>`", quote(line)));
        }
    }
    Ok(records.iter().map(|(line, header, sequence)| request(file, *line, header, sequence)).collect())
}

fn table(file: &File<'_>) -> Result<Each, Error> {
    let mut rows = Rows::new(file.name, file.text);
    let none = || Error::value(&Place::file(file.name), "a line of column names", "an empty file");
    let header = rows.next()?.ok_or_else(none)?;
    let place = Place::line(file.name, header.line);
    let names: Vec<String> = header.fields.iter().map(|f| f.to_ascii_lowercase()).collect();
    let column = |name: &str| {
        let found = names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
        let expected = "the columns `id` and `sequence`";
        names.iter().position(|n| n == name).ok_or_else(|| Error::value(&place, expected, found))
    };
    let (id, sequence) = (column("id")?, column("sequence")?);
    let mut requests = Vec::new();
    while let Some(row) = rows.next()? {
        if requests.len() == file.limits.entries {
            return Err(Error::limit(&Place::file(file.name), "jobs", file.limits.entries as u64));
        }
        let (Some(id), Some(sequence)) = (row.fields.get(id), row.fields.get(sequence)) else {
            let place = Place::line(file.name, row.line);
            let (expected, found) = (format!("{} columns", names.len()), row.fields.len().to_string());
            return Err(Error::value(&place, expected, found));
        };
        requests.push(request(file, row.line, id, sequence));
    }
    Ok(requests)
}

/// Molecules that ColabFold hands on to AlphaFold 3, written `dna|ACGT`.
const MOLECULES: [(&str, &str); 5] = [
    ("dna", "DNA is"),
    ("rna", "RNA is"),
    ("ccd", "ligands are"),
    ("smiles", "ligands are"),
    ("protein", ""),
];

fn request(file: &File<'_>, line: usize, name: &str, sequence: &str) -> Result<Request, Error> {
    let mut draft = Draft::at_line(file, line, name);
    let place = draft.request.place.clone();
    for part in sequence.split(':') {
        let (kind, letters) = part.split_once('|').unwrap_or(("protein", part));
        let kind = kind.trim().to_ascii_lowercase();
        let Some((_, what)) = MOLECULES.iter().find(|(name, _)| *name == kind) else {
            let expected = "dna, rna, ccd, smiles or protein before `|`";
            return Err(Error::value(&place, expected, quote(&kind)));
        };
        let ids = draft.copies(1, "")?;
        if kind == "protein" {
            let sequence = draft.sequence(letters, &place)?;
            let (place, alignment) = (place.clone(), Alignment::None);
            draft.push(Chain { place, ids, sequence, alignment, templates: Vec::new() });
        } else {
            draft.request.unsupported.push(crate::Unsupported { place: place.clone(), what });
        }
    }
    draft.finish()
}
