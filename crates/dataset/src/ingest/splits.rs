//! Which chain belongs to which cluster and split.

use super::table::{self, Table};
use crate::{Error, Split};
use std::collections::HashMap;
use std::path::Path;

/// What a table says of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its cluster's name.
    pub cluster: String,
    /// Its split.
    pub split: Split,
    /// Held-out chains: no training chain is similar.
    pub no_train_homolog: bool,
}

/// Rows by id. An empty table says nothing: every chain is a training chain of its own cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splits {
    rows: HashMap<String, Row>,
}

impl Splits {
    /// Reads `split.tsv`: a header line with `id`, a column whose name begins with `cluster`, `split`
    /// (`train`, `val`, `test`) and, if it is there, `no_train_homolog` (`1`, or else).
    ///
    /// # Errors
    /// [`Error::Source`] naming the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (place, text) = table::read(path)?;
        Self::parse(&place, &text)
    }

    pub(super) fn parse(place: &str, text: &str) -> Result<Self, Error> {
        let mut table = Table::new(place, text)?;
        let (id, split) = (table.column("id")?, table.column("split")?);
        let cluster = table.column_beginning("cluster")?;
        let homolog = table.column("no_train_homolog").ok();
        let mut rows = HashMap::new();
        while let Some(fields) = table.next() {
            let fields = fields?;
            let row = Row {
                cluster: fields.get(cluster).to_string(),
                split: fields.get(split).parse().map_err(|e: String| table.wrong(fields.line, e))?,
                no_train_homolog: homolog.is_some_and(|c| fields.get(c) == "1"),
            };
            if rows.insert(fields.get(id).to_string(), row).is_some() {
                let what = format!("expected each chain once, found {} again", fields.get(id));
                return Err(table.wrong(fields.line, what));
            }
        }
        Ok(Self { rows })
    }

    /// What is said of a chain.
    pub fn get(&self, id: &str) -> Option<&Row> {
        self.rows.get(id)
    }

    /// Is nothing said of any chain?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds another table's rows.
    ///
    /// # Errors
    /// [`Error::Source`] if both tables name a chain and say different things.
    pub fn extend(&mut self, other: Splits, place: &str) -> Result<(), Error> {
        for (id, row) in other.rows {
            if self.rows.get(&id).is_some_and(|r| *r != row) {
                return Err(Error::source(place, format!("chain {id}: expected what another table says")));
            }
            self.rows.insert(id, row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_as_they_come() {
        let text = "id\tcluster30\tsplit\tno_train_homolog\na\tx\ttrain\t\nb\ty\tval\t1\nc\ty\ttest\t0\n";
        let splits = Splits::parse("s.tsv", text).unwrap();
        let row =
            |cluster: &str, split, no_train_homolog| Row { cluster: cluster.into(), split, no_train_homolog };
        assert_eq!(splits.get("a"), Some(&row("x", Split::Train, false)));
        assert_eq!(splits.get("b"), Some(&row("y", Split::Val, true)));
        assert_eq!(splits.get("c"), Some(&row("y", Split::Test, false)));
        assert_eq!(splits.get("d"), None);
    }

    #[test]
    fn mistakes_are_told_by_line() {
        let say = |text: &str| Splits::parse("s.tsv", text).unwrap_err().to_string();
        assert!(say("id\tsplit\n").starts_with("s.tsv: expected a column cluster…"));
        assert!(say("id\tcluster\tsplit\na\tx\tdev\n").starts_with("s.tsv:2: expected train, val or test"));
        assert!(
            say("id\tcluster\tsplit\na\tx\ttrain\n\na\ty\ttest\n")
                .starts_with("s.tsv:4: expected each chain once")
        );
        assert!(say("id\tcluster\tsplit\na\tx\n").starts_with("s.tsv:2: expected 3 fields, found 2"));
    }
}
