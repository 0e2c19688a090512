//! The bonds of one site.

use super::Options;
use super::atoms::{Atoms, SOFTNESS, order_reach};
use super::moments::Moments;
use crate::batch::{Crystal, SHORTEST_BOND};
use crate::lattice::{Vec3, cross, dot, norm, sub};
use crate::neighbors::{Block, BlockVisitor, LANES, NeighborGrid};
use crate::simd;

/// No angles are formed at a site with more bonds: their number grows with the square, and so many
/// atoms within the length of a bond are no surroundings that an angle could describe.
const MOST_BONDS: usize = 256;

/// A bond from the site in hand.
#[derive(Debug, Clone, Copy)]
pub struct Bond {
    /// Site at the other end.
    site: usize,
    /// Vector to it, in angstrom.
    vector: Vec3,
    /// Its length.
    length: f64,
}

/// Statistics of the bonds of one site, each weighted by the occupancy of its other end.
#[derive(Debug, Clone, Copy, Default)]
pub struct SiteBonds {
    /// Sum of the occupancies at the other ends.
    pub coordination_number: f64,
    /// In angstrom.
    pub lengths: Moments,
    /// Over the sum of radii.
    pub relative_lengths: Moments,
    /// In degrees.
    pub angles: Moments,
    pub electronegativity_differences: Moments,
    /// Of those whose two ends hold different elements.
    pub unlike: f64,
    /// Sum of the bond orders of all pairs.
    pub order: f64,
}

/// Buffers of one thread, kept from site to site.
#[derive(Debug, Default)]
pub struct Buffers {
    bonds: Vec<Bond>,
    angles: Angles,
}

/// Angles between bonds: their sines and cosines, both times the lengths of the two bonds, and
/// their weights.
#[derive(Debug, Default)]
struct Angles {
    /// Squares, until the angles in degrees take their place.
    sines: Vec<f64>,
    cosines: Vec<f64>,
    weights: Vec<f64>,
}

impl simd::Work for &mut Angles {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (sine, cosine) in self.sines.iter_mut().zip(&self.cosines) {
            // The arc tangent is exact to rounding at every angle, unlike the arc cosine.
            *sine = simd::atan2(sine.sqrt(), *cosine).to_degrees();
        }
    }
}

/// What a search needs to know of the atoms, by their slots in the grid.
#[derive(Debug)]
pub struct SlotAtoms {
    radii: Vec<f64>,
    occupancies: Vec<f64>,
    signs: Vec<u8>,
}

impl SlotAtoms {
    pub fn new(atoms: &Atoms, grid: &NeighborGrid) -> Self {
        Self {
            radii: grid.by_slot(|site| atoms.radii[site]),
            occupancies: grid.by_slot(|site| atoms.occupancies[site]),
            signs: grid.by_slot(|site| atoms.signs[site] as u8),
        }
    }
}

/// Finds the bonds of the sites of one crystal.
#[derive(Debug, Clone, Copy)]
pub struct BondSearch<'a> {
    pub crystal: &'a Crystal<'a>,
    pub options: &'a Options<'a>,
    pub atoms: &'a Atoms,
    pub grid: &'a NeighborGrid,
    pub slots: &'a SlotAtoms,
}

