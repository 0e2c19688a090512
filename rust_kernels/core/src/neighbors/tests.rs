//! All levels against each other and against every image that there is.

use super::*;
use crate::CrystalBatch;
use crate::lattice::{Lattice, Mat3, Vec3, norm, row_times};
use crate::simd::Level;

/// Numbers in 0..1 that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn vector(&mut self, low: f64, high: f64) -> Vec3 {
        std::array::from_fn(|_| low + (high - low) * self.next())
    }
}

/// Calls `test` with a batch of one crystal.
fn with_crystal(lattice: Mat3, pbc: [bool; 3], frac_coords: &[Vec3], test: impl Fn(&Crystal<'_>)) {
    let n = frac_coords.len();
    let species_offsets: Vec<i64> = (0..=n as i64).collect();
    let batch = CrystalBatch {
        lattices: &[lattice],
        pbc: &[pbc],
        site_offsets: &[0, n as i64],
        frac_coords,
        asymmetric_index: &vec![-1; n],
        species_offsets: &species_offsets,
        atomic_numbers: &vec![14; n],
        occupancies: &vec![1.0; n],
        oxidation_states: &vec![f64::NAN; n],
    };
    test(&batch.validate().unwrap().crystal(0).unwrap());
}

/// Both sites, shift and bits of distance and vector of a pair.
type Bits = (usize, usize, [i32; 3], u64, [u64; 3]);

/// All pairs in the grid's order.
fn listed(grid: &NeighborGrid, n: usize) -> Vec<Bits> {
    let mut found = Vec::new();
    for i in 0..n {
        grid.for_each(i, |neighbor| {
            let vector = neighbor.vector.map(f64::to_bits);
            found.push((
                i,
                neighbor.site,
                neighbor.shift,
                neighbor.distance.to_bits(),
                vector,
            ));
        });
    }
    found
}

/// The same, found cluster by cluster; each site's number of neighbours is what is counted.
fn listed_by_cluster(grid: &NeighborGrid, n: usize) -> Vec<Bits> {
    let order: Vec<usize> = grid.order().collect();
    let mut of_site: Vec<Option<Vec<Bits>>> = vec![None; n];
    for members in grid.clusters() {
        let sites = &order[members.clone()];
        let mut found: Vec<Vec<Bits>> = vec![Vec::new(); sites.len()];
        grid.for_each_block_of(members.clone(), &mut |block: &Block<'_>| {
            for k in 0..block.len() {
                let neighbor = block.neighbor(k);
                found[block.member()].push((
                    sites[block.member()],
                    neighbor.site,
                    neighbor.shift,
                    neighbor.distance.to_bits(),
                    neighbor.vector.map(f64::to_bits),
                ));
            }
        });
        let counts = grid.count(members);
        for ((&site, found), count) in sites.iter().zip(found).zip(counts) {
            assert_eq!(found.len(), count as usize);
            assert!(of_site[site].replace(found).is_none());
        }
    }
    of_site.into_iter().flat_map(Option::unwrap).collect()
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_supported())
}

/// Every level finds what trying all images finds, and all find the same bits.
fn check(crystal: &Crystal<'_>, cutoff: f64) -> usize {
    let n = crystal.n_sites();
    let mut naive = Vec::new();
    let spacings = crystal.lattice.plane_spacings();
    for i in 0..n {
        for j in 0..n {
            let (a, b) = (crystal.frac_coords[i], crystal.frac_coords[j]);
            let range = |k: usize| {
                let (reach, apart) = (cutoff / spacings[k] + 1.0, b[k] - a[k]);
                if crystal.pbc[k] {
                    (-reach - apart).floor() as i32..=(reach - apart).ceil() as i32
                } else {
                    0..=0
                }
            };
            for x in range(0) {
                for y in range(1) {
                    for z in range(2) {
                        let apart = std::array::from_fn(|k| b[k] - a[k] + f64::from([x, y, z][k]));
                        let distance = norm(&row_times(&apart, crystal.lattice.rows()));
                        if distance < cutoff && (i != j || [x, y, z] != [0; 3]) {
                            naive.push((i, j, [x, y, z], distance));
                        }
                    }
                }
            }
        }
    }
    naive.sort_by_key(|(i, j, shift, _)| (*i, *j, *shift));
    let reference = listed(&NeighborGrid::with_level(crystal, cutoff, Level::Scalar), n);
    for level in levels() {
        let grid = NeighborGrid::with_level(crystal, cutoff, level);
        assert!(listed(&grid, n) == reference, "{level:?}");
        assert!(listed_by_cluster(&grid, n) == reference, "{level:?}");
    }
    check_groups(crystal, cutoff, &reference);
    let mut found: Vec<_> = reference
        .iter()
        .map(|p| (p.0, p.1, p.2, f64::from_bits(p.3)))
        .collect();
    found.sort_by_key(|(i, j, shift, _)| (*i, *j, *shift));
    assert_eq!(found.len(), naive.len());
    for (one, other) in found.iter().zip(&naive) {
        assert_eq!((one.0, one.1, one.2), (other.0, other.1, other.2));
        assert!((one.3 - other.3).abs() < 1e-10, "{one:?} {other:?}");
    }
    naive.len()
}

