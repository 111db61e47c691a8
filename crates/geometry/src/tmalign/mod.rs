//! TM-align: the alignment of two chains, and their superposition, that give the highest TM-score.
//!
//! Zhang & Skolnick, Nucleic Acids Res. 33, 2302 (2005), with the details of the program of 2019-08-22 in Fortran
//! (Debian `tm-align`): five initial alignments, each refined by dynamic programming on the score of the
//! superposition the alignment before gave. The program's C++ edition (`tmtools`) differs in its
//! initial alignments and so, on unrelated structures, in the result.

mod dp;
mod initial;
mod secondary;

use crate::Error;
use crate::rigid::Rigid;
use crate::superpose::superposed_rmsd;
use crate::tmscore::{self, search};
use dp::{Map, Programming};
use nalgebra::Vector3;

/// Longest chain that is aligned; memory grows with the product of both lengths.
pub const MOST_RESIDUES: usize = 5000;
/// Shortest chain that is aligned.
pub const LEAST_RESIDUES: usize = 5;

/// The Cα atoms of a chain, in order.
#[derive(Debug, Clone, Copy)]
pub struct Trace<'a> {
    /// [r] Å.
    pub ca: &'a [Vector3<f64>],
    /// [r] Residue numbers: where they jump, the chain is taken to be broken.
    pub numbers: &'a [i32],
}

/// The best alignment found.
#[derive(Debug, Clone)]
pub struct Alignment {
    /// TM-score normalised by the length of the model.
    pub tm_by_model: f64,
    /// TM-score normalised by the length of the reference: the one to report.
    pub tm_by_reference: f64,
    /// Aligned residues (model, reference), increasing.
    pub pairs: Vec<(usize, usize)>,
    /// RMSD of the aligned residues after their own optimal superposition, Å.
    pub rmsd: f64,
    /// Brings the model onto the reference.
    pub motion: Rigid,
}

/// Aligns a model to a reference.
/// # Errors  [`Error::TooFew`] or [`Error::TooMany`] residues, [`Error::Coordinate`] if one is not within 1e6 Å.
/// # Panics  if a trace has not as many numbers as atoms.
pub fn tm_align(model: Trace<'_>, reference: Trace<'_>) -> Result<Alignment, Error> {
    check("model", model)?;
    check("reference", reference)?;
    let scale = Scale::of(model.ca.len(), reference.ca.len());
    let mut run = Run { x: model, y: reference, scale, best: 0.0, kept: Vec::new() };
    let mut table = Programming::new(model.ca.len(), reference.ca.len());
    let stop_below = if scale.length <= 40.0 { 0.1 } else { 0.4 };
    let both = [-0.6, 0.0];

    let start = initial::threading(&run);
    run.score(start, &mut table);
    run.refine(&mut table, &both, 30);

    let (mut gap, kinds) = (-1.0, secondary::of_both(model.ca, reference.ca));
    let start = initial::by_secondary(&kinds, &mut table);
    if run.score(start, &mut table) > run.best * 0.2 {
        run.refine(&mut table, &both, 30);
        gap = 0.0;
    }
    // The gap penalty of the step before stays in force here.
    let start = initial::local(&run, &mut table, gap);
    if run.score(start, &mut table) > run.best * stop_below {
        run.refine(&mut table, &both, 2);
    }
    let start = initial::by_superposition_and_secondary(&run, &kinds, &mut table);
    if run.score(start, &mut table) > run.best * stop_below {
        run.refine(&mut table, &both, 30);
    }
    let start = initial::fragment_threading(&run);
    if run.score(start, &mut table) > run.best * stop_below {
        run.refine(&mut table, &both[1..], 2);
    }
    Ok(run.finish())
}

fn check(what: &'static str, trace: Trace<'_>) -> Result<(), Error> {
    let found = trace.ca.len();
    assert_eq!(found, trace.numbers.len(), "{what}: {found} atoms, {} numbers", trace.numbers.len());
    if found < LEAST_RESIDUES {
        return Err(Error::TooFew { what, least: LEAST_RESIDUES, found });
    }
    if found > MOST_RESIDUES {
        return Err(Error::TooMany { what, most: MOST_RESIDUES, found });
    }
    for (i, atom) in trace.ca.iter().enumerate() {
        if let Some(bad) = atom.iter().find(|c| !(-1e6..=1e6).contains(*c)) {
            return Err(Error::Coordinate { what, index: i + 1, found: *bad });
        }
    }
    Ok(())
}

/// Distances the search works with, from the shorter chain.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Length of the shorter chain.
    length: f64,
    /// Scale of the score during the search, larger than the reported one's.
    d0: f64,
    /// Pairs beyond it do not count, neither in the search nor in the end.
    d8: f64,
    /// Squared radius of the quick score's second round.
    near: f64,
}

impl Scale {
    fn of(model: usize, reference: usize) -> Self {
        let length = model.min(reference) as f64;
        let base = if length > 19.0 { 1.24 * (length - 15.0).cbrt() - 1.8 } else { 0.168 };
        let d0 = base + 0.8;
        Scale { length, d0, d8: 1.5 * length.powf(0.3) + 3.5, near: d0.clamp(4.5, 8.0).powi(2) }
    }
}

/// One alignment in progress.
struct Run<'a> {
    x: Trace<'a>,
    y: Trace<'a>,
    scale: Scale,
    /// Highest score so far and its alignment.
    best: f64,
    kept: Map,
}

