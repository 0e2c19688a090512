//! Reciprocal-space part by a particle mesh: smooth particle-mesh Ewald.
//!
//! U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), doi:10.1063/1.470117, with B-splines of high
//! order. Charges are spread over a mesh, the potential of the waves is a convolution there, and is
//! interpolated back to the sites. The splines are deconvolved by their Fourier transform, so that
//! the error of `exp(i k r)` is known in closed form: in a direction where a mesh step turns the
//! phase by `x`, it is at most `sum over m != 0 of |x / (x + 2 pi m)|^p`, relative. Summed over
//! all waves with `|S(k)| <= sum |q|`, this bounds the error of any potential.
//!
//! The mesh lies along a reduced basis of the lattice. Work is cut into planes of the mesh,
//! whatever the number of threads, and no two tasks add to the same number.

use std::f64::consts::PI;
use std::sync::Arc;

use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner, FftPlannerScalar};

use super::parameters::Parameters;
use super::real::Potential;
use super::reciprocal::Charges;
use super::window::{BEYOND, FULL, Weights, Window};
use super::{LANES, Lanes};
use crate::batch::map_sites;
use crate::lattice::{Lattice, Mat3, dot};
use crate::simd::{self, Level, Work};

/// Order of the B-splines: a charge is spread over so many mesh points in each direction.
pub(super) const ORDER: usize = 16;

/// Values of a spline at the mesh points it reaches.
type Spline = [f64; ORDER];

/// Vectors of a row that a spline reaches at most.
const REACHED: usize = ORDER / LANES + 1;

/// Bytes of a vector.
const ALIGNMENT: usize = LANES * size_of::<f64>();

type Transform = Arc<dyn Fft<f64>>;

/// Potentials from a mesh.
pub(super) struct MeshSum {
    /// At each target, in e/angstrom, without the wave at `k = 0`.
    pub potentials: Vec<Potential>,
    /// Bound on the error of a potential that the mesh brings about, over the sum of `|q|`.
    pub aliasing: f64,
}

/// Largest relative error of `exp(i k r)` where one mesh step turns the phase by `angle`, from 0 to
/// pi.
pub(super) fn aliasing(angle: f64) -> f64 {
    let t = angle / (2.0 * PI);
    let power = |x: f64| x.powi(ORDER as i32);
    let near: f64 = (1..4)
        .map(f64::from)
        .map(|m| power(t / (m - t)) + power(t / (m + t)))
        .sum();
    // The rest of both sums is less than the integral from 3 on.
    near + 2.0 * power(t / (3.0 - t)) * (3.0 - t) / (ORDER as f64 - 1.0)
}

/// Steps for which errors are estimated, in equal ratios, and the first and last of them over half
/// of the shortest wavelength.
const N_STEPS: usize = 64;
const STEPS: [f64; 2] = [0.2, 0.999];

/// For each step, an estimate of the error of the potential of a sum of `|q|` of 1, both in units of
/// the real cutoff.
pub(super) type StepErrors = [f64; N_STEPS];

/// Largest step in angstrom of a mesh that is expected to bring no more than an error of `most` to
/// the potential of a sum of `|q|` of 1; none if even a very fine mesh would.
///
/// In a large cell, the waves lie so close that their sum is an integral. The waves of a given
/// component `k` across the planes of the mesh weigh `int_k F(k' r_c) / k' dk'`, each of the three
/// directions has its own error, and it comes twice, from spreading and interpolating.
pub(super) fn step(window: &Window, r_cut: f64, most: f64) -> Option<f64> {
    let errors = window.mesh_errors.get_or_init(|| step_errors(window));
    let index = errors.iter().rposition(|error| *error <= most * r_cut)?;
    Some(relative_step(window, index) * r_cut)
}

fn relative_step(window: &Window, index: usize) -> f64 {
    let [first, last] = STEPS;
    let share = index as f64 / (N_STEPS as f64 - 1.0);
    first * (last / first).powf(share) * PI / (window.beta + BEYOND)
}

