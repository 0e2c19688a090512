//! The project's tables of facts, embedded in the binary: what the kernels use is what is hashed.
//!
//! Each is comma-separated text: `#` comment lines that name sources and units, then a header.

use std::str::FromStr;

/// Elemental properties.
pub const ELEMENTS: &str = include_str!("../data/elements.csv");
/// Bulk moduli and molar volumes of the elements as they are found.
pub const ELEMENTAL_SOLIDS: &str = include_str!("../data/elemental_solids.csv");
/// Mean and spread of bond-valence sums by element and oxidation state.
pub const ICSD_BOND_VALENCE_SUMS: &str = include_str!("../data/icsd_bond_valence_sums.csv");
/// Number of compounds by element and oxidation state.
pub const ICSD_OXIDATION_STATES: &str = include_str!("../data/icsd_oxidation_states.csv");
/// Bond-valence parameters of ion pairs, accumulated by I. D. Brown.
pub const BOND_VALENCE: &str = include_str!("../data/bond_valence.csv");
/// Element parameters from which O'Keeffe and Brese estimate those of any pair.
pub const OKEEFFE_BRESE: &str = include_str!("../data/okeeffe_brese.csv");

/// Every table by name.
pub const TABLES: &[(&str, &str)] = &[
    ("bond_valence", BOND_VALENCE),
    ("elemental_solids", ELEMENTAL_SOLIDS),
    ("elements", ELEMENTS),
    ("icsd_bond_valence_sums", ICSD_BOND_VALENCE_SUMS),
    ("icsd_oxidation_states", ICSD_OXIDATION_STATES),
    ("okeeffe_brese", OKEEFFE_BRESE),
];

/// Rows of a table: comment lines and the header are passed over. Fields hold no comma.
///
/// A row with another number of fields is left out; the tests of each table count its rows.
pub fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    lines(table).filter_map(|line| {
        let mut fields = line.split(',');
        let mut row = [""; N];
        for field in &mut row {
            *field = fields.next()?;
        }
        fields.next().is_none().then_some(row)
    })
}

/// A number, `None` where the cell is empty, missing or not a number.
pub fn number<T: FromStr>(cells: &[&str], column: usize) -> Option<T> {
    cells.get(column)?.parse().ok()
}

/// Lines of a table that hold a row.
fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .skip(1)
}

/// Number of rows that the text of a table holds, whether or not they can be read.
#[cfg(test)]
pub(crate) fn count(table: &'static str) -> usize {
    lines(table).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_header_are_no_rows_and_short_rows_are_left_out() {
        let table = "# a comment\nx,y\n1,2\n\n3\n4,5,6\n7,8\n";
        let read: Vec<[&str; 2]> = rows(table).collect();
        assert_eq!(read, [["1", "2"], ["7", "8"]]);
        assert_eq!(count(table), 4);
    }
}