/// Takes note of distances alone.
struct Distances(Vec<Vec<u64>>);

impl BlockVisitor for Distances {
    const PLACES: bool = false;

    fn visit(&mut self, block: &Block<'_>) {
        for k in 0..block.len() {
            self.0[block.member()].push(block.distance(k).to_bits());
        }
    }
}

/// Sites in groups find in each what they find in all, at every level with the same bits, with or
/// without a look at who it is.
fn check_groups(crystal: &Crystal<'_>, cutoff: f64, all: &[Bits]) {
    let n = crystal.n_sites();
    let n_groups = n.min(3);
    let groups: Vec<u8> = (0..n).map(|site| (site % n_groups) as u8).collect();
    let sorted = |mut pairs: Vec<Bits>| {
        pairs.sort_unstable_by_key(|(i, j, shift, ..)| (*i, *j, *shift));
        pairs
    };
    let mut reference = None;
    for level in levels() {
        let grid = NeighborGrid::grouped(crystal, cutoff, level, &groups);
        let found = listed(&grid, n);
        assert!(listed_by_cluster(&grid, n) == found, "{level:?}");
        assert!(
            *reference.get_or_insert_with(|| found.clone()) == found,
            "{level:?}"
        );
        for members in grid.clusters() {
            let sites: Vec<usize> = grid
                .order()
                .skip(members.start)
                .take(members.len())
                .collect();
            for group in 0..n_groups {
                let mut distances = Distances(vec![Vec::new(); sites.len()]);
                grid.for_each_block_in(group, members.clone(), &mut distances);
                for (&site, distances) in sites.iter().zip(distances.0) {
                    let in_group = |pair: &&Bits| pair.0 == site && pair.1 % n_groups == group;
                    let expected = found.iter().filter(in_group).map(|pair| pair.3);
                    assert!(expected.eq(distances), "{level:?}");
                }
            }
        }
    }
    // Sites take the same places in rows of any width but for rounding.
    let (one, other) = (sorted(all.to_vec()), sorted(reference.unwrap_or_default()));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!((one.0, one.1, one.2), (other.0, other.1, other.2));
        assert!((f64::from_bits(one.3) - f64::from_bits(other.3)).abs() < 1e-12);
    }
}

#[test]
fn all_levels_find_all_pairs() {
    let mut random = Random(1);
    let mut n_pairs = 0;
    for round in 0..120 {
        let edges = random.vector(1.5, 9.0);
        let mut lattice: Mat3 = std::array::from_fn(|_| random.vector(-0.45, 0.45));
        for k in 0..3 {
            lattice[k][k] += 1.0;
            lattice[k] = lattice[k].map(|x| x * edges[k]);
        }
        let n = [1, 2, 5, 40][round % 4];
        let coords: Vec<Vec3> = (0..n).map(|_| random.vector(-1.5, 2.5)).collect();
        let pbc = [
            [true; 3],
            [true, false, true],
            [false, false, true],
            [false; 3],
        ][round / 4 % 4];
        let cutoff = 0.5 + 6.0 * random.next();
        if Lattice::new(&lattice).is_ok() {
            with_crystal(lattice, pbc, &coords, |crystal| {
                check(crystal, cutoff);
            });
            n_pairs += n;
        }
    }
    assert!(n_pairs > 1000);
}

