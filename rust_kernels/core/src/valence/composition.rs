//! Charges from the composition alone: one per element, by how often states occur in the ICSD.

use super::Method;
use super::electronegativity::electronegativity;
use super::icsd;
use super::neutral::{self, Choice, Rules, Sums, Variable, best_and_margin};

/// Whole charges are tried that at least this share of an element's charged entries hold.
const COMMON: f64 = 0.05;

/// A mean charge may lie between states that at least this share of them hold.
const KNOWN: f64 = 0.01;

/// Elements that differ by at least this much in electronegativity do not form an alloy: their bond
/// is half ionic (L. Pauling, The Nature of the Chemical Bond, 3rd ed. (1960), table 3-10).
const IONIC: f64 = 1.7;

/// There is one charge per element.
const RULES: Rules = Rules {
    spread: 0,
    mixed_anion_log_p: 0.0,
};

/// Charges of the elements, in the order of the input.
pub struct Solution {
    /// (n_elements,) charges in units of e.
    pub charges: Vec<f64>,
    /// How they were found.
    pub method: Method,
    /// Lead of the log-probability over the next assignment found the same way or metallic.
    pub margin: f64,
}

/// The most probable neutral charges of elements, given with their numbers of atoms and by rising
/// atomic number, beside charges that are fixed.
///
/// Whole charges first; where none are neutral, one element has a fractional mean charge between two
/// of its common states, at the log-probability interpolated between them. Where all charges are
/// unknown and no two elements differ so much that their bond must be ionic, both compete with zero
/// for all, at the share of each element's entries that are metallic.
pub fn solve(
    atoms: &[(u8, f64)],
    fixed_charge: f64,
    tolerance: f64,
    all_unknown: bool,
) -> Option<Solution> {
    let states: Vec<States> = atoms.iter().map(|&(z, n)| States::new(z, n)).collect();
    let charged = whole(&states, fixed_charge, tolerance)
        .or_else(|| mixed(&states, fixed_charge, false))
        .or_else(|| mixed(&states, fixed_charge, true));
    let metallic: f64 = states.iter().map(|s| log_share(s.element, 0)).sum();
    let may_be_metallic = all_unknown && !is_ionic(atoms) && metallic.is_finite();
    match charged {
        Some(found) if !may_be_metallic || found.log_p >= metallic => {
            let lead = found.log_p - metallic;
            Some(Solution {
                margin: if may_be_metallic {
                    found.margin.min(lead)
                } else {
                    found.margin
                },
                charges: found.charges,
                method: found.method,
            })
        }
        other => may_be_metallic.then(|| Solution {
            charges: vec![0.0; atoms.len()],
            method: Method::Neutral,
            margin: other.map_or(f64::INFINITY, |found| metallic - found.log_p),
        }),
    }
}

/// Whether two elements differ so much that their bond must be ionic.
fn is_ionic(atoms: &[(u8, f64)]) -> bool {
    let values = || atoms.iter().filter_map(|&(z, _)| electronegativity(z));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    high - low >= IONIC
}

/// An element of the crystal and the states it is known in.
struct States {
    element: u8,
    atoms: f64,
    /// Common charged states, by rising charge.
    common: Vec<Choice>,
    /// Charged states that are known well enough to bound a mean charge.
    known: Vec<Choice>,
}

/// Charges that at least `share` of an element's charged entries hold, rising, with the logarithms
/// of their shares of all entries.
fn charged_states(z: u8, share: f64) -> Vec<Choice> {
    let charged = || {
        icsd::state_counts(z)
            .iter()
            .filter(|state| state.charge != 0)
    };
    let total: f64 = charged().map(|state| state.compounds).sum();
    charged()
        .filter(|state| state.compounds >= share * total)
        .map(|state| Choice {
            charge: state.charge,
            log_p: log_share(z, state.charge),
        })
        .collect()
}

/// Logarithm of the share of an element's entries that are in one state.
fn log_share(z: u8, charge: i32) -> f64 {
    let counts = icsd::state_counts(z);
    let total: f64 = counts.iter().map(|state| state.compounds).sum();
    let state = counts.iter().find(|state| state.charge == charge);
    state.map_or(f64::NEG_INFINITY, |state| (state.compounds / total).ln())
}

/// The best charges found in one way.
struct Found {
    charges: Vec<f64>,
    method: Method,
    log_p: f64,
    margin: f64,
}

impl States {
    fn new(element: u8, atoms: f64) -> Self {
        Self {
            element,
            atoms,
            common: charged_states(element, COMMON),
            known: charged_states(element, KNOWN),
        }
    }

    fn variable(&self) -> Variable {
        Variable {
            element: self.element,
            atoms: self.atoms,
            choices: self.common.clone(),
        }
    }

    /// States between which a mean charge may lie. Atoms of a nonmetal bond to each other (O2-,
    /// I3-, N3-) and are then partly uncharged; those of a metal seldom.
    fn range(&self, subvalent_metals: bool) -> Vec<Choice> {
        let mut range = self.known.clone();
        let nonmetal = range.iter().any(|choice| choice.charge < 0);
        if nonmetal || subvalent_metals {
            let log_p = log_share(self.element, 0);
            if log_p.is_finite() {
                range.push(Choice { charge: 0, log_p });
                range.sort_by_key(|choice| choice.charge);
            }
        }
        range
    }
}

