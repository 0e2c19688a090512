//! `assign_oxidation_states`.

use numpy::PyArray1;
use pyhpc_core::valence::{self, Method, Options};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// Number of each method by its name.
#[pyfunction]
pub fn valence_methods(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let methods = PyDict::new(py);
    for (number, name) in Method::ALL {
        methods.set_item(name, number)?;
    }
    Ok(methods)
}

/// See `pyhpc.kernels.assign_oxidation_states`.
#[pyfunction]
pub fn assign_oxidation_states<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    distance_scale: f64,
    neutrality_tolerance: f64,
    outlier_fraction: f64,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let view = batch.view()?;
    let options = Options {
        distance_scale,
        neutrality_tolerance,
        outlier_fraction,
    };
    let results = pool::run(py, threads, || {
        valence::assign_oxidation_states(&view, options)
    })?
    .map_err(batch_error)?;
    let mut oxidation_states = vec![f64::NAN; view.atomic_numbers.len()];
    let mut method = vec![Method::Unassigned as u8; view.len()];
    let mut margin = vec![f64::NAN; view.len()];
    let mut net_charge = vec![f64::NAN; view.len()];
    let statuses = Statuses::collect(results, |k, valences| {
        if let Some(valences) = valences {
            oxidation_states[view.species(k)].copy_from_slice(&valences.oxidation_states);
            method[k] = valences.method as u8;
            margin[k] = valences.margin;
            net_charge[k] = valences.net_charge;
        }
    });
    let result = PyDict::new(py);
    let array = PyArray1::from_vec(py, oxidation_states);
    result.set_item("oxidation_states", array)?;
    result.set_item("method", PyArray1::from_vec(py, method))?;
    result.set_item("margin", PyArray1::from_vec(py, margin))?;
    result.set_item("net_charge", PyArray1::from_vec(py, net_charge))?;
    statuses.write(&result)?;
    Ok(result)
}
