//! How large an invariant point attention is, on the CPU and on a GPU.

use candle_core::{Result, Tensor};

/// Sizes of one invariant point attention.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Residues, channels of the single and of the pair representation, heads.
    pub r: usize,
    pub c: usize,
    pub cz: usize,
    pub h: usize,
    /// Channels and points of a head's queries and keys (`dk`, `pq`) and of its values (`dv`, `pv`).
    pub dk: usize,
    pub dv: usize,
    pub pq: usize,
    pub pv: usize,
}

impl Sizes {
    /// From the inputs' shapes.
    ///
    /// # Errors  Names the first input that does not fit the others.
    pub fn of(t: &[Tensor]) -> Result<Self> {
        let ((r, c), cz) = (t[0].dims2()?, t[1].dims3()?.2);
        let rows = |i: usize| t[i].dim(0);
        let h = rows(15)?.max(1);
        let (dk, pq) = (rows(5)? / h, rows(9)? / (3 * h));
        let (dv, pv) = ((rows(7)? / h).saturating_sub(dk), (rows(11)? / (3 * h)).saturating_sub(pq));
        let s = Self { r, c, cz, h, dk, dv, pq, pv };
        let [q, kv, q_points, kv_points] = s.parts();
        let expected: [&[usize]; 18] = [
            &[r, c],
            &[r, r, cz],
            &[r],
            &[r, 3, 3],
            &[r, 3],
            &[q, c],
            &[q],
            &[kv, c],
            &[kv],
            &[q_points, c],
            &[q_points],
            &[kv_points, c],
            &[kv_points],
            &[h, cz],
            &[h],
            &[h],
            &[c, s.features()],
            &[c],
        ];
        for (i, expected) in expected.iter().enumerate() {
            if t[i].dims() != *expected {
                candle_core::bail!(
                    "invariant_point_attention: input {i}: expected {expected:?}, got {:?}",
                    t[i].dims()
                );
            }
        }
        if dk * pq == 0 {
            candle_core::bail!(
                "invariant_point_attention: expected at least one channel and one point a head"
            );
        }
        Ok(s)
    }

    /// Columns of the four projections.
    pub fn parts(&self) -> [usize; 4] {
        let &Self { h, dk, dv, pq, pv, .. } = self;
        [h * dk, h * (dk + dv), 3 * h * pq, 3 * h * (pq + pv)]
    }

    /// Columns of all projections.
    pub fn width(&self) -> usize {
        self.parts().iter().sum()
    }

    /// What attention sums for a head: values, then x, y and z of the points.
    pub fn value(&self) -> usize {
        self.dv + 3 * self.pv
    }

    /// Input of the output layer.
    pub fn features(&self) -> usize {
        self.h * (self.dv + 4 * self.pv + self.cz)
    }

    /// Where the features from pairs begin.
    pub fn pairs_at(&self) -> usize {
        self.h * (self.dv + 4 * self.pv)
    }

    /// Distance between rows of logits: an odd number of cache lines, so that neither the heads of a query nor the
    /// queries of a head share a set of the first-level cache.
    pub fn deep(&self) -> usize {
        (self.r.div_ceil(16) | 1) * 16
    }
}

/// What the softplus of a head weight is multiplied by to weigh squared distances; 9/2 is the variance of one.
pub(crate) fn point_factor(points: usize) -> f64 {
    -0.5 * (1.0 / (3.0 * points as f64 * 4.5)).sqrt()
}