fn step_errors(window: &Window) -> StepErrors {
    const N_PLANES: usize = 48;
    let width = (window.beta + BEYOND) / N_PLANES as f64;
    let kappa = |plane: usize| (plane as f64 + 0.5) * width;
    let mut weights = [0.0; N_PLANES];
    let mut sum = 0.0;
    for (plane, weight) in weights.iter_mut().enumerate().rev() {
        let term = window.transform(kappa(plane)).abs() / kappa(plane) * width;
        *weight = sum + 0.5 * term;
        sum += term;
    }
    std::array::from_fn(|index| {
        let step = relative_step(window, index);
        let planes = weights.iter().enumerate();
        let terms = planes.map(|(plane, weight)| aliasing(kappa(plane) * step) * weight);
        12.0 / PI * terms.sum::<f64>() * width
    })
}

/// Fourier transform of the spline, relative to its value at 0.
fn transform_of_spline(angle: f64) -> f64 {
    let half = 0.5 * angle;
    if half == 0.0 {
        1.0
    } else {
        (half.sin() / half).powi(ORDER as i32)
    }
}

/// Smallest number of mesh points from `least` on that transforms fast.
pub(super) fn good_size(least: usize) -> usize {
    let smooth = |n: &usize| {
        let mut rest = *n;
        for prime in [2, 3, 5, 7] {
            while rest.is_multiple_of(prime) {
                rest /= prime;
            }
        }
        rest == 1
    };
    (least.max(2)..).find(smooth).unwrap_or(least)
}

/// Potentials at the targets from the waves of the smooth part. `basis` is a basis of the crystal's
/// translations and `frac_coords` are in its units, from 0 to 1.
pub(super) fn potentials(
    basis: &Lattice,
    sources: &Charges,
    parameters: &Parameters,
    size: [usize; 3],
) -> MeshSum {
    let mesh = Mesh::new(basis, parameters, size);
    let sites = Sites::new(sources, size);
    let spectrum = mesh.transform(&sites);
    let (spectrum, sums) = mesh.convolve(&spectrum);
    let planes = mesh.transform_back(&spectrum);
    drop(spectrum);
    let mut potentials = vec![Potential::default(); sources.n_targets];
    let targets: Vec<usize> = (0..sites.order.len())
        .filter(|&place| sites.order[place] < sources.n_targets)
        .collect();
    let values: Vec<Vec<f64>> = targets
        .par_chunks(256)
        .map(|targets| {
            let (mesh, sites, planes) = (&mesh, &sites, planes.as_slice());
            let work = Interpolate {
                mesh,
                sites,
                planes,
                targets,
            };
            simd::dispatch(simd::level(), work)
        })
        .collect();
    let squares: f64 = sources.charges.iter().map(|q| q * q).sum();
    let magnitude = sums.magnitude + sums.noise * squares.sqrt();
    let fit_error = parameters.window.waves.error * sums.inverse;
    for (&place, value) in targets.iter().zip(values.iter().flatten()) {
        potentials[sites.order[place]] = Potential {
            value: *value,
            magnitude,
            fit_error,
        };
    }
    MeshSum {
        potentials,
        aliasing: sums.aliasing,
    }
}

/// Sites in the order of their places along the first and second direction.
struct Sites {
    /// Their numbers among the charges.
    order: Vec<usize>,
    /// First mesh point that each reaches.
    first: Vec<[u32; 3]>,
    splines: Vec<[Spline; 3]>,
    charges: Vec<f64>,
    /// First site of each plane of the mesh.
    starts: Vec<usize>,
}

