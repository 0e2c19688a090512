//! Core errors as Python exceptions and status arrays.

use pyhpc_core::CrystalError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pyo3::create_exception!(
    pyhpc._kernels,
    BatchError,
    PyValueError,
    "Arrays of a batch contradict each other, or a parameter makes no sense."
);

/// The caller's mistake: the whole call fails.
pub fn batch_error(error: pyhpc_core::BatchError) -> PyErr {
    BatchError::new_err(error.to_string())
}

/// Reason codes by status number.
#[pyfunction]
pub fn status_names(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let names = PyDict::new(py);
    for (status, name) in CrystalError::STATUS {
        names.set_item(status, name)?;
    }
    Ok(names)
}

/// The `status` array of a result, and the message of each crystal that failed.
pub struct Statuses {
    /// (n_crystals,) 0 = ok.
    pub status: Vec<i32>,
    /// Crystal and message.
    pub messages: Vec<(usize, String)>,
}

impl Statuses {
    /// Splits results in batch order into their statuses; `visit` sees each crystal's value.
    pub fn collect<T>(
        results: Vec<Result<T, CrystalError>>,
        mut visit: impl FnMut(usize, Option<T>),
    ) -> Self {
        let mut status = Vec::with_capacity(results.len());
        let mut messages = Vec::new();
        for (k, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => {
                    status.push(0);
                    visit(k, Some(value));
                }
                Err(error) => {
                    status.push(error.status());
                    messages.push((k, error.to_string()));
                    visit(k, None);
                }
            }
        }
        Self { status, messages }
    }

    /// Adds `status` (int32 array) and `errors` (crystal to message) to a result.
    pub fn write(self, result: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = result.py();
        result.set_item("status", numpy::PyArray1::from_vec(py, self.status))?;
        let errors = PyDict::new(py);
        for (k, message) in self.messages {
            errors.set_item(k, message)?;
        }
        result.set_item("errors", errors)
    }
}
