//! Physics kernels for periodic crystals, free of any binding or file format.
//!
//! Every kernel takes a [`CrystalBatch`] (a borrowed struct of arrays), runs in parallel over its
//! crystals on the current rayon pool, and returns one `Result` per crystal in batch order. A
//! crystal that fails never fails its batch, and results are the same bit for bit for any number
//! of threads.

pub mod batch;
pub mod bond_valence;
pub mod bonding;
pub mod elements;
pub mod environment;
pub mod error;
pub mod ewald;
pub mod expand;
pub mod lattice;
pub mod neighbors;
pub mod simd;
pub mod symmetry;
pub mod tables;
pub mod valence;
pub mod voronoi;

pub use batch::{Crystal, CrystalBatch};
pub use error::{BatchError, CrystalError};
pub use lattice::Lattice;