impl Sites {
    fn new(sources: &Charges, size: [usize; 3]) -> Self {
        let n = sources.charges.len();
        let place = |site: usize| -> [(u32, f64); 3] {
            std::array::from_fn(|d| {
                let at = sources.frac_coords[site][d] * size[d] as f64;
                let floor = (at as usize).min(size[d] - 1);
                (floor as u32, at - floor as f64)
            })
        };
        let mut order: Vec<usize> = (0..n).collect();
        let keys = map_sites(n, true, |site| {
            let [x, y, _] = place(site);
            u64::from(x.0) << 32 | u64::from(y.0)
        });
        order.par_sort_by_key(|&site| (keys[site], site));
        let mut starts = vec![0; size[0] + 1];
        for &key in &keys {
            starts[(key >> 32) as usize + 1] += 1;
        }
        for x in 0..size[0] {
            starts[x + 1] += starts[x];
        }
        // 384 bytes a site, which the threads that fill it write first.
        let mut splines = vec![[[0.0; ORDER]; 3]; n];
        splines
            .par_chunks_mut(256)
            .zip(order.par_chunks(256))
            .for_each(|(splines, sites)| {
                let rests = sites.iter().map(|&site| place(site).map(|(_, rest)| rest));
                let rests: Vec<[f64; 3]> = rests.collect();
                let rests = rests.as_slice();
                simd::dispatch(simd::level(), Splines { rests, splines });
            });
        Self {
            first: map_sites(n, true, |k| place(order[k]).map(|(first, _)| first)),
            charges: map_sites(n, true, |k| sources.charges[order[k]]),
            splines,
            order,
            starts,
        }
    }
}

/// Splines of sites, from how far each is past a mesh point.
struct Splines<'a> {
    rests: &'a [[f64; 3]],
    splines: &'a mut [[Spline; 3]],
}

impl Work for Splines<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let slots = self.splines.as_flattened_mut().chunks_mut(LANES);
        for (rests, splines) in self.rests.as_flattened().chunks(LANES).zip(slots) {
            let mut padded = [0.0; LANES];
            padded[..rests.len()].copy_from_slice(rests);
            let values = spline(&padded);
            for (lane, spline) in splines.iter_mut().enumerate() {
                for k in 0..ORDER {
                    spline[k] = values[k][lane];
                }
            }
        }
    }
}

/// Values of the spline at the points that it reaches, of several at a time, by the recursion
/// `(n - 1) M_n(u) = u M_(n-1)(u) + (n - u) M_(n-1)(u - 1)`.
#[inline(always)]
fn spline(w: &Lanes) -> [Lanes; ORDER] {
    let mut values = [[0.0; LANES]; ORDER];
    for (x, w) in w.iter().enumerate() {
        values[0][x] = 1.0 - w;
        values[1][x] = *w;
    }
    for n in 3..=ORDER {
        let share = 1.0 / (n as f64 - 1.0);
        for (x, w) in w.iter().enumerate() {
            values[n - 1][x] = share * w * values[n - 2][x];
        }
        for k in (1..n - 1).rev() {
            let (up, down) = ((n - 1 - k) as f64, (k + 1) as f64);
            for (x, w) in w.iter().enumerate() {
                values[k][x] = share * ((w + up) * values[k - 1][x] + (down - w) * values[k][x]);
            }
        }
        for (x, w) in w.iter().enumerate() {
            values[0][x] *= share * (1.0 - w);
        }
    }
    values
}

/// One direction of the mesh.
struct Axis {
    n: usize,
    forward: Transform,
    backward: Transform,
    /// Signed index of the wave at each place of a transform.
    waves: Vec<f64>,
    /// `1 / M^2` for the transform `M` of the spline, and 0 for the wave that is its own mirror
    /// image, where the error is that of the wave; padded to whole vectors, like what follows.
    weights: Vec<f64>,
    /// Largest relative errors of the waves, likewise.
    errors: Vec<f64>,
}

