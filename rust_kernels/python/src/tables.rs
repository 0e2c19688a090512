//! The embedded tables of facts.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Text of each table of facts by name.
#[pyfunction]
pub fn tables(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let tables = PyDict::new(py);
    for (name, text) in pyhpc_core::tables::TABLES {
        tables.set_item(name, text)?;
    }
    Ok(tables)
}
