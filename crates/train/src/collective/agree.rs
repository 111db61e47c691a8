//! What ranks have to agree on: whether all is well, whether they are of one run, and short texts.

use super::Collective;
use crate::error::{Error, Result};

/// `outcome`, if no rank failed. If one did, all fail: the first of those with its own error, the others with
/// [`Error::Elsewhere`], so that it is reported once and nobody waits for a rank that is gone.
///
/// # Errors  If a rank failed, this one or another.
pub fn agree<T, E: From<Error>>(
    collective: &dyn Collective,
    outcome: std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let mut failed = vec![0.0; collective.world()];
    failed[collective.rank()] = f64::from(outcome.is_err());
    collective.all_reduce(&mut failed)?;
    match failed.iter().position(|&f| f > 0.0) {
        Some(rank) if rank != collective.rank() => Err(Error::Elsewhere { rank }.into()),
        _ => outcome,
    }
}

/// Refuses ranks whose `number` differs from rank 0's. `what` says what it stands for.
///
/// # Errors  On all ranks if one differs, as [`agree`] has it: one that went on alone would take the next numbers for others.
pub(crate) fn same(collective: &dyn Collective, what: &str, number: u64) -> Result<()> {
    // In halves, as f64 holds whole numbers up to 2⁵³ only.
    let halves = [number >> 32, number & 0xffff_ffff].map(|half| half as f64);
    let mut first = if collective.rank() == 0 { halves } else { [0.0; 2] };
    collective.all_reduce(&mut first)?;
    let told = || Error::Collective(format!("{what} of rank {} is not that of rank 0", collective.rank()));
    agree(collective, if first == halves { Ok(()) } else { Err(told()) })
}

/// Every rank's `texts`, rank after rank. For a few short ones: they travel as numbers.
///
/// # Errors  If a rank is lost.
pub(crate) fn all_texts(collective: &dyn Collective, texts: &[String]) -> Result<Vec<String>> {
    let (rank, world) = (collective.rank(), collective.world());
    if world == 1 {
        return Ok(texts.to_vec());
    }
    // Each text ends with a byte that UTF-8 never has.
    const END: u8 = 0xff;
    let own: Vec<u8> = texts.iter().flat_map(|t| t.bytes().chain([END])).collect();
    let mut sizes = vec![0.0; world];
    sizes[rank] = own.len() as f64;
    collective.all_reduce(&mut sizes)?;
    let size = |ranks: &[f64]| ranks.iter().sum::<f64>() as usize;
    let (start, total) = (size(&sizes[..rank]), size(&sizes));
    let mut all = vec![0.0; total];
    for (to, byte) in all[start..].iter_mut().zip(&own) {
        *to = f64::from(*byte);
    }
    collective.all_reduce(&mut all)?;
    let bytes: Vec<u8> = all.into_iter().map(|b| b as u8).collect();
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes.strip_suffix(&[END]).unwrap_or(bytes)).into_owned();
    Ok(bytes.split_inclusive(|&b| b == END).map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::on_ranks;

    #[test]
    fn a_failure_is_everyones_and_told_once() {
        let told = on_ranks(3, |ranks| {
            let outcome = if ranks.rank() == 0 { Ok(7) } else { Err(Error::Panicked("a test")) };
            agree(ranks, outcome).map_err(|e| e.to_string())
        });
        let text = |t: &str| Err(t.to_owned());
        assert_eq!(told, [text("rank 1 failed"), text("a test failed unexpectedly"), text("rank 1 failed")]);
        assert_eq!(on_ranks(2, |ranks| agree(ranks, Ok::<_, Error>(ranks.rank())).unwrap()), [0, 1]);
    }

    #[test]
    fn strangers_are_found() {
        let found = on_ranks(3, |ranks| {
            let number = if ranks.rank() == 2 { u64::MAX - 1 } else { u64::MAX };
            same(ranks, "the recipe", number).map_err(|e| e.to_string())
        });
        let text = |t: &str| Err(t.to_owned());
        let told = text("collective: the recipe of rank 2 is not that of rank 0");
        assert_eq!(found, [text("rank 2 failed"), text("rank 2 failed"), told]);
        assert_eq!(on_ranks(3, |ranks| same(ranks, "it", 1 << 40 | 5).is_ok()), [true; 3]);
    }

    #[test]
    fn texts_reach_everyone_in_order() {
        let texts = [vec!["ä".into(), String::new()], vec![], vec!["b\nc".to_owned()]];
        let all = on_ranks(3, |ranks| all_texts(ranks, &texts[ranks.rank()]).unwrap());
        assert_eq!(all, vec![["ä", "", "b\nc"]; 3]);
    }
}
