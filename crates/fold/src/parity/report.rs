//! Errors of the compared values, by name.

use super::golden::{Golden, PRESENT, RESIDUES};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Largest relative error allowed, ‖a − b‖ / ‖b‖.
const RELATIVE: f64 = 1e-5;
/// Largest error of a coordinate allowed, Å.
const POSITION: f64 = 1e-3;
/// Values that are coordinates in Å end so.
const POSITIONS: [&str; 5] =
    ["atom_pos", "frames.trans", "atom_positions", "atom14_positions", "expected_aligned_error"];

/// Error of one compared value.
#[derive(Clone, Copy, Default)]
struct Row {
    relative: f64,
    largest: f64,
}

/// What was compared so far.
#[derive(Default)]
pub struct Report(BTreeMap<String, Row>);

impl Report {
    /// Compares with the golden value `name`; of several comparisons the worst is kept.
    pub fn compare(&mut self, golden: &Golden, name: &str, got: &Tensor) {
        self.compare_with(name, &golden.wanted(name), got);
    }

    /// Compares with `want`, made from golden values, under a name of its own. On its own input a module agrees in
    /// padding and masked rows too; without the padding it must agree as well, whose values may be the larger ones.
    pub fn compare_with(&mut self, name: &str, want: &Tensor, got: &Tensor) {
        assert_eq!(got.dims(), want.dims(), "shape of {name}");
        let rows = [error(got, want), error(&unpadded(got), &unpadded(want))];
        let worst = self.0.entry(name.to_owned()).or_default();
        for row in rows {
            worst.relative = worse(worst.relative, row.relative);
            worst.largest = worse(worst.largest, row.largest);
        }
    }

    /// Whether this value was compared.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The worst error of each module over its calls and outputs, for reading.
    pub fn table(&self) -> String {
        let mut modules: BTreeMap<&str, (Row, usize)> = BTreeMap::new();
        for (name, row) in &self.0 {
            let module = name.split_once('#').map_or(name.as_str(), |(m, _)| m);
            let (worst, count) = modules.entry(module).or_default();
            worst.relative = worse(worst.relative, row.relative);
            worst.largest = worse(worst.largest, row.largest);
            *count += 1;
        }
        let line = |(m, (row, n)): (&&str, &(Row, usize))| {
            format!("{:.1e}  {:.1e}  {n:3}  {m}\n", row.relative, row.largest)
        };
        let head = "relative, largest difference, values, module\n".to_owned();
        modules.iter().fold(head, |text, module| text + &line(module))
    }

    /// # Panics  If nothing was compared, or something differs too much.
    pub fn check(&self) {
        assert!(!self.0.is_empty(), "nothing was compared");
        let position = |name: &str| POSITIONS.iter().any(|end| name.ends_with(end));
        // What is not a number does not pass.
        let fits =
            |name: &str, row: &Row| row.relative <= RELATIVE && (!position(name) || row.largest <= POSITION);
        let bad: Vec<String> = self
            .0
            .iter()
            .filter(|(name, row)| !fits(name, row))
            .map(|(name, row)| format!("{name}: relative {:e}, largest {:e}", row.relative, row.largest))
            .collect();
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
}

/// The larger of two errors; not a number if one is not.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The first residues along every axis of residues; no other axis of the golden has that length.
fn unpadded(t: &Tensor) -> Tensor {
    let cut = |t: Tensor, d: usize| {
        if t.dims()[d] == RESIDUES { t.narrow(d, 0, PRESENT).unwrap() } else { t }
    };
    (0..t.rank()).fold(t.clone(), cut)
}

fn error(got: &Tensor, want: &Tensor) -> Row {
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (a, b) = (values(got), values(want));
    let (mut off, mut norm, mut largest) = (0f64, 0f64, 0f64);
    for (x, y) in a.iter().zip(&b) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        off += (x - y).powi(2);
        norm += y.powi(2);
        largest = worse(largest, (x - y).abs());
    }
    // What AlphaFold gives as zeros must be zeros.
    let relative = if off == 0.0 { 0.0 } else { (off / norm).sqrt() };
    Row { relative, largest }
}