impl BondSearch<'_> {
    /// The bonds of a site.
    pub fn around(&self, site: usize, buffers: &mut Buffers) -> SiteBonds {
        let Buffers { bonds, angles } = buffers;
        bonds.clear();
        let mut visitor = Visitor {
            crystal: self.crystal,
            slots: self.slots,
            site,
            radius: self.atoms.radii[site],
            factors: self.atoms.signs[site].factors(self.options),
            order_reach: order_reach(),
            orders: [0.0; LANES],
            bonds,
        };
        self.grid.for_each_block(site, &mut visitor);
        let mut found = SiteBonds {
            order: visitor.orders.iter().sum(),
            ..SiteBonds::default()
        };
        for bond in bonds.iter() {
            let weight = self.atoms.occupancies[bond.site];
            let radii = self.atoms.radii[site] + self.atoms.radii[bond.site];
            let [own, other] = [site, bond.site].map(|site| self.atoms.electronegativities[site]);
            found.coordination_number += weight;
            found.lengths.add(bond.length, weight);
            found.relative_lengths.add(bond.length / radii, weight);
            found
                .electronegativity_differences
                .add((own - other).abs(), weight);
            found.unlike += weight * self.unlikeness(site, bond.site);
        }
        if bonds.len() <= MOST_BONDS {
            self.find_angles(bonds, angles);
            for (angle, weight) in angles.sines.iter().zip(&angles.weights) {
                found.angles.add(*angle, *weight);
            }
        }
        found
    }

    /// Probability that two sites hold different elements.
    fn unlikeness(&self, i: usize, j: usize) -> f64 {
        let elements = &self.crystal.atomic_numbers;
        let mut alike = 0.0;
        for (one, share) in self.crystal.species_weights(i) {
            for (two, other) in self.crystal.species_weights(j) {
                if elements[one] == elements[two] {
                    alike += share * other;
                }
            }
        }
        1.0 - alike
    }

    /// The angles between each two bonds whose ends can be there at one time.
    fn find_angles(&self, bonds: &[Bond], angles: &mut Angles) {
        for list in [&mut angles.sines, &mut angles.cosines, &mut angles.weights] {
            list.clear();
        }
        let occupancies = &self.atoms.occupancies;
        for (k, one) in bonds.iter().enumerate() {
            let weight = occupancies[one.site];
            for two in &bonds[..k] {
                let other = occupancies[two.site];
                if weight < 1.0 && other < 1.0 {
                    let distance = norm(&sub(&one.vector, &two.vector));
                    if self.crystal.are_alternatives(one.site, two.site, distance) {
                        continue;
                    }
                }
                let normal = cross(&one.vector, &two.vector);
                angles.sines.push(dot(&normal, &normal));
                angles.cosines.push(dot(&one.vector, &two.vector));
                angles.weights.push(weight * other);
            }
        }
        simd::dispatch(simd::level(), angles);
    }
}

/// Gathers the bonds of a site and adds up its bond orders.
struct Visitor<'a> {
    crystal: &'a Crystal<'a>,
    slots: &'a SlotAtoms,
    site: usize,
    radius: f64,
    /// By the sign of the neighbour.
    factors: [f64; 3],
    order_reach: f64,
    orders: [f64; LANES],
    bonds: &'a mut Vec<Bond>,
}

impl BlockVisitor for Visitor<'_> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        let groups = block.squared().iter().zip(block.slots());
        for (group, (squared, slots)) in groups.enumerate() {
            let (mut distances, mut close) = ([0.0; LANES], false);
            for k in 0..LANES {
                distances[k] = squared[k].sqrt();
                close |= distances[k] < SHORTEST_BOND;
            }
            if close {
                self.pass_over_alternatives(block, group * LANES, &mut distances);
            }
            let (mut exponents, mut counts) = ([0.0; LANES], [0.0; LANES]);
            let mut longest = [0.0; LANES];
            for k in 0..LANES {
                let slot = slots[k] as usize;
                let radii = self.radius + self.slots.radii[slot];
                let factor = self.factors[usize::from(self.slots.signs[slot])];
                let counted = factor > 0.0 && distances[k] < radii + self.order_reach;
                exponents[k] = (radii - distances[k]) * (1.0 / SOFTNESS);
                counts[k] = if counted {
                    self.slots.occupancies[slot]
                } else {
                    0.0
                };
                longest[k] = factor * radii;
            }
            let mut orders = [0.0; LANES];
            for k in 0..LANES {
                orders[k] = simd::exp(exponents[k]);
            }
            let mut any = false;
            for k in 0..LANES {
                self.orders[k] += counts[k] * orders[k];
                any |= distances[k] < longest[k];
            }
            if any {
                for k in 0..LANES {
                    if distances[k] < longest[k] {
                        let number = group * LANES + k;
                        self.bonds.push(Bond {
                            site: block.site(number),
                            vector: block.vector(number),
                            length: distances[k],
                        });
                    }
                }
            }
        }
    }
}

impl Visitor<'_> {
    /// Moves neighbours that can't be there at the same time as the site out of reach; `first` is
    /// the number within the block of the first distance.
    #[cold]
    fn pass_over_alternatives(
        &self,
        block: &Block<'_>,
        first: usize,
        distances: &mut [f64; LANES],
    ) {
        for (k, distance) in (first..block.len()).zip(distances) {
            if self
                .crystal
                .are_alternatives(self.site, block.site(k), *distance)
            {
                *distance = f64::INFINITY;
            }
        }
    }
}
