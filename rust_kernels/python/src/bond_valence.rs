//! `bond_valence_sums`.

use numpy::PyArray1;
use pyhpc_core::bond_valence::{self, Parameters, okeeffe_brese};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::BatchArrays;
use crate::errors::{BatchError, Statuses, batch_error};
use crate::pool;

const BROWN2020: &str = "brown2020";
const OKEEFFE_BRESE: &str = "okeeffe_brese";

/// See `pyhpc.kernels.bond_valence_sums`.
#[pyfunction]
pub fn bond_valence_sums<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    cutoff: f64,
    parameters: &str,
    b: Option<f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let parameters = named(parameters, b)?;
    let results = pool::run(py, threads, || {
        bond_valence::bond_valence_sums(&view, cutoff, parameters)
    })?
    .map_err(batch_error)?;
    let n_sites = view.frac_coords.len();
    let mut sums = Vec::with_capacity(n_sites);
    let mut expected = Vec::with_capacity(n_sites);
    let mut estimated = Vec::with_capacity(n_sites);
    let mut gii = Vec::with_capacity(view.len());
    let statuses = Statuses::collect(results, |k, valences| match valences {
        Some(valences) => {
            sums.extend(valences.sums);
            expected.extend(valences.expected);
            estimated.extend(valences.estimated);
            gii.push(valences.gii);
        }
        None => {
            let end = view.sites(k).end;
            for values in [&mut sums, &mut expected, &mut estimated] {
                values.resize(end, f64::NAN);
            }
            gii.push(f64::NAN);
        }
    });
    let result = PyDict::new(py);
    result.set_item("sums", PyArray1::from_vec(py, sums))?;
    result.set_item("expected", PyArray1::from_vec(py, expected))?;
    result.set_item("estimated", PyArray1::from_vec(py, estimated))?;
    result.set_item("gii", PyArray1::from_vec(py, gii))?;
    statuses.write(&result)?;
    Ok(result)
}

fn named(parameters: &str, b: Option<f64>) -> PyResult<Parameters> {
    match (parameters, b) {
        (BROWN2020, None) => Ok(Parameters::Brown2020),
        (BROWN2020, Some(b)) => Err(BatchError::new_err(format!(
            "b = {b}: {BROWN2020} fits R0 and b of each pair together; \
             another b goes with parameters = {OKEEFFE_BRESE:?} only"
        ))),
        (OKEEFFE_BRESE, b) => Ok(Parameters::OkeeffeBrese {
            b: b.unwrap_or(okeeffe_brese::B),
        }),
        _ => Err(BatchError::new_err(format!(
            "parameters = {parameters:?}: expected {BROWN2020:?} or {OKEEFFE_BRESE:?}"
        ))),
    }
}
