//! `symmetry`.

use numpy::PyArray1;
use pyhpc_core::symmetry as core;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// See `pyhpc.kernels.symmetry`.
#[pyfunction]
pub fn symmetry<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    symprec: f64,
    angle_tolerance: Option<f64>,
    wyckoffs: bool,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let options = core::Options {
        symprec,
        angle_tolerance,
        wyckoffs,
    };
    let results =
        pool::run(py, threads, || core::symmetry(&view, options))?.map_err(batch_error)?;
    let n_sites = view.frac_coords.len();
    let mut numbers = vec![0i32; view.len()];
    let mut used = vec![f64::NAN; view.len()];
    let mut orbits = vec![-1i64; n_sites];
    let mut multiplicities = vec![0i32; n_sites];
    let mut exact_orbits = vec![-1i32; n_sites];
    let mut letters = vec![0u32; n_sites];
    let statuses = Statuses::collect(results, |k, found| {
        if let Some(found) = found {
            numbers[k] = found.number;
            used[k] = found.symprec;
            let first = view.sites(k).start;
            for site in 0..found.orbits.len() {
                orbits[first + site] = found.orbits[site] as i64;
                multiplicities[first + site] = found.multiplicities[site] as i32;
                exact_orbits[first + site] = found.exact_orbits[site] as i32;
            }
            for (site, letter) in found.wyckoffs.into_iter().flatten().enumerate() {
                letters[first + site] = u32::from(letter);
            }
        }
    });
    let result = PyDict::new(py);
    result.set_item("numbers", PyArray1::from_vec(py, numbers))?;
    result.set_item("orbits", PyArray1::from_vec(py, orbits))?;
    result.set_item("multiplicities", PyArray1::from_vec(py, multiplicities))?;
    result.set_item("exact_orbits", PyArray1::from_vec(py, exact_orbits))?;
    result.set_item("wyckoffs", PyArray1::from_vec(py, letters))?;
    result.set_item("symprec", PyArray1::from_vec(py, used))?;
    statuses.write(&result)?;
    Ok(result)
}
