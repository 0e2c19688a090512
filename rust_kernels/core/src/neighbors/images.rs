//! Pairs in a small crystal, image of the cell by image.
//!
//! A grid finds pairs in a time that does not grow with the crystal. But its rows hold few sites
//! that are within the cutoff, and until sites are thousands, setting rows up takes longer than
//! testing all sites of the images that the cutoff's sphere can touch.

use std::f64::consts::PI;
use std::ops::Range;

use super::LANES;
use crate::lattice::{Lattice, Vec3, dot, norm, sub};
use crate::simd::Level;

/// Most sites for which this is faster than [`super::NeighborGrid`],
pub const MOST_SITES: usize = 1200;
/// and most images, of which a long and thin cell has many within reach.
const MOST_IMAGES: f64 = 2000.0;

/// What is done with pairs. Mark `visit`, and what it calls in its loops, `#[inline(always)]`: only
/// what is inlined uses all of the processor's vector instructions.
pub trait PairVisitor {
    /// Takes the pairs of a site, in whole groups: their squared distances, infinite for what only
    /// fills a group, and the other sites, 0 there.
    fn visit(&mut self, site: usize, squared: &[[f64; LANES]], others: &[[u32; LANES]]);
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
    /// Coordinates in groups of [`LANES`] sites; what only fills a group is infinitely far away.
    groups: Vec<[[f64; LANES]; 3]>,
    /// A point, and the largest distance of a site from it.
    center: Vec3,
    radius: f64,
    /// Lattice translations of which no two are opposite, by which sites can get close enough.
    translations: Vec<Vec3>,
}

impl CellImages {
    /// From cartesian coordinates in angstrom, best within one (reduced) cell, and the cutoff; none
    /// where a grid is faster.
    pub fn new(basis: &Lattice, coords: &[Vec3], cutoff: f64, level: Level) -> Option<Self> {
        assert!(level.is_supported());
        if coords.len() > MOST_SITES {
            return None;
        }
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        let mut groups = vec![[[f64::INFINITY; LANES]; 3]; coords.len().div_ceil(LANES)];
        for (site, coords) in coords.iter().enumerate() {
            for k in 0..3 {
                low[k] = low[k].min(coords[k]);
                high[k] = high[k].max(coords[k]);
                groups[site / LANES][k][site % LANES] = coords[k];
            }
        }
        let center: Vec3 = std::array::from_fn(|k| 0.5 * (low[k] + high[k]));
        let squared = |site: &Vec3| {
            let from_center = sub(site, &center);
            dot(&from_center, &from_center)
        };
        let radius = coords.iter().map(squared).fold(0.0, f64::max).sqrt();
        let reach = cutoff + 2.0 * radius;
        if 4.0 / 3.0 * PI * reach.powi(3) > MOST_IMAGES * basis.volume() {
            return None;
        }
        Some(Self {
            level,
            cutoff,
            groups,
            center,
            radius,
            translations: half_of_translations(basis, reach),
        })
    }

