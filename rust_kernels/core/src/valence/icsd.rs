//! What the ICSD says of the oxidation states of each element.

use std::sync::LazyLock;

use crate::elements::{SYMBOLS, atomic_number};
use crate::tables;

/// Bond-valence sums of an element in one oxidation state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SumStatistics {
    /// Oxidation state.
    pub charge: i32,
    /// Mean of the sums in valence units, negative for anions.
    pub mean: f64,
    /// Standard deviation of the sums.
    pub std: f64,
    /// How often the state occurs.
    pub occurrence: f64,
}

/// How many compounds hold an element in one oxidation state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateCount {
    /// Oxidation state, 0 included.
    pub charge: i32,
    /// Number of compounds.
    pub compounds: f64,
}

type ByElement<T> = LazyLock<Vec<Vec<T>>>;

static SUMS: ByElement<SumStatistics> = LazyLock::new(|| {
    by_element(tables::ICSD_BOND_VALENCE_SUMS, |cells: &[&str; 6]| {
        Some(SumStatistics {
            charge: tables::number(cells, 1)?,
            mean: tables::number(cells, 2)?,
            std: tables::number(cells, 3)?,
            occurrence: tables::number(cells, 5)?,
        })
    })
});

static COUNTS: ByElement<StateCount> = LazyLock::new(|| {
    by_element(tables::ICSD_OXIDATION_STATES, |cells: &[&str; 3]| {
        Some(StateCount {
            charge: tables::number(cells, 1)?,
            compounds: tables::number(cells, 2)?,
        })
    })
});

/// Rows of a table whose first column is an element's symbol, by atomic number.
fn by_element<const N: usize, T: Clone>(
    table: &'static str,
    row: impl Fn(&[&str; N]) -> Option<T>,
) -> Vec<Vec<T>> {
    let mut elements = vec![Vec::new(); SYMBOLS.len() + 1];
    for cells in tables::rows(table) {
        if let (Some(z), Some(value)) = (atomic_number(cells[0]), row(&cells)) {
            elements[usize::from(z)].push(value);
        }
    }
    elements
}

/// Statistics of bond-valence sums, by rising charge; empty for an element without any.
pub fn sum_statistics(z: u8) -> &'static [SumStatistics] {
    SUMS.get(usize::from(z)).map_or(&[], Vec::as_slice)
}

/// Oxidation states that occur, by rising charge; empty for an element without any.
pub fn state_counts(z: u8) -> &'static [StateCount] {
    COUNTS.get(usize::from(z)).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_both_tables_is_read() {
        let sums: usize = SUMS.iter().map(Vec::len).sum();
        assert_eq!(sums, tables::count(tables::ICSD_BOND_VALENCE_SUMS));
        let counts: usize = COUNTS.iter().map(Vec::len).sum();
        assert_eq!(counts, tables::count(tables::ICSD_OXIDATION_STATES));
    }

    #[test]
    fn rows_belong_to_their_element() {
        assert_eq!(sum_statistics(3).len(), 1);
        assert_eq!(sum_statistics(3)[0].charge, 1);
        let oxygen: Vec<i32> = sum_statistics(8).iter().map(|s| s.charge).collect();
        assert_eq!(oxygen, [-2, -1]);
        assert!(state_counts(8).iter().any(|s| s.charge == 0));
        assert!(sum_statistics(78).is_empty() && !state_counts(78).is_empty());
    }
}
