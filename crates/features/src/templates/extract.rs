//! From a structure given by the user to template features, with a report. AlphaFold `data/templates.py`.

use super::RawTemplates;
use super::align::align;
use crate::Error;
use chem::atoms::atom_order;
use ndarray::{Array1, Array2, Array3};
use structure::{Chain, Position, Structure};

/// One structure that the user offers as a template.
#[derive(Debug, Clone, Copy)]
pub struct TemplateSource<'a> {
    /// Name in messages and features.
    pub name: &'a str,
    /// The structure.
    pub structure: &'a Structure,
    /// Chain to use; without it the chain with the most residues aligned identically.
    pub chain: Option<&'a str>,
    /// Pairs (query index, index in the chain's full sequence), from 0; without it the sequences are aligned.
    pub mapping: Option<&'a [(usize, usize)]>,
}

/// What a template must fulfil; the defaults are AlphaFold's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemplateLimits {
    /// Share of the query that must be aligned; more than this.
    pub min_align_ratio: f32,
    /// Shortest chain, residues.
    pub min_length: usize,
    /// Longest distance of neighbouring Cα, Å.
    pub max_ca_distance: f32,
    /// Fewest atoms that are aligned.
    pub min_atoms: usize,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        TemplateLimits { min_align_ratio: 0.1, min_length: 10, max_ca_distance: 150.0, min_atoms: 5 }
    }
}

/// What became of one template.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateReport {
    /// Its name.
    pub name: String,
    /// The chain that was looked at, if any.
    pub chain: Option<String>,
    /// Why it was refused; `None` if it is used.
    pub refused: Option<String>,
    /// Query residues with a residue of the template.
    pub aligned: usize,
    /// Share of the aligned residues that are the same, 0–1.
    pub identity: f32,
    /// Share of the query that is aligned, 0–1.
    pub coverage: f32,
}

/// A chain aligned to the query.
struct Candidate<'a> {
    chain: &'a Chain,
    positions: Vec<Position<'a>>,
    pairs: Vec<(usize, usize)>,
    same: usize,
}

