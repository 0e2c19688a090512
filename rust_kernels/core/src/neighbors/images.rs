//! Pairs in a small crystal: the sites against all atoms of the images around that come close enough.
//!
//! A grid finds pairs in a time that does not grow with the crystal. But its rows hold few sites
//! that are within the cutoff, and until sites are thousands, setting rows up takes longer than
//! testing all atoms that are within the cutoff of the box around the sites.

use std::f64::consts::PI;
use std::ops::Range;

use super::LANES;
use super::line::{self, Group, Hits, Line, Query};
use super::scan::{CAPACITY, PIECE};
use crate::lattice::{Lattice, Vec3, dot};
use crate::simd::Level;

/// Most sites for which this is faster than [`super::NeighborGrid`],
pub const MOST_SITES: usize = 1200;
/// and most images, of which a long and thin cell has many within reach.
const MOST_IMAGES: f64 = 2000.0;

/// Rounding must not lose a pair at the cutoff.
const SLACK: f64 = 1.0 + 1e-9;

/// What is done with pairs. Mark `visit`, and what it calls in its loops, `#[inline(always)]`: only
/// what is inlined uses all of the processor's vector instructions.
pub trait PairVisitor {
    /// Takes the next pairs.
    fn visit(&mut self, pairs: &PairBlock<'_>);
}

/// Pairs of some sites, [`PairBlock::MOST`] at most.
#[derive(Debug)]
pub struct PairBlock<'a> {
    hits: &'a Hits,
    ends: &'a [(usize, usize)],
}

impl PairBlock<'_> {
    /// Most pairs of a block.
    pub const MOST: usize = CAPACITY;

    /// Squared distances in square angstrom in whole groups of [`LANES`], infinite for what only
    /// fills the last.
    #[inline(always)]
    pub fn squared(&self) -> &[[f64; LANES]] {
        self.hits.squared()
    }

    /// The sites of the pairs, one after another: each with its pairs, as places among those of the
    /// block, and the other sites of these. A site may come again in the next block.
    #[inline(always)]
    pub fn by_site(&self) -> impl Iterator<Item = (usize, Range<usize>, &[u32])> {
        let others = self.hits.sites();
        let mut start = 0;
        self.ends.iter().map(move |&(site, end)| {
            let places = start..end;
            start = end;
            (site, places.clone(), &others[places])
        })
    }
}

/// Which pairs of a site are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// Half of them, such that each of the crystal is visited from one of its sites; that of a site
    /// with its own image too.
    Once,
    /// All.
    Both,
}

/// Sites of a small crystal that is periodic in all directions.
#[derive(Debug)]
pub struct CellImages {
    level: Level,
    cutoff: f64,
    n_searched: usize,
    /// Coordinates in groups of [`LANES`] sites; what only fills a group is infinitely far away.
    groups: Vec<[[f64; LANES]; 3]>,
    /// Corners of the box around the sites that are searched around.
    low: Vec3,
    high: Vec3,
    /// Lattice translations of which no two are opposite, by which sites can get close enough to that
    /// box, the one way or the other.
    translations: Vec<Vec3>,
}

impl CellImages {
    /// From cartesian coordinates in angstrom, best within one (reduced) cell, of sites of which the
    /// first `n_searched` are searched around, and the cutoff; none where a grid is faster.
    pub fn new(
        basis: &Lattice,
        coords: &[Vec3],
        n_searched: usize,
        cutoff: f64,
        level: Level,
    ) -> Option<Self> {
        assert!(level.is_supported());
        if coords.len() > MOST_SITES {
            return None;
        }
        let mut groups = vec![[[f64::INFINITY; LANES]; 3]; coords.len().div_ceil(LANES)];
        for (site, coords) in coords.iter().enumerate() {
            for k in 0..3 {
                groups[site / LANES][k][site % LANES] = coords[k];
            }
        }
        let [low, high] = corners(&coords[..n_searched]);
        let [all_low, all_high] = corners(coords);
        // How far apart a site and one that is searched around can be, along each axis.
        let extent = std::array::from_fn(|k| (high[k] - all_low[k]).max(all_high[k] - low[k]));
        let reach = cutoff + dot(&extent, &extent).sqrt();
        if 4.0 / 3.0 * PI * reach.powi(3) > MOST_IMAGES * basis.volume() {
            return None;
        }
        Some(Self {
            level,
            cutoff,
            n_searched,
            groups,
            low,
            high,
            translations: half_of_translations(basis, cutoff, &extent),
        })
    }

