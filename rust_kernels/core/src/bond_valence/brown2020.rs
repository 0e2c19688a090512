//! Bond-valence parameters fitted to ion pairs, from I. D. Brown's accumulated table of 2020.
//!
//! Its sources and what was left out of it stand at the top of `data/bond_valence.csv`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::elements;
use crate::tables;

/// Stands for "unspecified" in the column of cation charges.
const UNSPECIFIED: u8 = 9;

/// R0 and b, in angstrom.
pub type Fitted = (f64, f64);

#[derive(Debug, Clone, Copy)]
struct Entry {
    charge: u8,
    fitted: Fitted,
}

/// Entries of each cation and anion. The anion's charge is no part of the key: a peroxide is
/// described by the oxide's parameters.
static ENTRIES: LazyLock<HashMap<(u8, u8), Vec<Entry>>> = LazyLock::new(|| {
    let mut entries: HashMap<(u8, u8), Vec<Entry>> = HashMap::new();
    for [cation, charge, anion, _, r0, b, _] in tables::rows(tables::BOND_VALENCE) {
        if let (Some(cation), Ok(charge), Some(anion), Ok(r0), Ok(b)) = (
            elements::atomic_number(cation),
            charge.parse(),
            elements::atomic_number(anion),
            r0.parse(),
            b.parse(),
        ) {
            let fitted = (r0, b);
            let pair = entries.entry((cation, anion)).or_default();
            pair.push(Entry { charge, fitted });
        }
    }
    entries
});

/// Parameters fitted to this cation in this charge, else to the cation in an unspecified one.
pub fn fitted(cation: u8, charge: u8, anion: u8) -> Option<Fitted> {
    let entries = ENTRIES.get(&(cation, anion))?;
    let find = |charge| entries.iter().find(|entry| entry.charge == charge);
    Some(find(charge).or_else(|| find(UNSPECIFIED))?.fitted)
}

/// Parameters fitted to this cation in the charge nearest to this one (the lower of two).
pub fn nearest(cation: u8, charge: u8, anion: u8) -> Option<Fitted> {
    let entries = ENTRIES.get(&(cation, anion))?;
    let distance = |entry: &&Entry| (entry.charge.abs_diff(charge), entry.charge);
    Some(entries.iter().min_by_key(distance)?.fitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(symbol: &str) -> u8 {
        elements::atomic_number(symbol).unwrap()
    }

    #[test]
    fn every_row_of_the_table_is_read_once() {
        let mut read = 0;
        for entries in ENTRIES.values() {
            let mut charges: Vec<u8> = entries.iter().map(|entry| entry.charge).collect();
            read += charges.len();
            charges.sort_unstable();
            charges.dedup();
            assert_eq!(charges.len(), entries.len());
        }
        assert_eq!(read, tables::count(tables::BOND_VALENCE));
        assert_eq!(read, 1159);
    }

    #[test]
    fn every_row_names_a_source_and_is_of_a_length_that_bonds_have() {
        for [cation, _, anion, anion_charge, r0, b, source] in tables::rows(tables::BOND_VALENCE) {
            let pair = format!("{cation}-{anion}");
            assert!(
                tables::BOND_VALENCE.contains(&format!("\n# {source}: ")),
                "{pair}"
            );
            assert!(anion_charge.parse::<i8>().unwrap() < 0, "{pair}");
            assert!((0.6..3.4).contains(&r0.parse::<f64>().unwrap()), "{pair}");
            assert!((0.25..0.65).contains(&b.parse::<f64>().unwrap()), "{pair}");
        }
    }

    #[test]
    fn the_charge_comes_first_then_an_unspecified_one() {
        let (fe, o, s) = (z("Fe"), z("O"), z("S"));
        assert_eq!(fitted(fe, 2, o), Some((1.734, 0.37)));
        assert_eq!(fitted(fe, 3, o), Some((1.759, 0.37)));
        assert_eq!(fitted(fe, 6, o), Some((1.795, 0.3)));
        assert_eq!(fitted(z("P"), 5, s), Some((2.125, 0.37)));
        assert_eq!(fitted(z("P"), 4, s), Some((2.11, 0.37)));
        assert_eq!(fitted(z("Li"), 2, o), None);
        assert_eq!(fitted(o, 2, z("Li")), None);
    }

    #[test]
    fn the_nearest_charge_stands_in() {
        let (pt, o) = (z("Pt"), z("O"));
        assert_eq!(nearest(pt, 3, o), fitted(pt, 2, o));
        assert_eq!(nearest(pt, 6, o), fitted(pt, 4, o));
        assert_eq!(nearest(z("Kr"), 2, o), None);
    }
}
