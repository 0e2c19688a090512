//! Real-space part: screened pairs, several at a time. Those of a small crystal are found image by
//! image, and each is summed once for both of its sites where most of them are wanted; those of a
//! large one are found in the neighbour grid.

use std::ops::Range;

use rayon::prelude::*;

use super::parameters::Parameters;
use super::reciprocal::Charges;
use super::window::{Fit, Screened};
use super::{LANES, Lanes};
use crate::batch::{Crystal, map_sites};
use crate::error::CrystalError;
use crate::lattice::{Lattice, Vec3};
use crate::neighbors::{
    Block, BlockVisitor, CellImages, NeighborGrid, PairBlock, PairVisitor, Pairs,
};
use crate::simd;

/// Charges closer than this (angstrom) are one site written twice, not a structure.
const COINCIDENT: f64 = 0.01;

/// Sites of a small crystal that one task sums the pairs of.
const SITES_AT_ONCE: usize = 512;

/// Potential of one kind at a site, in e/angstrom.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Potential {
    /// Sum over the other charges.
    pub value: f64,
    /// The same sum with all terms positive: what rounding errors are relative to.
    pub magnitude: f64,
    /// Bound on the error that polynomials bring about.
    pub fit_error: f64,
}

/// Sums over the neighbours of each target within the cutoff of their charges times what the smooth
/// part leaves of the interaction. `basis` and `sources` are of the crystal.
pub(super) fn potentials(
    crystal: &Crystal<'_>,
    basis: &Lattice,
    sources: &Charges,
    parameters: &Parameters,
) -> Result<Vec<Potential>, CrystalError> {
    let Parameters { window, r_cut, .. } = *parameters;
    if parameters.short {
        let fit = &window.smooth_short;
        sums(crystal, basis, sources, r_cut, fit)
    } else {
        sums(crystal, basis, sources, r_cut, &window.smooth)
    }
}

/// The sums with one of the expressions for the smooth part.
fn sums<const N: usize>(
    crystal: &Crystal<'_>,
    basis: &Lattice,
    sources: &Charges,
    r_cut: f64,
    fit: &Fit<N>,
) -> Result<Vec<Potential>, CrystalError> {
    let screened = Screened::new(fit, r_cut);
    let coords: Vec<Vec3> = map_sites(sources.sites.len(), crystal.is_large(), |k| {
        basis.to_cart(&sources.frac_coords[k])
    });
    let potential = |[value, magnitude]: [f64; 2]| Potential {
        value,
        magnitude,
        fit_error: fit.error * magnitude,
    };
    // A pair that is seen from both of its sites costs about a half more than from one.
    let once = 4 * sources.n_targets > 3 * coords.len();
    let n_searched = if once {
        coords.len()
    } else {
        sources.n_targets
    };
    if let Some(images) = CellImages::new(basis, &coords, n_searched, r_cut, simd::level()) {
        let (found, nearest) = if once {
            image_by_image::<N, true>(&images, n_searched, sources, &screened)
        } else {
            image_by_image::<N, false>(&images, n_searched, sources, &screened)
        };
        // The grid says which sites coincide.
        if nearest >= COINCIDENT * COINCIDENT {
            return Ok(found.into_iter().map(potential).collect());
        }
    }
    let grid = NeighborGrid::new(crystal, r_cut);
    let mut charges = vec![0.0; crystal.n_sites()];
    for (&site, &charge) in sources.sites.iter().zip(&sources.charges) {
        charges[site] = charge;
    }
    let by_slot = grid.by_slot(|site| charges[site]);
    let targets = &sources.sites[..sources.n_targets];
    let mut is_target = vec![false; crystal.n_sites()];
    for &site in targets {
        is_target[site] = true;
    }
    let clusters = grid.clusters_of(|site| is_target[site]);
    let mut by_rank = vec![([0.0; 2], false); crystal.n_sites()];
    grid.for_clusters(&clusters, &mut by_rank, |cluster, finished| {
        let mut sum = ClusterSum {
            screened: &screened,
            charges: &by_slot,
            sites: vec![SiteSum::NONE; cluster.len()],
        };
        grid.for_each_block_of(cluster, &mut sum);
        for (finished, sum) in finished.iter_mut().zip(&sum.sites) {
            *finished = sum.finish();
        }
    });
    let is_coincident = |site: &&usize| by_rank[grid.rank(**site)].1;
    match targets.iter().find(is_coincident) {
        Some(&site) => Err(coincident(&grid, &by_slot, site)),
        None => Ok(map_sites(targets.len(), crystal.is_large(), |target| {
            potential(by_rank[grid.rank(targets[target])].0)
        })),
    }
}

