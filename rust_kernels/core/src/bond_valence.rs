//! Bond-valence sums and the global instability index.
//!
//! A bond of length R between ions of opposite charge has the valence `s = exp((R0 - R) / b)`
//! (I. D. Brown, D. Altermatt, Acta Cryst. B41, 244 (1985), doi 10.1107/S0108768185002063); the
//! bonds of an ion sum to its charge where a crystal is free of strain. The global instability
//! index is the root mean square of what is left (A. Salinas-Sanchez et al., J. Solid State Chem.
//! 100, 201 (1992), doi 10.1016/0022-4596(92)90094-C).

pub mod brown2020;
pub mod okeeffe_brese;

use crate::batch::{Crystal, CrystalBatch, SHORTEST_BOND, map_sites};
use crate::elements::SYMBOLS;
use crate::error::{BatchError, CrystalError};
use crate::neighbors::{Block, BlockVisitor, LANES, NeighborGrid, check_cutoff, check_pairs};
use crate::simd;

/// Highest charge that is looked up.
const MAX_CHARGE: f64 = 8.0;

/// Where R0 and b of an ion pair come from. The two are always taken from one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parameters {
    /// The first of: fitted to the cation in its charge; fitted to the cation in an unspecified
    /// charge; estimated from the elements; fitted to the cation in the nearest other charge.
    ///
    /// Over the 266 pairs with several charges, the bond length at 0.4 v.u. that the elements
    /// give is off by 0.079 A (root mean square), that of the nearest other charge by 0.086 A:
    /// what was measured for another charge is only better than nothing.
    Brown2020,
    /// Estimated from the elements, with one softness for all.
    OkeeffeBrese {
        /// Softness in angstrom.
        b: f64,
    },
}

/// R0 and b of an ion pair.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bond {
    r0: f64,
    b: f64,
    /// Not fitted to this pair.
    estimated: bool,
}

impl Parameters {
    fn check(self) -> Result<(), BatchError> {
        match self {
            Self::OkeeffeBrese { b } if !(b > 0.0 && b.is_finite()) => Err(BatchError::Parameter {
                parameter: "b",
                found: b,
                expected: "a positive number of angstrom",
            }),
            _ => Ok(()),
        }
    }

    fn find(self, cation: u8, charge: u8, anion: u8) -> Option<Bond> {
        let estimate = |b: f64| {
            okeeffe_brese::r0(cation, anion).map(|r0| Bond {
                r0,
                b,
                estimated: true,
            })
        };
        let bond = |(r0, b): brown2020::Fitted, estimated: bool| Bond { r0, b, estimated };
        match self {
            Self::Brown2020 => brown2020::fitted(cation, charge, anion)
                .map(|fitted| bond(fitted, false))
                .or_else(|| estimate(okeeffe_brese::B))
                .or_else(|| brown2020::nearest(cation, charge, anion).map(|f| bond(f, true))),
            Self::OkeeffeBrese { b } => estimate(b),
        }
    }
}

/// The bond of two ions as the sums take it: `exp((r0 - R) per_b)` times `counts`, which is 1, or
/// 0 where the two are not of opposite charge; `estimated` likewise, 0 where it is fitted.
#[derive(Debug, Clone, Copy)]
struct Term {
    r0: f64,
    per_b: f64,
    counts: f64,
    estimated: f64,
}

impl Term {
    const NONE: Self = Self {
        r0: 0.0,
        per_b: 1.0,
        counts: 0.0,
        estimated: 0.0,
    };

    fn new(bond: Bond) -> Self {
        Self {
            r0: bond.r0,
            per_b: 1.0 / bond.b,
            counts: 1.0,
            estimated: if bond.estimated { 1.0 } else { 0.0 },
        }
    }
}

/// The ions of a crystal, numbered from 1, and the bonds between each two; 0 is what has no charge.
struct Ions {
    /// (n_species,) the ion of each species entry.
    of_species: Vec<u32>,
    n_ions: usize,
    /// (n_ions, n_ions), those without charge included.
    terms: Vec<Term>,
}

