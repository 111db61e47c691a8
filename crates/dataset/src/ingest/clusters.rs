//! Clusters as `mmseqs easy-cluster` or `createtsv` write them: representative, tab, member.

use super::table;
use crate::Error;
use std::collections::HashMap;
use std::path::Path;

/// The representative of each chain's cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clusters {
    by_member: HashMap<String, String>,
}

impl Clusters {
    /// Reads `…_cluster.tsv`.
    ///
    /// # Errors
    /// [`Error::Source`] naming the line: not two fields, or a chain in two clusters.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (place, text) = table::read(path)?;
        Self::parse(&place, &text)
    }

    pub(super) fn parse(place: &str, text: &str) -> Result<Self, Error> {
        let mut by_member: HashMap<String, String> = HashMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty()) {
            let wrong = |what: String| Error::source(format!("{place}:{}", index + 1), what);
            let Some((representative, member)) = line.split_once('\t').filter(|(_, m)| !m.contains('\t'))
            else {
                return Err(wrong("expected representative, tab, member, found something else".into()));
            };
            let before = by_member.insert(member.to_string(), representative.to_string());
            if let Some(before) = before.filter(|b| b != representative) {
                return Err(wrong(format!(
                    "{member}: expected cluster {before} as before, found {representative}"
                )));
            }
        }
        Ok(Self { by_member })
    }

    /// The cluster of a chain.
    pub fn get(&self, id: &str) -> Option<&str> {
        self.by_member.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_know_their_representative() {
        let clusters = Clusters::parse("c.tsv", "a_A\ta_A\na_A\tb_B\nc_C\tc_C\n").unwrap();
        assert_eq!((clusters.get("b_B"), clusters.get("c_C")), (Some("a_A"), Some("c_C")));
        assert_eq!(clusters.get("d"), None);
        let say = |text: &str| Clusters::parse("c.tsv", text).unwrap_err().to_string();
        assert!(say("a\ta\nb\ta\n").starts_with("c.tsv:2: a: expected cluster a as before, found b"));
        assert!(say("a b\n").starts_with("c.tsv:1: expected representative, tab, member"));
    }
}
