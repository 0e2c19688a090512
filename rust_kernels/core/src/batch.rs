//! The struct of arrays that all kernels take, and the view of one crystal in it.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{BatchError, CrystalError};
use crate::lattice::{Lattice, Mat3, Vec3};

/// Crystals with at least this many sites are also worked on in parallel within themselves.
pub const LARGE_CRYSTAL: usize = 1024;

/// Sites farther from the origin than this many cells are refused: whole cells are counted in 32
/// bits, and little is left of the digits within the cell.
pub const MAX_FRAC_COORD: f64 = 1e8;

/// No two atoms are bonded over less than this, in angstrom, unless one is hydrogen.
pub const SHORTEST_BOND: f64 = 1.0;

/// No atom is bonded to hydrogen over less than this, in angstrom (H2: 0.74).
pub const SHORTEST_BOND_TO_HYDROGEN: f64 = 0.7;

/// By how much the occupancies of alternatives may exceed 1, for they are rounded numbers.
const OCCUPANCY_TOLERANCE: f64 = 0.01;

/// Flat arrays of many crystals, borrowed from the caller. See the Python `CrystalBatch`.
#[derive(Debug, Clone, Copy)]
pub struct CrystalBatch<'a> {
    /// (n_crystals,) rows a, b, c in angstrom.
    pub lattices: &'a [Mat3],
    /// (n_crystals,) whether each lattice direction is periodic.
    pub pbc: &'a [[bool; 3]],
    /// (n_crystals + 1,) first site of each crystal.
    pub site_offsets: &'a [i64],
    /// (n_sites,) fractional coordinates, not necessarily in the home cell.
    pub frac_coords: &'a [Vec3],
    /// (n_sites,) which sites of a crystal are images of one site of its asymmetric unit; counted
    /// from 0 within each crystal, -1 where unknown.
    pub asymmetric_index: &'a [i32],
    /// (n_sites + 1,) first species entry of each site: a disordered site has several.
    pub species_offsets: &'a [i64],
    /// (n_species,) element of each entry.
    pub atomic_numbers: &'a [u8],
    /// (n_species,) fraction of the site that the entry fills.
    pub occupancies: &'a [f64],
    /// (n_species,) charge in units of e, NaN where unknown.
    pub oxidation_states: &'a [f64],
}

impl<'a> CrystalBatch<'a> {
    /// Checks lengths, offsets and atomic numbers, so that no kernel can index out of bounds.
    pub fn validate(self) -> Result<Self, BatchError> {
        let n_crystals = self.lattices.len();
        let n_sites = self.frac_coords.len();
        let n_species = self.atomic_numbers.len();
        check_length("pbc", self.pbc.len(), n_crystals)?;
        check_length("asymmetric_index", self.asymmetric_index.len(), n_sites)?;
        check_length("occupancies", self.occupancies.len(), n_species)?;
        check_length("oxidation_states", self.oxidation_states.len(), n_species)?;
        check_offsets("site_offsets", self.site_offsets, n_crystals, n_sites)?;
        check_offsets("species_offsets", self.species_offsets, n_sites, n_species)?;
        match self
            .atomic_numbers
            .iter()
            .position(|z| !(1..=118).contains(z))
        {
            Some(species) => Err(BatchError::AtomicNumber {
                species,
                found: self.atomic_numbers[species],
            }),
            None => Ok(self),
        }
    }

    /// Number of crystals.
    pub fn len(&self) -> usize {
        self.lattices.len()
    }

    /// True without crystals.
    pub fn is_empty(&self) -> bool {
        self.lattices.is_empty()
    }

    /// Global site indices of crystal `k`.
    pub fn sites(&self, k: usize) -> Range<usize> {
        self.site_offsets[k] as usize..self.site_offsets[k + 1] as usize
    }

    /// Global species entries of crystal `k`.
    pub fn species(&self, k: usize) -> Range<usize> {
        let sites = self.sites(k);
        self.species_offsets[sites.start] as usize..self.species_offsets[sites.end] as usize
    }