impl Ions {
    fn new(crystal: &Crystal<'_>, parameters: Parameters) -> Result<Self, CrystalError> {
        for site in 0..crystal.n_sites() {
            let charges = &crystal.oxidation_states[crystal.species(site)];
            if charges.iter().any(|charge| !charge.is_finite()) {
                return Err(CrystalError::MissingOxidationStates { site });
            }
        }
        let occupied = |sign: f64| {
            std::iter::zip(crystal.oxidation_states, crystal.occupancies)
                .any(|(charge, occupancy)| charge * sign > 0.0 && *occupancy > 0.0)
        };
        if !(occupied(1.0) && occupied(-1.0)) {
            return Err(CrystalError::NoIonPairs);
        }
        // Element, and the charge of cations.
        let mut ions: Vec<(u8, Option<u8>)> = Vec::new();
        let of_species = std::iter::zip(crystal.atomic_numbers, crystal.oxidation_states)
            .map(|(&z, &charge)| {
                if charge == 0.0 {
                    return 0;
                }
                let whole = || charge.round().clamp(1.0, MAX_CHARGE) as u8;
                let ion = (z, (charge > 0.0).then(whole));
                1 + index_of(&mut ions, ion) as u32
            })
            .collect();
        let n_ions = ions.len() + 1;
        let mut terms = vec![Term::NONE; n_ions * n_ions];
        for (i, &(cation, charge)) in ions.iter().enumerate() {
            let Some(charge) = charge else { continue };
            for (j, &(anion, _)) in ions.iter().enumerate().filter(|(_, ion)| ion.1.is_none()) {
                let bond = parameters.find(cation, charge, anion).ok_or(
                    CrystalError::MissingBondParameters {
                        cation: SYMBOLS[usize::from(cation) - 1],
                        charge,
                        anion: SYMBOLS[usize::from(anion) - 1],
                    },
                )?;
                terms[(i + 1) * n_ions + j + 1] = Term::new(bond);
                terms[(j + 1) * n_ions + i + 1] = Term::new(bond);
            }
        }
        Ok(Self {
            of_species,
            n_ions,
            terms,
        })
    }

    /// The bonds of an ion with each ion.
    fn bonds_of(&self, ion: u32) -> &[Term] {
        let first = ion as usize * self.n_ions;
        &self.terms[first..first + self.n_ions]
    }
}

/// Position of `item`, which is added where it is new.
fn index_of<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items
        .iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            items.push(item);
            items.len() - 1
        })
}

/// Bond-valence sums of one crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct BondValence {
    /// (n_sites,) what the site's bonds sum to, in valence units, the mean over its species.
    pub sums: Vec<f64>,
    /// (n_sites,) what they would sum to without strain: the mean absolute charge of its species.
    pub expected: Vec<f64>,
    /// (n_sites,) fraction of the sum that rests on parameters not fitted to the ion pair.
    pub estimated: Vec<f64>,
    /// Root mean square of `sums - expected` over the charged sites, weighted by occupancy.
    pub gii: f64,
}

/// Bond-valence sums of each crystal, over the pairs of opposite charge closer than `cutoff`.
///
/// A neighbour counts with its occupancy; pairs that can't be there at one time do not
/// ([`Crystal::are_alternatives`]).
pub fn bond_valence_sums(
    batch: &CrystalBatch<'_>,
    cutoff: f64,
    parameters: Parameters,
) -> Result<Vec<Result<BondValence, CrystalError>>, BatchError> {
    check_cutoff(cutoff)?;
    parameters.check()?;
    Ok(batch.par_map(|_, crystal| {
        check_pairs(crystal, cutoff)?;
        let ions = Ions::new(crystal, parameters)?;
        Ok(crystal_sums(crystal, &ions, cutoff))
    }))
}

fn crystal_sums(crystal: &Crystal<'_>, ions: &Ions, cutoff: f64) -> BondValence {
    let grid = NeighborGrid::new(crystal, cutoff);
    let representatives = crystal.representatives();
    let found = orbit_sums(crystal, ions, &grid, &representatives);
    let (sums, estimated): (Vec<f64>, Vec<f64>) =
        representatives.iter().map(|&first| found[first]).unzip();
    let charge = |(species, weight): (usize, f64)| weight * crystal.oxidation_states[species].abs();
    let expected: Vec<f64> = (0..crystal.n_sites())
        .map(|site| crystal.species_weights(site).map(charge).sum())
        .collect();
    let gii = global_instability_index(crystal, &sums, &expected);
    BondValence {
        sums,
        expected,
        estimated,
        gii,
    }
}