impl Axis {
    fn new(n: usize) -> Self {
        let plan = |inverse: bool| -> Transform {
            match (simd::level(), inverse) {
                (Level::Scalar, false) => FftPlannerScalar::new().plan_fft_forward(n),
                (Level::Scalar, true) => FftPlannerScalar::new().plan_fft_inverse(n),
                (_, false) => FftPlanner::new().plan_fft_forward(n),
                (_, true) => FftPlanner::new().plan_fft_inverse(n),
            }
        };
        let mut waves = vec![0.0; n.next_multiple_of(LANES)];
        let mut weights = waves.clone();
        let mut errors = waves.clone();
        for place in (0..n).filter(|place| 2 * place != n) {
            let wave = if 2 * place < n {
                place as f64
            } else {
                place as f64 - n as f64
            };
            let angle = 2.0 * PI * wave.abs() / n as f64;
            waves[place] = wave;
            weights[place] = transform_of_spline(angle).powi(-2);
            errors[place] = aliasing(angle);
        }
        Self {
            n,
            forward: plan(false),
            backward: plan(true),
            waves,
            weights,
            errors,
        }
    }
}

/// Sums over all waves.
#[derive(Debug, Clone, Copy, Default)]
struct WaveSums {
    /// Bound on the error of a potential over the sum of `|q|`.
    aliasing: f64,
    /// Of the absolute values of all waves of the potential.
    magnitude: f64,
    /// The same for a window whose transform is 1.
    inverse: f64,
    /// Factor by which the convolution raises noise of the transforms.
    noise: f64,
}

impl WaveSums {
    fn plus(self, other: &Self) -> Self {
        Self {
            aliasing: self.aliasing + other.aliasing,
            magnitude: self.magnitude + other.magnitude,
            inverse: self.inverse + other.inverse,
            noise: self.noise + other.noise,
        }
    }
}

struct Mesh {
    axes: [Axis; 3],
    /// Reciprocal vectors, with 2 pi.
    vectors: Mat3,
    k_cut: f64,
    weights: Weights<FULL>,
    /// 4 pi / V.
    prefactor: f64,
}

impl Mesh {
    fn new(basis: &Lattice, parameters: &Parameters, size: [usize; 3]) -> Self {
        let Parameters {
            window,
            r_cut,
            k_cut,
            ..
        } = *parameters;
        Self {
            axes: size.map(Axis::new),
            vectors: basis.reciprocal().map(|row| row.map(|x| 2.0 * PI * x)),
            k_cut,
            weights: Weights::new(&window.waves, window.beta, r_cut, k_cut),
            prefactor: 4.0 * PI / basis.volume(),
        }
    }

    /// Points along each direction.
    #[inline(always)]
    fn size(&self) -> [usize; 3] {
        let [x, y, z] = &self.axes;
        [x.n, y.n, z.n]
    }

    /// Points of a row of the mesh along its third direction, with those that a spline starting at
    /// the last one reaches, in whole vectors.
    fn row_length(&self) -> usize {
        (self.axes[2].n - 1) / LANES * LANES + REACHED * LANES
    }

    /// Waves along the third direction that are kept: those of real numbers come in mirror images.
    fn n_half(&self) -> usize {
        self.axes[2].n / 2 + 1
    }

    /// Spreads the charges and transforms along the third and second direction. The result is
    /// planes by the first direction, of rows by the second.
    fn transform(&self, sites: &Sites) -> Vec<Vec<Complex<f64>>> {
        let [n_x, n_y, n_z] = self.size();
        let n_half = self.n_half();
        let plane = |scratch: &mut Vec<Complex<f64>>, x: usize| {
            let mesh = self;
            let charges = simd::dispatch(simd::level(), Spread { mesh, sites, x });
            // Two rows of real numbers are one of complex ones.
            let rows: Vec<&[f64]> = charges.chunks(self.row_length()).collect();
            let mut plane = vec![Complex::default(); n_y * n_half];
            let mut buffer = vec![Complex::default(); n_z];
            for (rows, waves) in rows.chunks(2).zip(plane.chunks_mut(2 * n_half)) {
                for z in 0..n_z {
                    let other = rows.get(1).map_or(0.0, |row| row[z]);
                    buffer[z] = Complex::new(rows[0][z], other);
                }
                run(&self.axes[2].forward, &mut buffer, scratch);
                let (first, second) = waves.split_at_mut(n_half);
                for (z, value) in first.iter_mut().enumerate() {
                    let (one, mirror) = (buffer[z], buffer[(n_z - z) % n_z].conj());
                    *value = (one + mirror) * 0.5;
                    if let Some(value) = second.get_mut(z) {
                        *value = (one - mirror) * Complex::new(0.0, -0.5);
                    }
                }
            }
            across(&mut plane, n_half, &self.axes[1].forward, scratch);
            plane
        };
        let planes = (0..n_x).into_par_iter();
        planes.map_init(Vec::new, plane).collect()
    }

