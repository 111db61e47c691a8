//! AlphaFold's arrays to ours and back. Only moves elements, so the way back is exact.

use super::entries::{Entry, HeadsFrom, Layout, block_of, by_alphafold, by_ours, entries};
use super::table::Axes;
use super::{Heads, NamesError};
use nn::files::{Array, Arrays};
use std::collections::BTreeMap;

/// What every AlphaFold name begins with.
const PREFIX: &str = "alphafold/alphafold_iteration/";

/// Renames and rearranges AlphaFold's parameters (`scope//name` or `scope/name`, with or without the
/// prefix `alphafold/alphafold_iteration/`, blocks stacked on axis 0) into ours.
/// # Errors  [`NamesError`] for names no network has, incomplete layers, wrong axes, uneven stacks.
pub fn from_alphafold(source: &Arrays) -> Result<Arrays, NamesError> {
    let plain: Vec<_> = source.keys().map(|name| plain_name(name)).collect();
    let has = |part: &str| plain.iter().any(|name| name.contains(part));
    let layout = Layout {
        multimer: has("~_relative_encoding") || has("quat_rigid") || has("q_scalar_projection"),
        fused: has("/left_norm_input/"),
    };
    let table = entries(layout);
    let index = by_alphafold(&table);
    let mut found: BTreeMap<&str, (&Entry, &str, &Array)> = BTreeMap::new();
    let mut surplus = Vec::new();
    for ((name, array), plain) in source.iter().zip(&plain) {
        match index.get(plain.as_str()) {
            None => surplus.push(name.clone()),
            Some(entry) => {
                if let Some((_, first, _)) = found.insert(&entry.ours, (entry, name, array)) {
                    return Err(NamesError::Twice { first: first.into(), second: name.clone() });
                }
            }
        }
    }
    let missing = incomplete(
        &table,
        |entry| found.contains_key(entry.ours.as_str()),
        |entry| format!("{PREFIX}{}", entry.af),
    );
    if !surplus.is_empty() || !missing.is_empty() {
        return Err(NamesError::Names { surplus, missing });
    }
    let mut depths: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut ours = Arrays::new();
    for (entry, name, array) in found.into_values() {
        let Some(stack) = &entry.stack else {
            ours.insert(entry.ours.clone(), import(name, entry.axes, array)?);
            continue;
        };
        let depth = array.shape().first().copied().ok_or_else(|| wrong(name, "blocks first", array))?;
        let &mut (expected, other) = depths.entry(stack).or_insert((depth, name));
        if depth != expected {
            return Err(NamesError::Blocks {
                name: name.into(),
                expected: format!("{expected} blocks as in {other}"),
                found: format!("{depth}"),
            });
        }
        for block in 0..depth {
            let row = array.row(block).ok_or_else(|| wrong(name, "blocks first", array))?;
            ours.insert(entry.ours.replace("{}", &block.to_string()), import(name, entry.axes, &row)?);
        }
    }
    Ok(ours)
}

