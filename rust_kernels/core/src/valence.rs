//! Most probable oxidation states under charge neutrality.
//!
//! The model is the maximum a posteriori estimate of pymatgen's `BVAnalyzer` (S. P. Ong et al.,
//! Comput. Mater. Sci. 68, 314 (2013)): for each group of equivalent sites the probability of an
//! oxidation state is the Gaussian of its bond-valence sums in the ICSD times how often it occurs.
//! The neutral assignment of the highest product is found exactly, with its lead over the next.

mod composition;
mod electronegativity;
mod groups;
pub mod icsd;
pub mod neutral;

use std::f64::consts::{LN_10, TAU};

use crate::batch::{Crystal, CrystalBatch};
use crate::error::{BatchError, CrystalError};
use crate::neighbors::check_pairs;
use neutral::{Assignment, Choice, Rules, Variable};

/// Where the charges of a crystal come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Nothing was found.
    Unassigned = 0,
    /// The input states them all.
    Stated = 1,
    /// Most probable by bond-valence sums.
    BondValence = 2,
    /// Most probable whole charges of the composition, one per element.
    Composition = 3,
    /// As before, but one element has a fractional mean charge.
    MixedValence = 4,
    /// All zero: an element, an alloy, an intermetallic compound.
    Neutral = 5,
}

impl Method {
    /// Every method with its number and name.
    pub const ALL: &'static [(u8, &'static str)] = &[
        (Self::Unassigned as u8, "unassigned"),
        (Self::Stated as u8, "stated"),
        (Self::BondValence as u8, "bond_valence"),
        (Self::Composition as u8, "composition"),
        (Self::MixedValence as u8, "mixed_valence"),
        (Self::Neutral as u8, "neutral"),
    ];
}

/// Charges of one crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct Valences {
    /// (n_species,) charges in units of e.
    pub oxidation_states: Vec<f64>,
    /// Where they come from.
    pub method: Method,
    /// Logarithm of the ratio of probabilities of the best and the next assignment, infinite where
    /// there is no other, NaN where none was searched.
    pub margin: f64,
    /// Sum of occupancy times charge, in units of e.
    pub net_charge: f64,
}

/// What the search is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Factor on all distances before bond valences are taken.
    pub distance_scale: f64,
    /// Net charge that is allowed per partly filled site, in units of e.
    pub neutrality_tolerance: f64,
    /// Share of bond-valence sums that say nothing of the charge, as the coordinates are wrong.
    pub outlier_fraction: f64,
}

/// States of a site less probable than this, relative to its most probable one, are not tried, at
/// first and where that leaves nothing neutral: further down the composition says more than the
/// bonds.
const LEAST_PROBABLE: [f64; 2] = [1e-2, 1e-3];

/// As a rule, charges of one element on different sites differ by one at most, and an anion of two
/// charges (a sulfide that is also a disulfide) is ten times less probable than one of a single one.
const ALIKE: Rules = Rules {
    spread: 1,
    mixed_anion_log_p: -LN_10,
};

/// The exception (NH4NO3) has charges of any difference,
const DISPARATE: Rules = Rules {
    spread: i32::MAX,
    mixed_anion_log_p: 0.0,
};

/// must be more probable than the rule by this factor,
const DISPARATE_LEAD: f64 = 1e3;

/// and less probable than the best states of all sites, neutral or not, by less than this factor.
const DISPARATE_LOSS: f64 = 10.0;

/// An assignment within this part of the tolerance is preferred over any that needs more of it.
const CLOSE: f64 = 0.1;

/// Range of bond-valence sums that an outlier may have, in valence units.
const SUM_RANGE: f64 = 15.0;

/// Least standard deviation of bond-valence sums, in valence units: the spread of two or three
/// entries that happen to agree says nothing.
const LEAST_STD: f64 = 0.1;

/// Net charge that floating-point sums over whole charges may leave, per site, in units of e.
const ROUNDING: f64 = 1e-9;

/// Assigns a charge to each species entry of each crystal.
pub fn assign_oxidation_states(
    batch: &CrystalBatch<'_>,
    options: Options,
) -> Result<Vec<Result<Valences, CrystalError>>, BatchError> {
    if !(options.distance_scale > 0.0 && options.distance_scale.is_finite()) {
        return Err(BatchError::Parameter {
            parameter: "distance_scale",
            found: options.distance_scale,
            expected: "a positive factor",
        });
    }
    if !(options.neutrality_tolerance >= 0.0 && options.neutrality_tolerance.is_finite()) {
        return Err(BatchError::Parameter {
            parameter: "neutrality_tolerance",
            found: options.neutrality_tolerance,
            expected: "a charge in e, zero or more",
        });
    }
    if !(0.0..1.0).contains(&options.outlier_fraction) {
        return Err(BatchError::Parameter {
            parameter: "outlier_fraction",
            found: options.outlier_fraction,
            expected: "a share of at least 0 and less than 1",
        });
    }
    Ok(batch.par_map(|_, crystal| Problem::new(crystal, options).solve()))
}

