//! The rows of the site loop.

use crate::lattice::{Lattice, Vec3};

use super::finding::shorten;
use super::formula::Composition;
use super::numbers::{is_null, parse_number, unquote};
use super::species::{Species, Symbol, TypeCharges, parse_label, parse_type_symbol};
use super::{Block, Finding};

/// A coordinate written to four digits is this far from its sixth of a cell edge at most.
const FRACTION_TOLERANCE: f64 = 5e-5;
/// Coordinates beyond this have too few digits left after wrapping.
const MAX_COORDINATE: f64 = 1e4;

/// One row with an atom, its coordinates and an occupancy above zero.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// Label as written.
    pub label: &'a str,
    /// Fractional coordinates as written, thirds and sixths made exact.
    pub frac: Vec3,
    /// Several for a mixture.
    pub species: Vec<Species>,
    /// `_atom_site_symmetry_multiplicity`.
    pub multiplicity: Option<f64>,
    /// Whether the file says that hydrogens without a position sit here.
    pub has_hydrogens: bool,
}

/// Values of the site loop by tag.
struct Columns<'a> {
    block: &'a Block<'a>,
    label: Option<usize>,
    type_symbol: Option<usize>,
    occupancy: Option<usize>,
    multiplicity: Option<usize>,
    calc_flag: Option<usize>,
    hydrogens: Option<usize>,
    coordinates: [usize; 3],
    is_cartesian: bool,
}

const FRACTIONAL: [&str; 3] = [
    "_atom_site_fract_x",
    "_atom_site_fract_y",
    "_atom_site_fract_z",
];
const CARTESIAN: [&str; 3] = [
    "_atom_site_Cartn_x",
    "_atom_site_Cartn_y",
    "_atom_site_Cartn_z",
];

impl<'a> Columns<'a> {
    fn new(block: &'a Block<'a>) -> Option<Self> {
        let find = |tag: &str| {
            block
                .site_tags
                .iter()
                .position(|t| t.eq_ignore_ascii_case(tag))
        };
        let triple = |tags: [&str; 3]| Some([find(tags[0])?, find(tags[1])?, find(tags[2])?]);
        let fractional = triple(FRACTIONAL);
        Some(Self {
            block,
            label: find("_atom_site_label"),
            type_symbol: find("_atom_site_type_symbol"),
            occupancy: find("_atom_site_occupancy"),
            multiplicity: find("_atom_site_symmetry_multiplicity")
                .or_else(|| find("_atom_site_site_symmetry_multiplicity")),
            calc_flag: find("_atom_site_calc_flag"),
            hydrogens: find("_atom_site_attached_hydrogens"),
            is_cartesian: fractional.is_none(),
            coordinates: fractional.or_else(|| triple(CARTESIAN))?,
        })
    }

    /// Raw value, empty where there is no such column.
    fn raw(&self, row: usize, column: Option<usize>) -> &'a str {
        column
            .and_then(|column| {
                self.block
                    .site_values
                    .get(row * self.block.site_tags.len() + column)
            })
            .copied()
            .unwrap_or_default()
    }
}

/// Rows with one peculiarity.
#[derive(Default)]
struct Tally<'a> {
    count: usize,
    first: &'a str,
}

impl<'a> Tally<'a> {
    fn add(&mut self, label: &'a str) {
        if self.count == 0 {
            self.first = label;
        }
        self.count += 1;
    }

    fn into_finding(self, make: impl FnOnce(usize, String) -> Finding) -> Option<Finding> {
        (self.count > 0).then(|| make(self.count, shorten(self.first)))
    }
}

/// Rows to be told of: without an atom, without a place (left out, or put where the dictionary says),
/// with a share below zero.
#[derive(Default)]
struct Tallies<'a> {
    dummies: Tally<'a>,
    unplaced: Tally<'a>,
    defaulted: Tally<'a>,
    negative: Tally<'a>,
}

/// Reads the rows that hold atoms.
pub fn read_rows<'a>(
    block: &'a Block<'a>,
    lattice: &Lattice,
    formula: Option<&'a Composition>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Row<'a>>, Finding> {
    let columns = Columns::new(block).ok_or(Finding::NoSites)?;
    if columns.is_cartesian {
        findings.push(Finding::CartesianFrameAssumed);
    }
    let mut contents = Contents::new(&columns, formula);
    let mut tallies = Tallies::default();
    let n_rows = block.site_values.len() / block.site_tags.len().max(1);
    let mut rows = Vec::with_capacity(n_rows);
    for k in 0..n_rows {
        rows.extend(read_row(&columns, k, lattice, &mut contents, &mut tallies)?);
    }
    let Tallies {
        dummies,
        unplaced,
        defaulted,
        negative,
    } = tallies;
    let told = [
        dummies.into_finding(|count, first| Finding::DummySite { count, first }),
        unplaced.into_finding(|count, first| Finding::SiteWithoutCoordinates { count, first }),
        defaulted.into_finding(|count, first| Finding::CoordinateAssumed { count, first }),
        negative.into_finding(|count, first| Finding::NegativeOccupancy { count, first }),
    ];
    findings.extend(told.into_iter().flatten());
    if rows.is_empty() {
        Err(Finding::NoSites)
    } else {
        Ok(rows)
    }
}

