//! Ewald site energies with an a-priori error bound.
//!
//! The energy of site `i` is `q_i phi_i / 2`, with the potential `phi_i` of all other charges,
//! their images and a uniform background that neutralizes the cell, so that site energies sum to
//! the total energy per cell. The convention (conducting surroundings) is that of P. P. Ewald,
//! Ann. Phys. 369, 253 (1921), doi:10.1002/andp.19213690304 (his Gaussian is replaced by a window that
//! needs fewer pairs and waves, see [`window`]), and for the background that of
//! M. Leslie and M. J. Gillan, J. Phys. C 18, 973 (1985), doi:10.1088/0022-3719/18/5/005.

mod mesh;
mod parameters;
mod real;
mod reciprocal;
mod window;

use std::f64::consts::PI;

use crate::batch::{Crystal, CrystalBatch, map_sites};
use crate::error::{BatchError, CrystalError};
use crate::lattice::{Lattice, Vec3};
use crate::simd;
use parameters::{ChargeSums, MeshParameters, Parameters};
use real::Potential;
use reciprocal::Charges;

/// `e^2 / (4 pi epsilon_0)` in eV angstrom (CODATA 2018).
pub const COULOMB_CONSTANT: f64 = 14.399_645_478_425_668;

/// Numbers that are treated together: a register of AVX-512, or two of AVX2.
const LANES: usize = 8;

/// One number for each lane.
type Lanes = [f64; LANES];

/// Accuracies that may be asked for.
const ACCURACIES: [f64; 2] = [1e-14, 0.1];

/// Rounding errors of a site energy over machine epsilon and the sum of its absolute terms: an
/// estimate, several times what changing alpha at the highest accuracy shows.
const ROUNDING: f64 = 16.0;

/// How the reciprocal part is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// In the way that is expected to take less time.
    Auto,
    /// Wave by wave: the time grows as the number of sites to the power of 3/2.
    Direct,
    /// On a particle mesh: the time grows as n log n.
    Mesh,
}

/// Energies of one crystal in eV.
#[derive(Debug, Clone, PartialEq)]
pub struct Ewald {
    /// (n_sites,) real-space, reciprocal, self and background part of each site energy.
    pub parts: Vec<[f64; 4]>,
    /// (n_sites,) their sums.
    pub site_energies: Vec<f64>,
    /// Sum of the site energies.
    pub total_energy: f64,
    /// Bound on the error of any site energy.
    pub error_bound: f64,
    /// Charge of the cell in units of e.
    pub net_charge: f64,
    /// How the sum was split and cut; none where nothing is charged.
    pub cut: Option<Cut>,
}

/// How an Ewald sum was split and cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Splitting parameter in 1/angstrom: that of the Gaussian about as wide as the window.
    pub alpha: f64,
    /// Pairs up to this distance in angstrom were summed.
    pub real_cutoff: f64,
    /// Waves up to this length in 1/angstrom (with the factor 2 pi) were summed.
    pub reciprocal_cutoff: f64,
    /// Points of the mesh along the vectors of the reduced basis, if there was one.
    pub mesh: Option<[usize; 3]>,
}

/// Ewald site energies of each crystal.
///
/// `accuracy` is relative to the mean square charge at the mean distance of the charges. `alpha`
/// (1/angstrom) replaces the splitting parameter that would cost the least. A mesh is not used where
/// it would have to be too fine for the accuracy, whatever the method.
pub fn ewald_site_energies(
    batch: &CrystalBatch<'_>,
    accuracy: f64,
    alpha: Option<f64>,
    method: Method,
) -> Result<Vec<Result<Ewald, CrystalError>>, BatchError> {
    let [smallest, largest] = ACCURACIES;
    if !(smallest..=largest).contains(&accuracy) {
        return Err(BatchError::Parameter {
            parameter: "accuracy",
            found: accuracy,
            expected: "a relative error from 1e-14 to 0.1",
        });
    }
    if let Some(found) = alpha.filter(|alpha| !(*alpha > 0.0 && alpha.is_finite())) {
        return Err(BatchError::Parameter {
            parameter: "alpha",
            found,
            expected: "a positive number of 1/angstrom",
        });
    }
    Ok(batch.par_map(|_, crystal| crystal_energies(crystal, accuracy, alpha, method)))
}

