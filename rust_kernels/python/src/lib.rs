//! Python module `pyhpc._kernels`: one thin file per kernel, no physics.

mod arrays;
mod batch;
mod bond_valence;
mod bonding;
mod environment;
mod errors;
mod ewald;
mod expand;
mod neighbors;
mod pool;
mod simd;
mod symmetry;
mod tables;
mod valence;
mod voronoi;

use pyo3::prelude::*;

/// Compiled kernels of pyhpc; use `pyhpc.kernels`, which documents them.
#[pymodule]
mod _kernels {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::bond_valence::bond_valence_sums;
    #[pymodule_export]
    use crate::bonding::bond_statistics;
    #[pymodule_export]
    use crate::environment::ion_environments;
    #[pymodule_export]
    use crate::errors::BatchError;
    #[pymodule_export]
    use crate::errors::status_names;
    #[pymodule_export]
    use crate::ewald::ewald_site_energies;
    #[pymodule_export]
    use crate::expand::expand_cells;
    #[pymodule_export]
    use crate::neighbors::neighbor_list;
    #[pymodule_export]
    use crate::pool::default_threads;
    #[pymodule_export]
    use crate::simd::simd_level;
    #[pymodule_export]
    use crate::symmetry::symmetry;
    #[pymodule_export]
    use crate::tables::tables;
    #[pymodule_export]
    use crate::valence::assign_oxidation_states;
    #[pymodule_export]
    use crate::valence::valence_methods;
    #[pymodule_export]
    use crate::voronoi::voronoi;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::simd::check_limit()?;
        module.add("CIF_VALUES", pyhpc_core::expand::tags::VALUES)?;
        module.add("CIF_COORDINATES", pyhpc_core::expand::tags::COORDINATES)?;
        module.add("CIF_OPERATORS", pyhpc_core::expand::tags::OPERATORS)?;
        module.add("COULOMB_CONSTANT", pyhpc_core::ewald::COULOMB_CONSTANT)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