/// Gives our arrays AlphaFold's names (`alphafold/alphafold_iteration/scope//name`) and axes: the exact
/// inverse of [`from_alphafold`]. Works for anything linear in the parameters, such as their gradients.
/// # Errors  [`NamesError`] for names no network has, incomplete layers or stacks, shapes that do not split
/// into the number of heads.
pub fn to_alphafold(ours: &Arrays, heads: &Heads) -> Result<Arrays, NamesError> {
    let layout = layout_of(ours);
    let table = entries(layout);
    let index = by_ours(&table);
    let mut found: BTreeMap<&str, BTreeMap<usize, &Array>> = BTreeMap::new();
    let mut surplus = Vec::new();
    for (name, array) in ours {
        let (pattern, block) = block_of(name);
        match index.get_key_value(pattern.as_str()) {
            None => surplus.push(name.clone()),
            Some((key, _)) => {
                found.entry(key).or_default().insert(block.unwrap_or(0), array);
            }
        }
    }
    let missing =
        incomplete(&table, |entry| found.contains_key(entry.ours.as_str()), |entry| entry.ours.clone());
    if !surplus.is_empty() || !missing.is_empty() {
        return Err(NamesError::Names { surplus, missing });
    }
    let mut depths: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut result = Arrays::new();
    for entry in &table {
        let Some(blocks) = found.get(entry.ours.as_str()) else { continue };
        let back = |block: usize, array: &Array| {
            let count = head_count(entry, block, ours, heads)?;
            export(&entry.ours.replace("{}", &block.to_string()), entry.axes, array, count)
        };
        let rows = blocks.iter().map(|(&block, array)| back(block, array)).collect::<Result<Vec<_>, _>>()?;
        let array = match &entry.stack {
            None => rows.into_iter().next(),
            Some(stack) => {
                let &mut (expected, other) = depths.entry(stack).or_insert((rows.len(), &entry.ours));
                let contiguous = blocks.keys().copied().eq(0..blocks.len());
                if rows.len() != expected || !contiguous {
                    return Err(NamesError::Blocks {
                        name: entry.ours.clone(),
                        expected: format!("blocks 0 to {} as in {other}", expected.saturating_sub(1)),
                        found: format!("{:?}", blocks.keys().collect::<Vec<_>>()),
                    });
                }
                Array::stack(&rows)
            }
        };
        let array = array.ok_or_else(|| NamesError::Blocks {
            name: entry.ours.clone(),
            expected: "one shape and type in all blocks".into(),
            found: format!("{:?}", blocks.values().collect::<Vec<_>>()),
        })?;
        result.insert(format!("{PREFIX}{}", entry.af), array);
    }
    Ok(result)
}

/// The layout of parameters under our names.
pub(super) fn layout_of(ours: &Arrays) -> Layout {
    let has = |part: &str| ours.keys().any(|name| name.contains(part));
    Layout {
        multimer: has("structure_module.ipa.linear_k.") || has("template_embedder.linear_t."),
        fused: has(".linear_ab_p."),
    }
}

impl Heads {
    /// The head counts that [`to_alphafold`] needs and our shapes no longer tell, read from AlphaFold's arrays.
    /// What is not there counts 1.
    pub fn of_alphafold(source: &Arrays) -> Self {
        let axis = |scope: &str, axis: usize| {
            let (_, array) = source.iter().find(|(name, _)| plain_name(name) == scope)?;
            array.shape().get(axis).copied()
        };
        Self {
            msa_column: axis("evoformer/evoformer_iteration/msa_column_attention/attention/query_w", 2)
                .unwrap_or(1),
            template_pointwise: axis("evoformer/template_embedding/attention/query_w", 1).unwrap_or(1),
        }
    }
}

/// Without prefix, and with `/` for `//`.
fn plain_name(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).replace("//", "/")
}

/// Names of entries that are not there although others of their group are.
fn incomplete(
    table: &[Entry],
    there: impl Fn(&Entry) -> bool,
    name: impl Fn(&Entry) -> String,
) -> Vec<String> {
    let mut begun: BTreeMap<usize, bool> = BTreeMap::new();
    for entry in table {
        *begun.entry(entry.group).or_default() |= there(entry);
    }
    table.iter().filter(|e| begun[&e.group] && !there(e)).map(name).collect()
}

