//! From the columns of a CIF block to the sites of a unit cell, and what there is to doubt.
//!
//! The syntax of plain files is read by [`read_plain`], that of others elsewhere; raw values
//! (strings as they stand in the file) become a crystal: cell, operators, species, images under the
//! operators, and a check of the contents against what the file says of itself. Nothing is ever
//! evaluated, and the work on a block is bounded by [`Limits`] before it is done.

mod cell;
mod check;
mod finding;
mod formula;
mod merge;
mod numbers;
mod operators;
mod plain;
mod rows;
mod sites;
mod species;
pub mod tags;

use rayon::prelude::*;

use crate::lattice::{Mat3, Vec3};

pub use finding::Finding;
pub use plain::read_plain;

/// Raw values of one block, empty where the block does not have them.
#[derive(Debug, Clone, Default)]
pub struct Block<'a> {
    /// `_cell_length_a` to `_cell_angle_gamma`.
    pub cell: [&'a str; 6],
    /// `_cell_volume`.
    pub volume: &'a str,
    /// `_cell_formula_units_Z`.
    pub formula_units: &'a str,
    /// `_chemical_formula_sum`.
    pub formula: &'a str,
    /// Operators as coordinate triplets; none means the identity alone.
    pub operators: Vec<&'a str>,
    /// Tags of the loop with the coordinates.
    pub site_tags: Vec<&'a str>,
    /// Its values, row after row.
    pub site_values: Vec<&'a str>,
    /// `_atom_type_symbol`.
    pub type_symbols: Vec<&'a str>,
    /// `_atom_type_oxidation_number`.
    pub type_charges: Vec<&'a str>,
}

/// Bounds on one crystal.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most sites in the cell.
    pub max_sites: usize,
    /// Shortest edge and distance between lattice planes, in angstrom.
    pub min_cell_edge: f64,
    /// Longest edge in angstrom.
    pub max_cell_edge: f64,
}

/// One unit cell; the arrays are those of a `CrystalBatch`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// Rows a, b, c in angstrom: a along x, b in the xy plane.
    pub lattice: Mat3,
    /// (n_sites,) in [0, 1).
    pub frac_coords: Vec<Vec3>,
    /// (n_sites,) row of the asymmetric unit.
    pub asymmetric_index: Vec<i32>,
    /// (n_sites + 1,) first species entry of each site.
    pub species_offsets: Vec<i64>,
    /// (n_species,) elements.
    pub atomic_numbers: Vec<u8>,
    /// (n_species,) occupancies.
    pub occupancies: Vec<f64>,
    /// (n_species,) charges, NaN where unknown.
    pub oxidation_states: Vec<f64>,
}

/// What became of a block.
#[derive(Debug, Clone, Default)]
pub struct Expanded {
    /// The crystal, unless a finding is fatal.
    pub cell: Option<Cell>,
    /// Everything that was found, in the order of the work.
    pub findings: Vec<Finding>,
}

/// Expands one block.
pub fn expand(block: &Block<'_>, limits: &Limits) -> Expanded {
    let mut findings = Vec::new();
    let cell = match expand_into(block, limits, &mut findings) {
        Ok(cell) => Some(cell),
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    Expanded { cell, findings }
}

/// Expands blocks in parallel; results in their order, empty ones where there is no block.
pub fn expand_all(blocks: &[Option<Block<'_>>], limits: &Limits) -> Vec<Expanded> {
    blocks
        .par_iter()
        .with_max_len(8)
        .map(|block| {
            block
                .as_ref()
                .map_or_else(Expanded::default, |block| expand(block, limits))
        })
        .collect()
}

/// Reads texts in parallel; `None` for those that are not plain.
pub fn read_all_plain<T: AsRef<[u8]> + Sync>(
    texts: &[T],
    max_rows: usize,
) -> Vec<Option<Block<'_>>> {
    texts
        .par_iter()
        .with_max_len(8)
        .map(|text| read_plain(text.as_ref(), max_rows))
        .collect()
}

/// The work in its order; the error is the finding that ends it.
fn expand_into(
    block: &Block<'_>,
    limits: &Limits,
    findings: &mut Vec<Finding>,
) -> Result<Cell, Finding> {
    let lattice = cell::read_lattice(block, limits, findings)?;
    let formula = formula::parse_formula(numbers::unquote(block.formula));
    let operators = sites::read_operators(block, &lattice, findings)?;
    let rows = rows::read_rows(block, &lattice, formula.as_ref(), findings)?;
    let orbits = sites::expand_rows(rows, &operators, limits, findings)?;
    let cell = sites::flatten(&lattice, &orbits);
    check::check(
        block,
        &lattice,
        formula.as_ref(),
        operators.len(),
        &orbits,
        &cell,
        findings,
    );
    Ok(cell)
}

#[cfg(test)]
mod tests;
