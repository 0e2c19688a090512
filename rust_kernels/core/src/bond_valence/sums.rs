//! The sums over the neighbours of each site.
//!
//! Where a crystal has few kinds of sites, each kind is a group of the grid: only kinds that bond are
//! looked at, and one bond holds for all neighbours that are found. Elsewhere the bond of each pair
//! is looked up.

use std::ops::Range;

use super::{BondValence, Ions, Parameters, Term};
use crate::batch::{Crystal, SHORTEST_BOND, map_sites, map_sites_to_pairs};
use crate::error::CrystalError;
use crate::neighbors::{Block, BlockVisitor, LANES, MOST_MEMBERS, NeighborGrid};
use crate::simd;

/// Most kinds of sites that are told apart,
const MOST_KINDS: usize = 8;

/// and fewest sites of a crystal for each, on average: fewer are not worth a search of their own.
const LEAST_SITES: usize = 4;

/// Sites of a large crystal that are told apart by one task.
const SITES_AT_ONCE: usize = 512;

/// Sums and the global instability index of a crystal.
pub fn of_crystal(
    crystal: &Crystal<'_>,
    parameters: Parameters,
    cutoff: f64,
) -> Result<BondValence, CrystalError> {
    let representatives = crystal.representatives();
    let kinds = Kinds::new(crystal);
    let (n, parallel) = (crystal.n_sites(), crystal.is_large());
    let ((sums, estimated), (expected, occupancies)) = match &kinds {
        Some(kinds) => {
            let ions = Ions::new(crystal, parameters, kinds.firsts.iter().copied())?;
            let expected: Vec<(f64, f64)> = (kinds.firsts.iter())
                .map(|&first| expected_sum(crystal, first))
                .collect();
            (
                by_kind(crystal, &ions, cutoff, &representatives, kinds),
                map_sites_to_pairs(n, parallel, |site| {
                    expected[usize::from(kinds.of_sites[site])]
                }),
            )
        }
        None => {
            let ions = Ions::new(crystal, parameters, 0..n)?;
            (
                by_pair(crystal, &ions, cutoff, &representatives),
                map_sites_to_pairs(n, parallel, |site| expected_sum(crystal, site)),
            )
        }
    };
    let gii = global_instability_index(&sums, &expected, &occupancies);
    Ok(BondValence {
        sums,
        expected,
        estimated,
        gii,
    })
}

/// What the bonds of a site would sum to without strain, and its occupancy.
fn expected_sum(crystal: &Crystal<'_>, site: usize) -> (f64, f64) {
    let charge = |(species, weight): (usize, f64)| weight * crystal.oxidation_states[species].abs();
    let expected = crystal.species_weights(site).map(charge).sum();
    (expected, crystal.site_occupancy(site))
}

/// Sites that hold the same species are of one kind.
struct Kinds {
    /// (n_sites,)
    of_sites: Vec<u8>,
    /// The first site of each kind.
    firsts: Vec<usize>,
}

impl Kinds {
    /// None where there are too many kinds.
    fn new(crystal: &Crystal<'_>) -> Option<Self> {
        let n = crystal.n_sites();
        if !crystal.is_large() {
            return Self::among(crystal, 0..n);
        }
        let parts = map_sites(n.div_ceil(SITES_AT_ONCE), true, |part| {
            let first = part * SITES_AT_ONCE;
            Self::among(crystal, first..n.min(first + SITES_AT_ONCE))
        });
        let (mut of_sites, mut firsts) = (Vec::with_capacity(n), Vec::new());
        for part in parts {
            let part = part?;
            let number = |&first: &usize| number_of_kind(crystal, &mut firsts, first);
            let numbers: Vec<u8> = part.firsts.iter().map(number).collect::<Option<_>>()?;
            of_sites.extend(part.of_sites.iter().map(|&kind| numbers[usize::from(kind)]));
        }
        Some(Self { of_sites, firsts })
    }