fn crystal_energies(
    crystal: &Crystal<'_>,
    accuracy: f64,
    alpha: Option<f64>,
    method: Method,
) -> Result<Ewald, CrystalError> {
    if crystal.pbc != [true; 3] {
        return Err(CrystalError::NotPeriodic { pbc: crystal.pbc });
    }
    let charges = site_charges(crystal)?;
    let n = crystal.n_sites();
    let net_charge: f64 = charges.iter().sum();
    let stands_for = crystal.representatives();
    let is_charged = |site: &usize| charges[*site] != 0.0;
    let (targets, others): (Vec<usize>, Vec<usize>) = (0..n)
        .filter(is_charged)
        .partition(|site| stands_for[*site] == *site);
    if targets.is_empty() {
        return Ok(Ewald {
            parts: vec![[0.0; 4]; n],
            site_energies: vec![0.0; n],
            total_energy: 0.0,
            error_bound: 0.0,
            net_charge,
            cut: None,
        });
    }
    let sums = ChargeSums {
        n_charged: (targets.len() + others.len()) as f64,
        n_distinct: targets.len() as f64,
        absolute: charges.iter().map(|q| q.abs()).sum(),
        largest: charges.iter().fold(0.0, |most, q| q.abs().max(most)),
        squared: charges.iter().map(|q| q * q).sum(),
    };
    // Waves and mesh are fewer along vectors that are as upright as can be.
    let (basis, _) = crystal.lattice.reduced(crystal.pbc);
    let parameters = Parameters::new(&basis, &sums, accuracy, alpha, method)?;

    let place = |frac: &Vec3| {
        let cell = frac.map(simd::fraction);
        let frac = basis.to_frac(&crystal.lattice.to_cart(&cell));
        frac.map(simd::fraction)
    };
    let sites = [targets.as_slice(), &others].concat();
    let sources = Charges {
        frac_coords: map_sites(sites.len(), crystal.is_large(), |k| {
            place(&crystal.frac_coords[sites[k]])
        }),
        charges: sites.iter().map(|&site| charges[site]).collect(),
        n_targets: targets.len(),
        sites,
    };
    let real = real::potentials(crystal, &basis, &sources, &parameters)?;
    let (reciprocal, aliasing, mesh) = match parameters.mesh {
        Some(mesh) => mesh_potentials(&basis, &sources, &sums, &parameters, mesh),
        None => {
            let waves = reciprocal::potentials(&basis, &sources, &parameters, crystal.is_large());
            (waves, 0.0, None)
        }
    };

    let Parameters { window, r_cut, .. } = parameters;
    let self_factor = -window.at_zero / r_cut;
    let background =
        -2.0 * PI * net_charge * window.mean_square * r_cut * r_cut / crystal.lattice.volume();
    let mut parts = vec![[0.0; 4]; n];
    let mut rounding = 0.0_f64;
    for (&site, (real, reciprocal)) in targets.iter().zip(real.iter().zip(&reciprocal)) {
        let charge = charges[site];
        let half = 0.5 * COULOMB_CONSTANT * charge;
        let own = self_factor * charge;
        parts[site] = [real.value, reciprocal.value, own, background].map(|phi| half * phi);
        let magnitude = real.magnitude + reciprocal.magnitude + own.abs() + background.abs();
        let fits = real.fit_error + reciprocal.fit_error;
        let error = ROUNDING * f64::EPSILON * magnitude + fits;
        rounding = rounding.max(half.abs() * error);
    }
    for site in others {
        parts[site] = parts[stands_for[site]];
    }
    let site_energies: Vec<f64> = parts.iter().map(|parts| parts.iter().sum()).collect();
    Ok(Ewald {
        total_energy: site_energies.iter().sum(),
        site_energies,
        parts,
        error_bound: parameters.truncation + aliasing + rounding,
        net_charge,
        cut: Some(Cut {
            alpha: parameters.alpha,
            real_cutoff: r_cut,
            reciprocal_cutoff: parameters.k_cut,
            mesh,
        }),
    })
}

/// Potentials from a mesh that is fine enough, a bound in eV on the error that it makes, and its
/// size.
///
/// The size of the mesh comes from an estimate, which may be short where waves are few; the bound is
/// a sum over all waves.
fn mesh_potentials(
    basis: &Lattice,
    sources: &Charges,
    sums: &ChargeSums,
    parameters: &Parameters,
    mut mesh: MeshParameters,
) -> (Vec<Potential>, f64, Option<[usize; 3]>) {
    loop {
        let size = mesh.size;
        let found = mesh::potentials(basis, sources, parameters, size);
        let aliasing = sums.coupling() * found.aliasing;
        if aliasing <= mesh.aliasing {
            return (found.potentials, aliasing, Some(size));
        }
        mesh = mesh.finer();
    }
}

/// Mean charge of each site.
fn site_charges(crystal: &Crystal<'_>) -> Result<Vec<f64>, CrystalError> {
    let charge = |site| {
        let species = crystal.species(site);
        let occupancies = &crystal.occupancies[species.clone()];
        let states = &crystal.oxidation_states[species];
        if states.iter().any(|state| state.is_nan()) {
            return Err(CrystalError::MissingOxidationStates { site });
        }
        if states.iter().any(|state| state.is_infinite()) {
            let array = "oxidation_states";
            return Err(CrystalError::NotFinite { array, site });
        }
        Ok(occupancies.iter().zip(states).map(|(x, q)| x * q).sum())
    };
    (0..crystal.n_sites()).map(charge).collect()
}
