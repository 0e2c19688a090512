//! `neighbor_list`.

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyhpc_core::neighbors::{NeighborLists, PairSlices};
use pyo3::prelude::*;
use pyo3::types::PyDict;

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
    let lists =
        pool::run(py, threads, || NeighborLists::count(&view, cutoff))?.map_err(batch_error)?;
    let n_pairs = lists.n_pairs();
    let i = PyArray1::<i64>::zeros(py, n_pairs, false);
    let j = PyArray1::<i64>::zeros(py, n_pairs, false);
    let shifts = PyArray2::<i32>::zeros(py, [n_pairs, 3], false);
    let distances = PyArray1::<f64>::zeros(py, n_pairs, false);
    {
        let (mut i, mut j) = (i.readwrite(), j.readwrite());
        let (mut shifts, mut distances) = (shifts.readwrite(), distances.readwrite());
        let into = PairSlices {
            i: i.as_slice_mut()?,
            j: j.as_slice_mut()?,
            shifts: shifts.as_slice_mut()?.as_chunks_mut().0,
            distances: distances.as_slice_mut()?,
        };
        pool::run(py, threads, || lists.write(into))?;
    }
    let mut offsets = vec![0i64];
    let mut end = 0;
    let statuses = Statuses::collect(lists.into_counts(), |_, count| {
        end += count.unwrap_or(0) as i64;
        offsets.push(end);
    });
    let result = PyDict::new(py);
    result.set_item("i", i)?;
    result.set_item("j", j)?;
    result.set_item("shifts", shifts)?;
    result.set_item("distances", distances)?;
    result.set_item("crystal_offsets", PyArray1::from_vec(py, offsets))?;
    statuses.write(&result)?;
    Ok(result)
}
