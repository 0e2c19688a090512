//! Whether the expanded cell is what the file says of itself.

use crate::batch::CrystalBatch;
use crate::lattice::Lattice;
use crate::neighbors::NeighborGrid;

use super::finding::{shorten, symbol};
use super::formula::Composition;
use super::numbers::parse_number;
use super::sites::Orbit;
use super::{Block, Cell, Finding};

/// Sites closer than this can't both be filled, in angstrom.
const MIN_DISTANCE: f64 = 0.5;
/// Alternatives of one disordered site fill it once, up to rounding.
const MAX_SHARED_OCCUPANCY: f64 = 1.02;
/// Relative difference of volumes beyond rounding of the cell lengths.
const VOLUME_TOLERANCE: f64 = 0.01;
/// Relative difference of an element's amount that rounding of occupancies explains.
const OCCUPANCY_TOLERANCE: f64 = 0.02;
/// Amounts in a formula are written to two digits at least.
const FORMULA_ROUNDING: f64 = 0.006;
/// Smallest difference in atoms per cell that counts.
const AMOUNT_TOLERANCE: f64 = 0.02;

/// Appends what does not agree.
pub fn check(
    block: &Block<'_>,
    lattice: &Lattice,
    formula: Option<&Composition>,
    n_operators: usize,
    orbits: &[Orbit<'_>],
    cell: &Cell,
    findings: &mut Vec<Finding>,
) {
    findings.extend(check_volume(block, lattice));
    findings.extend(check_multiplicities(orbits, n_operators));
    findings.extend(check_contents(block, formula, orbits));
    findings.extend(check_distances(cell));
}

fn check_volume(block: &Block<'_>, lattice: &Lattice) -> Option<Finding> {
    let stated = parse_number(block.volume).filter(|volume| *volume > 0.0)?;
    let found = lattice.volume();
    let differs = (stated - found).abs() > VOLUME_TOLERANCE * found;
    differs.then_some(Finding::VolumeMismatch { stated, found })
}

/// Declared multiplicities are numbers of images, or (in files of an older habit) the orders of the
/// site symmetries; a file that is right in either sense is right.
fn check_multiplicities(orbits: &[Orbit<'_>], n_operators: usize) -> Option<Finding> {
    let declared = || {
        orbits
            .iter()
            .filter_map(|orbit| Some((orbit, orbit.row.multiplicity?)))
    };
    let is_order = |(orbit, declared): (&Orbit<'_>, f64)| {
        declared * orbit.images.len() as f64 == n_operators as f64
    };
    if declared().all(is_order) {
        return None;
    }
    let mut wrong = declared().filter(|(orbit, declared)| orbit.images.len() as f64 != *declared);
    let (orbit, declared) = wrong.next()?;
    Some(Finding::MultiplicityMismatch {
        site: shorten(orbit.row.label),
        found: orbit.images.len(),
        declared,
        others: wrong.count(),
    })
}

/// Contents against the formula times Z. Without Z, any whole multiple of the formula will do; and
/// since many programs write the contents of the cell as its formula, so will the formula itself.
fn check_contents(
    block: &Block<'_>,
    formula: Option<&Composition>,
    orbits: &[Orbit<'_>],
) -> Option<Finding> {
    let without_position = orbits
        .iter()
        .filter(|orbit| orbit.row.has_hydrogens)
        .count();
    let Some(formula) = formula else {
        let detail = || format!("{without_position} sites of the file have hydrogens attached");
        return (without_position > 0).then(|| Finding::ImplicitHydrogen { detail: detail() });
    };
    let mut contents: Composition = [0.0; 119];
    let mut is_partial = false;
    for orbit in orbits {
        for species in &orbit.row.species {
            let amount = species.occupancy * orbit.images.len() as f64;
            contents[usize::from(species.atomic_number)] += amount;
            is_partial |= species.occupancy < 1.0;
        }
    }
    let relative = if is_partial { OCCUPANCY_TOLERANCE } else { 0.0 };
    let differences = |multiple: f64| -> Vec<usize> {
        let differs = |z: &usize| {
            let expected = formula[*z] * multiple;
            let rounding = if formula[*z].fract() == 0.0 {
                0.0
            } else {
                FORMULA_ROUNDING * multiple
            };
            (contents[*z] - expected).abs() > relative * expected + rounding + AMOUNT_TOLERANCE
        };
        (1..formula.len()).filter(differs).collect()
    };
    let stated = parse_number(block.formula_units).filter(|z| *z > 0.0);
    let heavy = |composition: &Composition| composition[2..].iter().sum::<f64>();
    let ratio = match (heavy(formula), heavy(&contents)) {
        (0.0, _) | (_, 0.0) => contents[1] / formula[1],
        (of_formula, of_contents) => of_contents / of_formula,
    };
    let multiple = stated.unwrap_or_else(|| ratio.round().max(1.0));
    let wrong = differences(multiple);
    if wrong.is_empty() || differences(1.0).is_empty() {
        return None;
    }
    let rule = match stated {
        Some(z) => format!("formula times Z = {z}"),
        None => format!("formula times {multiple}, the nearest whole number"),
    };
    let list = |amounts: &dyn Fn(usize) -> f64| {
        let items = wrong
            .iter()
            .take(4)
            .map(|z| format!("{} {:.2}", symbol(*z as u8), amounts(*z)));
        items.collect::<Vec<_>>().join(", ")
    };
    let (found, expected) = (list(&|z| contents[z]), list(&|z| formula[z] * multiple));
    if wrong == [1] && contents[1] < formula[1] * multiple {
        let detail = format!("cell holds {found}, expected {expected} ({rule})");
        return Some(Finding::ImplicitHydrogen { detail });
    }
    Some(Finding::FormulaMismatch {
        found,
        expected,
        rule,
    })
}

/// Pairs of sites that are too close for both to be filled.
fn check_distances(cell: &Cell) -> Option<Finding> {
    let site_offsets = [0, cell.frac_coords.len() as i64];
    let batch = CrystalBatch {
        lattices: &[cell.lattice],
        pbc: &[[true; 3]],
        site_offsets: &site_offsets,
        frac_coords: &cell.frac_coords,
        asymmetric_index: &cell.asymmetric_index,
        species_offsets: &cell.species_offsets,
        atomic_numbers: &cell.atomic_numbers,
        occupancies: &cell.occupancies,
        oxidation_states: &cell.oxidation_states,
    };
    let crystal = batch.crystal(0).ok()?;
    let grid = NeighborGrid::new(&crystal, MIN_DISTANCE);
    let occupancy =
        |site: usize| -> f64 { crystal.occupancies[crystal.species(site)].iter().sum() };
    let mut closest: Option<(usize, usize, f64, f64)> = None;
    let mut pairs = 0;
    for i in 0..crystal.n_sites() {
        grid.for_each(i, |neighbor| {
            let j = neighbor.site;
            // Each pair comes from both sides; a site with its own image comes twice as well.
            if j < i || (j == i && neighbor.shift < [0; 3]) {
                return;
            }
            let sum = occupancy(i) + occupancy(j);
            if sum > MAX_SHARED_OCCUPANCY {
                pairs += 1;
                if closest.is_none_or(|known| neighbor.distance < known.2) {
                    closest = Some((i, j, neighbor.distance, sum));
                }
            }
        });
    }
    let (i, j, distance, occupancy) = closest?;
    let element = |site: usize| {
        crystal
            .atomic_numbers
            .get(crystal.species(site).start)
            .copied()
            .unwrap_or_default()
    };
    Some(Finding::CloseSites {
        elements: (element(i), element(j)),
        distance,
        occupancy,
        others: pairs - 1,
    })
}
