//! Time per site of each kernel over the size of the crystal, on one thread.
//!
//! `cargo bench -p pyhpc-core --bench kernels -- ewald` runs one of them.

use std::time::Duration;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use pyhpc_core::bond_valence::{Parameters, bond_valence_sums};
use pyhpc_core::bonding::{self, bond_statistics};
use pyhpc_core::ewald::{Method, ewald_site_energies};
use pyhpc_core::neighbors::{NeighborLists, PairSlices};
use pyhpc_core::symmetry::{self, symmetry};
use pyhpc_core::valence::assign_oxidation_states;
use pyhpc_core::voronoi::voronoi;
use pyhpc_core::{BatchError, CrystalBatch, valence, voronoi as cells};
use rayon::ThreadPoolBuilder;

/// Repeats of the rock-salt cell of 8 ions along each vector: 8 to 97,336 sites.
const REPEATS: [usize; 6] = [1, 2, 4, 8, 12, 23];

const EDGE: f64 = 5.64;

/// A supercell of rock salt whose ions are moved a little, so that nothing is special.
struct RockSalt {
    lattice: [[[f64; 3]; 3]; 1],
    site_offsets: [i64; 2],
    frac_coords: Vec<[f64; 3]>,
    asymmetric_index: Vec<i32>,
    species_offsets: Vec<i64>,
    atomic_numbers: Vec<u8>,
    occupancies: Vec<f64>,
    oxidation_states: Vec<f64>,
}

impl RockSalt {
    fn new(repeats: usize, displacement: f64) -> Self {
        let n = 2 * repeats;
        let mut random = Random(20_261_121);
        let mut frac_coords = Vec::new();
        let mut is_sodium = Vec::new();
        for x in 0..n {
            for y in 0..n {
                for z in 0..n {
                    frac_coords.push([x, y, z].map(|i| {
                        let moved = displacement / EDGE * random.next();
                        (i as f64 / 2.0 + moved) / repeats as f64
                    }));
                    is_sodium.push((x + y + z) % 2 == 0);
                }
            }
        }
        let n_sites = frac_coords.len();
        let edge = EDGE * repeats as f64;
        Self {
            lattice: [[[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]],
            site_offsets: [0, n_sites as i64],
            frac_coords,
            asymmetric_index: vec![-1; n_sites],
            species_offsets: (0..=n_sites as i64).collect(),
            atomic_numbers: is_sodium
                .iter()
                .map(|&sodium| if sodium { 11 } else { 17 })
                .collect(),
            occupancies: vec![1.0; n_sites],
            oxidation_states: is_sodium
                .iter()
                .map(|&sodium| if sodium { 1.0 } else { -1.0 })
                .collect(),
        }
    }

    fn batch(&self) -> CrystalBatch<'_> {
        CrystalBatch {
            lattices: &self.lattice,
            pbc: &[[true; 3]],
            site_offsets: &self.site_offsets,
            frac_coords: &self.frac_coords,
            asymmetric_index: &self.asymmetric_index,
            species_offsets: &self.species_offsets,
            atomic_numbers: &self.atomic_numbers,
            occupancies: &self.occupancies,
            oxidation_states: &self.oxidation_states,
        }
    }
}

/// Numbers from -1 to 1 (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        2.0 * (self.0 >> 11) as f64 / (1u64 << 53) as f64 - 1.0
    }
}

/// Benches one kernel on crystals of up to `max_sites` sites.
fn over_sizes<T>(
    criterion: &mut Criterion,
    name: &str,
    max_sites: usize,
    displacement: f64,
    kernel: impl Fn(&CrystalBatch<'_>) -> T,
) {
    let mut group: BenchmarkGroup<'_, WallTime> = criterion.benchmark_group(name);
    for repeats in REPEATS {
        let crystal = RockSalt::new(repeats, displacement);
        let n_sites = crystal.frac_coords.len();
        if n_sites > max_sites {
            break;
        }
        group.throughput(Throughput::Elements(n_sites as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(n_sites),
            &crystal.batch(),
            |bencher, batch| bencher.iter(|| kernel(batch)),
        );
    }
    group.finish();
}

/// Lists all pairs as the binding does: counted, then written into arrays.
fn neighbor_list(batch: &CrystalBatch<'_>, cutoff: f64) -> Result<Vec<f64>, BatchError> {
    let lists = NeighborLists::count(batch, cutoff)?;
    let n = lists.n_pairs();
    let mut sites: [Vec<i64>; 2] = std::array::from_fn(|_| Vec::with_capacity(n));
    let mut shifts: Vec<i32> = Vec::with_capacity(3 * n);
    let mut distances = Vec::with_capacity(n);
    let [i, j] = &mut sites;
    lists.write(PairSlices {
        i: &mut i.spare_capacity_mut()[..n],
        j: &mut j.spare_capacity_mut()[..n],
        shifts: shifts.spare_capacity_mut()[..3 * n].as_chunks_mut().0,
        distances: &mut distances.spare_capacity_mut()[..n],
    });
    // SAFETY: all have been written.
    unsafe { distances.set_len(n) };
    Ok(distances)
}

fn run(criterion: &mut Criterion) {
    let options = valence::Options {
        distance_scale: 1.0,
        neutrality_tolerance: 0.01,
        outlier_fraction: 0.0,
    };
    let cuts = cells::Options {
        thresholds: &[0.0, 0.25],
        alternatives: false,
        faces: false,
    };
    let groups = symmetry::Options {
        symprec: 1e-2,
        angle_tolerance: None,
        wyckoffs: false,
    };
    over_sizes(criterion, "neighbor_list", 100_000, 0.1, |batch| {
        neighbor_list(batch, 6.0)
    });
    over_sizes(criterion, "ewald", 100_000, 0.1, |batch| {
        ewald_site_energies(batch, 1e-8, None, Method::Auto)
    });
    over_sizes(criterion, "voronoi", 100_000, 0.1, |batch| {
        voronoi(batch, None, &cuts)
    });
    over_sizes(criterion, "bond_valence", 100_000, 0.1, |batch| {
        bond_valence_sums(batch, 6.0, Parameters::Brown2020)
    });
    let atoms = bonding::Options {
        radii: &[1.35; 118],
        electronegativities: &[2.0; 118],
        bond_factor: 1.3,
        anion_factor: 1.1,
    };
    over_sizes(criterion, "bonds", 100_000, 0.1, |batch| {
        bond_statistics(batch, &atoms)
    });
    over_sizes(criterion, "symmetry", 600, 0.0, |batch| {
        symmetry(batch, groups)
    });
    let unknown = |batch: &CrystalBatch<'_>| vec![f64::NAN; batch.atomic_numbers.len()];
    over_sizes(criterion, "valences", 15_000, 0.0, |batch| {
        let oxidation_states = unknown(batch);
        let bare = CrystalBatch {
            oxidation_states: &oxidation_states,
            ..*batch
        };
        assign_oxidation_states(&bare, options)
    });
}

fn main() -> Result<(), rayon::ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| {
        let mut criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        run(&mut criterion);
        criterion.final_summary();
    });
    Ok(())
}
