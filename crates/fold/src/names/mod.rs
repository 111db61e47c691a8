//! Parameter names: AlphaFold's and OpenFold's to ours, and ours back to AlphaFold's.
//!
//! Ours are OpenFold's of today (`evoformer.blocks.0.msa_att_row.layer_norm_m.weight`, linear weights
//! [out, in]). [`table`] says which AlphaFold parameter each is; block counts, sizes, templates and the
//! pTM head follow from what is there. Nothing is dropped in silence: a name the table does not have is an
//! error, and so is half a layer. Whether the set fits a given network is for `nn::Params` to say.

mod alphafold;
mod entries;
mod error;
mod openfold;
mod summary;
mod table;

pub use alphafold::{from_alphafold, to_alphafold};
pub use entries::Layout;
pub use error::NamesError;
pub use openfold::from_openfold;
pub use summary::Summary;

use nn::files::Arrays;

/// Head counts that AlphaFold's shapes tell and ours do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// MSA column attention in the Evoformer (AlphaFold: 8).
    pub msa_column: usize,
    /// Template pointwise attention (AlphaFold: 4).
    pub template_pointwise: usize,
}

/// Whose names a set of parameters carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Haiku scopes, as in `params_model_1.npz`.
    AlphaFold,
    /// Ours, which are OpenFold's of today, or OpenFold's older ones.
    OpenFold,
}

/// Brings parameters under either naming to ours.
/// # Errors  [`NamesError`] as [`from_alphafold`] and [`from_openfold`].
pub fn canonical(source: &Arrays) -> Result<(Naming, Arrays), NamesError> {
    let haiku = |name: &String| {
        name.starts_with("alphafold/")
            || name.contains("//")
            || name.starts_with("evoformer/")
            || name.starts_with("structure_module/")
    };
    if source.keys().any(haiku) {
        Ok((Naming::AlphaFold, from_alphafold(source)?))
    } else {
        Ok((Naming::OpenFold, from_openfold(source)?))
    }
}