/// The sum of each site that stands for its orbit, and the fraction of it that rests on estimated
/// parameters. Such sites that are next to each other are searched around together.
fn orbit_sums(
    crystal: &Crystal<'_>,
    ions: &Ions,
    grid: &NeighborGrid,
    representatives: &[usize],
) -> Vec<(f64, f64)> {
    let most = (0..crystal.n_sites())
        .map(|site| crystal.species(site).len())
        .max();
    let ranks: Vec<Rank> = (0..most.unwrap_or(0))
        .map(|rank| Rank::new(crystal, ions, grid, rank))
        .collect();
    let order: Vec<usize> = grid.order().collect();
    let clusters = grid.clusters_of(|site| representatives[site] == site);
    let found = map_sites(clusters.len(), crystal.is_large(), |k| {
        let sites = order[clusters[k].clone()].iter();
        let of_site = |&site| SiteSum::new(crystal, ions, &ranks, site);
        let mut sums = ClusterSum(sites.map(of_site).collect());
        grid.for_each_block_of(clusters[k].clone(), &mut sums);
        sums.0.iter().map(SiteSum::finish).collect::<Vec<_>>()
    });
    let mut of_site = vec![(0.0, 0.0); crystal.n_sites()];
    for (cluster, found) in clusters.into_iter().zip(found) {
        for (&site, found) in order[cluster].iter().zip(found) {
            of_site[site] = found;
        }
    }
    of_site
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

/// Adds up the bond valences of one site.
struct SiteSum<'a> {
    crystal: &'a Crystal<'a>,
    site: usize,
    /// For each species of the site, its bonds with each ion and its share of the site.
    bonds: Vec<(&'a [Term], f64)>,
    ranks: &'a [Rank],
    sums: [f64; LANES],
    estimated: [f64; LANES],
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
    fn new(crystal: &'a Crystal<'a>, ions: &'a Ions, ranks: &'a [Rank], site: usize) -> Self {
        let own = crystal.species_weights(site);
        Self {
            crystal,
            site,
            bonds: own
                .map(|(s, w)| (ions.bonds_of(ions.of_species[s]), w))
                .collect(),
            ranks,
            sums: [0.0; LANES],
            estimated: [0.0; LANES],
        }
    }

    /// The sum, and the fraction of it that rests on estimated parameters.
    fn finish(&self) -> (f64, f64) {
        let [sum, estimated] = [self.sums, self.estimated].map(|lanes| lanes.iter().sum::<f64>());
        (sum, if sum > 0.0 { estimated / sum } else { 0.0 })
    }

    /// Adds some neighbours.
    #[inline(always)]
    fn add(&mut self, block: &Block<'_>) {
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
            for rank in self.ranks {
                for (bonds, share) in &self.bonds {
                    let (mut exponents, mut counts) = ([0.0; LANES], [0.0; LANES]);
                    let mut estimated = [0.0; LANES];
                    for k in 0..LANES {
                        let slot = slots[k] as usize;
                        let bond = &bonds[rank.ions[slot] as usize];
                        let weight = share * rank.occupancies[slot];
                        exponents[k] = (bond.r0 - distances[k]) * bond.per_b;
                        counts[k] = weight * bond.counts;
                        estimated[k] = weight * bond.estimated;
                    }
                    let mut valences = [0.0; LANES];
                    for k in 0..LANES {
                        valences[k] = simd::exp(exponents[k]);
                    }
                    for k in 0..LANES {
                        self.sums[k] += counts[k] * valences[k];
                        self.estimated[k] += estimated[k] * valences[k];
                    }
                }
            }
        }
    }

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

/// Neutral sites have no valence to meet and are left out.
fn global_instability_index(crystal: &Crystal<'_>, sums: &[f64], expected: &[f64]) -> f64 {
    let (mut squares, mut weight) = (0.0, 0.0);
    for (site, (sum, expected)) in std::iter::zip(sums, expected).enumerate() {
        if *expected > 0.0 {
            let occupancy = crystal.site_occupancy(site);
            squares += occupancy * (sum - expected).powi(2);
            weight += occupancy;
        }
    }
    (squares / weight).sqrt()
}
