//! The five alignments TM-align starts from.

use super::dp::{Map, Programming};
use super::secondary::Kind;
use super::{Run, Trace};
use crate::superpose::{PairSums, superpose};
use nalgebra::Vector3;

/// Longest bond between neighbouring Cα atoms of one fragment, Å.
const BOND: f64 = 4.25;

/// First: one chain slid along the other without gaps, overlapping by half the shorter at least.
pub(super) fn threading(run: &Run<'_>) -> Map {
    let (n, m) = (run.x.ca.len(), run.y.ca.len());
    let all: Vec<usize> = (0..n).collect();
    let least = (n.min(m) / 2).max(5);
    let mut best = (0.0, vec![None; m]);
    slide_first(run, &all, least, &mut best);
    best.1
}

/// Second: secondary structures aligned.
pub(super) fn by_secondary([a, b]: &[Vec<Kind>; 2], table: &mut Programming) -> Map {
    table.map(|i, j, _| if a[i] == b[j] { 1.0 } else { 0.0 });
    table.align(-1.0)
}

/// Third (the program's fifth): short fragments of both chains superposed, and all else aligned by that.
pub(super) fn local(run: &Run<'_>, table: &mut Programming, gap: f32) -> Map {
    let (x, y) = (run.x.ca, run.y.ca);
    let jump = |length: usize| {
        let wide = match length {
            251.. => 45,
            201..=250 => 35,
            151..=200 => 25,
            _ => 15,
        };
        wide.min(length / 3)
    };
    let shorter = x.len().min(y.len());
    let mut best = (0.0, vec![None; y.len()]);
    for length in [20.min(shorter / 3), 100.min(shorter / 2)] {
        for i in (0..=x.len() - length).step_by(jump(x.len())) {
            for j in (0..=y.len() - length).step_by(jump(y.len())) {
                let motion = superpose(&x[i..i + length], &y[j..j + length]);
                table.fill(x, y, &motion, run.scale.d0 + 1.5);
                consider(run, table.align(gap), &mut best);
            }
        }
    }
    best.1
}

/// Fourth (the program's third): the best superposition so far, with a bonus for equal secondary structure.
pub(super) fn by_superposition_and_secondary(
    run: &Run<'_>,
    [a, b]: &[Vec<Kind>; 2],
    table: &mut Programming,
) -> Map {
    let (x, y) = run.points(&run.kept);
    table.fill(run.x.ca, run.y.ca, &superpose(&x, &y), run.scale.d0 + 1.5);
    table.map(|i, j, score| if a[i] == b[j] { 0.5 + score } else { score });
    table.align(-1.0)
}

/// Fifth (the program's fourth): the longest unbroken fragment of each chain slid along the other.
pub(super) fn fragment_threading(run: &Run<'_>) -> Map {
    let (n, m) = (run.x.ca.len(), run.y.ca.len());
    let mut best = (0.0, vec![None; m]);
    let least = |a: usize, b: usize| ((a.min(b) as f32 / 2.5) as usize).max(3);
    let fragment = core(&run.y);
    let overlap = least(n, fragment.len());
    let (first, last) = (overlap as isize - fragment.len() as isize, n as isize - overlap as isize);
    for shift in first..=last {
        let mut map = vec![None; m];
        for (j, at) in fragment.iter().enumerate() {
            map[*at] = usize::try_from(j as isize + shift).ok().filter(|i| *i < n);
        }
        if map.iter().flatten().count() >= overlap {
            consider(run, map, &mut best);
        }
    }
    let fragment = core(&run.x);
    slide_first(run, &fragment, least(fragment.len(), m), &mut best);
    best.1
}

/// Slides residues of the first chain along the second.
fn slide_first(run: &Run<'_>, residues: &[usize], overlap: usize, best: &mut (f64, Map)) {
    let m = run.y.ca.len();
    let (first, last) = (overlap as isize - m as isize, residues.len() as isize - overlap as isize);
    for shift in first..=last {
        let at = |j: usize| usize::try_from(j as isize + shift).ok().and_then(|i| residues.get(i).copied());
        let map: Map = (0..m).map(at).collect();
        if map.iter().flatten().count() >= overlap {
            consider(run, map, best);
        }
    }
}

fn consider(run: &Run<'_>, map: Map, best: &mut (f64, Map)) {
    let score = quick_score(run, &map);
    if score > best.0 {
        *best = (score, map);
    }
}

