//! Lattice vectors as rows, in angstrom, and what follows from them.

use crate::error::CrystalError;

/// A cartesian or fractional triple.
pub type Vec3 = [f64; 3];
/// Three rows.
pub type Mat3 = [[f64; 3]; 3];

/// Smallest volume relative to the product of the edges that still counts as a lattice. A cell
/// with all angles at 1 degree is at 3e-4; below this, coordinates lose half their digits.
const MIN_RELATIVE_VOLUME: f64 = 1e-6;

/// Rows `a`, `b`, `c` in angstrom: `cart = frac @ rows`.
#[derive(Debug, Clone, PartialEq)]
pub struct Lattice {
    rows: Mat3,
    /// Columns of the inverse are the reciprocal vectors (without 2 pi): `frac = cart @ inverse`.
    inverse: Mat3,
    volume: f64,
}

impl Lattice {
    /// Checks that the rows are finite and span a volume (left-handed lattices are allowed).
    pub fn new(rows: &Mat3) -> Result<Self, CrystalError> {
        if rows.iter().flatten().any(|x| !x.is_finite()) {
            return Err(CrystalError::NotFinite {
                array: "lattices",
                site: 0,
            });
        }
        let [a, b, c] = rows;
        let (bc, ca, ab) = (cross(b, c), cross(c, a), cross(a, b));
        let det = dot(a, &bc);
        let edges = rows.map(|row| norm(&row));
        let product: f64 = edges.iter().product();
        if det.abs() <= MIN_RELATIVE_VOLUME * product {
            let edge = edges.iter().copied().fold(0.0, f64::max);
            return Err(CrystalError::SingularLattice {
                volume: det.abs(),
                edge,
            });
        }
        let inverse = std::array::from_fn(|k| [bc[k] / det, ca[k] / det, ab[k] / det]);
        Ok(Self {
            rows: *rows,
            inverse,
            volume: det.abs(),
        })
    }

    /// Lattice vectors as rows, in angstrom.
    pub fn rows(&self) -> &Mat3 {
        &self.rows
    }

    /// Cell volume in cubic angstrom, positive for either handedness.
    pub fn volume(&self) -> f64 {
        self.volume
    }

    /// Reciprocal vectors as rows, without the factor 2 pi: `rows[i] . reciprocal[j] = delta_ij`.
    pub fn reciprocal(&self) -> Mat3 {
        transpose(&self.inverse)
    }

    /// Distances between the lattice planes (100), (010) and (001), in angstrom.
    pub fn plane_spacings(&self) -> Vec3 {
        self.reciprocal().map(|row| 1.0 / norm(&row))
    }

    /// `frac @ rows`.
    #[inline]
    pub fn to_cart(&self, frac: &Vec3) -> Vec3 {
        row_times(frac, &self.rows)
    }

    /// `cart @ inverse`.
    #[inline]
    pub fn to_frac(&self, cart: &Vec3) -> Vec3 {
        row_times(cart, &self.inverse)
    }
}

/// `v @ m`.
#[inline]
pub fn row_times(v: &Vec3, m: &Mat3) -> Vec3 {
    std::array::from_fn(|k| v[0] * m[0][k] + v[1] * m[1][k] + v[2] * m[2][k])
}

/// Transposed matrix.
pub fn transpose(m: &Mat3) -> Mat3 {
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

/// Scalar product.
#[inline]
pub fn dot(a: &Vec3, b: &Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
#[inline]
pub fn cross(a: &Vec3, b: &Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Euclidean length.
#[inline]
pub fn norm(a: &Vec3) -> f64 {
    dot(a, a).sqrt()
}

/// `a - b`.
#[inline]
pub fn sub(a: &Vec3, b: &Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractional_round_trip_in_a_skewed_left_handed_cell() {
        let lattice = Lattice::new(&[[1.0, 2.0, 0.3], [3.0, -0.5, 0.1], [0.2, 0.4, -5.0]]).unwrap();
        let frac = [0.3, -1.7, 12.25];
        let back = lattice.to_frac(&lattice.to_cart(&frac));
        for k in 0..3 {
            assert!((back[k] - frac[k]).abs() < 1e-12);
        }
    }

    #[test]
    fn flat_cell_is_refused_with_its_volume() {
        let flat = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1e-9]];
        assert!(matches!(
            Lattice::new(&flat),
            Err(CrystalError::SingularLattice { .. })
        ));
    }
}
