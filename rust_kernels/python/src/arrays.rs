//! NumPy arrays from vectors of rows without a copy, and such as are to be written first.

use std::mem::MaybeUninit;

use numpy::{Element, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

/// (n, W) array from rows of length W.
pub fn rows<const W: usize, T: Element>(
    py: Python<'_>,
    rows: Vec<[T; W]>,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let n = rows.len();
    PyArray1::from_vec(py, rows.into_flattened()).reshape([n, W])
}

/// (n,) array, and its memory, where nothing is yet.
///
/// # Safety
///
/// All of it has to be written before anyone but the caller sees the array.
pub unsafe fn unwritten<'py, T: Element>(
    py: Python<'py>,
    n: usize,
) -> (Bound<'py, PyArray1<T>>, &'py mut [MaybeUninit<T>]) {
    // SAFETY: the caller promises to write it all.
    let array = unsafe { PyArray1::<T>::new(py, n, false) };
    // SAFETY: `n` values, in one piece, that nobody else knows of; NumPy has room for what has none.
    let memory = unsafe { std::slice::from_raw_parts_mut(array.data().cast(), n) };
    (array, memory)
}
