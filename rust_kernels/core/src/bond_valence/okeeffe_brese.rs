//! Bond-valence parameters of any pair of elements, estimated from two parameters per element.
//!
//! M. O'Keeffe, N. E. Brese, J. Am. Chem. Soc. 113, 3226 (1991), doi 10.1021/ja00009a002.

use std::sync::LazyLock;

use crate::elements::{self, SYMBOLS};
use crate::tables;

/// Softness in angstrom that the published parameters are made for.
pub const B: f64 = 0.37;

/// Softness in angstrom that pymatgen's `BVAnalyzer` uses with the same parameters, and that its
/// statistics of bond-valence sums in the ICSD are made with.
pub const B_PYMATGEN: f64 = 0.31;

#[derive(Debug, Clone, Copy)]
struct Parameters {
    /// Size in angstrom.
    r: f64,
    /// Electronegativity-like, in units of its own.
    c: f64,
}

static PARAMETERS: LazyLock<[Option<Parameters>; SYMBOLS.len()]> = LazyLock::new(|| {
    let mut parameters = [None; SYMBOLS.len()];
    for [symbol, r, c, _] in tables::rows(tables::OKEEFFE_BRESE) {
        if let (Some(z), Ok(r), Ok(c)) = (elements::atomic_number(symbol), r.parse(), c.parse()) {
            parameters[usize::from(z) - 1] = Some(Parameters { r, c });
        }
    }
    parameters
});

/// R0 in angstrom of a bond between two elements, in either order; none where the table lacks one
/// of them (noble gases, some actinides and what comes after).
pub fn r0(z1: u8, z2: u8) -> Option<f64> {
    let find = |z: u8| *PARAMETERS.get(usize::from(z).checked_sub(1)?)?;
    let (one, two) = (find(z1)?, find(z2)?);
    let spread = (one.c.sqrt() - two.c.sqrt()).powi(2);
    Some(one.r + two.r - one.r * two.r * spread / (one.c * one.r + two.c * two.r))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_read() {
        let read = PARAMETERS.iter().flatten().count();
        assert_eq!(read, tables::count(tables::OKEEFFE_BRESE));
        assert_eq!(read, 75);
    }

    /// The pair's own fitted R0 (Brese and O'Keeffe 1991) is what the estimate is made to meet.
    #[test]
    fn estimates_are_near_fitted_parameters() {
        for (one, two, fitted) in [
            ("Na", "Cl", 2.15),
            ("Li", "O", 1.466),
            ("Ti", "O", 1.815),
            ("P", "S", 2.11),
        ] {
            let [z1, z2] = [one, two].map(|symbol| elements::atomic_number(symbol).unwrap());
            let estimate = r0(z1, z2).unwrap();
            assert!((estimate - fitted).abs() < 0.07, "{one}-{two}: {estimate}");
            assert_eq!(r0(z2, z1), Some(estimate));
        }
    }

    #[test]
    fn elements_outside_the_table_have_no_estimate() {
        assert_eq!(r0(2, 8), None);
        assert_eq!(r0(0, 8), None);
        assert_eq!(r0(8, 255), None);
    }
}
