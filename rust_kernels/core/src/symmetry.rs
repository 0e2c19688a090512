//! Space group, orbits and Wyckoff letters, through moyo.

use std::panic::{AssertUnwindSafe, catch_unwind};

use moyo::MoyoDataset;
use moyo::base::{AngleTolerance, Cell, Lattice};
use moyo::data::Setting;

use crate::batch::{Crystal, CrystalBatch};
use crate::error::{BatchError, CrystalError};

/// Symmetry of one crystal; sites are counted from 0 within it.
#[derive(Debug, Clone, PartialEq)]
pub struct Symmetry {
    /// Number of the space group, 1 to 230.
    pub number: i32,
    /// (n_sites,) first site of the orbit that each site belongs to.
    pub orbits: Vec<usize>,
    /// (n_sites,) sites of the crystal in that orbit.
    pub multiplicities: Vec<usize>,
    /// (n_sites,) Wyckoff letters in ASCII.
    pub wyckoffs: Vec<u8>,
    /// Tolerance that the search ended with, in angstrom.
    pub symprec: f64,
}

/// Tolerances that are tried in turn, relative to the one asked for. Positions that match only
/// loosely make groups that do not close; a tighter tolerance then finds a subgroup, and only where
/// that fails too is a wider one tried.
const RETRIES: [f64; 5] = [1.0, 0.5, 0.1, 2.0, 0.01];

/// Occupancies are told apart in steps of this.
const OCCUPANCY_STEP: f64 = 1e-3;

/// Finds the symmetry of each crystal within `symprec` (angstrom) and, unless it follows from that,
/// `angle_tolerance` (degrees).
pub fn symmetry(
    batch: &CrystalBatch<'_>,
    symprec: f64,
    angle_tolerance: Option<f64>,
) -> Result<Vec<Result<Symmetry, CrystalError>>, BatchError> {
    if !(symprec > 0.0 && symprec.is_finite()) {
        return Err(BatchError::Parameter {
            parameter: "symprec",
            found: symprec,
            expected: "a positive number of angstrom",
        });
    }
    let angle_tolerance = match angle_tolerance {
        None => AngleTolerance::Default,
        Some(degrees) if degrees > 0.0 && degrees.is_finite() => {
            AngleTolerance::Radian(degrees.to_radians())
        }
        Some(found) => {
            return Err(BatchError::Parameter {
                parameter: "angle_tolerance",
                found,
                expected: "a positive number of degrees",
            });
        }
    };
    Ok(batch.par_map(|_, crystal| crystal_symmetry(crystal, symprec, angle_tolerance)))
}

fn crystal_symmetry(
    crystal: &Crystal<'_>,
    symprec: f64,
    angle_tolerance: AngleTolerance,
) -> Result<Symmetry, CrystalError> {
    if crystal.pbc != [true; 3] {
        return Err(CrystalError::NotPeriodic { pbc: crystal.pbc });
    }
    let positions = crystal.frac_coords.iter().map(|&frac| frac.into());
    let cell = Cell::new(
        Lattice::from_basis(*crystal.lattice.rows()),
        positions.collect(),
        species_labels(crystal),
    );
    let mut reason = String::new();
    for factor in RETRIES {
        match dataset(&cell, symprec * factor, angle_tolerance) {
            Ok(dataset) => return Ok(from_dataset(&dataset)),
            Err(found) if reason.is_empty() => reason = found,
            Err(_) => {}
        }
    }
    Err(CrystalError::SymmetryFailed { symprec, reason })
}

fn dataset(
    cell: &Cell,
    symprec: f64,
    angle_tolerance: AngleTolerance,
) -> Result<MoyoDataset, String> {
    // moyo has assertions on intermediate results that odd cells (atoms on top of each other, nearly
    // flat lattices) may violate. One such crystal must not take its batch down; nothing that the
    // search touches outlives it, so that no broken state can be seen afterwards.
    let search = || MoyoDataset::new(cell, symprec, angle_tolerance, Setting::Standard, false);
    match catch_unwind(AssertUnwindSafe(search)) {
        Ok(Ok(dataset)) if dataset.orbits.len() == cell.num_atoms() => Ok(dataset),
        Ok(Ok(_)) => Err("not every site belongs to an orbit".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the search broke off on an assertion".into()),
    }
}

fn from_dataset(dataset: &MoyoDataset) -> Symmetry {
    let mut sizes = vec![0; dataset.orbits.len()];
    for &orbit in &dataset.orbits {
        sizes[orbit] += 1;
    }
    Symmetry {
        number: dataset.number,
        multiplicities: dataset.orbits.iter().map(|&orbit| sizes[orbit]).collect(),
        orbits: dataset.orbits.clone(),
        wyckoffs: dataset
            .wyckoffs
            .iter()
            .map(|&letter| letter as u8)
            .collect(),
        symprec: dataset.symprec,
    }
}

/// A label for each site, the same where elements and occupancies are, whatever their order.
fn species_labels(crystal: &Crystal<'_>) -> Vec<i32> {
    let step = |x: f64| (x / OCCUPANCY_STEP).round() as i64;
    let contents: Vec<Vec<(u8, i64)>> = (0..crystal.n_sites())
        .map(|site| {
            let mut species: Vec<(u8, i64)> = crystal
                .species(site)
                .map(|i| (crystal.atomic_numbers[i], step(crystal.occupancies[i])))
                .collect();
            species.sort_unstable();
            species
        })
        .collect();
    let mut distinct: Vec<&Vec<(u8, i64)>> = contents.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    contents
        .iter()
        .map(|species| distinct.partition_point(|other| *other < species) as i32)
        .collect()
}