fn import(name: &str, axes: Axes, array: &Array) -> Result<Array, NamesError> {
    let shape = array.shape();
    let result = match (axes, shape) {
        (Axes::Same, [_]) => Some(array.clone()),
        (Axes::Linear, [_, _]) => array.transpose(),
        (Axes::Scalar, &[n]) => array.reshape(&[n, 1]),
        (Axes::HeadsIn, &[inputs, h, d]) => array.reshape(&[inputs, h * d]).and_then(|a| a.transpose()),
        (Axes::HeadsBias, &[h, d]) => array.reshape(&[h * d]),
        (Axes::HeadsOut, &[h, d, out]) => array.reshape(&[h * d, out]).and_then(|a| a.transpose()),
        (Axes::SwappedLinear, &[_, out]) if out % 2 == 0 => array.transpose().and_then(|a| swap_halves(&a)),
        (Axes::SwappedBias, &[n]) if n % 2 == 0 => swap_halves(array),
        _ => None,
    };
    let expected = match axes {
        Axes::Same | Axes::Scalar => "[channels]",
        Axes::Linear => "[in, out]",
        Axes::HeadsIn => "[in, heads, dim]",
        Axes::HeadsBias => "[heads, dim]",
        Axes::HeadsOut => "[heads, dim, out]",
        Axes::SwappedLinear => "[in, out] with an even out",
        Axes::SwappedBias => "[channels], an even number",
    };
    result.ok_or_else(|| wrong(name, expected, array))
}

fn export(name: &str, axes: Axes, array: &Array, heads: usize) -> Result<Array, NamesError> {
    let shape = array.shape();
    let splits = |n: usize| heads > 0 && n.is_multiple_of(heads);
    let result = match (axes, shape) {
        (Axes::Same, [_]) => Some(array.clone()),
        (Axes::Linear, [_, _]) => array.transpose(),
        (Axes::Scalar, &[n, 1]) => array.reshape(&[n]),
        (Axes::HeadsIn, &[n, inputs]) if splits(n) => {
            array.transpose().and_then(|a| a.reshape(&[inputs, heads, n / heads]))
        }
        (Axes::HeadsBias, &[n]) if splits(n) => array.reshape(&[heads, n / heads]),
        (Axes::HeadsOut, &[out, n]) if splits(n) => {
            array.transpose().and_then(|a| a.reshape(&[heads, n / heads, out]))
        }
        (Axes::SwappedLinear, &[out, _]) if out % 2 == 0 => swap_halves(array).and_then(|a| a.transpose()),
        (Axes::SwappedBias, &[n]) if n % 2 == 0 => swap_halves(array),
        _ => None,
    };
    let expected = match axes {
        Axes::Same => "[channels]".into(),
        Axes::Linear => "[out, in]".into(),
        Axes::Scalar => "[out, 1]".into(),
        Axes::HeadsIn => format!("[{heads} heads × dim, in]"),
        Axes::HeadsBias => format!("[{heads} heads × dim]"),
        Axes::HeadsOut => format!("[out, {heads} heads × dim]"),
        Axes::SwappedLinear => "[out, in] with an even out".into(),
        Axes::SwappedBias => "[channels], an even number".into(),
    };
    result.ok_or_else(|| wrong(name, &expected, array))
}

/// The first half of axis 0 after the second.
fn swap_halves(array: &Array) -> Option<Array> {
    let mut shape = array.shape().to_vec();
    let rows = *shape.first()?;
    shape[0] = rows / 2;
    shape.insert(0, 2);
    let halves = array.reshape(&shape)?;
    Array::stack(&[halves.row(1)?, halves.row(0)?])?.reshape(array.shape())
}

fn head_count(entry: &Entry, block: usize, ours: &Arrays, heads: &Heads) -> Result<usize, NamesError> {
    let rows = |path: &String| {
        let path = path.replace("{}", &block.to_string());
        let rows = ours.get(&path).and_then(|a| a.shape().first().copied());
        rows.ok_or(NamesError::Names { surplus: vec![], missing: vec![path] })
    };
    Ok(match &entry.heads {
        HeadsFrom::Nowhere => 1,
        HeadsFrom::Rows(path) => rows(path)?,
        HeadsFrom::Ratio(all, one) => rows(all)?.checked_div(rows(one)?).unwrap_or(0),
        HeadsFrom::MsaColumn => heads.msa_column,
        HeadsFrom::TemplatePointwise => heads.template_pointwise,
    })
}

fn wrong(name: &str, expected: &str, array: &Array) -> NamesError {
    NamesError::Shape { name: name.into(), expected: expected.into(), found: array.shape().to_vec() }
}

#[cfg(test)]
#[path = "alphafold_tests.rs"]
mod tests;
