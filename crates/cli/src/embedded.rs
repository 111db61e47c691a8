//! The model inside the program: what folds where no other parameters are installed.

use nn::files::{Arrays, Bytes, Limits, safetensors};

/// Its name for `--model`.
pub const NAME: &str = "mini";

/// Its parameters, bf16, with their configuration and origin in the header (data/README.md, docs/training.md).
pub const WEIGHTS: &[u8] = include_bytes!("../../../data/models/mini.safetensors");

/// What its header says of its accuracy.
pub const ACCURACY: &str = "foldry.accuracy";

/// Parameters and header.
///
/// # Errors  if this program was built from a damaged file.
pub fn read() -> anyhow::Result<(Arrays, safetensors::Metadata)> {
    let name = format!("{NAME} (built in)");
    Ok(safetensors::parse(&name, &Bytes::from(WEIGHTS.to_vec()), &Limits::default())?)
}

/// How good it is on chains it never saw, for people.
pub fn accuracy() -> anyhow::Result<String> {
    let (arrays, metadata) = read()?;
    let parameters: usize = arrays.values().map(nn::files::Array::len).sum();
    let measured = metadata.get(ACCURACY).map_or("not measured", String::as_str);
    Ok(format!("{:.1} million parameters; {measured}", parameters as f64 / 1e6))
}
