//! What can fold here.

use serde::{Deserialize, Serialize};

/// A model that orders may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Model {
    /// As in an order.
    pub name: String,
    /// Sha256 of its parameters, 64 hexadecimal digits.
    pub weights_sha256: String,
    /// For people: what it is, and how good.
    pub about: String,
}

/// What a folding child says of itself before its first order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// `foldry` and its version.
    pub version: String,
    /// `cpu` or `cuda`: results of one class are equal to the bit, of two they are not.
    pub device_class: String,
    /// The device's name.
    pub device: String,
    /// All models; the first is what `auto` means.
    pub models: Vec<Model>,
}

impl Engine {
    /// The model an order's name means; `auto` is the first.
    pub fn model(&self, name: &str) -> Option<&Model> {
        if name == "auto" { self.models.first() } else { self.models.iter().find(|model| model.name == name) }
    }
}
