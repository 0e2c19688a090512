//! `ion_environments`.

use numpy::{PyArray1, PyReadonlyArray1};
use pyhpc_core::environment;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// See `pyhpc.kernels.ion_environments`.
#[pyfunction]
pub fn ion_environments<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    atomic_number: u8,
    bond_cutoffs: PyReadonlyArray1<'py, f64>,
    anions: PyReadonlyArray1<'py, bool>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let (cutoffs, anions) = (bond_cutoffs.as_slice()?, anions.as_slice()?);
    let results = pool::run(py, threads, || {
        environment::ion_environments(&view, atomic_number, cutoffs, anions)
    })?
    .map_err(batch_error)?;
    let mut sites = Vec::new();
    let statuses = Statuses::collect(results, |k, ions| {
        let first = view.site_offsets[k];
        for ion in ions.into_iter().flatten() {
            sites.push((ion.site as i64 + first, ion));
        }
    });
    let column = |value: fn(&environment::IonSite) -> f64| {
        PyArray1::from_iter(py, sites.iter().map(|(_, ion)| value(ion)))
    };
    let result = PyDict::new(py);
    result.set_item(
        "sites",
        PyArray1::from_iter(py, sites.iter().map(|(site, _)| *site)),
    )?;
    result.set_item("amounts", column(|ion| ion.amount))?;
    result.set_item("ion_distances", column(|ion| ion.ion_distance))?;
    result.set_item("anion_distances", column(|ion| ion.anion_distance))?;
    result.set_item(
        "coordination_numbers",
        column(|ion| ion.coordination_number),
    )?;
    statuses.write(&result)?;
    Ok(result)
}