    /// Hands pairs of some sites to a visitor, site by site, in an order that depends on the crystal
    /// alone.
    pub fn visit<V: PairVisitor>(&self, pairs: Pairs, sites: Range<usize>, visitor: &mut V) {
        match self.level {
            Level::Scalar => self.search(pairs, sites, visitor, below),
            // SAFETY: the processor has the instructions, which `new` asserted.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.search_avx2(pairs, sites, visitor) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.search_avx512(pairs, sites, visitor) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => self.search(pairs, sites, visitor, below),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn search_avx2<V: PairVisitor>(&self, pairs: Pairs, sites: Range<usize>, visitor: &mut V) {
        self.search(pairs, sites, visitor, |values, limit| {
            x86::below_avx2(values, limit)
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    fn search_avx512<V: PairVisitor>(&self, pairs: Pairs, sites: Range<usize>, visitor: &mut V) {
        self.search(pairs, sites, visitor, |values, limit| {
            x86::below_avx512(values, limit)
        });
    }

    #[inline(always)]
    fn search<V: PairVisitor>(
        &self,
        pairs: Pairs,
        sites: Range<usize>,
        visitor: &mut V,
        below: impl Fn(&[f64; LANES], f64) -> u8,
    ) {
        let signs: &[f64] = match pairs {
            Pairs::Once => &[1.0],
            Pairs::Both => &[1.0, -1.0],
        };
        let reach = self.cutoff + self.radius;
        let n_images = 1 + signs.len() * self.translations.len();
        let mut origins = Vec::with_capacity(n_images);
        let n_groups = self.groups.len();
        // All sites of the images that come close enough, and which of them are within the cutoff.
        let mut squared = vec![[0.0; LANES]; n_images * n_groups];
        let mut inside = vec![[0u8; 8]; squared.len().div_ceil(8)];
        let mut found: Hits = Hits::new(squared.len());
        for site in sites {
            let [x, y, z] = &self.groups[site / LANES];
            let lane = site % LANES;
            let origin = [x[lane], y[lane], z[lane]];
            // As seen from the images that come close enough, the cell itself first.
            origins.clear();
            origins.push(origin);
            let from_center = sub(&origin, &self.center);
            for translation in &self.translations {
                for sign in signs {
                    let step = translation.map(|x| sign * x);
                    let between = sub(&from_center, &step);
                    if dot(&between, &between) < reach * reach {
                        origins.push(sub(&origin, &step));
                    }
                }
            }
            let n_tested = origins.len() * n_groups;
            for (image, [x0, y0, z0]) in origins.iter().enumerate() {
                let tested = image * n_groups..(image + 1) * n_groups;
                let marks = &mut inside.as_flattened_mut()[tested.clone()];
                let places = squared[tested].iter_mut().zip(marks);
                for ([x, y, z], (squared, mark)) in self.groups.iter().zip(places) {
                    // In registers first, or it would not be vectorised.
                    let mut sums = [0.0; LANES];
                    for lane in 0..LANES {
                        let (dx, dy, dz) = (x[lane] - x0, y[lane] - y0, z[lane] - z0);
                        sums[lane] = (dx * dx + dy * dy) + dz * dz;
                    }
                    *squared = sums;
                    *mark = below(squared, self.cutoff * self.cutoff);
                }
            }
            let inside = inside.as_flattened_mut();
            inside[n_tested..n_tested.next_multiple_of(8)].fill(0);
            // In the cell itself, not the site, nor those that it was a pair of before.
            inside[site / LANES] &= !(1 << lane);
            if pairs == Pairs::Once {
                inside[..site / LANES].fill(0);
                inside[site / LANES] &= 0xff << lane;
            }
            found.gather(&squared, &inside[..n_tested.next_multiple_of(8)], n_groups);
            let n_found = found.len.div_ceil(LANES);
            visitor.visit(site, &found.squared[..n_found], &found.sites[..n_found]);
        }
    }
}

/// Sites within the cutoff.
struct Hits {
    len: usize,
    squared: Vec<[f64; LANES]>,
    sites: Vec<[u32; LANES]>,
}

impl Hits {
    fn new(most_groups: usize) -> Self {
        Self {
            len: 0,
            squared: vec![[0.0; LANES]; most_groups + 1],
            sites: vec![[0; LANES]; most_groups + 1],
        }
    }

    /// Takes what is marked, from images of so many groups, and fills the last group up.
    #[inline(always)]
    fn gather(&mut self, squared: &[[f64; LANES]], marks: &[u8], n_groups: usize) {
        let all = squared.as_flattened();
        let (squared, sites) = (
            self.squared.as_flattened_mut(),
            self.sites.as_flattened_mut(),
        );
        let mut len = 0;
        let mut start = 0;
        let (mut base, n_padded) = (0, n_groups * LANES);
        for marks in marks.as_chunks::<8>().0 {
            let mut marks = u64::from_le_bytes(*marks);
            while marks != 0 {
                let place = start + marks.trailing_zeros() as usize;
                marks &= marks - 1;
                while place - base >= n_padded {
                    base += n_padded;
                }
                squared[len] = all[place];
                sites[len] = (place - base) as u32;
                len += 1;
            }
            start += 64;
        }
        self.len = len;
        squared[len..len + LANES].fill(f64::INFINITY);
        sites[len..len + LANES].fill(0);
    }
}

/// One bit for each number, set where it is less than the limit.
#[inline(always)]
fn below(values: &[f64; LANES], limit: f64) -> u8 {
    let bit = |(lane, value): (usize, &f64)| u8::from(*value < limit) << lane;
    values
        .iter()
        .enumerate()
        .map(bit)
        .fold(0, |all, bit| all | bit)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::LANES;

    /// The same with AVX2.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[inline]
    pub fn below_avx2(values: &[f64; LANES], limit: f64) -> u8 {
        let limit = _mm256_set1_pd(limit);
        // SAFETY: there are 8 numbers.
        let [low, high] = unsafe {
            [
                _mm256_loadu_pd(values.as_ptr()),
                _mm256_loadu_pd(values.as_ptr().add(4)),
            ]
        };
        let [low, high] = [low, high]
            .map(|values| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(values, limit)) as u8);
        low | high << 4
    }

    /// The same with AVX-512.
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline]
    pub fn below_avx512(values: &[f64; LANES], limit: f64) -> u8 {
        // SAFETY: there are 8 numbers.
        let values = unsafe { _mm512_loadu_pd(values.as_ptr()) };
        _mm512_cmp_pd_mask::<_CMP_LT_OQ>(values, _mm512_set1_pd(limit))
    }
}

/// Lattice translations up to a length, of which no two are opposite, without 0.
fn half_of_translations(basis: &Lattice, length: f64) -> Vec<Vec3> {
    let [a, b, c] = basis.rows();
    // A translation by n vectors leads n planes further.
    let most = basis
        .plane_spacings()
        .map(|spacing| (length / spacing) as i64);
    let mut found = Vec::new();
    for x in 0..=most[0] {
        for y in if x == 0 { 0 } else { -most[1] }..=most[1] {
            let origin: Vec3 = std::array::from_fn(|k| x as f64 * a[k] + y as f64 * b[k]);
            for z in if (x, y) == (0, 0) { 1 } else { -most[2] }..=most[2] {
                let step = std::array::from_fn(|k| origin[k] + z as f64 * c[k]);
                if norm(&step) < length {
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
        fn visit(&mut self, site: usize, squared: &[[f64; LANES]], others: &[[u32; LANES]]) {
            let squared = squared.as_flattened().iter();
            let pairs = squared.zip(others.as_flattened());
            let pairs = pairs.filter(|(squared, _)| squared.is_finite());
            self.0
                .extend(pairs.map(|(&squared, &other)| (site, other as usize, squared)));
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
        for n in [1, 2, 7, 8, 9, 21] {
            // Some beyond the cell, which is allowed.
            let coords: Vec<Vec3> = (0..n)
                .map(|k| {
                    let k = f64::from(k);
                    basis.to_cart(&[0.618 * k % 1.0, 0.755 * k % 1.0, 0.57 * k % 1.3])
                })
                .collect();
            for cutoff in [0.5, 3.0, 6.5] {
                let expected = sorted(brutal(&rows, &coords, cutoff));
                let mut first: Option<[Vec<(usize, usize, f64)>; 2]> = None;
                for level in Level::ALL.into_iter().filter(|level| level.is_supported()) {
                    let images = CellImages::new(&basis, &coords, cutoff, level).unwrap();
                    let [mut all, mut once] = [Listed::default(), Listed::default()];
                    images.visit(Pairs::Both, 0..coords.len(), &mut all);
                    images.visit(Pairs::Once, 0..coords.len(), &mut once);
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
            CellImages::new(&basis, &vec![[0.5; 3]; n], cutoff, Level::Scalar)
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
        let images = CellImages::new(&basis, &coords, 4.5, Level::Scalar).unwrap();
        let [mut all, mut some] = [Listed::default(), Listed::default()];
        images.visit(Pairs::Both, 0..3, &mut all);
        images.visit(Pairs::Both, 1..3, &mut some);
        all.0.retain(|pair| pair.0 > 0);
        assert_eq!(some.0, all.0);
    }
}