    /// Turns charges into potentials. The result is planes by the second direction, of rows by the
    /// first.
    fn convolve(&self, spectrum: &[Vec<Complex<f64>>]) -> (Vec<Vec<Complex<f64>>>, WaveSums) {
        let [n_x, n_y, _] = self.size();
        let n_half = self.n_half();
        let plane = |scratch: &mut Vec<Complex<f64>>, y: usize| {
            let mut columns = vec![Complex::default(); n_x * n_half];
            for (x, plane) in spectrum.iter().enumerate() {
                for (z, value) in plane[y * n_half..][..n_half].iter().enumerate() {
                    columns[z * n_x + x] = *value;
                }
            }
            run(&self.axes[0].forward, &mut columns, scratch);
            let (mesh, waves) = (self, columns.as_mut_slice());
            let sums = simd::dispatch(simd::level(), Convolve { mesh, waves, y });
            run(&self.axes[0].backward, &mut columns, scratch);
            let mut plane = vec![Complex::default(); n_x * n_half];
            for (x, row) in plane.chunks_mut(n_half).enumerate() {
                for (z, value) in row.iter_mut().enumerate() {
                    *value = columns[z * n_x + x];
                }
            }
            (plane, sums)
        };
        let planes = (0..n_y).into_par_iter();
        let (planes, sums): (Vec<_>, Vec<WaveSums>) = planes.map_init(Vec::new, plane).unzip();
        let add = |sum: WaveSums, other| sum.plus(other);
        (planes, sums.iter().fold(WaveSums::default(), add))
    }

    /// Transforms back along the second and third direction. The result is planes by the first
    /// direction, of rows by the second, that go on with their beginning for as far as a spline
    /// reaches.
    fn transform_back(&self, spectrum: &[Vec<Complex<f64>>]) -> Vec<Vec<f64>> {
        let [n_x, n_y, n_z] = self.size();
        let (n_half, length) = (self.n_half(), self.row_length());
        let plane = |scratch: &mut Vec<Complex<f64>>, x: usize| {
            let mut waves = Vec::with_capacity(n_y * n_half);
            for plane in spectrum {
                waves.extend_from_slice(&plane[x * n_half..][..n_half]);
            }
            across(&mut waves, n_half, &self.axes[1].backward, scratch);
            let mut plane = vec![0.0; n_y * length];
            let mut buffer = vec![Complex::default(); n_z];
            let zeros = vec![Complex::default(); n_half];
            for (waves, rows) in waves.chunks(2 * n_half).zip(plane.chunks_mut(2 * length)) {
                let (first, second) = waves.split_at(n_half);
                let second = if second.is_empty() { &zeros } else { second };
                for (z, (one, other)) in first.iter().zip(second).enumerate() {
                    let other = other * Complex::new(0.0, 1.0);
                    buffer[z] = one + other;
                    if z > 0 && 2 * z < n_z {
                        buffer[n_z - z] = one.conj() - other.conj();
                    }
                }
                run(&self.axes[2].backward, &mut buffer, scratch);
                let (first, second) = rows.split_at_mut(length);
                for z in 0..length {
                    let value = buffer[z % n_z];
                    first[z] = value.re;
                    if let Some(slot) = second.get_mut(z) {
                        *slot = value.im;
                    }
                }
            }
            plane
        };
        let planes = (0..n_x).into_par_iter();
        planes.map_init(Vec::new, plane).collect()
    }
}

