//! Flat NumPy arrays from vectors of rows, without a copy.

use numpy::{Element, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

/// (n, W) array from rows of length W.
pub fn rows<const W: usize, T: Element>(
    py: Python<'_>,
    rows: Vec<[T; W]>,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let n = rows.len();
    numpy::PyArray1::from_vec(py, rows.into_flattened()).reshape([n, W])
}
