//! Space group, orbits and Wyckoff letters.
//!
//! Operations are searched here and named by moyo. Wyckoff letters, and crystals whose operations
//! are not plain at the tolerance asked for, are left to moyo as a whole.

mod identify;
mod rotations;
mod search;
mod sites;

use std::panic::{AssertUnwindSafe, catch_unwind};

use moyo::MoyoDataset;
use moyo::base::{AngleTolerance, Cell, Lattice};
use moyo::data::Setting;

use crate::batch::{Crystal, CrystalBatch};
use crate::error::{BatchError, CrystalError};
use search::SpaceGroup;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How far an atom may be from its image, in angstrom.
    pub symprec: f64,
    /// How far angles between lattice vectors may be off, in degrees; by default what `symprec`
    /// implies for vectors of their length.
    pub angle_tolerance: Option<f64>,
    /// Whether Wyckoff letters are needed, which takes many times as long.
    pub wyckoffs: bool,
}

/// Symmetry of one crystal; sites are counted from 0 within it.
#[derive(Debug, Clone, PartialEq)]
pub struct Symmetry {
    /// Number of the space group, 1 to 230.
    pub number: i32,
    /// (n_sites,) first site of the orbit that each site belongs to.
    pub orbits: Vec<usize>,
    /// (n_sites,) sites of the crystal in that orbit.
    pub multiplicities: Vec<usize>,
    /// (n_sites,) first site of the orbit under those operations that are exact, so that what is
    /// computed for one site of the orbit holds for all.
    pub exact_orbits: Vec<usize>,
    /// (n_sites,) Wyckoff letters in ASCII, if they were asked for.
    pub wyckoffs: Option<Vec<u8>>,
    /// Tolerance that the search ended with, in angstrom.
    pub symprec: f64,
}

/// Operations count as exact that bring sites and lattice vectors within this of their images, in
/// angstrom. Atoms are two angstrom apart: an energy, `q^2 / r`, then differs between sites of an
/// orbit by some 1e-8 of itself. Coordinates of eight decimals mostly are as exact as this.
const EXACT_DISTANCE: f64 = 1e-8;

/// Tolerances that are tried in turn, relative to the one asked for. Positions that match only
/// loosely make groups that do not close; a tighter tolerance then finds a subgroup, and only where
/// that fails too is a wider one tried.
const RETRIES: [f64; 5] = [1.0, 0.5, 0.1, 2.0, 0.01];

/// Occupancies are told apart in steps of this.
const OCCUPANCY_STEP: f64 = 1e-3;

/// Finds the symmetry of each crystal.
pub fn symmetry(
    batch: &CrystalBatch<'_>,
    options: Options,
) -> Result<Vec<Result<Symmetry, CrystalError>>, BatchError> {
    let parameter = |parameter, found, expected| {
        Err(BatchError::Parameter {
            parameter,
            found,
            expected,
        })
    };
    let is_positive = |x: &f64| *x > 0.0 && x.is_finite();
    if !is_positive(&options.symprec) {
        return parameter("symprec", options.symprec, "a positive number of angstrom");
    }
    if let Some(found) = options.angle_tolerance.filter(|x| !is_positive(x)) {
        return parameter("angle_tolerance", found, "a positive number of degrees");
    }
    Ok(batch.par_map(|_, crystal| crystal_symmetry(crystal, options)))
}

fn crystal_symmetry(crystal: &Crystal<'_>, options: Options) -> Result<Symmetry, CrystalError> {
    if crystal.pbc != [true; 3] {
        return Err(CrystalError::NotPeriodic { pbc: crystal.pbc });
    }
    let symprec = options.symprec;
    let labels = species_labels(crystal);
    let group = attempt(|| {
        SpaceGroup::search(
            &crystal.lattice,
            crystal.frac_coords,
            labels.clone(),
            symprec,
            options.angle_tolerance.map(f64::to_radians),
        )
    });
    let exact_orbits = exact_orbits(crystal, group.as_ref());
    if let (Some(group), false) = (&group, options.wyckoffs)
        && let Some(number) = attempt(|| identify::number(group, symprec))
    {
        let orbits = group.orbits();
        return Ok(Symmetry {
            number,
            multiplicities: multiplicities(&orbits),
            orbits,
            exact_orbits,
            wyckoffs: None,
            symprec,
        });
    }
    let dataset = retried_dataset(crystal, labels, options)?;
    let letters = || dataset.wyckoffs.iter().map(|&letter| letter as u8);
    Ok(Symmetry {
        number: dataset.number,
        multiplicities: multiplicities(&dataset.orbits),
        exact_orbits,
        wyckoffs: options.wyckoffs.then(|| letters().collect()),
        symprec: dataset.symprec,
        orbits: dataset.orbits,
    })
}

/// Orbits that the input states, or those of the exact operations where these are fewer.
fn exact_orbits(crystal: &Crystal<'_>, group: Option<&SpaceGroup>) -> Vec<usize> {
    let stated = crystal.representatives();
    let n_orbits = |first: &[usize]| (0..first.len()).filter(|&k| first[k] == k).count();
    let are_same = |first: &[usize]| {
        let mut sites = first.iter().enumerate();
        sites.all(|(site, &first)| crystal.same_species(first, site))
    };
    group
        .map(|group| group.orbits_within(EXACT_DISTANCE))
        .filter(|found| n_orbits(found) < n_orbits(&stated) && are_same(found))
        .unwrap_or(stated)
}

/// Takes a panic for no answer: moyo has assertions on intermediate results that odd cells (atoms
/// on top of each other, nearly flat lattices) may violate. One such crystal must not take its
/// batch down; nothing that the search touches outlives it, so that no broken state can be seen
/// afterwards.
fn attempt<T>(search: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(search)).ok().flatten()
}

/// The first answer of moyo at the tolerances that are tried.
fn retried_dataset(
    crystal: &Crystal<'_>,
    labels: Vec<i32>,
    options: Options,
) -> Result<MoyoDataset, CrystalError> {
    let angle_tolerance = options
        .angle_tolerance
        .map_or(AngleTolerance::Default, |degrees| {
            AngleTolerance::Radian(degrees.to_radians())
        });
    let positions = crystal.frac_coords.iter().map(|&frac| frac.into());
    let cell = Cell::new(
        Lattice::from_basis(*crystal.lattice.rows()),
        positions.collect(),
        labels,
    );
    let mut reason = String::new();
    for factor in RETRIES {
        match dataset(&cell, options.symprec * factor, angle_tolerance) {
            Ok(dataset) => return Ok(dataset),
            Err(found) if reason.is_empty() => reason = found,
            Err(_) => {}
        }
    }
    Err(CrystalError::SymmetryFailed {
        symprec: options.symprec,
        reason,
    })
}

fn dataset(
    cell: &Cell,
    symprec: f64,
    angle_tolerance: AngleTolerance,
) -> Result<MoyoDataset, String> {
    let search = || {
        let found = MoyoDataset::new(cell, symprec, angle_tolerance, Setting::Standard, false);
        Some(found.map_err(|error| error.to_string()))
    };
    match attempt(search) {
        Some(Ok(dataset)) if dataset.orbits.len() == cell.num_atoms() => Ok(dataset),
        Some(Ok(_)) => Err("not every site belongs to an orbit".into()),
        Some(Err(error)) => Err(error),
        None => Err("the search broke off on an assertion".into()),
    }
}

/// Number of sites in the orbit of each site.
fn multiplicities(orbits: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; orbits.len()];
    for &orbit in orbits {
        sizes[orbit] += 1;
    }
    orbits.iter().map(|&orbit| sizes[orbit]).collect()
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
