//! Which site lies where, in a reduced cell.

use crate::lattice::{Mat3, Vec3};

/// Adding and subtracting this rounds a number of less than 2^51 to an integer.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Moves the grid off the special positions, which would lie on the borders of its bins.
const GRID_SHIFT: f64 = 0.0271;

/// At most this many bins along an axis.
const MAX_BINS: f64 = 64.0;

/// Nearest image of a difference of fractional coordinates: -0.5 to 0.5.
#[inline]
pub fn wrap(difference: Vec3) -> Vec3 {
    difference.map(|x| x - ((x + ROUNDER) - ROUNDER))
}

/// Sites of a Minkowski-reduced cell.
pub struct ReducedCell {
    /// Rows a, b, c in angstrom.
    pub basis: Mat3,
    /// Scalar products of the rows.
    pub metric: Mat3,
    /// Fractional coordinates.
    pub positions: Vec<Vec3>,
    /// What each site holds.
    pub labels: Vec<i32>,
}

impl ReducedCell {
    /// Squared length of fractional coordinates, in angstrom^2.
    #[inline]
    pub fn squared_length(&self, v: &Vec3) -> f64 {
        let m = &self.metric;
        v[0] * (m[0][0] * v[0] + 2.0 * (m[0][1] * v[1] + m[0][2] * v[2]))
            + v[1] * (m[1][1] * v[1] + 2.0 * m[1][2] * v[2])
            + m[2][2] * v[2] * v[2]
    }
}

/// Bins of sites.
pub struct SiteGrid<'a> {
    cell: &'a ReducedCell,
    /// Distance at which a site is found, squared.
    squared_radius: f64,
    /// The same in fractional coordinates, along each axis.
    reach: Vec3,
    n_bins: [usize; 3],
    /// First entry of each bin.
    starts: Vec<u32>,
    /// Sites, bin after bin.
    sites: Vec<u32>,
}

impl<'a> SiteGrid<'a> {
    /// A grid that finds sites within `radius` (angstrom), which is less than a quarter of each of
    /// the plane `spacings`.
    pub fn new(cell: &'a ReducedCell, spacings: &Vec3, radius: f64) -> Self {
        let n = cell.positions.len() as f64;
        let reach = spacings.map(|spacing| radius / spacing);
        let per_length = (n / spacings.iter().product::<f64>()).cbrt();
        let n_bins: [usize; 3] = std::array::from_fn(|k| {
            let most = (0.5 / reach[k]).min(MAX_BINS);
            (spacings[k] * per_length).clamp(1.0, most.max(1.0)) as usize
        });
        let mut grid = Self {
            cell,
            squared_radius: radius * radius,
            reach,
            n_bins,
            starts: vec![0; n_bins.iter().product::<usize>() + 1],
            sites: vec![0; cell.positions.len()],
        };
        let bins: Vec<usize> = cell.positions.iter().map(|x| grid.bin(x)).collect();
        for &bin in &bins {
            grid.starts[bin + 1] += 1;
        }
        for bin in 1..grid.starts.len() {
            grid.starts[bin] += grid.starts[bin - 1];
        }
        let mut next = grid.starts.clone();
        for (site, &bin) in bins.iter().enumerate() {
            grid.sites[next[bin] as usize] = site as u32;
            next[bin] += 1;
        }
        grid
    }

    /// Site nearest to a position, if one is within the radius.
    pub fn nearest(&self, position: &Vec3) -> Option<usize> {
        let mut least = self.squared_radius;
        let mut nearest = None;
        let along: [[usize; 2]; 3] = std::array::from_fn(|k| self.bins_along(k, position[k]));
        for i in 0..along[0][1] {
            let row = (along[0][0] + i) % self.n_bins[0] * self.n_bins[1];
            for j in 0..along[1][1] {
                let row = (row + (along[1][0] + j) % self.n_bins[1]) * self.n_bins[2];
                for k in 0..along[2][1] {
                    let bin = row + (along[2][0] + k) % self.n_bins[2];
                    let entries = self.starts[bin] as usize..self.starts[bin + 1] as usize;
                    for &site in &self.sites[entries] {
                        let x = &self.cell.positions[site as usize];
                        let difference = wrap(std::array::from_fn(|k| x[k] - position[k]));
                        let squared = self.cell.squared_length(&difference);
                        if squared <= least {
                            least = squared;
                            nearest = Some(site as usize);
                        }
                    }
                }
            }
        }
        nearest
    }

    /// Where a coordinate lies in the grid, 0 to 1.
    fn place(x: f64) -> f64 {
        let x = x + GRID_SHIFT;
        x - ((x + ROUNDER) - ROUNDER) + 0.5
    }

    fn bin(&self, position: &Vec3) -> usize {
        let [i, j, k] = std::array::from_fn(|k| {
            let bin = (Self::place(position[k]) * self.n_bins[k] as f64) as usize;
            bin.min(self.n_bins[k] - 1)
        });
        (i * self.n_bins[1] + j) * self.n_bins[2] + k
    }

    /// First bin that may hold sites within reach of a coordinate, not folded back, and how many.
    fn bins_along(&self, axis: usize, x: f64) -> [usize; 2] {
        let n = self.n_bins[axis];
        // One more cell, so that truncation rounds down.
        let place = 1.0 + Self::place(x);
        let [low, high] = [-self.reach[axis], self.reach[axis]]
            .map(|reach| ((place + reach) * n as f64) as usize);
        [low, (high - low + 1).min(n)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_found_across_the_borders_of_cells_and_bins() {
        let positions: Vec<Vec3> = (0..200)
            .map(|k| {
                let k = f64::from(k);
                [k * 0.618_034, k * 0.754_878, k * 0.569_84].map(|x: f64| x % 1.0 - 0.3)
            })
            .collect();
        let basis = [[9.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 11.0]];
        let cell = ReducedCell {
            basis,
            metric: [[81.0, 0.0, 0.0], [0.0, 100.0, 0.0], [0.0, 0.0, 121.0]],
            labels: vec![0; positions.len()],
            positions,
        };
        let grid = SiteGrid::new(&cell, &[9.0, 10.0, 11.0], 0.05);
        for (site, x) in cell.positions.iter().enumerate() {
            for step in [-0.004, 0.0, 0.004] {
                let moved = [x[0] + step - 3.0, x[1] - step + 1.0, x[2]];
                let mut nearest: Vec<(f64, usize)> = (0..200)
                    .map(|other| {
                        let y = cell.positions[other];
                        let difference = wrap(std::array::from_fn(|k| y[k] - moved[k]));
                        (cell.squared_length(&difference), other)
                    })
                    .collect();
                nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
                let expected = (nearest[0].0 <= 0.05 * 0.05).then_some(nearest[0].1);
                assert_eq!(grid.nearest(&moved), expected, "site {site}, step {step}");
            }
        }
        assert_eq!(grid.nearest(&[0.5, 0.123, 0.77]), None);
    }
}