/// Transforms each whole row of a buffer.
fn run(transform: &Transform, buffer: &mut [Complex<f64>], scratch: &mut Vec<Complex<f64>>) {
    scratch.resize(
        transform.get_inplace_scratch_len().max(scratch.len()),
        Complex::default(),
    );
    transform.process_with_scratch(buffer, scratch);
}

/// Transforms along the columns of a plane whose rows have `n_half` numbers, some at a time so that
/// whole cache lines are moved.
fn across(
    plane: &mut [Complex<f64>],
    n_half: usize,
    transform: &Transform,
    scratch: &mut Vec<Complex<f64>>,
) {
    let n = plane.len() / n_half;
    let mut columns = vec![Complex::default(); LANES * n];
    for first in (0..n_half).step_by(LANES) {
        let width = LANES.min(n_half - first);
        for (y, row) in plane.chunks(n_half).enumerate() {
            for (k, value) in row[first..first + width].iter().enumerate() {
                columns[k * n + y] = *value;
            }
        }
        run(transform, &mut columns[..width * n], scratch);
        for (y, row) in plane.chunks_mut(n_half).enumerate() {
            for (k, value) in row[first..first + width].iter_mut().enumerate() {
                *value = columns[k * n + y];
            }
        }
    }
}

/// The charges on one plane of the mesh.
///
/// A site is added to what others have just written. It is in whole vectors, aligned ones: a sum over
/// parts of two vectors would wait until both are out of the processor's store queue.
struct Spread<'a> {
    mesh: &'a Mesh,
    sites: &'a Sites,
    x: usize,
}

impl Work for Spread<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { mesh, sites, x } = self;
        let [n_x, n_y, n_z] = mesh.size();
        let length = mesh.row_length();
        let mut plane = vec![0.0; n_y * length + LANES];
        let aligned = plane.as_ptr().align_offset(ALIGNMENT).min(LANES);
        let vectors = plane[aligned..].as_chunks_mut::<LANES>().0;
        for step in 0..ORDER {
            let first = (x + n_x * ORDER - step) % n_x;
            for site in sites.starts[first]..sites.starts[first + 1] {
                let [along_x, along_y, along_z] = &sites.splines[site];
                let charge = sites.charges[site] * along_x[step];
                let [_, first_y, first_z] = sites.first[site];
                let (first_vector, past) = (first_z as usize / LANES, first_z as usize % LANES);
                let mut along_z_aligned = [[0.0; LANES]; REACHED];
                along_z_aligned.as_flattened_mut()[past..past + ORDER].copy_from_slice(along_z);
                let mut y = first_y as usize;
                for weight in along_y {
                    let row = &mut vectors[y * length / LANES + first_vector..][..REACHED];
                    let weight = charge * weight;
                    for (vector, spline) in row.iter_mut().zip(&along_z_aligned) {
                        for z in 0..LANES {
                            vector[z] += weight * spline[z];
                        }
                    }
                    y = if y + 1 == n_y { 0 } else { y + 1 };
                }
            }
        }
        plane.copy_within(aligned..aligned + n_y * length, 0);
        plane.truncate(n_y * length);
        // What lies beyond the end of a row belongs to its beginning.
        for row in plane.chunks_mut(length) {
            for z in n_z..length {
                row[z % n_z] += row[z];
            }
        }
        plane
    }
}

/// Potentials at some sites, given by their places in the order.
struct Interpolate<'a> {
    mesh: &'a Mesh,
    sites: &'a Sites,
    planes: &'a [Vec<f64>],
    targets: &'a [usize],
}

