//! Finding what is already at a position, in constant time.

use crate::lattice::Vec3;

/// Positions of a cell in bins of its fractional coordinates.
#[derive(Debug)]
pub struct PositionIndex {
    tolerance: f64,
    n_bins: usize,
    /// Latest position in each bin, `NONE` where it is empty.
    heads: Vec<u32>,
    /// Position that was in the bin before.
    next: Vec<u32>,
    positions: Vec<Vec3>,
}

const NONE: u32 = u32::MAX;

impl PositionIndex {
    /// An empty index for about `expected` positions; `tolerance` is per fractional component.
    pub fn new(expected: usize, tolerance: f64) -> Self {
        let n_bins = (expected as f64).cbrt().ceil().clamp(1.0, 32.0) as usize;
        Self {
            tolerance,
            n_bins,
            heads: vec![NONE; n_bins.pow(3)],
            next: Vec::with_capacity(expected.min(1 << 16)),
            positions: Vec::with_capacity(expected.min(1 << 16)),
        }
    }

    /// Adds a position in [0, 1); its number is how many there were before.
    pub fn insert(&mut self, frac: Vec3) {
        let bin = frac
            .iter()
            .fold(0, |bin, x| bin * self.n_bins + self.bin(*x));
        let number = self.positions.len() as u32;
        self.next.push(self.heads[bin]);
        self.heads[bin] = number;
        self.positions.push(frac);
    }

    /// Positions from a number on, in the order in which they came.
    pub fn since(&self, number: usize) -> &[Vec3] {
        self.positions.get(number..).unwrap_or_default()
    }

    /// Number of the earliest position at this place, given in [0, 1), or at a periodic image.
    pub fn find(&self, frac: &Vec3) -> Option<usize> {
        // The box of the tolerance lies in one bin of each direction, or across two.
        let reach = frac.map(|x| {
            let (low, high) = (x - self.tolerance, x + self.tolerance);
            let low = self.bin(if low < 0.0 { low + 1.0 } else { low });
            let high = self.bin(if high < 1.0 { high } else { high - 1.0 });
            (low, (high != low).then_some(high))
        });
        let mut earliest = NONE;
        for i in bins(reach[0]) {
            for j in bins(reach[1]) {
                for k in bins(reach[2]) {
                    let mut number = self.heads[(i * self.n_bins + j) * self.n_bins + k];
                    while number != NONE {
                        if number < earliest
                            && is_same_position(
                                frac,
                                &self.positions[number as usize],
                                self.tolerance,
                            )
                        {
                            earliest = number;
                        }
                        number = self.next[number as usize];
                    }
                }
            }
        }
        (earliest != NONE).then_some(earliest as usize)
    }

    fn bin(&self, x: f64) -> usize {
        ((x * self.n_bins as f64) as usize).min(self.n_bins - 1)
    }
}

/// Whether two positions agree in each component, up to whole cells.
pub fn is_same_position(a: &Vec3, b: &Vec3, tolerance: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| {
        let difference = a - b;
        (difference - nearest_whole(difference)).abs() < tolerance
    })
}

/// `x.round()` for coordinates: without SSE4.1, which not every machine has, that is a call.
pub fn nearest_whole(x: f64) -> f64 {
    (x + 0.5f64.copysign(x)) as i64 as f64
}

/// The position in [0, 1).
pub fn wrap(frac: &Vec3) -> Vec3 {
    frac.map(|x| {
        let whole = x as i64 as f64;
        let fraction = x - whole;
        let wrapped = if fraction < 0.0 {
            fraction + 1.0
        } else {
            fraction
        };
        // -1e-17 + 1.0 rounds to 1.0, the far face of the cell.
        if wrapped < 1.0 { wrapped } else { 0.0 }
    })
}

fn bins((low, high): (usize, Option<usize>)) -> impl Iterator<Item = usize> {
    std::iter::once(low).chain(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_position_across_the_faces_of_the_cell() {
        for expected in [1, 5, 100, 20_000] {
            let mut index = PositionIndex::new(expected, 1e-4);
            index.insert([0.99996, 0.5, 0.00001]);
            index.insert([0.3, 0.3, 0.3]);
            index.insert([0.00003, 0.50009, 0.99999]);
            assert_eq!(index.find(&[0.00003, 0.50005, 0.99999]), Some(0));
            assert_eq!(index.find(&[0.00003, 0.50015, 0.99999]), Some(2));
            assert_eq!(index.find(&[0.30009, 0.29991, 0.3]), Some(1));
            assert_eq!(index.find(&[0.30011, 0.3, 0.3]), None);
        }
    }

    #[test]
    fn agrees_with_a_search_over_all_positions() {
        let mut index = PositionIndex::new(64, 0.02);
        let mut all: Vec<Vec3> = Vec::new();
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        for _ in 0..2000 {
            let frac = [random(), random(), random()];
            let naive = all
                .iter()
                .position(|other| is_same_position(&frac, other, 0.02));
            assert_eq!(index.find(&frac), naive);
            index.insert(frac);
            all.push(frac);
        }
    }

    #[test]
    fn wrapping_stays_below_one() {
        assert_eq!(wrap(&[-1e-17, 1.0, -0.25]), [0.0, 0.0, 0.75]);
    }
}