impl Run<'_> {
    /// Scores an alignment, keeps it if it is the best, and fills the table with the scores of all pairs under
    /// its superposition.
    fn score(&mut self, map: Map, table: &mut Programming) -> f64 {
        let (x, y) = self.points(&map);
        let found = search(&x, &y, self.scale.d0, self.scale.d8, 40);
        let score = found.sum / self.scale.length;
        table.fill(self.x.ca, self.y.ca, &found.motion, self.scale.d0);
        if score > self.best {
            self.best = score;
            self.kept = map;
        }
        score
    }

    /// Aligns by the table and scores again, for each gap penalty, until the score stays.
    fn refine(&mut self, table: &mut Programming, gaps: &[f32], rounds: usize) {
        for gap in gaps {
            let mut before = f64::NAN;
            for _round in 0..rounds {
                let map = table.align(*gap);
                let score = self.score(map, table);
                if (score - before).abs() < 1e-6 {
                    break;
                }
                before = score;
            }
        }
    }

    /// The aligned points of both chains.
    fn points(&self, map: &Map) -> (Vec<Vector3<f64>>, Vec<Vector3<f64>>) {
        map.iter().enumerate().filter_map(|(j, i)| i.map(|i| (self.x.ca[i], self.y.ca[j]))).unzip()
    }

    /// Final superposition of the kept alignment, its far pairs dropped.
    fn finish(self) -> Alignment {
        let pairs: Vec<(usize, usize)> =
            self.kept.iter().enumerate().filter_map(|(j, i)| i.map(|i| (i, j))).collect();
        let take = |pairs: &[(usize, usize)]| -> (Vec<_>, Vec<_>) {
            pairs.iter().map(|(i, j)| (self.x.ca[*i], self.y.ca[*j])).unzip()
        };
        let (x, y) = take(&pairs);
        let full = search(&x, &y, self.scale.d0, self.scale.d8, 1).motion;
        let close = |pair: &&(usize, usize)| {
            (full.apply(self.x.ca[pair.0]) - self.y.ca[pair.1]).norm() <= self.scale.d8
        };
        let pairs: Vec<_> = pairs.iter().filter(close).copied().collect();
        let (x, y) = take(&pairs);
        let (tm_by_model, _) = tmscore::tm_score(&x, &y, self.x.ca.len());
        let (tm_by_reference, motion) = tmscore::tm_score(&x, &y, self.y.ca.len());
        Alignment { tm_by_model, tm_by_reference, rmsd: superposed_rmsd(&x, &y), pairs, motion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain with a helix, a strand and a turn in it.
    fn chain(n: usize) -> Vec<Vector3<f64>> {
        let mut at = Vector3::zeros();
        (0..n)
            .map(|i| {
                let t = i as f64;
                let step = match i / 12 % 3 {
                    0 => Vector3::new((1.745 * t).cos() * 3.4, (1.745 * t).sin() * 3.4, 1.5),
                    1 => Vector3::new(if i % 2 == 0 { 1.0 } else { -1.0 }, 3.3, 1.2),
                    _ => Vector3::new(-2.0, (0.8 * t).sin() * 2.5, -2.4),
                };
                at += step;
                at
            })
            .collect()
    }

    #[test]
    fn a_moved_piece_is_found_in_the_whole() {
        let whole = chain(61);
        let p = |x, y, z| Vector3::new(x, y, z);
        let motion = Rigid::from_three_points(p(5.0, 1.0, 0.0), p(0.0, -8.0, 2.0), p(1.0, 1.0, 1.0)).unwrap();
        let piece: Vec<_> = whole[9..53].iter().map(|v| motion.apply(*v)).collect();
        let numbers: Vec<i32> = (0..61).collect();
        let found =
            tm_align(Trace { ca: &piece, numbers: &numbers[..44] }, Trace { ca: &whole, numbers: &numbers });
        let found = found.unwrap();
        assert!((found.tm_by_reference - 44.0 / 61.0).abs() < 1e-9);
        assert!((found.tm_by_model - 1.0).abs() < 1e-9);
        assert_eq!(found.pairs, (0..44).map(|i| (i, i + 9)).collect::<Vec<_>>());
        assert!(found.rmsd < 1e-6);
        assert!((found.motion.apply(piece[7]) - whole[16]).norm() < 1e-6);
    }

    #[test]
    fn unusable_chains_are_refused() {
        let long = chain(30);
        let numbers: Vec<i32> = (0..30).collect();
        let good = Trace { ca: &long, numbers: &numbers };
        let short = Trace { ca: &long[..4], numbers: &numbers[..4] };
        assert_eq!(
            tm_align(short, good).unwrap_err(),
            Error::TooFew { what: "model", least: LEAST_RESIDUES, found: 4 }
        );
        let mut broken = long.clone();
        broken[2].y = f64::NAN;
        let result = tm_align(good, Trace { ca: &broken, numbers: &numbers });
        assert!(matches!(result, Err(Error::Coordinate { what: "reference", index: 3, .. })));
    }

    #[test]
    fn absurd_chains_end() {
        let numbers: Vec<i32> = (0..9).map(|i| i * 3).collect();
        let spread: Vec<_> = (0..9).map(|i| Vector3::new(1e4 * f64::from(i * i), 7e5, -1e3)).collect();
        let point = vec![Vector3::new(1.0, 1.0, 1.0); 9];
        for (a, b) in [(&spread, &point), (&point, &spread), (&point, &point)] {
            let found =
                tm_align(Trace { ca: a, numbers: &numbers }, Trace { ca: b, numbers: &numbers }).unwrap();
            assert!((0.0..=1.0).contains(&found.tm_by_reference));
        }
    }
}
