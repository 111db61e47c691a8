//! The table written out: one entry a parameter, for one kind of network.

use super::table::{Axes, Item, NETWORK, Node, Split, When};
use std::collections::BTreeMap;

/// How many times a repeated group is written out; AlphaFold uses 2 residual blocks and 3 transitions.
const MAX_REPEATS: usize = 16;

/// Which of the published layouts a set of parameters has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Multimer rather than monomer.
    pub multimer: bool,
    /// Fused projections in triangle multiplication (multimer v3).
    pub fused: bool,
}

impl Layout {
    fn has(self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Monomer => !self.multimer,
            When::Multimer => self.multimer,
            When::Separate => !self.fused,
            When::Fused => self.fused,
        }
    }
}

/// Where the head count of an entry is found, as full paths of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeadsFrom {
    Nowhere,
    Rows(String),
    Ratio(String, String),
    MsaColumn,
    TemplatePointwise,
}

/// One parameter under both names.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// AlphaFold's name below `alphafold/alphafold_iteration/`: `scope//name`.
    pub af: String,
    /// Our path; `{}` stands for the block if stacked.
    pub ours: String,
    pub axes: Axes,
    /// AlphaFold's scope whose arrays share a first axis of blocks.
    pub stack: Option<String>,
    pub heads: HeadsFrom,
    /// Entries of one group are there together or not at all.
    pub group: usize,
}

/// Every parameter a network of this layout can have.
pub(super) fn entries(layout: Layout) -> Vec<Entry> {
    let mut writer = Writer { layout, entries: Vec::new(), groups: 0 };
    let root = Place { af: String::new(), ours: String::new(), stack: None, heads: HeadsFrom::Nowhere };
    writer.write(NETWORK, &root);
    writer.entries
}

/// Entries by AlphaFold's name with every `//` as `/`.
pub(super) fn by_alphafold(entries: &[Entry]) -> BTreeMap<String, &Entry> {
    entries.iter().map(|entry| (entry.af.replace("//", "/"), entry)).collect()
}

/// Entries by our path, blocks as `{}`.
pub(super) fn by_ours(entries: &[Entry]) -> BTreeMap<&str, &Entry> {
    entries.iter().map(|entry| (entry.ours.as_str(), entry)).collect()
}

/// Splits `evoformer.blocks.12.x` into `evoformer.blocks.{}.x` and 12; other paths stay as they are.
pub(super) fn block_of(path: &str) -> (String, Option<usize>) {
    let found = path.find("blocks.").and_then(|at| {
        let start = at + "blocks.".len();
        let digits = path[start..].bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = path[start..start + digits].parse().ok()?;
        // Only the plain way of writing a number, so that no two names mean the same block.
        let plain = number.to_string().len() == digits && path[start + digits..].starts_with('.');
        plain.then(|| (format!("{}{{}}{}", &path[..start], &path[start + digits..]), Some(number)))
    });
    found.unwrap_or_else(|| (path.to_string(), None))
}

/// Where in both trees the writer stands.
#[derive(Clone)]
struct Place {
    af: String,
    ours: String,
    stack: Option<String>,
    heads: HeadsFrom,
}

struct Writer {
    layout: Layout,
    entries: Vec<Entry>,
    groups: usize,
}

impl Writer {
    fn write(&mut self, items: &[Item], place: &Place) {
        self.groups += 1;
        let group = self.groups;
        let layout = self.layout;
        for item in items.iter().filter(|item| layout.has(item.when)) {
            let mut inner = place.clone();
            if let Some(split) = item.split {
                inner.heads = match split {
                    Split::Rows(path) => HeadsFrom::Rows(join(&place.ours, ".", path)),
                    Split::Ratio(a, b) => {
                        HeadsFrom::Ratio(join(&place.ours, ".", a), join(&place.ours, ".", b))
                    }
                    Split::MsaColumn => HeadsFrom::MsaColumn,
                    Split::TemplatePointwise => HeadsFrom::TemplatePointwise,
                };
            }
            inner.ours = join(&place.ours, ".", item.ours);
            if !matches!(item.node, Node::Leaf(_)) {
                inner.af = join(&place.af, "/", item.af);
            }
            match &item.node {
                Node::Leaf(axes) => self.entries.push(Entry {
                    af: join(&place.af, "//", item.af),
                    ours: inner.ours,
                    axes: *axes,
                    stack: place.stack.clone(),
                    heads: inner.heads,
                    group,
                }),
                Node::Group(items) => self.write(items, &inner),
                Node::Stack(items) => {
                    inner.stack = Some(inner.af.clone());
                    self.write(items, &inner);
                }
                Node::Repeat(from, items) => {
                    for repeat in 0..MAX_REPEATS {
                        let mut numbered = inner.clone();
                        if repeat > 0 {
                            numbered.af.push_str(&format!("_{repeat}"));
                        }
                        numbered.ours = numbered.ours.replace("{}", &(from + repeat).to_string());
                        self.write(items, &numbered);
                    }
                }
            }
        }
    }
}

fn join(a: &str, between: &str, b: &str) -> String {
    if a.is_empty() || b.is_empty() { format!("{a}{b}") } else { format!("{a}{between}{b}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [Layout; 4] = [
        Layout { multimer: false, fused: false },
        Layout { multimer: false, fused: true },
        Layout { multimer: true, fused: false },
        Layout { multimer: true, fused: true },
    ];

    #[test]
    fn names_are_unique_on_both_sides() {
        for layout in LAYOUTS {
            let all = entries(layout);
            assert_eq!(by_alphafold(&all).len(), all.len(), "{layout:?}");
            assert_eq!(by_ours(&all).len(), all.len(), "{layout:?}");
        }
    }

    #[test]
    fn heads_are_found_where_entries_are() {
        for layout in LAYOUTS {
            let all = entries(layout);
            let ours = by_ours(&all);
            for entry in &all {
                let needs = matches!(entry.axes, Axes::HeadsIn | Axes::HeadsBias | Axes::HeadsOut);
                assert!(!needs || entry.heads != HeadsFrom::Nowhere, "{entry:?}");
                let paths = match &entry.heads {
                    HeadsFrom::Rows(path) => vec![path],
                    HeadsFrom::Ratio(a, b) => vec![a, b],
                    _ => vec![],
                };
                for path in paths {
                    assert!(ours.contains_key(path.as_str()), "{path}");
                }
                assert_eq!(entry.stack.is_some(), entry.ours.contains("{}"), "{entry:?}");
            }
        }
    }

    #[test]
    fn blocks_are_read_from_paths() {
        assert_eq!(block_of("evoformer.blocks.12.a.b"), ("evoformer.blocks.{}.a.b".into(), Some(12)));
        assert_eq!(block_of("blocks.0.x"), ("blocks.{}.x".into(), Some(0)));
        for odd in [
            "evoformer.linear.bias",
            "a.blocks.x",
            "a.blocks.01.x",
            "a.blocks.7",
            "blocks.99999999999999999999.x",
        ] {
            assert_eq!(block_of(odd), (odd.to_string(), None));
        }
    }
}
