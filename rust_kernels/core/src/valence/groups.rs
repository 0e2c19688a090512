//! Equivalent sites and their bond-valence sums.

use std::sync::LazyLock;

use crate::batch::{Crystal, map_sites};
use crate::bond_valence::okeeffe_brese;
use crate::elements::SYMBOLS;
use crate::neighbors::{Block, BlockVisitor, LANES, NeighborGrid};
use crate::simd;
use crate::valence::electronegativity::electronegativity;

/// Bonds are summed up to this distance in angstrom.
pub const CUTOFF: f64 = 4.0;

/// Partly filled sites closer than this, in angstrom, that together hold no more than one atom are
/// alternatives of one atom and not bonded.
const ALTERNATIVES: f64 = 0.8;

/// Sites of the same species whose sums differ by no more than this, in valence units, are taken
/// as equivalent.
const SAME_SUM: f64 = 0.005;

/// At most this many groups of sites with the same species: in a crystal without symmetry the
/// tolerance is doubled until no more are left, which bounds the work.
const MAX_GROUPS: usize = 24;

/// Bond of a pair of elements, signed: positive where the first is the cation.
#[derive(Debug, Clone, Copy)]
struct Bond {
    r0: f64,
    sign: f64,
}

/// Row-major over both atomic numbers; sign 0 where the pair forms no bond.
static BONDS: LazyLock<Vec<Bond>> = LazyLock::new(|| {
    let n = SYMBOLS.len() + 1;
    let mut bonds = vec![Bond { r0: 0.0, sign: 0.0 }; n * n];
    for one in 1..n as u8 {
        for two in 1..n as u8 {
            let bonded = one != two && (ANIONS.contains(&one) || ANIONS.contains(&two));
            if let (true, Some(r0)) = (bonded, okeeffe_brese::r0(one, two)) {
                let cation = electronegativity(one) < electronegativity(two);
                bonds[usize::from(one) * n + usize::from(two)] = Bond {
                    r0,
                    sign: if cation { 1.0 } else { -1.0 },
                };
            }
        }
    }
    bonds
});

/// One of a bonded pair must be among these: H, B, C, Si, N, P, As, Sb, O, S, Se, Te, F, Cl, Br, I
/// (O'Keeffe and Brese 1991).
const ANIONS: [u8; 16] = [1, 5, 6, 14, 7, 15, 33, 51, 8, 16, 34, 52, 9, 17, 35, 53];

/// Sites that are taken as equivalent.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// First of the sites, which stands for all of them.
    pub site: usize,
    /// Number of sites.
    pub multiplicity: usize,
    /// Bond-valence sum of the site, in valence units.
    pub sum: f64,
}

/// Groups of equivalent sites in an order that does not depend on that of the sites, and the group
/// of each site.
///
/// Sites are equivalent when they are images of one site of the asymmetric unit, or when they hold
/// the same species and have the same bond-valence sum.
pub fn equivalent_sites(crystal: &Crystal<'_>, distance_scale: f64) -> (Vec<Group>, Vec<usize>) {
    let (images, image_of) = images(crystal);
    let grid = NeighborGrid::new(crystal, CUTOFF);
    let sums = bond_valence_sums(crystal, &grid, &images, distance_scale);
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by(|&a, &b| {
        let by_species = compare_species(crystal, images[a].site, images[b].site);
        by_species
            .then(sums[a].total_cmp(&sums[b]))
            .then(images[a].multiplicity.cmp(&images[b].multiplicity))
            .then(a.cmp(&b))
    });
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of_image = vec![0; images.len()];
    for same in
        order.chunk_by(|&a, &b| compare_species(crystal, images[a].site, images[b].site).is_eq())
    {
        for members in cluster(same, &sums) {
            let mut group = Group {
                site: usize::MAX,
                multiplicity: 0,
                sum: 0.0,
            };
            for &k in members {
                group.site = group.site.min(images[k].site);
                group.multiplicity += images[k].multiplicity;
                group.sum += images[k].multiplicity as f64 * sums[k];
                group_of_image[k] = groups.len();
            }
            group.sum /= group.multiplicity as f64;
            groups.push(group);
        }
    }
    let group_of = image_of.iter().map(|&k| group_of_image[k]).collect();
    (groups, group_of)
}

