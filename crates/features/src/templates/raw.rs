//! Templates as arrays aligned to the query, before cropping and padding.

use crate::{Error, TemplateInput};
use ndarray::{Array1, Array2, Array3, Array4, Axis, concatenate};

/// Template arrays on the query's residues: AlphaFold's `template_*` raw features, types in its own order.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTemplates {
    names: Vec<String>,
    aatype: Array2<i32>,
    positions: Array4<f32>,
    masks: Array3<f32>,
    sum_probs: Array1<f32>,
}

impl RawTemplates {
    /// No templates, for a query of `num_res` residues.
    pub fn none(num_res: usize) -> Self {
        RawTemplates {
            names: Vec::new(),
            aatype: Array2::zeros((0, num_res)),
            positions: Array4::zeros((0, num_res, 37, 3)),
            masks: Array3::zeros((0, num_res, 37)),
            sum_probs: Array1::zeros(0),
        }
    }

    /// Appends one template.
    /// - `aatype`    [r], 0–20, 21 where nothing is aligned
    /// - `positions` [r, 37, 3], Å
    /// - `masks`     [r, 37], 1 = atom present
    /// - `sum_probs` what the search program gave, 0 if there was none
    ///
    /// # Errors
    /// `Error::Template` if a shape does not fit the query, a type is out of range or a number not finite.
    pub fn push(
        &mut self,
        name: &str,
        aatype: &Array1<i32>,
        positions: &Array3<f32>,
        masks: &Array2<f32>,
        sum_probs: f32,
    ) -> Result<(), Error> {
        let r = self.num_res();
        let fail =
            |what: String| Err(Error::Template { template: self.len() + 1, what: format!("{name}: {what}") });
        if aatype.len() != r || positions.dim() != (r, 37, 3) || masks.dim() != (r, 37) {
            return fail(format!(
                "expected types [{r}], positions [{r}, 37, 3], masks [{r}, 37], got {:?}, {:?}, {:?}",
                aatype.shape(),
                positions.shape(),
                masks.shape()
            ));
        }
        if let Some(bad) = aatype.iter().find(|a| !(0..=21).contains(*a)) {
            return fail(format!("expected residue types 0–21, got {bad}"));
        }
        if !positions.iter().chain(masks).all(|v| v.is_finite()) {
            return fail("expected finite positions and masks".into());
        }
        let fits = "shapes were checked above";
        self.names.push(name.to_string());
        self.aatype.push_row(aatype.view()).expect(fits);
        self.positions.push(Axis(0), positions.view()).expect(fits);
        self.masks.push(Axis(0), masks.view()).expect(fits);
        self.sum_probs = concatenate![Axis(0), self.sum_probs, Array1::from_elem(1, sum_probs)];
        Ok(())
    }

    /// Names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of templates.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Residues of the query they are aligned to.
    pub fn num_res(&self) -> usize {
        self.aatype.ncols()
    }

    /// The templates `select`, in that order, as the network reads them: with masks and pseudo-β.
    /// AlphaFold `make_template_mask`, `make_pseudo_beta`.
    pub(crate) fn select(&self, select: &[usize]) -> TemplateInput {
        let aatype = self.aatype.select(Axis(0), select);
        let positions = self.positions.select(Axis(0), select);
        let masks = self.masks.select(Axis(0), select);
        let (t, r) = aatype.dim();
        let atom = |i: usize, j: usize| chem::atoms::pseudo_beta(aatype[[i, j]] as u8);
        TemplateInput {
            mask: Array1::ones(t),
            pseudo_beta: Array3::from_shape_fn((t, r, 3), |(i, j, x)| positions[[i, j, atom(i, j), x]]),
            pseudo_beta_mask: Array2::from_shape_fn((t, r), |(i, j)| masks[[i, j, atom(i, j)]]),
            sum_probs: self.sum_probs.select(Axis(0), select).insert_axis(Axis(1)),
            aatype,
            all_atom_positions: positions,
            all_atom_masks: masks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_beta_of_glycine_is_its_alpha_carbon() {
        let mut raw = RawTemplates::none(2);
        let positions = Array3::from_shape_fn((2, 37, 3), |(i, atom, x)| (i * 1000 + atom * 10 + x) as f32);
        let mut masks = Array2::zeros((2, 37));
        (masks[[0, 1]], masks[[1, 3]]) = (1.0, 1.0);
        raw.push("a", &Array1::from_vec(vec![7, 0]), &positions, &masks, 3.5).unwrap();
        let input = raw.select(&[0]);
        assert_eq!((input.pseudo_beta[[0, 0, 2]], input.pseudo_beta[[0, 1, 0]]), (12.0, 1030.0));
        assert_eq!((input.pseudo_beta_mask[[0, 0]], input.pseudo_beta_mask[[0, 1]]), (1.0, 1.0));
        assert_eq!(input.sum_probs[[0, 0]], 3.5);
        let narrow = raw.push("b", &Array1::zeros(3), &positions, &masks, 0.0).unwrap_err().to_string();
        assert!(narrow.contains("template 2: b: expected types [2]"), "{narrow}");
    }
}
