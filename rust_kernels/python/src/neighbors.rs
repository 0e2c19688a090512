//! `neighbor_list`.

use numpy::PyArray1;
use pyhpc_core::neighbors;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::rows;
use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// See `pyhpc.kernels.neighbor_list`.
#[pyfunction]
pub fn neighbor_list<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    cutoff: f64,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let results =
        pool::run(py, threads, || neighbors::neighbor_list(&view, cutoff))?.map_err(batch_error)?;
    let n_pairs = results
        .iter()
        .flatten()
        .map(|pairs| pairs.distances.len())
        .sum();
    let mut i: Vec<i64> = Vec::with_capacity(n_pairs);
    let mut j: Vec<i64> = Vec::with_capacity(n_pairs);
    let mut shifts = Vec::with_capacity(n_pairs);
    let mut distances = Vec::with_capacity(n_pairs);
    let mut offsets = vec![0i64];
    let statuses = Statuses::collect(results, |k, pairs| {
        if let Some(pairs) = pairs {
            let first = view.site_offsets[k];
            i.extend(pairs.i.iter().map(|site| *site as i64 + first));
            j.extend(pairs.j.iter().map(|site| *site as i64 + first));
            shifts.extend(pairs.shifts);
            distances.extend(pairs.distances);
        }
        offsets.push(distances.len() as i64);
    });
    let result = PyDict::new(py);
    result.set_item("i", PyArray1::from_vec(py, i))?;
    result.set_item("j", PyArray1::from_vec(py, j))?;
    result.set_item("shifts", rows(py, shifts)?)?;
    result.set_item("distances", PyArray1::from_vec(py, distances))?;
    result.set_item("crystal_offsets", PyArray1::from_vec(py, offsets))?;
    statuses.write(&result)?;
    Ok(result)
}
