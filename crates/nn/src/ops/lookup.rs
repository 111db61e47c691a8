//! Rows of a table, chosen for each pair of residues, such as the embedding of relative positions.
//! AF2 Suppl. Alg. 4 as a linear layer of a one-hot vector is one.

use crate::cpu::for_blocks;
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};
use std::sync::Arc;

/// Row `index[i·r + j]` of `table` `[n, c]` at (i, j): `[r, r, c]`, where `index` is r² long.
pub fn lookup(table: &Tensor, index: Vec<u32>) -> Update {
    Update::new(Lookup { index: index.into() }, &[table])
}

struct Lookup {
    index: Arc<[u32]>,
}

impl Fused for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (n, c) = t[0].dims2()?;
        let r = self.index.len().isqrt();
        if r * r != self.index.len() || self.index.iter().any(|&i| i as usize >= n) {
            candle_core::bail!("lookup: expected r² rows below {n}, got {} of them", self.index.len());
        }
        Ok((r, r, c).into())
    }

    fn forward(&self, t: &[Tensor], table: Source<'_>, out: Place<'_>) -> Result<()> {
        let c = t[0].dim(1)?;
        for_blocks(self.index.len(), ROWS, |start, rows| {
            for (at, &row) in (start..).zip(&self.index[start..][..rows]) {
                // SAFETY: table and result are two memories; every block writes its own rows.
                unsafe { out.put(at * c, table.range(row as usize * c, c)) };
            }
        });
        Ok(())
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let index = crate::cuda::upload(self.index.to_vec(), self.index.len(), t[0].device())?;
        t[0].index_select(&index, 0)?.reshape(self.shape(t)?)
    }
}

/// Rows one thread writes at a time.
const ROWS: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        check(&Lookup { index: vec![4, 0, 2, 2, 1, 4, 4, 3, 0].into() }, &[noise(&[5, 7], 1)], &[0]);
    }

    #[test]
    fn rows_that_are_not_there_are_refused() {
        let table = noise(&[2, 3], 1);
        let error = lookup(&table, vec![0, 1, 2, 1]).tensor().unwrap_err().to_string();
        assert!(error.contains("below 2"), "{error}");
        assert!(lookup(&table, vec![0, 1, 1]).tensor().is_err());
    }
}
