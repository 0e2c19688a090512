//! `simd_level`.

use pyhpc_core::simd;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Vector instructions that the kernels use: `"scalar"`, `"avx2"` or `"avx512"`.
#[pyfunction]
pub fn simd_level() -> &'static str {
    simd::level().name()
}

/// Refuses an environment variable that names no level.
pub fn check_limit() -> PyResult<()> {
    simd::limit().map(|_| ()).map_err(|found| {
        let levels = simd::Level::ALL.map(simd::Level::name).join(", ");
        let variable = simd::VARIABLE;
        PyImportError::new_err(format!(
            "the environment variable {variable} is {found:?}: expected one of {levels}, or unset it"
        ))
    })
}