    /// The same for some of the sites.
    fn among(crystal: &Crystal<'_>, sites: Range<usize>) -> Option<Self> {
        let mut firsts = Vec::new();
        let of_sites = sites
            .map(|site| number_of_kind(crystal, &mut firsts, site))
            .collect::<Option<_>>()?;
        Some(Self { of_sites, firsts })
    }
}

/// The kind of a site among those whose first sites are known, to which it is added where it is new;
/// none where that is one too many.
fn number_of_kind(crystal: &Crystal<'_>, firsts: &mut Vec<usize>, site: usize) -> Option<u8> {
    let mut known = firsts.iter();
    let known = known.position(|&first| crystal.same_species(first, site));
    let kind = known.unwrap_or_else(|| {
        firsts.push(site);
        firsts.len() - 1
    });
    (kind < MOST_KINDS.min(crystal.n_sites() / LEAST_SITES)).then_some(kind as u8)
}

/// The sum of each site, or of that which stands for its orbit, and the fraction of it that rests on
/// estimated parameters, kind after kind of neighbours.
fn by_kind(
    crystal: &Crystal<'_>,
    ions: &Ions,
    cutoff: f64,
    representatives: &[usize],
    kinds: &Kinds,
) -> (Vec<f64>, Vec<f64>) {
    let grid = NeighborGrid::grouped(crystal, cutoff, simd::level(), &kinds.of_sites);
    let bonds: Vec<Vec<KindBonds>> = (kinds.firsts.iter())
        .map(|&one| {
            let with = kinds.firsts.iter().enumerate();
            with.map(|(kind, &other)| KindBonds::new(crystal, ions, one, kind, other))
                .filter(|bonds| !bonds.bonds.is_empty())
                .collect()
        })
        .collect();
    for_clusters(crystal, &grid, representatives, |cluster, sites| {
        let mut sums = [Sum::default(); MOST_MEMBERS];
        for bonds in &bonds[usize::from(kinds.of_sites[sites[0]])] {
            let sums = &mut sums;
            grid.for_each_block_in(bonds.kind, cluster.clone(), &mut KindSum { bonds, sums });
        }
        sums
    })
}

/// The same with the bond of each pair looked up.
fn by_pair(
    crystal: &Crystal<'_>,
    ions: &Ions,
    cutoff: f64,
    representatives: &[usize],
) -> (Vec<f64>, Vec<f64>) {
    let grid = NeighborGrid::new(crystal, cutoff);
    let most = (0..crystal.n_sites())
        .map(|site| crystal.species(site).len())
        .max();
    let ranks: Vec<Rank> = (0..most.unwrap_or(0))
        .map(|rank| Rank::new(crystal, ions, &grid, rank))
        .collect();
    for_clusters(crystal, &grid, representatives, |cluster, sites| {
        let mut sums = [Sum::default(); MOST_MEMBERS];
        let members = sites.iter().map(|&site| Member {
            site,
            bonds: (crystal.species_weights(site))
                .map(|(species, share)| (ions.bonds_of(ions.of_species[species]), share))
                .collect(),
        });
        let mut visitor = PairSum {
            crystal,
            members: members.collect(),
            ranks: &ranks,
            sums: &mut sums,
        };
        grid.for_each_block_of(cluster, &mut visitor);
        sums
    })
}

/// Sums of all sites by what sums those of a cluster that stand for their orbits.
fn for_clusters(
    crystal: &Crystal<'_>,
    grid: &NeighborGrid,
    representatives: &[usize],
    sum: impl Fn(Range<usize>, &[usize]) -> [Sum; MOST_MEMBERS] + Sync + Send,
) -> (Vec<f64>, Vec<f64>) {
    let order: Vec<usize> = grid.order().collect();
    let clusters = grid.clusters_of(|site| representatives[site] == site);
    let mut by_rank = vec![(0.0, 0.0); crystal.n_sites()];
    grid.for_clusters(&clusters, &mut by_rank, |cluster, finished| {
        let sums = sum(cluster.clone(), &order[cluster]);
        for (finished, sum) in finished.iter_mut().zip(&sums) {
            *finished = sum.finish();
        }
    });
    map_sites_to_pairs(crystal.n_sites(), crystal.is_large(), |site| {
        by_rank[grid.rank(representatives[site])]
    })
}