/// Whole charges.
fn whole(states: &[States], fixed_charge: f64, tolerance: f64) -> Option<Found> {
    let variables: Vec<Variable> = states.iter().map(States::variable).collect();
    let (best, margin) = neutral::most_probable(&variables, fixed_charge, tolerance, RULES)?;
    Some(Found {
        charges: best.charges.iter().map(|&q| f64::from(q)).collect(),
        method: Method::Composition,
        log_p: best.log_p,
        margin,
    })
}

/// Whole charges but for one element, which takes what makes the crystal neutral.
fn mixed(states: &[States], fixed_charge: f64, subvalent_metals: bool) -> Option<Found> {
    let mut ways = Vec::new();
    for (k, state) in states.iter().enumerate() {
        let range = state.range(subvalent_metals);
        let (Some(least), Some(most)) = (range.first(), range.last()) else {
            continue;
        };
        let others: Vec<Variable> = (0..states.len())
            .filter(|&other| other != k)
            .map(|other| states[other].variable())
            .collect();
        let reach = (
            -fixed_charge - state.atoms * f64::from(most.charge),
            -fixed_charge - state.atoms * f64::from(least.charge),
        );
        let sums = Sums::new(&others, reach.0..=reach.1, RULES);
        for (way, (charge, log_p)) in sums.iter().enumerate() {
            // Adding zero turns -0 into 0.
            let mean = -(fixed_charge + charge) / state.atoms + 0.0;
            if let Some(mixture) = interpolate(&range, mean) {
                let mut charges: Vec<f64> = sums
                    .assignment(way)
                    .charges
                    .into_iter()
                    .map(f64::from)
                    .collect();
                charges.insert(k, mean);
                ways.push((log_p + mixture, charges));
            }
        }
    }
    let log_p: Vec<f64> = ways.iter().map(|(log_p, _)| *log_p).collect();
    let (best, margin) = best_and_margin(&log_p)?;
    let (log_p, charges) = ways.swap_remove(best);
    Some(Found {
        charges,
        method: Method::MixedValence,
        log_p,
        margin,
    })
}

/// Log-probability of a mean charge: that of the states on either side, by their shares.
fn interpolate(range: &[Choice], mean: f64) -> Option<f64> {
    range.windows(2).find_map(|pair| {
        let (low, high) = (f64::from(pair[0].charge), f64::from(pair[1].charge));
        let share = (mean - low) / (high - low);
        (0.0..=1.0)
            .contains(&share)
            .then(|| (1.0 - share) * pair[0].log_p + share * pair[1].log_p)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::atomic_number;

    fn solution(formula: &[(&str, f64)], tolerance: f64) -> Option<Solution> {
        let mut atoms: Vec<(u8, f64)> = formula
            .iter()
            .map(|&(symbol, n)| (atomic_number(symbol).unwrap(), n))
            .collect();
        atoms.sort_by_key(|(z, _)| *z);
        solve(&atoms, 0.0, tolerance, true)
    }

    fn check(formula: &[(&str, f64)], method: Method, expected: &[f64]) {
        let found = solution(formula, 1e-9).unwrap();
        assert_eq!(found.method, method, "{formula:?}");
        for (charge, expected) in found.charges.iter().zip(expected) {
            assert!(
                (charge - expected).abs() < 1e-9,
                "{formula:?}: {:?}",
                found.charges
            );
        }
    }

    #[test]
    fn known_compounds_by_rising_atomic_number() {
        use Method::{Composition, MixedValence, Neutral};
        check(
            &[("O", 6.0), ("Sr", 3.0), ("Zn", 1.0), ("Pt", 1.0)],
            Composition,
            &[-2.0, 2.0, 2.0, 4.0],
        );
        check(&[("O", 4.0), ("Fe", 3.0)], MixedValence, &[-2.0, 8.0 / 3.0]);
        check(
            &[("Li", 1.0), ("O", 4.0), ("Mn", 2.0)],
            MixedValence,
            &[1.0, -2.0, 3.5],
        );
        check(&[("O", 2.0), ("K", 1.0)], MixedValence, &[-0.5, 1.0]);
        check(&[("N", 3.0), ("Na", 1.0)], MixedValence, &[-1.0 / 3.0, 1.0]);
        check(
            &[("Si", 1.0), ("Co", 1.0), ("Nb", 4.0)],
            Neutral,
            &[0.0, 0.0, 0.0],
        );
        check(&[("Ni", 5.0), ("La", 1.0)], Neutral, &[0.0, 0.0]);
    }

    #[test]
    fn suboxide_of_two_metals_is_neither_ionic_nor_metallic() {
        assert!(solution(&[("O", 1.0), ("Ni", 2.0), ("Zr", 6.0)], 1e-9).is_none());
    }

    #[test]
    fn tolerance_spares_a_fractional_charge() {
        let formula = [("Li", 1.99), ("O", 1.0)];
        assert!(matches!(solution(&formula, 0.02), Some(s) if s.method == Method::Composition));
        assert!(matches!(solution(&formula, 1e-9), Some(s) if s.method == Method::MixedValence));
    }
}