    /// The view of crystal `k`, once its numbers are known to be finite and its lattice sound.
    pub fn crystal(&self, k: usize) -> Result<Crystal<'a>, CrystalError> {
        let sites = self.sites(k);
        let species = self.species(k);
        let crystal = Crystal {
            lattice: Lattice::new(&self.lattices[k])?,
            pbc: self.pbc[k],
            frac_coords: &self.frac_coords[sites.clone()],
            asymmetric_index: &self.asymmetric_index[sites.clone()],
            species_offsets: &self.species_offsets[sites.start..=sites.end],
            atomic_numbers: &self.atomic_numbers[species.clone()],
            occupancies: &self.occupancies[species.clone()],
            oxidation_states: &self.oxidation_states[species],
        };
        if crystal.frac_coords.is_empty() {
            return Err(CrystalError::NoSites);
        }
        for (site, frac) in crystal.frac_coords.iter().enumerate() {
            if frac.iter().any(|x| !x.is_finite()) {
                return Err(CrystalError::NotFinite {
                    array: "frac_coords",
                    site,
                });
            }
            if let Some(&value) = frac.iter().find(|x| x.abs() > MAX_FRAC_COORD) {
                return Err(CrystalError::CoordinateOutOfRange { site, value });
            }
            if crystal.occupancies[crystal.species(site)]
                .iter()
                .any(|x| !x.is_finite())
            {
                return Err(CrystalError::NotFinite {
                    array: "occupancies",
                    site,
                });
            }
        }
        Ok(crystal)
    }

    /// Runs `kernel` on every crystal in parallel; results in batch order.
    pub fn par_map<T: Send>(
        &self,
        kernel: impl Fn(usize, &Crystal<'a>) -> Result<T, CrystalError> + Sync + Send,
    ) -> Vec<Result<T, CrystalError>> {
        self.par_map_init(|| (), |(), k, crystal| kernel(k, crystal))
    }

    /// The same with buffers that are made once for several crystals.
    pub fn par_map_init<B, T: Send>(
        &self,
        buffers: impl Fn() -> B + Sync + Send,
        kernel: impl Fn(&mut B, usize, &Crystal<'a>) -> Result<T, CrystalError> + Sync + Send,
    ) -> Vec<Result<T, CrystalError>> {
        (0..self.len())
            .into_par_iter()
            .with_max_len(8)
            .map_init(buffers, |buffers, k| {
                let crystal = self.crystal(k)?;
                kernel(buffers, k, &crystal)
            })
            .collect()
    }
}

/// One crystal of a batch: sites and species entries are counted from 0 within it.
#[derive(Debug, Clone)]
pub struct Crystal<'a> {
    /// Checked lattice.
    pub lattice: Lattice,
    /// Whether each lattice direction is periodic.
    pub pbc: [bool; 3],
    /// (n_sites,) fractional coordinates.
    pub frac_coords: &'a [Vec3],
    /// (n_sites,) site of the asymmetric unit, -1 where unknown.
    pub asymmetric_index: &'a [i32],
    species_offsets: &'a [i64],
    /// (n_species,) elements.
    pub atomic_numbers: &'a [u8],
    /// (n_species,) occupancies.
    pub occupancies: &'a [f64],
    /// (n_species,) charges, NaN where unknown.
    pub oxidation_states: &'a [f64],
}