/// Reads one row; `None` if it holds no atom.
fn read_row<'a>(
    columns: &Columns<'a>,
    k: usize,
    lattice: &Lattice,
    contents: &mut Contents<'a>,
    tallies: &mut Tallies<'a>,
) -> Result<Option<Row<'a>>, Finding> {
    let label = unquote(columns.raw(k, columns.label));
    let number = |tag: &'static str, raw: &str| {
        parse_number(raw).ok_or_else(|| Finding::BadNumber {
            tag,
            value: shorten(raw),
            place: place(k),
        })
    };
    let raw_symbol = columns.raw(k, columns.type_symbol.or(columns.label));
    let symbol = contents.symbol(raw_symbol);
    let calc_flag = columns.raw(k, columns.calc_flag);
    if symbol == Symbol::Dummy || calc_flag.eq_ignore_ascii_case("dum") {
        tallies.dummies.add(label);
        return Ok(None);
    }
    let raw_coordinates = columns
        .coordinates
        .map(|column| columns.raw(k, Some(column)));
    if raw_coordinates.iter().any(|x| matches!(*x, "" | "?")) {
        tallies.unplaced.add(label);
        return Ok(None);
    }
    let occupancy = match columns.raw(k, columns.occupancy) {
        raw if is_null(raw) => 1.0,
        raw => number("_atom_site_occupancy", raw)?,
    };
    if occupancy <= 0.0 {
        if occupancy < 0.0 {
            tallies.negative.add(label);
        }
        return Ok(None);
    }
    if raw_coordinates.contains(&".") {
        tallies.defaulted.add(label);
    }
    let (mut species, hydrous) = contents.species(raw_symbol, symbol, k)?;
    species.iter_mut().for_each(|s| s.occupancy *= occupancy);
    let tags = if columns.is_cartesian {
        CARTESIAN
    } else {
        FRACTIONAL
    };
    let mut coordinates = [0.0; 3];
    for axis in 0..3 {
        let (tag, raw) = (tags[axis], raw_coordinates[axis]);
        coordinates[axis] = if raw == "." { 0.0 } else { number(tag, raw)? };
        if coordinates[axis].abs() > MAX_COORDINATE {
            return Err(Finding::BadNumber {
                tag,
                value: shorten(raw),
                place: place(k),
            });
        }
    }
    let frac = if columns.is_cartesian {
        lattice.to_frac(&coordinates)
    } else {
        coordinates.map(to_exact_sixth)
    };
    let attached = parse_number(columns.raw(k, columns.hydrogens)).unwrap_or(0.0);
    Ok(Some(Row {
        label,
        frac,
        species,
        multiplicity: parse_number(columns.raw(k, columns.multiplicity)),
        has_hydrogens: hydrous || attached > 0.0,
    }))
}

/// Where a value stands, for a message.
fn place(row: usize) -> String {
    format!(" (row {} of the sites)", row + 1)
}

/// What the rows hold, each symbol read once: a file has many rows but few symbols.
struct Contents<'a> {
    formula: Option<&'a Composition>,
    charges: TypeCharges<'a>,
    is_type: bool,
    known: Vec<(&'a str, Symbol)>,
}

impl<'a> Contents<'a> {
    fn new(columns: &Columns<'a>, formula: Option<&'a Composition>) -> Self {
        Self {
            formula,
            charges: TypeCharges::new(&columns.block.type_symbols, &columns.block.type_charges),
            is_type: columns.type_symbol.is_some(),
            known: Vec::new(),
        }
    }

    fn symbol(&mut self, raw: &'a str) -> Symbol {
        const MOST: usize = 32;
        if let Some((_, symbol)) = self.known.iter().find(|(known, _)| *known == raw) {
            return symbol.clone();
        }
        let symbol = if self.is_type {
            parse_type_symbol(raw, self.formula)
        } else {
            parse_label(raw, self.formula)
        };
        if self.known.len() < MOST {
            self.known.push((raw, symbol.clone()));
        }
        symbol
    }

    /// Species with their share of the row, and whether hydrogens without a position belong there.
    fn species(
        &self,
        raw: &str,
        symbol: Symbol,
        row: usize,
    ) -> Result<(Vec<Species>, bool), Finding> {
        let text = unquote(raw);
        let species = |atomic_number, occupancy, own_charge: Option<f64>| Species {
            atomic_number,
            occupancy,
            oxidation_state: self
                .charges
                .charge(text, atomic_number)
                .or(own_charge)
                .unwrap_or(f64::NAN),
        };
        match symbol {
            Symbol::Element(z, charge) => Ok((vec![species(z, 1.0, charge)], false)),
            Symbol::Mixture(parts) => {
                let parts = parts
                    .into_iter()
                    .map(|(z, fraction)| species(z, fraction, None));
                Ok((parts.collect(), false))
            }
            Symbol::WithHydrogens(z) => Ok((vec![species(z, 1.0, None)], true)),
            Symbol::Molecule => Err(Finding::CompositeSite {
                symbol: shorten(text),
                place: place(row),
            }),
            Symbol::Dummy | Symbol::Unknown => Err(Finding::UnknownElement {
                symbol: shorten(text),
                place: place(row),
            }),
        }
    }
}

/// 0.3333 as 1/3, 0.1667 as 1/6, in any cell: else the images under the operators would miss each
/// other.
fn to_exact_sixth(x: f64) -> f64 {
    let sixths = (6.0 * x).round();
    let is_rounded = (x - sixths / 6.0).abs() < FRACTION_TOLERANCE;
    // Halves and whole numbers have no digits to lose.
    if is_rounded && sixths % 3.0 != 0.0 {
        sixths / 6.0
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirds_and_sixths() {
        for (written, exact) in [
            (0.3333, 1.0 / 3.0),
            (0.6667, 2.0 / 3.0),
            (-0.3333, -1.0 / 3.0),
            (1.66667, 5.0 / 3.0),
            (0.1667, 1.0 / 6.0),
            (0.8333, 5.0 / 6.0),
            (0.333, 0.333),
            (0.3335, 0.3335),
            (0.50001, 0.50001),
            (0.00001, 0.00001),
        ] {
            assert_eq!(to_exact_sixth(written), exact);
        }
    }
}
