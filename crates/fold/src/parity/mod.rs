//! Every module against AlphaFold, each on the input that AlphaFold's own module had: f32, relative error at
//! most 1e-5 (docs/numerics.md). `cargo test -p fold parity -- --nocapture` prints the error of each.
//!
//! The values are those of `tests/golden/fold`: what each call of a module read (`:in0`, `:in1`, by name) and
//! gave (`:out`) in the first pass, and those that recycle once more in the second. Modules are called
//! as AlphaFold's parameter scopes are.

mod blocks;
mod confidences;
mod coverage;
mod embedders;
mod golden;
mod heads;
mod layers;
mod parts;
mod report;
mod structure;
mod sublayers;
mod templates;

use golden::Golden;
use report::Report;

/// Compares some modules of the golden with ours.
type Cases = fn(&Golden, &mut Report) -> crate::Result<()>;

/// All there are; [`coverage`] holds them against the golden's index.
const ALL: [(&str, Cases); 10] = [
    ("layers", layers::cases),
    ("embedders", embedders::cases),
    ("recycled", embedders::recycled),
    ("templates", templates::cases),
    ("sublayers", sublayers::cases),
    ("parts of sublayers", parts::cases),
    ("blocks", blocks::cases),
    ("structure module", structure::cases),
    ("heads", heads::cases),
    ("confidences", confidences::cases),
];
