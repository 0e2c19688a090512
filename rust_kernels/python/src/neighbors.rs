//! `neighbor_list`.

use numpy::{PyArray1, PyArrayMethods};
use pyhpc_core::neighbors::{NeighborLists, PairSlices};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::unwritten;
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
    // SAFETY: `write` writes all of each, or panics, and then they are dropped unseen.
    let ((i, of_i), (j, of_j)) = unsafe { (unwritten(py, n_pairs), unwritten(py, n_pairs)) };
    // SAFETY: as above.
    let (shifts, of_shifts) = unsafe { unwritten::<i32>(py, 3 * n_pairs) };
    // SAFETY: as above.
    let (distances, of_distances) = unsafe { unwritten(py, n_pairs) };
    let (of_shifts, _) = of_shifts.as_chunks_mut();
    let into = PairSlices {
        i: of_i,
        j: of_j,
        shifts: of_shifts,
        distances: of_distances,
    };
    pool::run(py, threads, || lists.write(into))?;
    let mut offsets = vec![0i64];
    let mut end = 0;
    let statuses = Statuses::collect(lists.into_counts(), |_, count| {
        end += count.unwrap_or(0) as i64;
        offsets.push(end);
    });
    let result = PyDict::new(py);
    result.set_item("i", i)?;
    result.set_item("j", j)?;
    result.set_item("shifts", shifts.reshape([n_pairs, 3])?)?;
    result.set_item("distances", distances)?;
    result.set_item("crystal_offsets", PyArray1::from_vec(py, offsets))?;
    statuses.write(&result)?;
    Ok(result)
}