impl Work for Interpolate<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self {
            mesh,
            sites,
            planes,
            targets,
        } = self;
        let [n_x, n_y, _] = mesh.size();
        let length = mesh.row_length();
        let mut values = vec![0.0; targets.len()];
        for (value, &site) in values.iter_mut().zip(targets) {
            let [along_x, along_y, along_z] = &sites.splines[site];
            let [first_x, first_y, first_z] = sites.first[site];
            let mut x = first_x as usize;
            let mut sums = [0.0; ORDER];
            for weight_x in along_x {
                let mut y = first_y as usize;
                for weight_y in along_y {
                    let row = &planes[x][y * length + first_z as usize..][..ORDER];
                    let weight = weight_x * weight_y;
                    for z in 0..ORDER {
                        sums[z] += weight * row[z];
                    }
                    y = if y + 1 == n_y { 0 } else { y + 1 };
                }
                x = if x + 1 == n_x { 0 } else { x + 1 };
            }
            for z in 0..ORDER {
                *value += sums[z] * along_z[z];
            }
        }
        values
    }
}

/// Relative error of a product of two numbers with such errors.
#[inline(always)]
fn join(one: f64, other: f64) -> f64 {
    one + other + one * other
}

/// Weights the waves of one index along the second direction; they lie by third and first.
struct Convolve<'a> {
    mesh: &'a Mesh,
    waves: &'a mut [Complex<f64>],
    y: usize,
}

impl Work for Convolve<'_> {
    type Output = WaveSums;

    #[inline(always)]
    fn run(self) -> WaveSums {
        let Self { mesh, waves, y } = self;
        let [axis_x, axis_y, axis_z] = &mesh.axes;
        let [step, across_y, across_z] = &mesh.vectors;
        let quadratic = dot(step, step);
        let limit = mesh.k_cut * mesh.k_cut;
        let mut total = WaveSums::default();
        let mut transforms = vec![0.0; axis_x.waves.len()];
        let mut inverses = transforms.clone();
        for (z, column) in waves.chunks_mut(axis_x.n).enumerate() {
            let mut origin = [0.0; 3];
            for k in 0..3 {
                origin[k] = axis_y.waves[y] * across_y[k] + axis_z.waves[z] * across_z[k];
            }
            let (squared, linear) = (dot(&origin, &origin), 2.0 * dot(&origin, step));
            let weight = mesh.prefactor * axis_y.weights[y] * axis_z.weights[z];
            let closest = squared - linear * linear / (4.0 * quadratic);
            if weight == 0.0 || closest > limit * (1.0 + 1e-9) {
                column.fill(Complex::default());
                continue;
            }
            let across = join(axis_y.errors[y], axis_z.errors[z]);
            let along = axis_x.waves.iter().zip(&mut transforms).zip(&mut inverses);
            for ((wave, transform), inverse) in along {
                [*transform, *inverse] =
                    (mesh.weights).at(squared + wave * (linear + wave * quadratic));
            }
            let mut sums = [[0.0; LANES]; 4];
            for (block, values) in column.chunks_mut(LANES).enumerate() {
                let range = block * LANES..(block + 1) * LANES;
                let (transforms, inverses) = (&transforms[range.clone()], &inverses[range.clone()]);
                let weights = &axis_x.weights[range.clone()];
                let errors = &axis_x.errors[range];
                let (mut factors, mut spread) = ([0.0; LANES], [0.0; LANES]);
                for x in 0..LANES {
                    let error = join(across, errors[x]);
                    spread[x] = weight * weights[x] * inverses[x];
                    factors[x] = spread[x] * transforms[x];
                    sums[0][x] += (transforms[x] * inverses[x]).abs() * join(error, error);
                    sums[2][x] += factors[x].abs();
                }
                for (x, value) in values.iter_mut().enumerate() {
                    let length = (value.re * value.re + value.im * value.im).sqrt() * spread[x];
                    sums[1][x] += length * transforms[x].abs();
                    sums[3][x] += length;
                    value.re *= factors[x];
                    value.im *= factors[x];
                }
            }
            // The waves of the other half.
            let images = if z == 0 { 1.0 } else { 2.0 };
            let [aliasing, magnitude, noise, inverse] = &sums;
            for x in 0..LANES {
                total.aliasing += images * mesh.prefactor * aliasing[x];
                total.magnitude += images * magnitude[x];
                total.noise += images * noise[x];
                total.inverse += images * inverse[x];
            }
        }
        total
    }
}