/// Longest fragment without a break; if it is the whole chain, its middle 80% so as to differ from [`threading`].
/// Breaks are jumps in the numbering or long bonds; if no fragment has four residues (or a third of the chain),
/// the bond length grows by hundredths of an Å and numbers no longer count.
fn core(trace: &Trace<'_>) -> Vec<usize> {
    let n = trace.ca.len();
    let bonds: Vec<f64> = trace.ca.windows(2).map(|w| (w[0] - w[1]).norm()).collect();
    let enough = (n as f32 / 3.0).min(4.0).ceil() as usize;
    let numbered = |i: usize| trace.numbers[i].checked_add(1) == Some(trace.numbers[i + 1]);
    let mut fragment = longest(n, |i| numbered(i) && bonds[i] < BOND);
    if fragment.len() < enough {
        let stretch = |w: &[f64]| w.iter().fold(0.0f64, |a, b| a.max(*b));
        let needed = bonds.windows(enough - 1).map(stretch).fold(f64::INFINITY, f64::min);
        let mut cutoff = BOND + 0.01 * ((needed - BOND) / 0.01).floor().max(1.0);
        while needed >= cutoff {
            cutoff += 0.01;
        }
        fragment = longest(n, |i| bonds[i] < cutoff);
    }
    if fragment.len() == n {
        let (first, last) = ((n as f32 * 0.1) as usize, (n as f32 * 0.89) as usize);
        fragment = first..last + 1;
    }
    fragment.collect()
}

/// First of the longest runs of residues joined to their successor.
fn longest(n: usize, joined: impl Fn(usize) -> bool) -> std::ops::Range<usize> {
    let (mut best, mut start) = (0..0, 0);
    for i in 0..n {
        if i + 1 == n || !joined(i) {
            if i + 1 - start > best.len() {
                best = start..i + 1;
            }
            start = i + 1;
        }
    }
    best
}

/// TM-score, not normalised, of an alignment after three rounds: all pairs superposed, then the near ones twice.
fn quick_score(run: &Run<'_>, map: &Map) -> f64 {
    let (x, y) = run.points(map);
    let mut squared = vec![0.0; x.len()];
    let mut round = |limit: f64| {
        let motion = near_pairs(&x, &y, &squared, limit).superposition();
        let mut sum = 0.0;
        for (d, (a, b)) in squared.iter_mut().zip(x.iter().zip(&y)) {
            *d = (motion.apply(*a) - b).norm_squared();
            sum += 1.0 / (1.0 + *d / (run.scale.d0 * run.scale.d0));
        }
        sum
    };
    let first = round(f64::INFINITY);
    let second = round(run.scale.near);
    let third = round(run.scale.near + 1.0);
    first.max(second).max(third)
}

/// Pairs within a squared distance, which grows by halves while fewer than three of more than three are.
fn near_pairs(x: &[Vector3<f64>], y: &[Vector3<f64>], squared: &[f64], limit: f64) -> PairSums {
    let mut limit = limit;
    if squared.len() > 3 && squared.iter().filter(|d| **d <= limit).count() < 3 {
        let mut sorted = squared.to_vec();
        sorted.sort_by(f64::total_cmp);
        limit += 0.5 * ((sorted[2] - limit) / 0.5).ceil();
        limit = limit.max(sorted[2]);
    }
    let mut sums = PairSums::default();
    for (k, d) in squared.iter().enumerate() {
        if *d <= limit {
            sums.add(&x[k], &y[k]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        assert_eq!(longest(9, |i| i != 2), 3..9);
        assert_eq!(longest(6, |i| i != 2), 0..3); // the first of two equals
        assert_eq!(longest(4, |_| false), 0..1);
    }

    #[test]
    fn cores() {
        let ca: Vec<_> = (0..20).map(|i| Vector3::new(3.8 * f64::from(i), 0.0, 0.0)).collect();
        let mut numbers: Vec<i32> = (1..21).collect();
        assert_eq!(core(&Trace { ca: &ca, numbers: &numbers }), (2..18).collect::<Vec<_>>());
        numbers[7..].iter_mut().for_each(|n| *n += 5);
        assert_eq!(core(&Trace { ca: &ca, numbers: &numbers }), (7..20).collect::<Vec<_>>());
        let wide: Vec<_> = (0..20).map(|i| Vector3::new(0.0, f64::from(i * (i + 40)), 0.0)).collect();
        // Steps grow: the first four residues are the tightest.
        assert_eq!(core(&Trace { ca: &wide, numbers: &numbers }), [0, 1, 2, 3]);
    }
}
