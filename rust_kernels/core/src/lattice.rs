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
        let lattice = Self::of(rows);
        let edges = rows.map(|row| norm(&row));
        let product: f64 = edges.iter().product();
        if lattice.volume <= MIN_RELATIVE_VOLUME * product {
            let edge = edges.iter().copied().fold(0.0, f64::max);
            return Err(CrystalError::SingularLattice {
                volume: lattice.volume,
                edge,
            });
        }
        Ok(lattice)
    }

    /// From rows that are known to span a volume.
    fn of(rows: &Mat3) -> Self {
        let [a, b, c] = rows;
        let (bc, ca, ab) = (cross(b, c), cross(c, a), cross(a, b));
        let det = dot(a, &bc);
        Self {
            rows: *rows,
            inverse: std::array::from_fn(|k| [bc[k] / det, ca[k] / det, ab[k] / det]),
            volume: det.abs(),
        }
    }

    /// A basis of the same translations whose vectors are short and so as upright as can be, and
    /// what each is in whole numbers of the lattice vectors.
    ///
    /// Directions that are not periodic are replaced by unit vectors across all others; there the
    /// whole numbers are 0.
    pub fn reduced(&self, periodic: [bool; 3]) -> (Self, [[i32; 3]; 3]) {
        let kept: Vec<usize> = (0..3).filter(|&k| periodic[k]).collect();
        let mut steps = [[0.0; 3]; 3];
        kept.iter().for_each(|&k| steps[k][k] = 1.0);
        shorten(&self.rows, &mut steps, &kept);
        let mut rows = steps.map(|step| row_times(&step, &self.rows));
        match *kept.as_slice() {
            [] => rows = IDENTITY,
            [p] => {
                // Across the axis that the vector leans to least.
                let [x, y, z] = rows[p].map(f64::abs);
                let least = if x <= y && x <= z {
                    0
                } else if y <= z {
                    1
                } else {
                    2
                };
                let q = (p + 1) % 3;
                rows[q] = unit(&cross(&rows[p], &IDENTITY[least]));
                rows[(q + 1) % 3] = unit(&cross(&rows[p], &rows[q]));
            }
            [p, q] => rows[3 - p - q] = unit(&cross(&rows[p], &rows[q])),
            _ => {}
        }
        (Self::of(&rows), steps.map(|step| step.map(|x| x as i32)))
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

const IDENTITY: Mat3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Shortens the vectors `steps @ rows` numbered in `kept` by one another, until none gets shorter
/// by whole multiples of another, nor the longest by the sum of all with any signs.
fn shorten(rows: &Mat3, steps: &mut Mat3, kept: &[usize]) {
    let squared = |step: &Vec3| {
        let vector = row_times(step, rows);
        dot(&vector, &vector)
    };
    let plus = |one: &Vec3, times: f64, other: &Vec3| -> Vec3 {
        std::array::from_fn(|k| one[k] + times * other[k])
    };
    // By so much at least, lest rounding goes round in circles.
    const SHORTER: f64 = 1.0 - 1e-9;
    loop {
        let mut done = true;
        for &i in kept {
            for &j in kept.iter().filter(|&&j| j != i) {
                let [one, other] = [i, j].map(|k| row_times(&steps[k], rows));
                let times = (dot(&one, &other) / dot(&other, &other)).round();
                let step = plus(&steps[i], -times, &steps[j]);
                if squared(&step) < SHORTER * squared(&steps[i]) {
                    steps[i] = step;
                    done = false;
                }
            }
        }
        if kept.len() == 3 {
            for (second, third) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                let sum = plus(&plus(&steps[0], second, &steps[1]), third, &steps[2]);
                let lengths = steps.map(|step| squared(&step));
                let longest = (1..3).fold(0, |k, l| if lengths[l] > lengths[k] { l } else { k });
                if squared(&sum) < SHORTER * lengths[longest] {
                    // The same handedness as before.
                    let sign = [1.0, second, third][longest];
                    steps[longest] = sum.map(|x| sign * x);
                    done = false;
                }
            }
        }
        if done {
            return;
        }
    }
}

/// The vector at length 1.
fn unit(v: &Vec3) -> Vec3 {
    let length = norm(v);
    v.map(|x| x / length)
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
    fn reduction_uprights_a_sheared_cell_and_keeps_its_translations() {
        let upright = [[3.0, 0.1, 0.0], [0.2, 4.0, -0.3], [0.0, 0.5, 5.0]];
        // Whole multiples of determinant 1.
        let shear = [[1.0, 7.0, 0.0], [3.0, 22.0, 0.0], [-5.0, 2.0, 1.0]];
        let sheared = Lattice::new(&shear.map(|step| row_times(&step, &upright))).unwrap();
        let (reduced, steps) = sheared.reduced([true; 3]);
        assert!((reduced.volume() / sheared.volume() - 1.0).abs() < 1e-12);
        let mut lengths = reduced.rows().map(|row| norm(&row));
        lengths.sort_by(f64::total_cmp);
        for (length, expected) in lengths.iter().zip(upright.map(|row| norm(&row))) {
            assert!((length - expected).abs() < 1e-12);
        }
        for (row, step) in reduced.rows().iter().zip(steps) {
            let again = row_times(&step.map(f64::from), sheared.rows());
            assert!(norm(&sub(row, &again)) < 1e-12);
        }
        let (same, steps) = Lattice::new(&upright).unwrap().reduced([true; 3]);
        assert_eq!(same.rows(), &upright);
        assert_eq!(steps, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    }

    #[test]
    fn directions_that_are_not_periodic_stand_upright() {
        let rows = [[3.0, 0.1, 0.0], [2.2, 4.0, -0.3], [7.0, 9.5, 5.0]];
        let lattice = Lattice::new(&rows).unwrap();
        for mask in 0..8 {
            let periodic: [bool; 3] = std::array::from_fn(|k| mask >> k & 1 == 1);
            let (reduced, steps) = lattice.reduced(periodic);
            for i in (0..3).filter(|&i| !periodic[i]) {
                assert_eq!(steps[i], [0; 3]);
                for j in 0..3 {
                    let product = dot(&reduced.rows()[i], &reduced.rows()[j]);
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-14, "{periodic:?} {i} {j}");
                }
            }
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