impl Crystal<'_> {
    /// Number of sites.
    pub fn n_sites(&self) -> usize {
        self.frac_coords.len()
    }

    /// Species entries of a site.
    pub fn species(&self, site: usize) -> Range<usize> {
        let base = self.species_offsets[0];
        (self.species_offsets[site] - base) as usize
            ..(self.species_offsets[site + 1] - base) as usize
    }

    /// Whether the crystal is worth splitting among threads.
    pub fn is_large(&self) -> bool {
        self.n_sites() >= LARGE_CRYSTAL
    }

    /// Fraction of a site that its species fill together.
    pub fn site_occupancy(&self, site: usize) -> f64 {
        self.occupancies[self.species(site)].iter().sum()
    }

    /// Species entries of a site and the share of each in it: occupancies that sum to 1. The
    /// shares are equal where the site is empty.
    pub fn species_weights(&self, site: usize) -> impl Iterator<Item = (usize, f64)> {
        let species = self.species(site);
        let total = self.site_occupancy(site);
        let equal = 1.0 / species.len() as f64;
        species.map(move |entry| {
            let share = self.occupancies[entry] / total;
            (entry, if total > 0.0 { share } else { equal })
        })
    }

    /// Whether two sites at this distance are alternatives of one disordered site, which are never
    /// both there: each is filled in part, together they are filled at most once, and they are
    /// closer than atoms can be.
    pub fn are_alternatives(&self, i: usize, j: usize, distance: f64) -> bool {
        distance < SHORTEST_BOND && distance < self.alternatives_within(i, j)
    }

    /// Two sites that hold what these two hold are alternatives where they are closer than this; 0
    /// where they never are.
    pub fn alternatives_within(&self, i: usize, j: usize) -> f64 {
        let occupancies = [i, j].map(|site| self.site_occupancy(site));
        let in_part = occupancies.iter().all(|occupancy| *occupancy < 1.0)
            && occupancies.iter().sum::<f64>() <= 1.0 + OCCUPANCY_TOLERANCE;
        let hydrogen = [i, j]
            .iter()
            .any(|&site| self.atomic_numbers[self.species(site)].contains(&1));
        match (in_part, hydrogen) {
            (false, _) => 0.0,
            (true, true) => SHORTEST_BOND_TO_HYDROGEN,
            (true, false) => SHORTEST_BOND,
        }
    }

    /// For each site the first site that is the same by symmetry, itself where none is known.
    ///
    /// Where sites of one orbit hold different species or charges, the symmetry of the input is
    /// not that of the crystal as it is now, and each site stands for itself.
    pub fn representatives(&self) -> Vec<usize> {
        let n = self.n_sites();
        let mut representatives: Vec<usize> = (0..n).collect();
        // Sites of an orbit next to each other, the first one first. Mostly they are to begin with.
        let mut known: Vec<usize> = (0..n)
            .filter(|&site| self.asymmetric_index[site] >= 0)
            .collect();
        known.sort_unstable_by_key(|&site| (self.asymmetric_index[site], site));
        for orbit in known
            .chunk_by(|&one, &other| self.asymmetric_index[one] == self.asymmetric_index[other])
        {
            for &site in &orbit[1..] {
                if !self.same_species(orbit[0], site) {
                    return (0..n).collect();
                }
                representatives[site] = orbit[0];
            }
        }
        representatives
    }

    /// Whether two sites hold the same elements, occupancies and charges, in the same order.
    pub fn same_species(&self, i: usize, j: usize) -> bool {
        let (one, two) = (self.species(i), self.species(j));
        let same_charge = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        self.atomic_numbers[one.clone()] == self.atomic_numbers[two.clone()]
            && self.occupancies[one.clone()] == self.occupancies[two.clone()]
            && std::iter::zip(one, two)
                .all(|(a, b)| same_charge(self.oxidation_states[a], self.oxidation_states[b]))
    }
}

/// Maps `0..n` to a vector by index, in parallel when `parallel`; the result is the same.
pub fn map_sites<T: Send>(
    n: usize,
    parallel: bool,
    f: impl Fn(usize) -> T + Sync + Send,
) -> Vec<T> {
    if parallel {
        (0..n).into_par_iter().with_min_len(16).map(f).collect()
    } else {
        (0..n).map(f).collect()
    }
}

/// Maps `0..n` to two vectors likewise.
pub fn map_sites_to_pairs<A: Send, B: Send>(
    n: usize,
    parallel: bool,
    f: impl Fn(usize) -> (A, B) + Sync + Send,
) -> (Vec<A>, Vec<B>) {
    if parallel {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let pairs = (0..n).into_par_iter().with_min_len(16).map(f);
        pairs.unzip_into_vecs(&mut one, &mut other);
        (one, other)
    } else {
        (0..n).map(f).unzip()
    }
}

fn check_length(array: &'static str, found: usize, expected: usize) -> Result<(), BatchError> {
    if found == expected {
        Ok(())
    } else {
        Err(BatchError::Length {
            array,
            found,
            expected,
        })
    }
}

fn check_offsets(
    array: &'static str,
    offsets: &[i64],
    n_items: usize,
    end: usize,
) -> Result<(), BatchError> {
    check_length(array, offsets.len(), n_items + 1)?;
    if offsets[0] != 0 {
        return Err(BatchError::Offsets { array, position: 0 });
    }
    if let Some(position) = offsets.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(BatchError::Offsets {
            array,
            position: position + 1,
        });
    }
    if offsets[n_items] != end as i64 {
        return Err(BatchError::Offsets {
            array,
            position: n_items,
        });
    }
    Ok(())
}