/// What the bonds of a site sum to, and those with estimated parameters.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    all: [f64; LANES],
    estimated: [f64; LANES],
}

impl Sum {
    /// The sum, and the fraction of it that rests on estimated parameters.
    fn finish(&self) -> (f64, f64) {
        let [sum, estimated] = [self.all, self.estimated].map(|lanes| lanes.iter().sum::<f64>());
        (sum, if sum > 0.0 { estimated / sum } else { 0.0 })
    }

    /// Adds bonds, given by the logarithms of their valences, each with its weights.
    #[inline(always)]
    fn add(&mut self, exponents: &[f64; LANES], weights: &[f64; LANES], estimated: &[f64; LANES]) {
        let mut valences = [0.0; LANES];
        for k in 0..LANES {
            valences[k] = simd::exp(exponents[k]);
        }
        for k in 0..LANES {
            self.all[k] += weights[k] * valences[k];
            self.estimated[k] += estimated[k] * valences[k];
        }
    }
}

/// Bonds of sites of one kind with those of another.
struct KindBonds {
    /// The other kind.
    kind: usize,
    /// Sites closer than this are alternatives, which are not bonded.
    shortest: f64,
    /// Of each species with each, weighted by its share of the site and the other's occupancy.
    bonds: Vec<Term>,
}

impl KindBonds {
    /// Of a site with another, of the kind of that number.
    fn new(crystal: &Crystal<'_>, ions: &Ions, one: usize, kind: usize, other: usize) -> Self {
        let mut bonds = Vec::new();
        for (own, share) in crystal.species_weights(one) {
            let terms = ions.bonds_of(ions.of_species[own]);
            for species in crystal.species(other) {
                let term = terms[ions.of_species[species] as usize];
                let weight = share * crystal.occupancies[species];
                if term.counts * weight != 0.0 {
                    bonds.push(Term {
                        counts: weight * term.counts,
                        estimated: weight * term.estimated,
                        ..term
                    });
                }
            }
        }
        Self {
            kind,
            shortest: crystal.alternatives_within(one, other),
            bonds,
        }
    }
}

/// Adds up the bonds of some sites with those of one kind.
struct KindSum<'a> {
    bonds: &'a KindBonds,
    sums: &'a mut [Sum; MOST_MEMBERS],
}

impl BlockVisitor for KindSum<'_> {
    const PLACES: bool = false;

    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        let sum = &mut self.sums[block.member()];
        let shortest = self.bonds.shortest;
        for squared in block.squared() {
            let mut distances = [0.0; LANES];
            for k in 0..LANES {
                let distance = squared[k].sqrt();
                distances[k] = if distance < shortest {
                    f64::INFINITY
                } else {
                    distance
                };
            }
            for bond in &self.bonds.bonds {
                let exponents = distances.map(|distance| (bond.r0 - distance) * bond.per_b);
                sum.add(&exponents, &[bond.counts; LANES], &[bond.estimated; LANES]);
            }
        }
    }
}

/// The first, second, ... species of each neighbour, by its slot in the grid.
struct Rank {
    ions: Vec<u32>,
    /// 0 for sites with fewer species.
    occupancies: Vec<f64>,
}

impl Rank {
    fn new(crystal: &Crystal<'_>, ions: &Ions, grid: &NeighborGrid, rank: usize) -> Self {
        let entry = |site: usize| crystal.species(site).nth(rank);
        Self {
            ions: grid.by_slot(|site| entry(site).map_or(0, |s| ions.of_species[s])),
            occupancies: grid.by_slot(|site| entry(site).map_or(0.0, |s| crystal.occupancies[s])),
        }
    }
}