/// The sums in a small crystal with their magnitudes over the pairs that are seen from each of so many
/// sites, and the smallest squared distance of two charges. Those of some sites are summed at a time,
/// and these sums added in order: the result does not depend on the number of threads.
fn image_by_image<const N: usize, const ONCE: bool>(
    images: &CellImages,
    n_searched: usize,
    sources: &Charges,
    screened: &Screened<N>,
) -> (Vec<[f64; 2]>, f64) {
    let charges: Vec<[f64; 2]> = sources.charges.iter().map(|q| [*q, q.abs()]).collect();
    let part = |part| {
        let first = part * SITES_AT_ONCE;
        let sites = first..n_searched.min(first + SITES_AT_ONCE);
        PairSum::<N, ONCE>::over(images, &charges, screened, sites)
    };
    let n_parts = n_searched.div_ceil(SITES_AT_ONCE);
    let parts: Vec<_> = if n_parts == 1 {
        vec![part(0)]
    } else {
        (0..n_parts).into_par_iter().map(part).collect()
    };
    let mut potentials = vec![[0.0; 2]; sources.n_targets];
    let mut nearest = f64::INFINITY;
    for part in &parts {
        let (of_part, nearest_of_part) = part;
        for (sum, [value, magnitude]) in potentials.iter_mut().zip(of_part) {
            sum[0] += value;
            sum[1] += magnitude;
        }
        nearest = nearest_of_part.iter().copied().fold(nearest, f64::min);
    }
    (potentials, nearest)
}

/// Sums over pairs, for the site they are seen from, and if it is `ONCE` for the other too.
struct PairSum<'a, const N: usize, const ONCE: bool> {
    screened: &'a Screened<N>,
    /// Each charge and its magnitude.
    charges: &'a [[f64; 2]],
    /// Value and magnitude of each potential.
    potentials: Vec<[f64; 2]>,
    /// Smallest squared distance.
    nearest: Lanes,
    /// Screened and bare interaction of the pairs of a block.
    terms: [[Lanes; PairBlock::MOST / LANES]; 2],
}

impl<'a, const N: usize, const ONCE: bool> PairSum<'a, N, ONCE> {
    /// Sums over the pairs that are seen from some sites, and the smallest squared distances.
    fn over(
        images: &CellImages,
        charges: &'a [[f64; 2]],
        screened: &'a Screened<N>,
        sites: Range<usize>,
    ) -> (Vec<[f64; 2]>, Lanes) {
        let mut sum = Self {
            screened,
            charges,
            potentials: vec![[0.0; 2]; charges.len()],
            nearest: [f64::INFINITY; LANES],
            terms: [[[0.0; LANES]; PairBlock::MOST / LANES]; 2],
        };
        let pairs = if ONCE { Pairs::Once } else { Pairs::Both };
        images.visit(pairs, sites, &mut sum);
        (sum.potentials, sum.nearest)
    }
}