#[test]
fn sheared_thin_and_crowded_cells_are_searched_too() {
    let mut random = Random(2);
    let coords: Vec<Vec3> = (0..4).map(|_| random.vector(-0.7, 1.7)).collect();
    for lattice in [
        [[4.0, 0.0, 0.0], [-11.0, 3.0, 0.0], [17.0, -9.0, 5.0]],
        [[0.9, 0.0, 0.0], [0.0, 14.0, 0.0], [0.0, 0.0, 3.0]],
        [[15.0, 0.0, 0.0], [0.0, 15.0, 0.0], [0.0, 0.0, 0.8]],
        // Angles of 25 and 155 degrees.
        [[6.0, 0.0, 0.0], [5.438, 2.536, 0.0], [-5.438, 1.2, 2.2]],
        // Runs longer than a block: 60 images of 4 sites in a row.
        [[40.0, 0.0, 0.0], [0.0, 40.0, 0.0], [0.0, 0.0, 0.2]],
    ] {
        with_crystal(lattice, [true; 3], &coords, |crystal| {
            assert!(check(crystal, 6.0) > 20);
        });
    }
}

#[test]
fn blocks_are_padded_with_neighbors_that_are_infinitely_far() {
    let mut random = Random(3);
    let coords: Vec<Vec3> = (0..9).map(|_| random.vector(0.0, 1.0)).collect();
    let lattice = [[4.0, 0.0, 0.0], [0.0, 5.0, 0.0], [1.0, 0.0, 6.0]];
    with_crystal(lattice, [true; 3], &coords, |crystal| {
        for level in levels() {
            let grid = NeighborGrid::with_level(crystal, 8.0, level);
            let by_slot = grid.by_slot(|site| site);
            let mut total = 0;
            grid.for_each_block(3, &mut |block: &Block<'_>| {
                let slots = block.slots().as_flattened();
                let squared = block.squared().as_flattened();
                assert_eq!(slots.len(), squared.len());
                assert!(squared.len() < block.len() + LANES);
                for (k, (slot, squared)) in slots.iter().zip(squared).enumerate() {
                    let site = by_slot[*slot as usize];
                    if k < block.len() {
                        assert_eq!(site, block.site(k));
                        assert_eq!(squared.sqrt(), block.distance(k));
                        let vector = block.vector(k);
                        assert!((norm(&vector) - block.distance(k)).abs() < 1e-14);
                    } else {
                        assert_eq!(*squared, f64::INFINITY);
                    }
                }
                total += block.len();
            });
            let mut one_by_one = 0;
            grid.for_each(3, |_| one_by_one += 1);
            assert_eq!(total, one_by_one);
            assert!(total > 128, "more than one block");
        }
    });
}

#[test]
fn threads_line_up_the_atoms_as_one_does() {
    let mut random = Random(11);
    let frac_coords: Vec<Vec3> = (0..3000).map(|_| random.vector(-2.0, 2.0)).collect();
    let lattice = [[31.0, 0.0, 1.0], [-9.0, 40.0, 0.0], [2.0, 3.0, 37.0]];
    for pbc in [[true; 3], [true, false, true], [false; 3]] {
        with_crystal(lattice, pbc, &frac_coords, |crystal| {
            let one = NeighborGrid::on_one_thread(crystal, 6.0);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                let (grid, clusters) = pool.build().unwrap().install(|| {
                    let grid = NeighborGrid::new(crystal, 6.0);
                    let clusters = grid.clusters();
                    (grid, clusters)
                });
                assert!(grid.parallel && !one.parallel);
                let sorted = |grid: &NeighborGrid| {
                    (grid.order.clone(), grid.ranks.clone(), grid.starts.clone())
                };
                assert_eq!(sorted(&grid), sorted(&one));
                assert_eq!(format!("{:?}", grid.atoms), format!("{:?}", one.atoms));
                assert_eq!(format!("{:?}", grid.homes), format!("{:?}", one.homes));
                assert_eq!(clusters, one.clusters());
            }
        });
    }
}