/// Features of all templates that pass, in the order given, and a report on every one.
///
/// `sequence` is the query in upper-case letters. Not the file's date nor its likeness to the query is held
/// against a template, unlike in AlphaFold's search: the user chose it.
///
/// # Errors
/// `Error::Sequence` if the query is empty. A template that cannot be used is no error; the report says why.
pub fn from_structures(
    sequence: &str,
    sources: &[TemplateSource<'_>],
    limits: &TemplateLimits,
) -> Result<(RawTemplates, Vec<TemplateReport>), Error> {
    if sequence.is_empty() {
        return Err(Error::Sequence("expected at least one residue, got none".into()));
    }
    let query: Vec<u8> = sequence
        .bytes()
        .map(|l| chem::residue::aatype_of_letter(l).unwrap_or(chem::residue::UNKNOWN))
        .collect();
    let mut templates = RawTemplates::none(query.len());
    let mut reports = Vec::with_capacity(sources.len());
    for source in sources {
        let mut report = TemplateReport {
            name: source.name.into(),
            chain: None,
            refused: None,
            aligned: 0,
            identity: 0.0,
            coverage: 0.0,
        };
        report.refused = add(&query, source, limits, &mut templates, &mut report).err();
        reports.push(report);
    }
    Ok((templates, reports))
}

fn add(
    query: &[u8],
    source: &TemplateSource<'_>,
    limits: &TemplateLimits,
    templates: &mut RawTemplates,
    report: &mut TemplateReport,
) -> Result<(), String> {
    let candidate = choose(query, source)?;
    let Candidate { chain, positions, pairs, same } = candidate;
    report.chain = Some(chain.id.clone());
    report.aligned = pairs.len();
    report.identity = same as f32 / pairs.len().max(1) as f32;
    report.coverage = pairs.len() as f32 / query.len() as f32;
    if positions.len() < limits.min_length {
        let (length, least) = (positions.len(), limits.min_length);
        return Err(format!("chain {} has {length} residues, at least {least} are needed", chain.id));
    }
    if report.coverage <= limits.min_align_ratio {
        return Err(format!(
            "{} of {} query residues are aligned, more than {}% are needed",
            pairs.len(),
            query.len(),
            limits.min_align_ratio * 100.0
        ));
    }
    check_distances(&positions, limits.max_ca_distance)?;
    let r = query.len();
    let mut aatype = Array1::from_elem(r, i32::from(chem::residue::GAP));
    let (mut xyz, mut masks) = (Array3::zeros((r, 37, 3)), Array2::zeros((r, 37)));
    let mut atoms = 0;
    for &(q, t) in &pairs {
        aatype[q] = i32::from(positions[t].aatype.min(chem::residue::UNKNOWN));
        let Some(residue) = positions[t].residue else { continue };
        let swap = arginine_swapped(residue);
        for atom in (0..37).filter(|&atom| residue.mask[atom]) {
            let to = swap.map_or(atom, |(a, b)| {
                if atom == a {
                    b
                } else if atom == b {
                    a
                } else {
                    atom
                }
            });
            masks[[q, to]] = 1.0;
            atoms += 1;
            (0..3).for_each(|x| xyz[[q, to, x]] = residue.positions[atom][x]);
        }
    }
    if atoms < limits.min_atoms {
        return Err(format!(
            "{atoms} atoms are aligned to the query, at least {} are needed",
            limits.min_atoms
        ));
    }
    templates.push(source.name, &aatype, &xyz, &masks, 0.0).map_err(|error| error.to_string())
}

/// The chain asked for, or the one that fits best, aligned.
fn choose<'a>(query: &[u8], source: &TemplateSource<'a>) -> Result<Candidate<'a>, String> {
    let all: Vec<&Chain> = match source.chain {
        Some(id) => vec![source.structure.chain(id).ok_or_else(|| {
            let known: Vec<&str> = source.structure.chains.iter().map(|c| c.id.as_str()).collect();
            format!("there is no chain {id}, chains are {}", known.join(", "))
        })?],
        None => source.structure.chains.iter().collect(),
    };
    let mut best: Option<Candidate<'a>> = None;
    for chain in all {
        let positions = chain.full_sequence();
        let types: Vec<u8> = positions.iter().map(|p| p.aatype).collect();
        let pairs = match source.mapping {
            Some(given) => checked(given, query.len(), types.len())?,
            None => align(query, &types).ok_or_else(|| {
                format!("{} by {} residues are too many to align", query.len(), types.len())
            })?,
        };
        let same = pairs.iter().filter(|&&(q, t)| query[q] == types[t] && query[q] < 20).count();
        if best.as_ref().is_none_or(|b| same > b.same) {
            best = Some(Candidate { chain, positions, pairs, same });
        }
    }
    best.ok_or_else(|| "there is no protein chain".to_string())
}

/// A mapping whose indices exist and are used once each.
fn checked(given: &[(usize, usize)], query: usize, chain: usize) -> Result<Vec<(usize, usize)>, String> {
    let mut used = vec![false; query];
    for &(q, t) in given {
        if q >= query || t >= chain {
            return Err(format!("mapping {q} to {t}: the query has {query} residues, the chain {chain}"));
        }
        if std::mem::replace(&mut used[q], true) {
            return Err(format!("mapping: query residue {q} occurs twice"));
        }
    }
    Ok(given.to_vec())
}

