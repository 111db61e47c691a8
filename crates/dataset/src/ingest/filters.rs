//! Which chains are good enough. AF2 Suppl. 1.2.5: resolution below 9 Å, no amino acid above 80% of the
//! sequence. AF3 Suppl. 2.5.4: at least 4 resolved residues. The other bounds are open unless set.

use super::{Found, Reason};
use crate::{Chain, Date};
use chem::atoms::CA;

/// Bounds; the defaults are the papers'.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// Resolution must be below, Å. Chains without one (NMR) pass, as in AF2.
    pub max_resolution: f32,
    /// Largest share of one residue type in the sequence.
    pub max_single_share: f32,
    /// Shortest sequence, residues.
    pub min_length: usize,
    /// Longest sequence, residues.
    pub max_length: usize,
    /// Fewest residues with a Cα.
    pub min_resolved: usize,
    /// Largest share of residues without a Cα.
    pub max_missing_share: f32,
    /// Only chains dated before; those without a date are refused.
    pub before: Option<Date>,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            max_resolution: 9.0,
            max_single_share: 0.8,
            min_length: 1,
            max_length: crate::chain::MAX_RESIDUES,
            min_resolved: 4,
            max_missing_share: 1.0,
            before: None,
        }
    }
}

impl Filters {
    /// Why a chain is refused, in a word and a sentence; `None` if it is not.
    pub(crate) fn refuse(&self, found: &Found) -> Option<(Reason, String)> {
        let chain = &found.chain;
        if let Some(resolution) = found.resolution.filter(|&r| r >= self.max_resolution) {
            let what = format!("expected a resolution below {} Å, found {resolution}", self.max_resolution);
            return Some((Reason::Resolution, what));
        }
        if let Some(before) = self.before
            && found.date.is_none_or(|d| d >= before)
        {
            let date = found.date.map_or("none".into(), |d| d.to_string());
            return Some((Reason::Date, format!("expected a date before {before}, found {date}")));
        }
        let length = chain.len();
        if !(self.min_length..=self.max_length).contains(&length) {
            let what =
                format!("expected {} to {} residues, found {length}", self.min_length, self.max_length);
            return Some((Reason::Length, what));
        }
        let (aatype, count) = most_frequent(chain);
        let share = count as f32 / length as f32;
        if share > self.max_single_share {
            let (name, most) = (chem::residue::name(aatype), 100.0 * self.max_single_share);
            let what = format!("expected at most {most:.0}% of one type, found {:.0}% {name}", 100.0 * share);
            return Some((Reason::OneType, what));
        }
        let resolved = chain.mask.iter().filter(|m| m[CA]).count();
        if resolved < self.min_resolved {
            let what = format!("expected at least {} resolved residues, found {resolved}", self.min_resolved);
            return Some((Reason::Unresolved, what));
        }
        let missing = (length - resolved) as f32 / length as f32;
        if missing > self.max_missing_share {
            let most = 100.0 * self.max_missing_share;
            let what = format!("expected at most {most:.0}% unresolved, found {:.0}%", 100.0 * missing);
            return Some((Reason::Unresolved, what));
        }
        None
    }
}

fn most_frequent(chain: &Chain) -> (u8, usize) {
    let mut counts = [0usize; 21];
    chain.aatype.iter().for_each(|&a| counts[usize::from(a).min(20)] += 1);
    let best = (0..21).rev().max_by_key(|&a| counts[a]).unwrap_or(0); // the first on a tie
    (best as u8, counts[best])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::chain;

    fn found(chain: Chain) -> Found {
        let (resolution, date) = (Some(2.0), Date::new(2010, 5, 6));
        Found { id: "x".into(), source: "y".into(), chain, resolution, date, notes: vec![] }
    }

    fn refuse(filters: Filters, found: &Found) -> Option<Reason> {
        filters.refuse(found).map(|(reason, _)| reason)
    }

    #[test]
    fn defaults_are_those_of_the_papers() {
        let good = found(chain(40, 1, true));
        assert_eq!(refuse(Filters::default(), &good), None);
        let at = |resolution| Found { resolution, ..good.clone() };
        assert_eq!(refuse(Filters::default(), &at(Some(9.0))), Some(Reason::Resolution));
        assert_eq!(refuse(Filters::default(), &at(Some(8.9))), None);
        assert_eq!(refuse(Filters::default(), &at(None)), None);
        let with = |alanines: usize| {
            let mut chain = chain(10, 1, false);
            (0..10).for_each(|i| chain.aatype[i] = if i < alanines { 0 } else { 5 });
            found(chain)
        };
        assert_eq!(refuse(Filters::default(), &with(8)), None);
        let (reason, what) = Filters::default().refuse(&with(9)).unwrap();
        assert_eq!(
            (reason, what.as_str()),
            (Reason::OneType, "expected at most 80% of one type, found 90% ALA")
        );
        assert_eq!(refuse(Filters::default(), &found(chain(3, 1, false))), Some(Reason::Unresolved));
    }

    #[test]
    fn bounds_that_are_set_hold() {
        let good = found(chain(40, 1, true)); // 37 residues have atoms, some of those no Cα
        let resolved = good.chain.mask.iter().filter(|m| m[CA]).count();
        let d = Filters::default;
        for (filters, reason) in [
            (Filters { min_length: 41, ..d() }, Some(Reason::Length)),
            (Filters { max_length: 39, ..d() }, Some(Reason::Length)),
            (Filters { min_length: 40, max_length: 40, ..d() }, None),
            (Filters { min_resolved: resolved + 1, ..d() }, Some(Reason::Unresolved)),
            (Filters { max_missing_share: 0.01, ..d() }, Some(Reason::Unresolved)),
            (Filters { max_missing_share: 0.5, ..d() }, None),
            (Filters { before: Date::new(2010, 5, 6), ..d() }, Some(Reason::Date)),
            (Filters { before: Date::new(2010, 5, 7), ..d() }, None),
        ] {
            assert_eq!(refuse(filters.clone(), &good), reason, "{filters:?}");
        }
        let undated = Found { date: None, ..good };
        assert_eq!(refuse(Filters { before: Date::new(2020, 1, 1), ..d() }, &undated), Some(Reason::Date));
    }
}