    /// Hands pairs of some of the sites that are searched around to a visitor, in an order that
    /// depends on the crystal alone. For [`Pairs::Once`], these must be all sites of the crystal.
    pub fn visit<V: PairVisitor>(&self, pairs: Pairs, sites: Range<usize>, visitor: &mut V) {
        assert!(sites.end <= self.n_searched);
        match self.level {
            Level::Scalar => {
                self.search(pairs, sites, visitor, line::take_scalar, line::test_scalar)
            }
            // SAFETY: the processor has the instructions, which `new` asserted.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.search_avx2(pairs, sites, visitor) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.search_avx512(pairs, sites, visitor) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => self.search(pairs, sites, visitor, line::take_scalar, line::test_scalar),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn search_avx2<V: PairVisitor>(&self, pairs: Pairs, sites: Range<usize>, visitor: &mut V) {
        self.search(
            pairs,
            sites,
            visitor,
            |line, group, limit| line::take_avx2(line, group, limit),
            |line, query, hits| line::test_avx2(line, query, hits),
        );
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    fn search_avx512<V: PairVisitor>(&self, pairs: Pairs, sites: Range<usize>, visitor: &mut V) {
        self.search(
            pairs,
            sites,
            visitor,
            |line, group, limit| line::take_avx512(line, group, limit),
            |line, query, hits| line::test_avx512(line, query, hits),
        );
    }

    /// Lines up the sites and then the atoms of the images that are within the cutoff of the box, as
    /// many as there is room for at a time, and tests them for each site.
    #[inline(always)]
    fn search<V: PairVisitor>(
        &self,
        pairs: Pairs,
        sites: Range<usize>,
        visitor: &mut V,
        take: impl Fn(&mut Line, &Group, f64),
        test: impl Fn(&Line, &Query, &mut Hits),
    ) {
        let signs: &[f64] = match pairs {
            Pairs::Once => &[1.0],
            Pairs::Both => &[1.0, -1.0],
        };
        let limit = SLACK * self.cutoff * self.cutoff;
        let mut line = Line::new();
        // How many atoms there were before these.
        let mut base = 0;
        let mut found = Found {
            hits: Hits::new(),
            ends: Vec::with_capacity(CAPACITY),
        };
        // The cell itself first. One by one: a closure would not be compiled for the level.
        let mut translation = [0.0; 3];
        let mut n_taken = 0;
        loop {
            for (number, coords) in self.groups.iter().enumerate() {
                let mut group = Group {
                    coords: [[0.0; LANES]; 3],
                    beyond: [0.0; LANES],
                    first: (number * LANES) as u32,
                };
                for k in 0..3 {
                    let (low, high, step) = (self.low[k], self.high[k], translation[k]);
                    for (lane, at) in coords[k].iter().enumerate() {
                        let at = at + step;
                        let (under, over) = (low - at, at - high);
                        let outside = if under > over { under } else { over };
                        let outside = if outside > 0.0 { outside } else { 0.0 };
                        group.coords[k][lane] = at;
                        group.beyond[lane] += outside * outside;
                    }
                }
                if line.is_full() {
                    self.test(pairs, &sites, base, &mut line, &mut found, visitor, &test);
                    base += line.len();
                    line.clear();
                }
                take(&mut line, &group, limit);
            }
            let Some(next) = self.translations.get(n_taken / signs.len()) else {
                break;
            };
            translation = next.map(|x| signs[n_taken % signs.len()] * x);
            n_taken += 1;
        }
        self.test(pairs, &sites, base, &mut line, &mut found, visitor, &test);
        found.hand_on(visitor);
    }

    /// Tests the atoms of a line, of which there were `base` before, for each site.
    #[inline(always)]
    #[expect(clippy::too_many_arguments)]
    fn test<V: PairVisitor>(
        &self,
        pairs: Pairs,
        sites: &Range<usize>,
        base: usize,
        line: &mut Line,
        found: &mut Found,
        visitor: &mut V,
        test: &impl Fn(&Line, &Query, &mut Hits),
    ) {
        line.pad();
        for site in sites.clone() {
            let [x, y, z] = &self.groups[site / LANES];
            let lane = site % LANES;
            // Once: in the cell itself, the sites that come after. Both: all but the site.
            let (mut start, own) = match pairs {
                Pairs::Once => ((site + 1).saturating_sub(base), usize::MAX),
                Pairs::Both => (0, site.wrapping_sub(base)),
            };
            let hidden = line.hide(own);
            while start < line.len() {
                let query = Query {
                    atoms: start..line.len().min(start + PIECE),
                    origin: [x[lane], y[lane], z[lane]],
                    cutoff_squared: self.cutoff * self.cutoff,
                };
                test(line, &query, &mut found.hits);
                start = query.atoms.end;
                if found.hits.is_full() {
                    found.ends.push((site, found.hits.len()));
                    found.hand_on(visitor);
                }
            }
            line.show(own, hidden);
            found.ends.push((site, found.hits.len()));
            if found.ends.len() == CAPACITY {
                found.hand_on(visitor);
            }
        }
    }
}

/// Pairs that are still to be handed on.
struct Found {
    hits: Hits,
    /// Sites with the number of hits up to their last.
    ends: Vec<(usize, usize)>,
}

impl Found {
    /// Gives the visitor what was found so far.
    #[inline(always)]
    fn hand_on<V: PairVisitor>(&mut self, visitor: &mut V) {
        self.hits.pad();
        visitor.visit(&PairBlock {
            hits: &self.hits,
            ends: &self.ends,
        });
        self.hits.clear();
        self.ends.clear();
    }
}

/// Corners of the box around some points.
fn corners(coords: &[Vec3]) -> [Vec3; 2] {
    let mut corners = [[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]];
    for coords in coords {
        for k in 0..3 {
            corners[0][k] = corners[0][k].min(coords[k]);
            corners[1][k] = corners[1][k].max(coords[k]);
        }
    }
    corners
}

/// Lattice translations of which no two are opposite, without 0, that leave less than the cutoff
/// between points that were not farther apart than `extent` along any axis.
fn half_of_translations(basis: &Lattice, cutoff: f64, extent: &Vec3) -> Vec<Vec3> {
    let [a, b, c] = basis.rows();
    // A translation by n vectors leads n planes further.
    let reach = cutoff + dot(extent, extent).sqrt();
    let most = basis
        .plane_spacings()
        .map(|spacing| (reach / spacing) as i64);
    let mut found = Vec::new();
    for x in 0..=most[0] {
        for y in if x == 0 { 0 } else { -most[1] }..=most[1] {
            let origin: Vec3 = std::array::from_fn(|k| x as f64 * a[k] + y as f64 * b[k]);
            for z in if (x, y) == (0, 0) { 1 } else { -most[2] }..=most[2] {
                let step: Vec3 = std::array::from_fn(|k| origin[k] + z as f64 * c[k]);
                let gap: Vec3 = std::array::from_fn(|k| (step[k].abs() - extent[k]).max(0.0));
                if dot(&gap, &gap) < SLACK * cutoff * cutoff {
                    found.push(step);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs as they are visited: site, other site, squared distance.
    #[derive(Default)]
    struct Listed(Vec<(usize, usize, f64)>);

    impl PairVisitor for Listed {
        fn visit(&mut self, pairs: &PairBlock<'_>) {
            let squared = pairs.squared().as_flattened();
            for (site, places, others) in pairs.by_site() {
                let found = others.iter().zip(&squared[places]);
                self.0
                    .extend(found.map(|(&other, &squared)| (site, other as usize, squared)));
            }
        }
    }

    /// By three loops over images and two over sites.
    fn brutal(rows: &[Vec3; 3], coords: &[Vec3], cutoff: f64) -> Vec<(usize, usize, f64)> {
        let mut pairs = Vec::new();
        for (i, one) in coords.iter().enumerate() {
            for (j, other) in coords.iter().enumerate() {
                for cell in 0..15_i32.pow(3) {
                    let cell = [cell / 225 - 7, cell / 15 % 15 - 7, cell % 15 - 7];
                    let step = crate::lattice::row_times(&cell.map(f64::from), rows);
                    let vector: Vec3 = std::array::from_fn(|k| other[k] + step[k] - one[k]);
                    let squared = dot(&vector, &vector);
                    if squared < cutoff * cutoff && (i != j || cell != [0; 3]) {
                        pairs.push((i, j, squared));
                    }
                }
            }
        }
        pairs
    }

    fn sorted(mut pairs: Vec<(usize, usize, f64)>) -> Vec<(usize, usize, f64)> {
        pairs.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        pairs
    }

    #[test]
    fn pairs_are_those_of_brute_force_at_every_level() {
        let rows = [[3.1, 0.2, 0.0], [-1.2, 4.0, 0.1], [0.4, 0.9, 5.2]];
        let basis = Lattice::new(&rows).unwrap();
        for n in [1, 2, 7, 8, 9, 21, 150] {
            // Some beyond the cell, which is allowed.
            let coords: Vec<Vec3> = (0..n)
                .map(|k| {
                    let k = k as f64;
                    basis.to_cart(&[0.618 * k % 1.0, 0.755 * k % 1.0, 0.57 * k % 1.3])
                })
                .collect();
            for cutoff in [0.5, 3.0, 6.5] {
                let expected = sorted(brutal(&rows, &coords, cutoff));
                let mut first: Option<[Vec<(usize, usize, f64)>; 2]> = None;
                for level in Level::ALL.into_iter().filter(|level| level.is_supported()) {
                    let images = CellImages::new(&basis, &coords, n, cutoff, level).unwrap();
                    let [mut all, mut once] = [Listed::default(), Listed::default()];
                    // Searched around one part, then the other.
                    let n_part = n.div_ceil(3);
                    let part = CellImages::new(&basis, &coords, n_part, cutoff, level).unwrap();
                    part.visit(Pairs::Both, 0..n_part, &mut all);
                    images.visit(Pairs::Both, n_part..n, &mut all);
                    images.visit(Pairs::Once, 0..n, &mut once);
                    let both_ways = once.0.iter().flat_map(|&(i, j, r)| [(i, j, r), (j, i, r)]);
                    for found in [all.0.clone(), both_ways.collect()] {
                        let found = sorted(found);
                        assert_eq!(found.len(), expected.len(), "{n} {cutoff} {level:?}");
                        for (one, other) in found.iter().zip(&expected) {
                            assert_eq!((one.0, one.1), (other.0, other.1));
                            assert!((one.2 - other.2).abs() < 1e-12);
                        }
                    }
                    // The same order and bits.
                    let same = [all.0, once.0];
                    assert_eq!(*first.get_or_insert_with(|| same.clone()), same);
                }
            }
        }
    }

    #[test]
    fn many_sites_or_images_are_left_to_the_grid() {
        let images = |rows: [Vec3; 3], n: usize, cutoff: f64| {
            let basis = Lattice::new(&rows).unwrap();
            CellImages::new(&basis, &vec![[0.5; 3]; n], n, cutoff, Level::Scalar)
        };
        let cube = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
        assert!(images(cube, MOST_SITES, 9.0).is_some());
        assert!(images(cube, MOST_SITES + 1, 9.0).is_none());
        assert!(images(cube, 1, 1e6).is_none());
    }

    #[test]
    fn of_some_sites_only_theirs_are_visited() {
        let basis = Lattice::new(&[[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]).unwrap();
        let coords = [[0.0; 3], [1.0, 1.0, 1.0], [2.0, 2.5, 3.0]];
        let images = CellImages::new(&basis, &coords, coords.len(), 4.5, Level::Scalar).unwrap();
        let [mut all, mut some] = [Listed::default(), Listed::default()];
        images.visit(Pairs::Both, 0..3, &mut all);
        images.visit(Pairs::Both, 1..3, &mut some);
        all.0.retain(|pair| pair.0 > 0);
        assert_eq!(some.0, all.0);
    }
}
