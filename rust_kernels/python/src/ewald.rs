//! `ewald_site_energies`.

use numpy::{PyArray1, PyArrayMethods};
use pyhpc_core::ewald::{self, Method};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::batch::BatchArrays;
use crate::errors::{Statuses, batch_error};
use crate::pool;

/// Names of the parts of a site energy, in the order of the core.
const PARTS: [&str; 4] = [
    "real_energies",
    "reciprocal_energies",
    "self_energies",
    "background_energies",
];

/// See `pyhpc.kernels.ewald_site_energies`.
#[pyfunction]
pub fn ewald_site_energies<'py>(
    py: Python<'py>,
    batch: BatchArrays<'py>,
    accuracy: f64,
    alpha: Option<f64>,
    method: &str,
    parts: bool,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let method = match method {
        "auto" => Method::Auto,
        "direct" => Method::Direct,
        "mesh" => Method::Mesh,
        _ => {
            return Err(PyValueError::new_err(format!(
                "method must be 'auto', 'direct' or 'mesh', not {method:?}"
            )));
        }
    };
    let view = batch.view()?;
    let results = pool::run(py, threads, || {
        ewald::ewald_site_energies(&view, accuracy, alpha, method)
    })?
    .map_err(batch_error)?;
    let n_crystals = results.len();
    let mut site_energies = Vec::with_capacity(view.frac_coords.len());
    let mut part_energies: [Vec<f64>; 4] = std::array::from_fn(|_| Vec::new());
    let mut total_energies = vec![f64::NAN; n_crystals];
    let mut error_bounds = vec![f64::NAN; n_crystals];
    let mut net_charges = vec![f64::NAN; n_crystals];
    let [mut alphas, mut real_cutoffs, mut reciprocal_cutoffs] =
        std::array::from_fn(|_| vec![f64::NAN; n_crystals]);
    let mut mesh_sizes = vec![[0i64; 3]; n_crystals];
    let statuses = Statuses::collect(results, |k, energies| {
        let n_sites = view.sites(k).len();
        if let Some(energies) = &energies {
            site_energies.extend_from_slice(&energies.site_energies);
            total_energies[k] = energies.total_energy;
            error_bounds[k] = energies.error_bound;
            net_charges[k] = energies.net_charge;
            if let Some(cut) = energies.cut {
                alphas[k] = cut.alpha;
                real_cutoffs[k] = cut.real_cutoff;
                reciprocal_cutoffs[k] = cut.reciprocal_cutoff;
                mesh_sizes[k] = cut.mesh.unwrap_or_default().map(|n| n as i64);
            }
        } else {
            site_energies.extend(std::iter::repeat_n(f64::NAN, n_sites));
        }
        if parts {
            for (part, values) in part_energies.iter_mut().enumerate() {
                match &energies {
                    Some(energies) => values.extend(energies.parts.iter().map(|site| site[part])),
                    None => values.extend(std::iter::repeat_n(f64::NAN, n_sites)),
                }
            }
        }
    });
    let result = PyDict::new(py);
    result.set_item("site_energies", PyArray1::from_vec(py, site_energies))?;
    result.set_item("total_energies", PyArray1::from_vec(py, total_energies))?;
    result.set_item("error_bounds", PyArray1::from_vec(py, error_bounds))?;
    result.set_item("net_charges", PyArray1::from_vec(py, net_charges))?;
    result.set_item("alphas", PyArray1::from_vec(py, alphas))?;
    result.set_item("real_cutoffs", PyArray1::from_vec(py, real_cutoffs))?;
    let reciprocal_cutoffs = PyArray1::from_vec(py, reciprocal_cutoffs);
    result.set_item("reciprocal_cutoffs", reciprocal_cutoffs)?;
    let mesh_sizes = mesh_sizes.into_flattened();
    let mesh_sizes = PyArray1::from_vec(py, mesh_sizes).reshape([n_crystals, 3])?;
    result.set_item("mesh_sizes", mesh_sizes)?;
    if parts {
        for (name, values) in PARTS.into_iter().zip(part_energies) {
            result.set_item(name, PyArray1::from_vec(py, values))?;
        }
    }
    statuses.write(&result)?;
    Ok(result)
}