fn check_distances(positions: &[Position<'_>], limit: f32) -> Result<(), String> {
    let ca = |p: &Position<'_>| {
        p.residue.filter(|r| r.mask[chem::atoms::CA]).map(|r| r.positions[chem::atoms::CA])
    };
    for (i, pair) in positions.windows(2).enumerate() {
        if let (Some(a), Some(b)) = (ca(&pair[0]), ca(&pair[1])) {
            let distance = distance(a, b);
            if distance > limit {
                let (one, two) = (i + 1, i + 2);
                return Err(format!(
                    "Cα of residues {one} and {two} are {distance:.1} Å apart, limit {limit} Å"
                ));
            }
        }
    }
    Ok(())
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

/// NH1 and NH2 of an arginine that names the farther one from Cδ NH1: they have to be exchanged.
fn arginine_swapped(residue: &structure::Residue) -> Option<(usize, usize)> {
    let (cd, nh1, nh2) = (atom_order("CD")?, atom_order("NH1")?, atom_order("NH2")?);
    let there = residue.name == "ARG" && [cd, nh1, nh2].iter().all(|&atom| residue.mask[atom]);
    let from_cd = |atom: usize| distance(residue.positions[atom], residue.positions[cd]);
    (there && from_cd(nh1) > from_cd(nh2)).then_some((nh1, nh2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(id: &str, sequence: &str) -> Chain {
        let residue = |(i, letter): (usize, u8)| {
            let aatype = chem::residue::aatype_of_letter(letter).unwrap();
            let mut mask = [false; 37];
            mask[..5].fill(true);
            structure::Residue {
                name: chem::residue::name(aatype).into(),
                aatype,
                number: i as i32 + 1,
                insertion: None,
                label_seq: None,
                hetero: false,
                positions: std::array::from_fn(|atom| [i as f32 * 3.8, atom as f32, 0.0]),
                mask,
                b_factor: [0.0; 37],
                occupancy: [1.0; 37],
            }
        };
        let residues = sequence.bytes().enumerate().map(residue).collect();
        Chain { id: id.into(), label: id.into(), sequence: None, residues }
    }

    #[test]
    fn the_best_chain_is_used_and_every_refusal_said() {
        let query = "MKVLAWGDEYFRNQ";
        let good = Structure {
            chains: vec![chain("A", "PPPPGGPPPPGPG"), chain("B", "GGMKVLAWGDEYFR")],
            ..Structure::default()
        };
        let short = Structure { chains: vec![chain("A", "MKVLA")], ..Structure::default() };
        let empty = Structure::default();
        let source = |name, structure, chain| TemplateSource { name, structure, chain, mapping: None };
        let sources = [
            source("good", &good, None),
            source("absent", &good, Some("Z")),
            source("short", &short, None),
            source("empty", &empty, None),
            TemplateSource { name: "map", structure: &good, chain: Some("B"), mapping: Some(&[(0, 99)]) },
        ];
        let (templates, reports) = from_structures(query, &sources, &TemplateLimits::default()).unwrap();
        assert_eq!(templates.names(), ["good"]);
        assert_eq!(
            (reports[0].chain.as_deref(), reports[0].aligned, reports[0].identity),
            (Some("B"), 12, 1.0)
        );
        let why = |i: usize| reports[i].refused.clone().unwrap();
        assert_eq!(reports[0].refused, None);
        assert!(why(1).contains("no chain Z, chains are A, B"));
        assert!(why(2).contains("5 residues, at least 10"));
        assert!(why(3).contains("no protein chain"));
        assert!(why(4).contains("mapping 0 to 99"));
        let input = templates.select(&[0]);
        assert_eq!(input.all_atom_positions[[0, 0, 1, 0]], 2.0 * 3.8); // query residue 1 is the chain's third
        assert_eq!((input.aatype[[0, 0]], input.aatype[[0, 13]]), (12, 21));
    }

    #[test]
    fn arginine_names_and_broken_chains() {
        let mut arginine = chain("A", "R").residues.remove(0);
        let atoms = ["CD", "NH1", "NH2"].map(|name| atom_order(name).unwrap());
        for (atom, x) in atoms.into_iter().zip([0.0, 9.0, 1.0]) {
            arginine.mask[atom] = true;
            arginine.positions[atom] = [x, 0.0, 0.0];
        }
        assert_eq!(arginine_swapped(&arginine), Some((atoms[1], atoms[2])));
        let mut far = chain("A", "MKVLAWGDEYFR");
        far.residues[3].positions[1] = [500.0, 0.0, 0.0];
        assert!(check_distances(&far.full_sequence(), 150.0).unwrap_err().contains("residues 3 and 4"));
    }
}
