//! Pauling electronegativities.

use std::sync::LazyLock;

use crate::elements::{SYMBOLS, atomic_number};
use crate::tables;

static VALUES: LazyLock<[Option<f64>; SYMBOLS.len() + 1]> = LazyLock::new(|| {
    let mut values = [None; SYMBOLS.len() + 1];
    for cells in tables::rows::<23>(tables::ELEMENTS) {
        if let Some(z) = atomic_number(cells[0]) {
            values[usize::from(z)] = tables::number(&cells, COLUMN);
        }
    }
    values
});

/// Column of the table of elements.
const COLUMN: usize = 8;

/// Electronegativity of an element; none for the light noble gases and the heaviest elements.
pub fn electronegativity(z: u8) -> Option<f64> {
    *VALUES.get(usize::from(z))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_is_that_of_the_electronegativities() {
        let header = tables::ELEMENTS.lines().find(|line| !line.starts_with('#'));
        let name = header.and_then(|line| line.split(',').nth(COLUMN));
        assert_eq!(name, Some("electronegativity"));
        assert_eq!(electronegativity(9), Some(3.98));
        assert_eq!(electronegativity(10), None);
    }
}