/// A site whose bonds are looked up.
struct Member<'a> {
    site: usize,
    /// For each of its species, its bonds with each ion and its share of the site.
    bonds: Vec<(&'a [Term], f64)>,
}

/// Adds up the bonds of some sites.
struct PairSum<'a> {
    crystal: &'a Crystal<'a>,
    members: Vec<Member<'a>>,
    ranks: &'a [Rank],
    sums: &'a mut [Sum; MOST_MEMBERS],
}

impl BlockVisitor for PairSum<'_> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        let member = &self.members[block.member()];
        let sum = &mut self.sums[block.member()];
        let groups = block.squared().iter().zip(block.slots());
        for (group, (squared, slots)) in groups.enumerate() {
            let (mut distances, mut close) = ([0.0; LANES], false);
            for k in 0..LANES {
                distances[k] = squared[k].sqrt();
                close |= distances[k] < SHORTEST_BOND;
            }
            if close {
                pass_over_alternatives(
                    self.crystal,
                    member.site,
                    block,
                    group * LANES,
                    &mut distances,
                );
            }
            for rank in self.ranks {
                for (bonds, share) in &member.bonds {
                    let (mut exponents, mut weights) = ([0.0; LANES], [0.0; LANES]);
                    let mut estimated = [0.0; LANES];
                    for k in 0..LANES {
                        let slot = slots[k] as usize;
                        let bond = &bonds[rank.ions[slot] as usize];
                        let weight = share * rank.occupancies[slot];
                        exponents[k] = (bond.r0 - distances[k]) * bond.per_b;
                        weights[k] = weight * bond.counts;
                        estimated[k] = weight * bond.estimated;
                    }
                    sum.add(&exponents, &weights, &estimated);
                }
            }
        }
    }
}

/// Moves neighbours that can't be there at the same time as the site out of reach; `first` is the
/// number within the block of the first distance.
#[cold]
fn pass_over_alternatives(
    crystal: &Crystal<'_>,
    site: usize,
    block: &Block<'_>,
    first: usize,
    distances: &mut [f64; LANES],
) {
    for (k, distance) in (first..block.len()).zip(distances) {
        if crystal.are_alternatives(site, block.site(k), *distance) {
            *distance = f64::INFINITY;
        }
    }
}