/// Sites of one site of the asymmetric unit.
struct Image {
    site: usize,
    multiplicity: usize,
}

fn images(crystal: &Crystal<'_>) -> (Vec<Image>, Vec<usize>) {
    let n = crystal.n_sites();
    let mut order: Vec<usize> = (0..n).collect();
    // Sites that share an index but not their species can't be images of one another.
    let compare = |a: usize, b: usize| {
        let by_index = crystal.asymmetric_index[a].cmp(&crystal.asymmetric_index[b]);
        by_index.then_with(|| compare_species(crystal, a, b))
    };
    order.sort_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    let mut images = Vec::new();
    let mut image_of = vec![0; n];
    for same in order.chunk_by(|&a, &b| crystal.asymmetric_index[a] >= 0 && compare(a, b).is_eq()) {
        for &site in same {
            image_of[site] = images.len();
        }
        images.push(Image {
            site: same[0],
            multiplicity: same.len(),
        });
    }
    (images, image_of)
}

/// Orders sites by their elements, occupancies and stated charges.
fn compare_species(crystal: &Crystal<'_>, a: usize, b: usize) -> std::cmp::Ordering {
    let (a, b) = (crystal.species(a), crystal.species(b));
    let elements = |range: &std::ops::Range<usize>| &crystal.atomic_numbers[range.clone()];
    elements(&a).cmp(elements(&b)).then_with(|| {
        let values = a.zip(b).flat_map(|(i, j)| {
            [
                (crystal.occupancies[i], crystal.occupancies[j]),
                (crystal.oxidation_states[i], crystal.oxidation_states[j]),
            ]
        });
        let mut unequal = values.map(|(x, y)| x.total_cmp(&y)).filter(|o| o.is_ne());
        unequal.next().unwrap_or(std::cmp::Ordering::Equal)
    })
}

/// Splits images, sorted by their sums, wherever the sum has risen by more than the tolerance since
/// the start of a cluster.
fn cluster<'a>(sorted: &'a [usize], sums: &[f64]) -> Vec<&'a [usize]> {
    let mut tolerance = SAME_SUM;
    loop {
        let mut clusters = Vec::new();
        let mut start = 0;
        for k in 1..=sorted.len() {
            if k == sorted.len() || sums[sorted[k]] - sums[sorted[start]] > tolerance {
                clusters.push(&sorted[start..k]);
                start = k;
            }
        }
        if clusters.len() <= MAX_GROUPS {
            return clusters;
        }
        tolerance *= 2.0;
    }
}

/// For each image the sum over all bonds of its site, each weighted by the occupancies of both its
/// ends, positive for a cation. Sites that are next to each other are searched around together.
fn bond_valence_sums(
    crystal: &Crystal<'_>,
    grid: &NeighborGrid,
    images: &[Image],
    distance_scale: f64,
) -> Vec<f64> {
    const NONE: usize = usize::MAX;
    let mut image_at = vec![NONE; crystal.n_sites()];
    for (k, image) in images.iter().enumerate() {
        image_at[image.site] = k;
    }
    let most = (0..crystal.n_sites()).map(|site| crystal.species(site).len());
    let ranks: Vec<Rank> = (0..most.max().unwrap_or(0))
        .map(|rank| Rank::new(crystal, grid, rank))
        .collect();
    let order: Vec<usize> = grid.order().collect();
    let clusters = grid.clusters_of(|site| image_at[site] != NONE);
    let found = map_sites(clusters.len(), crystal.is_large(), |k| {
        let sites = order[clusters[k].clone()].iter();
        let of_site = |&site| SiteSum::new(crystal, &ranks, site, distance_scale);
        let mut sums = ClusterSum(sites.map(of_site).collect());
        grid.for_each_block_of(clusters[k].clone(), &mut sums);
        sums.0
            .iter()
            .map(|sum| sum.lanes.iter().sum())
            .collect::<Vec<f64>>()
    });
    let mut sums = vec![0.0; images.len()];
    for (cluster, found) in clusters.into_iter().zip(found) {
        for (&site, sum) in order[cluster].iter().zip(found) {
            sums[image_at[site]] = sum;
        }
    }
    sums
}

