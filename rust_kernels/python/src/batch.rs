//! `CrystalBatch` from Python, without a copy.

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyhpc_core::CrystalBatch;
use pyo3::prelude::*;

use crate::errors::{BatchError, batch_error};

/// Read-only views of the arrays of a Python `CrystalBatch`, taken by attribute.
#[derive(FromPyObject)]
pub struct BatchArrays<'py> {
    lattices: PyReadonlyArray3<'py, f64>,
    pbc: PyReadonlyArray2<'py, bool>,
    site_offsets: PyReadonlyArray1<'py, i64>,
    frac_coords: PyReadonlyArray2<'py, f64>,
    asymmetric_index: PyReadonlyArray1<'py, i32>,
    species_offsets: PyReadonlyArray1<'py, i64>,
    atomic_numbers: PyReadonlyArray1<'py, u8>,
    occupancies: PyReadonlyArray1<'py, f64>,
    oxidation_states: PyReadonlyArray1<'py, f64>,
}

impl BatchArrays<'_> {
    /// The core's view of the batch, with shapes and offsets checked.
    pub fn view(&self) -> PyResult<CrystalBatch<'_>> {
        // A row length other than 3 leaves a remainder or a wrong count, which `validate` refuses.
        let lattices = self
            .lattices
            .as_slice()?
            .as_chunks::<3>()
            .0
            .as_chunks::<3>()
            .0;
        let batch = CrystalBatch {
            lattices,
            pbc: self.pbc.as_slice()?.as_chunks::<3>().0,
            site_offsets: self.site_offsets.as_slice()?,
            frac_coords: self.frac_coords.as_slice()?.as_chunks::<3>().0,
            asymmetric_index: self.asymmetric_index.as_slice()?,
            species_offsets: self.species_offsets.as_slice()?,
            atomic_numbers: self.atomic_numbers.as_slice()?,
            occupancies: self.occupancies.as_slice()?,
            oxidation_states: self.oxidation_states.as_slice()?,
        };
        for (name, row_length) in [
            ("lattices", self.lattices.as_array().dim().2),
            ("lattices", self.lattices.as_array().dim().1),
            ("pbc", self.pbc.as_array().dim().1),
            ("frac_coords", self.frac_coords.as_array().dim().1),
        ] {
            if row_length != 3 {
                let message = format!("{name} has rows of length {row_length}, expected 3");
                return Err(BatchError::new_err(message));
            }
        }
        batch.validate().map_err(batch_error)
    }
}