/// Neutral sites have no valence to meet and are left out.
fn global_instability_index(sums: &[f64], expected: &[f64], occupancies: &[f64]) -> f64 {
    let (mut squares, mut weight) = (0.0, 0.0);
    let of_sums = std::iter::zip(sums, expected);
    for ((sum, expected), occupancy) in of_sums.zip(occupancies) {
        if *expected > 0.0 {
            squares += occupancy * (sum - expected).powi(2);
            weight += occupancy;
        }
    }
    (squares / weight).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CrystalBatch;

    /// Three kinds of sites in turn, one of them shared by two cations and a vacancy, another filled
    /// in part by an anion, so that some are alternatives; each of an orbit of its own.
    fn with_kinds(n_sites: usize, test: impl Fn(&Crystal<'_>, &Ions)) {
        let frac_coords: Vec<[f64; 3]> = (0..n_sites)
            .map(|k| [0.618, 0.7549, 0.5698].map(|step| step * k as f64))
            .collect();
        let mut species_offsets = vec![0];
        let (mut elements, mut occupancies, mut charges) = (Vec::new(), Vec::new(), Vec::new());
        for k in 0..n_sites {
            let species: &[(u8, f64, f64)] = match k % 3 {
                0 => &[(3, 0.25, 1.0), (22, 0.125, 4.0)],
                1 => &[(8, 0.5, -2.0)],
                _ => &[(9, 1.0, -1.0)],
            };
            for &(element, occupancy, charge) in species {
                elements.push(element);
                occupancies.push(occupancy);
                charges.push(charge);
            }
            species_offsets.push(elements.len() as i64);
        }
        let batch = CrystalBatch {
            lattices: &[[[5.0, 0.3, 0.0], [-1.0, 4.0, 0.1], [0.4, 0.9, 4.5]]],
            pbc: &[[true; 3]],
            site_offsets: &[0, n_sites as i64],
            frac_coords: &frac_coords,
            asymmetric_index: &vec![-1; n_sites],
            species_offsets: &species_offsets,
            atomic_numbers: &elements,
            occupancies: &occupancies,
            oxidation_states: &charges,
        };
        let crystal = batch.validate().unwrap().crystal(0).unwrap();
        let ions = Ions::new(&crystal, Parameters::Brown2020, 0..n_sites).unwrap();
        test(&crystal, &ions);
    }

    #[test]
    fn kind_by_kind_the_sums_are_those_of_pair_by_pair() {
        for n_sites in [12, 41, 200] {
            with_kinds(n_sites, |crystal, ions| {
                let all: Vec<usize> = (0..n_sites).collect();
                let kinds = Kinds::new(crystal).unwrap();
                assert_eq!(kinds.firsts, [0, 1, 2]);
                for cutoff in [2.0, 6.0] {
                    let one = by_kind(crystal, ions, cutoff, &all, &kinds);
                    let other = by_pair(crystal, ions, cutoff, &all);
                    let mut n_bonded = 0;
                    for (one, other) in one.0.iter().zip(&other.0) {
                        assert!((one - other).abs() <= 1e-12 * other);
                        n_bonded += usize::from(*other > 0.0);
                    }
                    for (one, other) in one.1.iter().zip(&other.1) {
                        assert!((one - other).abs() <= 1e-12);
                    }
                    assert!(n_bonded > n_sites / 3, "{n_bonded} of {n_sites}");
                }
            });
        }
    }

    #[test]
    fn alternatives_are_not_bonded_by_kind_either() {
        with_kinds(200, |crystal, ions| {
            let kinds = Kinds::new(crystal).unwrap();
            let bonds = |one: usize, other: usize| KindBonds::new(crystal, ions, one, other, other);
            assert_eq!(bonds(0, 1).shortest, SHORTEST_BOND);
            assert_eq!(bonds(0, 2).shortest, 0.0);
            // Of each of two cations, weighted by its share.
            assert_eq!(bonds(0, 1).bonds.len(), 2);
            let weights = bonds(0, 1)
                .bonds
                .iter()
                .map(|bond| bond.counts)
                .sum::<f64>();
            assert!((weights - 0.5).abs() < 1e-15);
            assert!(bonds(1, 2).bonds.is_empty() && bonds(0, 0).bonds.is_empty());
            let grid = NeighborGrid::grouped(crystal, 1.0, simd::level(), &kinds.of_sites);
            let mut n_alternatives = 0;
            for site in (0..200).step_by(3) {
                grid.for_each(site, |neighbor| {
                    n_alternatives += usize::from(neighbor.site % 3 == 1)
                });
            }
            assert!(n_alternatives > 10, "the crystal has some");
        });
    }

    #[test]
    fn kinds_found_part_by_part_have_the_same_numbers() {
        // Each part begins with another kind.
        let n_sites = 3 * SITES_AT_ONCE + 100;
        with_kinds(n_sites, |crystal, _| {
            let (parts, whole) = (Kinds::new(crystal), Kinds::among(crystal, 0..n_sites));
            let (parts, whole) = (parts.unwrap(), whole.unwrap());
            assert!(crystal.is_large());
            assert_eq!(parts.firsts, whole.firsts);
            assert_eq!(parts.of_sites, whole.of_sites);
        });
    }

    #[test]
    fn sites_of_many_kinds_are_taken_one_by_one() {
        with_kinds(9, |crystal, _| assert!(Kinds::new(crystal).is_none()));
        with_kinds(12, |crystal, _| assert!(Kinds::new(crystal).is_some()));
    }
}
