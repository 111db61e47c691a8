//! What this program folds: one protein chain.

use crate::{Alignment, Error, Note, Options, Place, Request, Template};

/// A request of one chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Monomer {
    /// As written; empty if there is none. Not yet safe as a file's name.
    pub name: String,
    /// Where the request stands.
    pub place: Place,
    /// Upper-case letters; empty where the alignment's first row is the sequence.
    pub sequence: String,
    /// Rows that belong to it.
    pub alignment: Alignment,
    /// Structures to use as templates.
    pub templates: Vec<Template>,
    /// `None` where the file names no seed.
    pub seeds: Option<Seeds>,
    /// Of our own jobs.
    pub options: Options,
    /// What was changed or is not used.
    pub notes: Vec<Note>,
}

/// Consecutive seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many, at least 1.
    pub count: u32,
}

impl Request {
    /// The request as one chain to fold.
    ///
    /// # Errors  [`Error::Unsupported`] for several chains and all that is in [`Request::unsupported`];
    /// [`Error::Value`] for seeds that are not consecutive.
    pub fn monomer(mut self) -> Result<Monomer, Error> {
        if let Some(first) = self.unsupported.into_iter().next() {
            return Err(Error::Unsupported { place: first.place, what: first.what.to_string() });
        }
        let copies: Vec<&str> = self.chains.iter().flat_map(|c| c.ids.iter().map(String::as_str)).collect();
        if copies.len() > 1 {
            // The place of what makes it more than one.
            let first = &self.chains[0];
            let place = if first.ids.len() > 1 { &first.place } else { &self.chains[1].place };
            let shown = copies[..copies.len().min(8)].join(", ");
            let more = if copies.len() > 8 { ", …" } else { "" };
            let what = format!("complexes (here {} chains: {shown}{more}) are", copies.len());
            return Err(Error::Unsupported { place: place.clone(), what });
        }
        let seeds = consecutive(&self.seeds, &self.place)?;
        let Some(chain) = self.chains.pop() else {
            return Err(Error::value(&self.place, "a protein chain", "none"));
        };
        Ok(Monomer {
            name: self.name,
            place: self.place,
            sequence: chain.sequence,
            alignment: chain.alignment,
            templates: chain.templates,
            seeds,
            options: self.options,
            notes: self.notes,
        })
    }
}

fn consecutive(seeds: &[u64], place: &Place) -> Result<Option<Seeds>, Error> {
    let mut sorted = seeds.to_vec();
    sorted.sort_unstable();
    let Some(&first) = sorted.first() else { return Ok(None) };
    if sorted.windows(2).any(|w| w[0].checked_add(1) != Some(w[1])) {
        let shown: Vec<String> = seeds.iter().take(8).map(u64::to_string).collect();
        let more = if seeds.len() > 8 { ", …" } else { "" };
        let found = format!("{}{more}", shown.join(", "));
        return Err(Error::value(place, "consecutive seeds, as in 3, 4, 5", found));
    }
    let count = u32::try_from(sorted.len()).map_err(|_| Error::limit(place, "seeds", u64::from(u32::MAX)))?;
    Ok(Some(Seeds { first, count }))
}