/// The first, second, ... species of each neighbour, by its slot in the grid.
struct Rank {
    elements: Vec<u8>,
    /// 0 for sites with fewer species.
    occupancies: Vec<f64>,
}

impl Rank {
    fn new(crystal: &Crystal<'_>, grid: &NeighborGrid, rank: usize) -> Self {
        let entry = |site: usize| crystal.species(site).nth(rank);
        Self {
            elements: grid.by_slot(|site| entry(site).map_or(0, |s| crystal.atomic_numbers[s])),
            occupancies: grid.by_slot(|site| entry(site).map_or(0.0, |s| crystal.occupancies[s])),
        }
    }
}

/// Adds up the bond valences of one site.
struct SiteSum<'a> {
    crystal: &'a Crystal<'a>,
    ranks: &'a [Rank],
    site: usize,
    /// For each species of the site, its bonds with each element and its occupancy.
    species: Vec<(&'static [Bond], f64)>,
    distance_scale: f64,
    lanes: [f64; LANES],
}

/// Adds up those of sites that are searched around together.
struct ClusterSum<'a>(Vec<SiteSum<'a>>);

impl BlockVisitor for ClusterSum<'_> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        self.0[block.member()].add(block);
    }
}

impl<'a> SiteSum<'a> {
    fn new(crystal: &'a Crystal<'a>, ranks: &'a [Rank], site: usize, distance_scale: f64) -> Self {
        let n = SYMBOLS.len() + 1;
        let bonds = |species: usize| {
            let first = usize::from(crystal.atomic_numbers[species]) * n;
            (&BONDS[first..first + n], crystal.occupancies[species])
        };
        Self {
            crystal,
            ranks,
            site,
            species: crystal.species(site).map(bonds).collect(),
            distance_scale,
            lanes: [0.0; LANES],
        }
    }

    /// Adds some neighbours.
    #[inline(always)]
    fn add(&mut self, block: &Block<'_>) {
        let groups = block.squared().iter().zip(block.slots());
        for (group, (squared, slots)) in groups.enumerate() {
            let (mut distances, mut close) = ([0.0; LANES], false);
            for k in 0..LANES {
                distances[k] = squared[k].sqrt();
                close |= distances[k] < ALTERNATIVES;
            }
            if close {
                self.pass_over_alternatives(block, group * LANES, &mut distances);
            }
            for rank in self.ranks {
                for (bonds, occupancy) in &self.species {
                    let (mut exponents, mut counts) = ([0.0; LANES], [0.0; LANES]);
                    for k in 0..LANES {
                        let slot = slots[k] as usize;
                        let bond = &bonds[usize::from(rank.elements[slot])];
                        let distance = distances[k] * self.distance_scale;
                        exponents[k] = (bond.r0 - distance) * (1.0 / okeeffe_brese::B_PYMATGEN);
                        counts[k] = bond.sign * occupancy * rank.occupancies[slot];
                    }
                    let mut valences = [0.0; LANES];
                    for k in 0..LANES {
                        valences[k] = simd::exp(exponents[k]);
                    }
                    for k in 0..LANES {
                        self.lanes[k] += counts[k] * valences[k];
                    }
                }
            }
        }
    }

    /// Moves alternatives of the site out of reach; `first` is the number within the block of the
    /// first distance.
    #[cold]
    fn pass_over_alternatives(
        &self,
        block: &Block<'_>,
        first: usize,
        distances: &mut [f64; LANES],
    ) {
        let filled = self.crystal.site_occupancy(self.site);
        for (k, distance) in (first..block.len()).zip(distances) {
            let other = self.crystal.site_occupancy(block.site(k));
            if *distance < ALTERNATIVES && filled + other < 1.01 {
                *distance = f64::INFINITY;
            }
        }
    }
}
