//! Images of the asymmetric unit under the operators, merged where they coincide.

use crate::lattice::{Lattice, Vec3, dot};

use super::finding::shorten;
use super::merge::{PositionIndex, is_same_position, nearest_whole, wrap};
use super::operators::Operator;
use super::rows::Row;
use super::species::Species;
use super::{Block, Cell, Finding, Limits};

/// Images closer than this in each fractional component are one site (pymatgen's default too).
const SITE_TOLERANCE: f64 = 1e-4;
/// Order of the largest point group with its centrings: so many images fall on one site at most.
const MAX_IMAGES_PER_SITE: usize = 192;
/// Sums of occupancies this far above 1 are rounding; they are scaled without a word.
const OCCUPANCY_ROUNDING: f64 = 0.01;
/// Sums above this are no crystal.
const MAX_OCCUPANCY: f64 = 1.25;
/// Metric change above which an operator is no symmetry of the lattice. Twice the relative error
/// of an edge that is off by 1 %.
const METRIC_TOLERANCE: f64 = 0.02;

/// All images of one site of the asymmetric unit.
#[derive(Debug)]
pub struct Orbit<'a> {
    /// The first row on this position.
    pub row: Row<'a>,
    /// Wrapped images, each once.
    pub images: Vec<Vec3>,
}

/// Reads the operators; the first finding of each kind speaks for the others.
pub fn read_operators(
    block: &Block<'_>,
    lattice: &Lattice,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Operator>, Finding> {
    let rows = lattice.rows();
    let metric = rows.map(|a| rows.map(|b| dot(&a, &b)));
    let mut operators = Vec::with_capacity(block.operators.len() + 1);
    let mut mismatch: Option<Finding> = None;
    for raw in &block.operators {
        let operator =
            Operator::parse(raw).ok_or_else(|| Finding::BadOperator { text: shorten(raw) })?;
        let deviation = operator.metric_deviation(&metric);
        if deviation > METRIC_TOLERANCE && mismatch.is_none() {
            mismatch = Some(Finding::OperatorMismatch {
                text: shorten(raw),
                deviation,
            });
        }
        operators.push(operator);
    }
    findings.extend(mismatch);
    if !operators.iter().any(Operator::is_identity) {
        if !operators.is_empty() {
            findings.push(Finding::IdentityMissing {
                operators: operators.len(),
            });
        }
        operators.insert(0, Operator::IDENTITY);
    }
    Ok(operators)
}

/// Expands the rows one after the other; a row on the position of an earlier one joins it.
pub fn expand_rows<'a>(
    rows: Vec<Row<'a>>,
    operators: &[Operator],
    limits: &Limits,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Orbit<'a>>, Finding> {
    let n_images = rows.len().saturating_mul(operators.len());
    let too_many = Finding::TooManySites {
        limit: limits.max_sites,
        rows: rows.len(),
        operators: operators.len(),
    };
    if n_images > limits.max_sites.saturating_mul(MAX_IMAGES_PER_SITE) {
        return Err(too_many);
    }
    let mut index = PositionIndex::new(n_images.min(limits.max_sites), SITE_TOLERANCE);
    let mut site_orbits: Vec<usize> = Vec::new();
    let mut orbits: Vec<Orbit<'a>> = Vec::with_capacity(rows.len());
    let mut images = Vec::with_capacity(operators.len());
    for mut row in rows {
        row.frac = onto_special_position(&row.frac, operators);
        images.clear();
        images.extend(
            operators
                .iter()
                .map(|operator| wrap(&operator.apply(&row.frac))),
        );
        if let Some(site) = images.iter().find_map(|image| index.find(image)) {
            join(&mut orbits[site_orbits[site]].row, row);
            continue;
        }
        let first = site_orbits.len();
        for image in &images {
            if index.find(image).is_none() {
                index.insert(*image);
                site_orbits.push(orbits.len());
            }
        }
        if site_orbits.len() > limits.max_sites {
            return Err(too_many);
        }
        let images = index.since(first).to_vec();
        orbits.push(Orbit { row, images });
    }
    let mut worst: Option<(f64, Finding)> = None;
    for orbit in &mut orbits {
        if let Some((sum, finding)) = limit_occupancy(&mut orbit.row)?
            && worst.as_ref().is_none_or(|known| sum > known.0)
        {
            worst = Some((sum, finding));
        }
    }
    findings.extend(worst.map(|(_, finding)| finding));
    Ok(orbits)
}

/// The flat arrays of the cell.
pub fn flatten(lattice: &Lattice, orbits: &[Orbit<'_>]) -> Cell {
    let n_sites = orbits.iter().map(|orbit| orbit.images.len()).sum();
    let mut cell = Cell {
        lattice: *lattice.rows(),
        frac_coords: Vec::with_capacity(n_sites),
        asymmetric_index: Vec::with_capacity(n_sites),
        species_offsets: Vec::with_capacity(n_sites + 1),
        ..Cell::default()
    };
    cell.species_offsets.push(0);
    for (k, orbit) in orbits.iter().enumerate() {
        for image in &orbit.images {
            cell.frac_coords.push(*image);
            cell.asymmetric_index.push(k as i32);
            for species in &orbit.row.species {
                cell.atomic_numbers.push(species.atomic_number);
                cell.occupancies.push(species.occupancy);
                cell.oxidation_states.push(species.oxidation_state);
            }
            cell.species_offsets.push(cell.atomic_numbers.len() as i64);
        }
    }
    cell
}

/// The mean of a position and those images of it that coincide with it: where the site lies on a
/// symmetry element, the mean lies on it exactly, so that all images of it merge.
fn onto_special_position(frac: &Vec3, operators: &[Operator]) -> Vec3 {
    let mut sum = [0.0; 3];
    let mut count = 0.0;
    for operator in operators {
        let image = operator.apply(frac);
        if is_same_position(frac, &image, SITE_TOLERANCE) {
            for k in 0..3 {
                sum[k] += image[k] - nearest_whole(image[k] - frac[k]);
            }
            count += 1.0;
        }
    }
    // The identity is always among the operators; alone, it must not change a digit.
    if count > 1.0 {
        sum.map(|x| x / count)
    } else {
        *frac
    }
}

/// Adds the species of a further row at the same position.
fn join(first: &mut Row<'_>, other: Row<'_>) {
    for species in other.species {
        let same = first.species.iter_mut().find(|s| s.is_same_kind(&species));
        match same {
            Some(known) => known.occupancy += species.occupancy,
            None => first.species.push(species),
        }
    }
    first.has_hydrogens |= other.has_hydrogens;
}

/// Scales occupancies that sum to more than 1; the sum and a finding if that is more than rounding.
fn limit_occupancy(row: &mut Row<'_>) -> Result<Option<(f64, Finding)>, Finding> {
    let sum: f64 = row.species.iter().map(|s: &Species| s.occupancy).sum();
    if sum <= 1.0 {
        return Ok(None);
    }
    let quarantined = sum > MAX_OCCUPANCY;
    let finding = Finding::OccupancyAboveOne {
        site: shorten(row.label),
        sum,
        quarantined,
    };
    if quarantined {
        return Err(finding);
    }
    row.species.iter_mut().for_each(|s| s.occupancy /= sum);
    Ok((sum > 1.0 + OCCUPANCY_ROUNDING).then_some((sum, finding)))
}