/// One crystal, with what its input states.
struct Problem<'a> {
    crystal: &'a Crystal<'a>,
    options: Options,
    /// Charge of the entries that the input states.
    stated_charge: f64,
    /// Net charge that still counts as neutral.
    tolerance: f64,
}

impl<'a> Problem<'a> {
    fn new(crystal: &'a Crystal<'a>, options: Options) -> Self {
        let stated_charge = (0..crystal.atomic_numbers.len())
            .filter(|&i| crystal.oxidation_states[i].is_finite())
            .map(|i| crystal.occupancies[i] * crystal.oxidation_states[i])
            .sum();
        // Occupancies are measured and rounded, and so is the sum of charges; whole atoms are not.
        let partly_filled = (0..crystal.n_sites())
            .filter(|&site| {
                let occupancies = &crystal.occupancies[crystal.species(site)];
                occupancies.iter().any(|x| x.fract() != 0.0)
            })
            .count();
        Self {
            crystal,
            options,
            stated_charge,
            tolerance: options.neutrality_tolerance * partly_filled as f64
                + ROUNDING * crystal.n_sites() as f64,
        }
    }

    fn solve(&self) -> Result<Valences, CrystalError> {
        let states = self.crystal.oxidation_states;
        if states.iter().all(|q| q.is_finite()) {
            return Ok(self.finish(states.to_vec(), Method::Stated, f64::NAN));
        }
        if let Some(valences) = self.element() {
            return Ok(valences);
        }
        check_pairs(self.crystal, groups::CUTOFF)?;
        self.by_bond_valence()
            .or_else(|| self.by_composition())
            .ok_or(CrystalError::NoNeutralAssignment {
                tolerance: self.tolerance,
            })
    }

    /// All zero, where the crystal holds one element alone and nothing is stated.
    fn element(&self) -> Option<Valences> {
        let (first, rest) = self.crystal.atomic_numbers.split_first()?;
        let unknown = self.crystal.oxidation_states.iter().all(|q| !q.is_finite());
        (unknown && rest.iter().all(|z| z == first)).then(|| self.neutral(f64::NAN))
    }

    fn neutral(&self, margin: f64) -> Valences {
        let zeros = vec![0.0; self.crystal.atomic_numbers.len()];
        self.finish(zeros, Method::Neutral, margin)
    }

    fn by_bond_valence(&self) -> Option<Valences> {
        let crystal = self.crystal;
        // An element without statistics has no bond-valence parameters either: the sums of its
        // neighbours would lack its bonds.
        let known = |z: &u8| !icsd::sum_statistics(*z).is_empty();
        if !crystal.atomic_numbers.iter().all(known) {
            return None;
        }
        let (groups, group_of) = groups::equivalent_sites(crystal, self.options.distance_scale);
        // One variable per group and unknown entry of its site, element by element.
        let mut unknowns: Vec<(usize, usize)> = Vec::new();
        for (g, group) in groups.iter().enumerate() {
            for (k, i) in crystal.species(group.site).enumerate() {
                if !crystal.oxidation_states[i].is_finite() {
                    unknowns.push((g, k));
                }
            }
        }
        let entry = |(g, k): (usize, usize)| crystal.species(groups[g].site).start + k;
        unknowns.sort_by_key(|&unknown| crystal.atomic_numbers[entry(unknown)]);
        let variables: Vec<Variable> = unknowns
            .iter()
            .map(|&unknown| {
                let group = &groups[unknown.0];
                let i = entry(unknown);
                Variable {
                    element: crystal.atomic_numbers[i],
                    atoms: group.multiplicity as f64 * crystal.occupancies[i],
                    choices: choices(
                        crystal.atomic_numbers[i],
                        group.sum,
                        self.options.outlier_fraction,
                    ),
                }
            })
            .collect();
        let (best, margin) = LEAST_PROBABLE
            .iter()
            .find_map(|least| self.most_probable(&variables, *least))?;
        let mut of_group: Vec<Vec<f64>> = groups
            .iter()
            .map(|group| crystal.oxidation_states[crystal.species(group.site)].to_vec())
            .collect();
        for (&(g, k), charge) in unknowns.iter().zip(best.charges) {
            of_group[g][k] = f64::from(charge);
        }
        let charges = group_of.iter().flat_map(|&g| of_group[g].iter().copied());
        Some(self.finish(charges.collect(), Method::BondValence, margin))
    }

