//! One chain to fold.

use crate::name::from_header;
use crate::residues::{canonical, canonicalise, nucleotides};
use crate::{Change, Error, Msa, Note};

/// One chain to fold, as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Safe as a folder name and unique (also where case does not count) among the targets loaded together.
    pub name: String,
    /// The header as written, without `>`.
    pub description: String,
    /// The 20 amino-acid letters and `X`.
    pub sequence: String,
    /// Where it came from: a file name or `standard input`.
    pub source: String,
    /// The alignment it came with; its query spells `sequence`, up to the letters that are read as others.
    pub msa: Option<Msa>,
    /// What was changed.
    pub notes: Vec<Note>,
}

impl Target {
    /// The query of an alignment file, named after the file, or after its header without one.
    pub(crate) fn from_alignment(msa: Msa, mut notes: Vec<Note>, file: &str, stem: Option<&str>) -> Self {
        let description = msa.description(0).to_string();
        let name = match stem {
            Some(stem) => from_header(&stem.replace(char::is_whitespace, "_"), "alignment"),
            None => from_header(&description, "alignment"),
        };
        if let Some(from) = name.was {
            notes.push(Note {
                place: file.to_string(),
                change: Change::Renamed { from, to: name.safe.clone() },
            });
        }
        let mut letters = msa.query().to_vec();
        canonicalise(&mut letters, file, &mut notes);
        if let Some(change) = nucleotides(&letters) {
            notes.push(Note { place: file.to_string(), change });
        }
        let sequence = letters.into_iter().map(char::from).collect();
        Self { name: name.safe, description, sequence, source: file.to_string(), msa: Some(msa), notes }
    }

    /// Gives the target an alignment read from `file`.
    ///
    /// # Errors  [`Error::QueryDiffers`] if the alignment's query is another sequence.
    pub fn attach(&mut self, msa: Msa, file: &str) -> Result<(), Error> {
        let differs = |position: usize, expected: String, found: String| Error::QueryDiffers {
            alignment: file.to_string(),
            target: self.name.clone(),
            position,
            expected,
            found,
        };
        let quote =
            |b: Option<u8>| b.map_or("the end of the sequence".to_string(), |b| format!("`{}`", b as char));
        let mut ours = self.sequence.bytes();
        let mut theirs = msa.query().iter().map(|&b| canonical(b));
        for position in 1.. {
            match (ours.next(), theirs.next()) {
                (None, None) => break,
                (a, b) if a == b => {}
                (a, b) => return Err(differs(position, quote(a), quote(b))),
            }
        }
        self.msa = Some(msa);
        Ok(())
    }
}
