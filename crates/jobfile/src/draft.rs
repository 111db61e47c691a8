//! A request in the making, with the bounds that all dialects share.

use crate::error::quote;
use crate::file::File;
use crate::residues::residues;
use crate::types::Seed;
use crate::yaml::Lines;
use crate::{Chain, Error, Note, Options, Place, Request, Unsupported};

pub(crate) struct Draft<'a> {
    pub request: Request,
    file: &'a File<'a>,
    lines: Option<&'a Lines>,
    copies: usize,
}

impl<'a> Draft<'a> {
    /// A request at `pointer`; `lines` are those of YAML.
    pub fn new(file: &'a File<'a>, lines: Option<&'a Lines>, pointer: &str, name: &str) -> Self {
        let place = lines.map_or_else(|| file.at(pointer), |lines| lines.at(file, pointer));
        Self::at_place(file, lines, place, name)
    }

    /// A request of a table or FASTA file.
    pub fn at_line(file: &'a File<'a>, line: usize, name: &str) -> Self {
        Self::at_place(file, None, Place::line(file.name, line), name)
    }

    fn at_place(file: &'a File<'a>, lines: Option<&'a Lines>, place: Place, name: &str) -> Self {
        let request = Request {
            name: name.trim().to_string(),
            place,
            chains: Vec::new(),
            seeds: Vec::new(),
            options: Options::default(),
            unsupported: Vec::new(),
            notes: Vec::new(),
        };
        Self { request, file, lines, copies: 0 }
    }

    /// The place of a value; of the request for `""`, which is all that tables have.
    pub fn at(&self, pointer: &str) -> Place {
        if pointer.is_empty() {
            return self.request.place.clone();
        }
        self.lines.map_or_else(|| self.file.at(pointer), |lines| lines.at(self.file, pointer))
    }

    /// `what` cannot be folded, if it is there.
    pub fn refuse_if(&mut self, there: bool, pointer: &str, what: &'static str) {
        if there {
            let place = self.at(pointer);
            self.request.unsupported.push(Unsupported { place, what });
        }
    }

    pub fn note(&mut self, pointer: &str, text: &str) {
        let place = self.at(pointer);
        self.request.notes.push(Note { place, text: text.to_string() });
    }

    /// A newer version than is known may mean more than is read; unknown keys are refused in any case.
    pub fn version(&mut self, version: Option<u64>, known: u64, pointer: &str) {
        if let Some(version) = version.filter(|&v| v > known) {
            self.note(pointer, &format!("version {version} is read as {known}, the newest known"));
        }
    }

    /// # Errors  more seeds than the limit.
    pub fn seeds(&mut self, seeds: &[Seed], pointer: &str) -> Result<(), Error> {
        let most = self.file.limits.seeds;
        if seeds.len() > most {
            return Err(Error::limit(&self.at(pointer), "seeds", most as u64));
        }
        self.request.seeds.extend(seeds.iter().map(|seed| seed.0));
        Ok(())
    }

    /// Counts `copies` of a chain, ligand or ion, and names them by the alphabet.
    ///
    /// # Errors  no copy, or more than the limit of the whole job.
    pub fn copies(&mut self, copies: u64, pointer: &str) -> Result<Vec<String>, Error> {
        if copies == 0 {
            return Err(Error::value(&self.at(pointer), "a count of at least 1", "0"));
        }
        let first = self.copies;
        let most = self.file.limits.chains;
        let copies = usize::try_from(copies).unwrap_or(usize::MAX);
        self.copies = self.copies.saturating_add(copies);
        if self.copies > most {
            return Err(Error::limit(&self.at(pointer), "chains", most as u64));
        }
        Ok((first..self.copies).map(letters).collect())
    }

    /// Takes ids as given.
    ///
    /// # Errors  none, an empty one, or too many.
    pub fn ids(&mut self, ids: Vec<String>, pointer: &str) -> Result<Vec<String>, Error> {
        if ids.is_empty() || ids.iter().any(|id| id.trim().is_empty()) {
            return Err(Error::value(&self.at(pointer), "chain ids", "none or an empty one"));
        }
        self.copies(ids.len() as u64, pointer)?;
        Ok(ids)
    }

    /// # Errors  as [`residues()`].
    pub fn sequence(&mut self, text: &str, place: &Place) -> Result<String, Error> {
        residues(text, place, self.file.limits.residues, &mut self.request.notes)
    }

    pub fn push(&mut self, chain: Chain) {
        self.request.chains.push(chain);
    }

    /// # Errors  one id for two protein chains.
    pub fn finish(self) -> Result<Request, Error> {
        let mut seen = std::collections::HashSet::new();
        for chain in &self.request.chains {
            if let Some(id) = chain.ids.iter().find(|id| !seen.insert(id.as_str())) {
                return Err(Error::value(&chain.place, "each chain id once", format!("{} again", quote(id))));
            }
        }
        Ok(self.request)
    }
}

/// A, B, … Z, AA, AB, … as columns of a table are named.
fn letters(mut index: usize) -> String {
    let mut text = Vec::new();
    loop {
        text.push(b'A' + (index % 26) as u8);
        if index < 26 {
            break;
        }
        index = index / 26 - 1;
    }
    text.iter().rev().map(|&b| b as char).collect()
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn chains_are_named_by_the_alphabet() {
        assert_eq!([0, 25, 26, 27, 701, 702].map(letters), ["A", "Z", "AA", "AB", "ZZ", "AAA"]);
    }
}
