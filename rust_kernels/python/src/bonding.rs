//! `bond_statistics`.

use numpy::{PyArray1, PyReadonlyArray1};
use pyhpc_core::bonding::{self, BondStatistics, Options};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::rows;
use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// See `pyhpc.kernels.bond_statistics`.
#[pyfunction]
pub fn bond_statistics<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    radii: PyReadonlyArray1<'py, f64>,
    electronegativities: PyReadonlyArray1<'py, f64>,
    bond_factor: f64,
    anion_factor: f64,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let options = Options {
        radii: radii.as_slice()?,
        electronegativities: electronegativities.as_slice()?,
        bond_factor,
        anion_factor,
    };
    let results = pool::run(py, threads, || bonding::bond_statistics(&view, &options))?
        .map_err(batch_error)?;
    let mut found = Vec::with_capacity(view.len());
    let statuses = Statuses::collect(results, |_, bonds| found.push(bonds));
    let result = PyDict::new(py);
    for (name, value) in STATISTICS {
        let values = found
            .iter()
            .map(|bonds| bonds.as_ref().map_or([f64::NAN; 4], value));
        result.set_item(name, rows(py, values.collect())?)?;
    }
    for (name, value) in TOTALS {
        let values = found
            .iter()
            .map(|bonds| bonds.as_ref().map_or(f64::NAN, value));
        result.set_item(name, PyArray1::from_iter(py, values))?;
    }
    statuses.write(&result)?;
    Ok(result)
}

type Column<T> = (&'static str, fn(&BondStatistics) -> T);

const STATISTICS: [Column<[f64; 4]>; 5] = [
    ("coordination_numbers", |bonds| bonds.coordination_numbers),
    ("lengths", |bonds| bonds.lengths),
    ("relative_lengths", |bonds| bonds.relative_lengths),
    ("angles", |bonds| bonds.angles),
    ("electronegativity_differences", |bonds| {
        bonds.electronegativity_differences
    }),
];

const TOTALS: [Column<f64>; 3] = [
    ("n_bonds", |bonds| bonds.n_bonds),
    ("unlike_fractions", |bonds| bonds.unlike_fraction),
    ("bond_orders", |bonds| bonds.bond_order),
];
