//! Parameter files that say what network they are of, as `foldry train` writes them and as the embedded one is.

use folding::recipe::Network;
use nn::files::safetensors::Metadata;

/// Key of AlphaFold's configuration in a file's metadata.
pub(super) const CONFIG: &str = "foldry.config";

/// What a file says about its network.
pub struct Described {
    /// Features, sizes and losses.
    pub network: Network,
    /// The name of the preset, if it is one.
    pub preset: Option<String>,
}

/// The network of a file's metadata; `None` if it says nothing.
///
/// # Errors  What is wrong with what it says.
pub fn described(metadata: &Metadata) -> Option<Result<Described, String>> {
    let text = metadata.get(CONFIG)?;
    Some(read(text).map_err(|e| format!("{CONFIG} in the header: {e}")))
}

fn read(text: &str) -> Result<Described, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if let Some(name) = json.as_str() {
        let network = Network::preset(name).ok_or_else(|| format!("unknown model `{name}`"))?;
        return Ok(Described { network, preset: Some(name.to_owned()) });
    }
    Ok(Described { network: Network::from_json(&json)?, preset: None })
}