    /// The most probable neutral choice among states that are not too improbable on their site.
    fn most_probable(&self, variables: &[Variable], least: f64) -> Option<(Assignment, f64)> {
        let highest = |variable: &Variable| {
            let values = variable.choices.iter().map(|choice| choice.log_p);
            values.fold(f64::NEG_INFINITY, f64::max)
        };
        let mut probable = variables.to_vec();
        for variable in &mut probable {
            let floor = highest(variable) + least.ln();
            variable.choices.retain(|choice| choice.log_p > floor);
        }
        let search = |rules| {
            let within =
                |tolerance| neutral::most_probable(&probable, self.stated_charge, tolerance, rules);
            within(CLOSE * self.tolerance).or_else(|| within(self.tolerance))
        };
        let alike = search(ALIKE);
        // No assignment is more probable than that of the most probable states, neutral or not.
        let bound: f64 = probable.iter().map(highest).sum();
        let needed = alike
            .as_ref()
            .map_or(f64::NEG_INFINITY, |(best, _)| {
                best.log_p + DISPARATE_LEAD.ln()
            })
            .max(bound - DISPARATE_LOSS.ln());
        let disparate = (bound > needed).then(|| search(DISPARATE)).flatten();
        disparate.filter(|(best, _)| best.log_p > needed).or(alike)
    }

    fn by_composition(&self) -> Option<Valences> {
        let crystal = self.crystal;
        let mut atoms = [0.0; 119];
        for (i, &z) in crystal.atomic_numbers.iter().enumerate() {
            if !crystal.oxidation_states[i].is_finite() {
                atoms[usize::from(z)] += crystal.occupancies[i];
            }
        }
        let unknown: Vec<(u8, f64)> = (1..119u8)
            .map(|z| (z, atoms[usize::from(z)]))
            .filter(|(_, atoms)| *atoms > 0.0)
            .collect();
        let all_unknown = !crystal.oxidation_states.iter().any(|q| q.is_finite());
        let solution =
            composition::solve(&unknown, self.stated_charge, self.tolerance, all_unknown)?;
        let charges = (0..crystal.atomic_numbers.len()).map(|i| {
            let stated = crystal.oxidation_states[i];
            if stated.is_finite() {
                return stated;
            }
            let mut found = unknown.iter().zip(&solution.charges);
            let charge = found.find(|((z, _), _)| *z == crystal.atomic_numbers[i]);
            charge.map_or(0.0, |(_, charge)| *charge)
        });
        Some(self.finish(charges.collect(), solution.method, solution.margin))
    }

    fn finish(&self, oxidation_states: Vec<f64>, method: Method, margin: f64) -> Valences {
        let occupancies = self.crystal.occupancies;
        let net_charge = occupancies
            .iter()
            .zip(&oxidation_states)
            .map(|(x, q)| x * q)
            .sum();
        Valences {
            oxidation_states,
            method,
            margin,
            net_charge,
        }
    }
}

/// Oxidation states of an element at a bond-valence sum, with their probabilities.
fn choices(z: u8, sum: f64, outlier_fraction: f64) -> Vec<Choice> {
    let log_outlier = outlier_fraction.ln() - SUM_RANGE.ln();
    let mut choices: Vec<Choice> = icsd::sum_statistics(z)
        .iter()
        .filter(|state| state.std > 0.0)
        .map(|state| {
            let std = state.std.max(LEAST_STD);
            let deviation = (sum - state.mean) / std;
            let log_gaussian = -0.5 * (deviation * deviation + TAU.ln()) - std.ln();
            Choice {
                charge: state.charge,
                log_p: state.occurrence.ln()
                    + log_sum((1.0 - outlier_fraction).ln() + log_gaussian, log_outlier),
            }
        })
        .collect();
    let total = choices
        .iter()
        .map(|choice| choice.log_p)
        .fold(f64::NEG_INFINITY, log_sum);
    for choice in &mut choices {
        choice.log_p -= total;
    }
    choices
}

/// `ln(exp(a) + exp(b))`, where either may be minus infinity.
fn log_sum(a: f64, b: f64) -> f64 {
    let (high, low) = (a.max(b), a.min(b));
    if low == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}
