//! Which part of a row of bins can be within the cutoff of some sites.

use crate::lattice::{Mat3, Vec3, dot, norm};

/// What rounding may do to the place of an atom, in angstrom or bins.
pub const SLACK: f64 = 1e-6;

/// The row of bins along the third vector of the basis, as seen along and across that vector.
#[derive(Debug)]
pub struct RowShape {
    /// Distances between the faces of a bin, in angstrom.
    pub widths: Vec3,
    /// Parts of the first two edges of a bin across the row.
    across: [Vec3; 2],
    /// Distances between opposite sides of a row, in angstrom.
    sides: [f64; 2],
    /// Parts of the first two edges of a bin along the row.
    along: [f64; 2],
    /// Bins per angstrom along the row.
    pub per_step: f64,
    /// No point of a row is farther from its axis than this.
    radius: f64,
    /// No point of a bin is farther from its centre than this, along the row.
    half_length: f64,
}

/// A parallelepiped that sites lie in, with the edges of the bins for directions.
#[derive(Debug, Clone, Copy)]
pub struct Zone {
    /// Least and greatest place along each direction, in bins.
    pub low: Vec3,
    pub high: Vec3,
    /// Centre along the first two directions, and how far it reaches from there.
    pub center: [f64; 2],
    half: [f64; 2],
    /// No point is farther from the centre than this, across the row.
    radius: f64,
    /// Nor along the row, for its place along the first two directions.
    half_length: f64,
}

impl RowShape {
    /// Rows of bins with these edges, and these distances between their faces.
    pub fn new(edges: &Mat3, widths: Vec3) -> Self {
        let step = norm(&edges[2]);
        let axis = edges[2].map(|x| x / step);
        let along = [dot(&edges[0], &axis), dot(&edges[1], &axis)];
        let across: [Vec3; 2] =
            std::array::from_fn(|e| std::array::from_fn(|k| edges[e][k] - along[e] * axis[k]));
        let overlap = dot(&across[0], &across[1]);
        let side = |one: usize, other: usize| {
            let squared = dot(&across[one], &across[one]);
            (squared - overlap * overlap / dot(&across[other], &across[other])).sqrt()
        };
        Self {
            widths,
            across,
            sides: [side(0, 1), side(1, 0)],
            along,
            per_step: 1.0 / step,
            radius: half_diagonal(&across, [0.5; 2]) + SLACK,
            half_length: 0.5 * (along[0].abs() + along[1].abs() + step) + SLACK,
        }
    }

    /// The zone of the sites at these places, in bins.
    pub fn zone(&self, places: impl Iterator<Item = Vec3>) -> Zone {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for place in places {
            for k in 0..3 {
                low[k] = smallest(low[k], place[k]);
                high[k] = largest(high[k], place[k]);
            }
        }
        let half = [0, 1].map(|k| 0.5 * (high[k] - low[k]));
        Zone {
            low,
            high,
            center: [0, 1].map(|k| 0.5 * (low[k] + high[k])),
            half,
            radius: half_diagonal(&self.across, half),
            half_length: half[0] * self.along[0].abs() + half[1] * self.along[1].abs(),
        }
    }

    /// The bins of a row that a sphere around any point of a zone can touch: all between the two
    /// numbers, none where they cross. The first is counted from the bin whose lower end is level
    /// with the low end of the zone, the other from that of its high end. The row's axis is `x`, `y`
    /// edges of bins away from the centre of the zone.
    #[inline(always)]
    pub fn run(&self, x: f64, y: f64, zone: &Zone, cutoff: f64) -> (f64, f64) {
        let axis: Vec3 = std::array::from_fn(|k| x * self.across[0][k] + y * self.across[1][k]);
        // Bounds by the circle around the row and by either pair of its sides.
        let mut gap = largest(norm(&axis) - self.radius - zone.radius, 0.0);
        let half = zone.half.map(|half| half + 0.5);
        gap = largest(gap, (x.abs() - half[0]) * self.sides[0] - SLACK);
        gap = largest(gap, (y.abs() - half[1]) * self.sides[1] - SLACK);
        let squared = cutoff * cutoff - gap * gap;
        let reach = largest(squared, 0.0).sqrt() + self.half_length + zone.half_length;
        // Farther down than any row goes.
        let reach = if squared < 0.0 {
            f64::NEG_INFINITY
        } else {
            reach
        };
        let level = x * self.along[0] + y * self.along[1];
        let low = (-reach - level) * self.per_step;
        let high = (reach - level) * self.per_step;
        (low, high)
    }
}

/// Half of the longer diagonal of a parallelogram that reaches so many edges from its centre.
fn half_diagonal(edges: &[Vec3; 2], half: [f64; 2]) -> f64 {
    let diagonal = |sign: f64| {
        norm(&std::array::from_fn(|k| {
            half[0] * edges[0][k] + sign * half[1] * edges[1][k]
        }))
    };
    largest(diagonal(1.0), diagonal(-1.0))
}

/// The larger number: unlike `f64::max`, one instruction.
#[inline(always)]
fn largest(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

/// The smaller number likewise.
#[inline(always)]
fn smallest(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

/// The whole number below `x`, but no less than -1 and no more than `most`; where `x` is whole it
/// may be the one below. Free of branches and function calls.
#[inline(always)]
pub fn floor(x: f64, most: f64) -> i32 {
    const ROUND_TO_1: f64 = 1.5 * (1u64 << 52) as f64;
    let half_below = smallest(largest(x - 0.5, -1.0), most);
    (half_below + ROUND_TO_1).to_bits() as i32
}