impl<const N: usize, const ONCE: bool> PairVisitor for PairSum<'_, N, ONCE> {
    /// First the interactions, in vectors, then what is added where, which waits for memory.
    #[inline(always)]
    fn visit(&mut self, pairs: &PairBlock<'_>) {
        let interaction = *self.screened;
        let [all_screened, all_inverse] = &mut self.terms;
        let mut nearest = self.nearest;
        for (group, squared) in pairs.squared().iter().enumerate() {
            // In registers first, or it would not be vectorised.
            let (mut screened, mut inverse) = ([0.0; LANES], [0.0; LANES]);
            for x in 0..LANES {
                [screened[x], inverse[x]] = interaction.at(squared[x]);
            }
            for x in 0..LANES {
                nearest[x] = if squared[x] < nearest[x] {
                    squared[x]
                } else {
                    nearest[x]
                };
            }
            (all_screened[group], all_inverse[group]) = (screened, inverse);
        }
        self.nearest = nearest;
        let (screened, inverse) = (all_screened.as_flattened(), all_inverse.as_flattened());
        for (site, places, others) in pairs.by_site() {
            let own = self.charges[site];
            let mut sum = [0.0; 2];
            let terms = screened[places.clone()].iter().zip(&inverse[places]);
            for (&other, (&screened, &inverse)) in others.iter().zip(terms) {
                let charge = &self.charges[other as usize];
                sum[0] += charge[0] * screened;
                sum[1] += charge[1] * inverse;
                if ONCE {
                    let potential = &mut self.potentials[other as usize];
                    potential[0] += own[0] * screened;
                    potential[1] += own[1] * inverse;
                }
            }
            let potential = &mut self.potentials[site];
            potential[0] += sum[0];
            potential[1] += sum[1];
        }
    }
}

/// Sums over the pairs of sites that are searched around together.
struct ClusterSum<'a, const N: usize> {
    screened: &'a Screened<N>,
    charges: &'a [f64],
    sites: Vec<SiteSum>,
}

/// Sums over the pairs of one site, one for each place in a group.
#[derive(Debug, Clone, Copy)]
struct SiteSum {
    values: Lanes,
    magnitudes: Lanes,
    /// Smallest squared distance to a charge.
    nearest: Lanes,
}

impl SiteSum {
    const NONE: Self = Self {
        values: [0.0; LANES],
        magnitudes: [0.0; LANES],
        nearest: [f64::INFINITY; LANES],
    };

    /// Value and magnitude, and whether a charge is at the place of the site.
    fn finish(&self) -> ([f64; 2], bool) {
        let is_close = |squared: &f64| *squared < COINCIDENT * COINCIDENT;
        (
            [self.values, self.magnitudes].map(|lanes| lanes.iter().sum()),
            self.nearest.iter().any(is_close),
        )
    }
}

impl<const N: usize> BlockVisitor for ClusterSum<'_, N> {
    #[inline(always)]
    fn visit(&mut self, block: &Block<'_>) {
        let interaction = *self.screened;
        let mut sum = self.sites[block.member()];
        for (squared, slots) in block.squared().iter().zip(block.slots()) {
            let mut charges = [0.0; LANES];
            let (mut screened, mut inverse) = ([0.0; LANES], [0.0; LANES]);
            for x in 0..LANES {
                [screened[x], inverse[x]] = interaction.at(squared[x]);
            }
            for x in 0..LANES {
                charges[x] = self.charges[slots[x] as usize];
            }
            for x in 0..LANES {
                // What has no charge may be at the place of the site.
                let is_charged = charges[x] != 0.0;
                let [screened, inverse] = if is_charged {
                    [screened[x], inverse[x]]
                } else {
                    [0.0; 2]
                };
                sum.values[x] += charges[x] * screened;
                sum.magnitudes[x] += charges[x].abs() * inverse;
                let nearer = squared[x] < sum.nearest[x] && is_charged;
                sum.nearest[x] = if nearer { squared[x] } else { sum.nearest[x] };
            }
        }
        self.sites[block.member()] = sum;
    }
}

/// The error for the charge that is at the place of another.
fn coincident(grid: &NeighborGrid, charges: &[f64], site: usize) -> CrystalError {
    let (mut other, mut distance) = (site, f64::INFINITY);
    grid.for_each_block(site, &mut |block: &Block<'_>| {
        let slots = block.slots().as_flattened();
        for k in 0..block.len() {
            if charges[slots[k] as usize] != 0.0 && block.distance(k) < distance {
                (other, distance) = (block.site(k), block.distance(k));
            }
        }
    });
    CrystalError::CoincidentSites {
        site,
        other,
        distance,
    }
}
