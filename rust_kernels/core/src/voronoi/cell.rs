//! A convex polyhedron around the origin that is cut down plane by plane.

use crate::lattice::{Vec3, cross, dot};
use crate::simd::{self, Level};

/// Vertices are kept and tested in groups of so many.
const LANES: usize = 8;

/// A vertex beyond a plane by less than this part of the plane's distance is left where it is.
/// Far above the rounding of a vertex, so that the many planes through one vertex of a symmetric
/// crystal all agree, and far below any face that counts.
const VERTEX_TOLERANCE: f64 = 1e-11;

/// How often a cut is tried with a wider tolerance (and by how much wider) when rounding makes its
/// outline fall apart. That takes a vertex at the very edge of the tolerance, so once is enough.
const ATTEMPTS: usize = 4;
const WIDENING: f64 = 7.0;

/// Number of faces of the cube that a cell starts from.
pub const N_BOX_FACES: usize = 6;

/// What a plane did to the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It does not reach the cell.
    Missed,
    /// It made a new face, whose number is the count of faces before.
    Made,
    /// Its outline is not one closed polygon, within any tolerance.
    Degenerate,
}

/// Size of a face as seen from the origin; zero when later cuts took it away.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FaceMeasure {
    /// Volume of the pyramid from the origin to the face.
    pub volume: f64,
    /// Solid angle of the face in steradian.
    pub solid_angle: f64,
}

/// Where the outline of a cut crosses an edge.
#[derive(Debug, Clone, Copy, Default)]
struct Crossing {
    /// Half-edge that leads from a vertex that stays to one that goes.
    half_edge: u32,
    /// Face to the left of it.
    face: u32,
    position: Vec3,
}

/// Where some vertices are. What only fills a group lies at the origin, which no plane cuts off.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Group {
    x: [f64; LANES],
    y: [f64; LANES],
    z: [f64; LANES],
    /// Distance of each vertex to the plane of the current cut, negative beyond it,
    depths: [f64; LANES],
    /// and one bit for each that is cut off.
    gone: u8,
}

/// What meets in a vertex, by slot; the last of each is not used.
#[derive(Debug, Clone, Copy, Default)]
struct Corner {
    /// The same edge from its other end.
    twins: [u32; 4],
    /// Face to the left of the edge.
    faces: [u32; 4],
}

/// Directions of some vertices from the origin, and their distances.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Rays {
    x: [f64; LANES],
    y: [f64; LANES],
    z: [f64; LANES],
    radii: [f64; LANES],
}

/// A convex polyhedron in which three edges meet at every vertex.
///
/// Where more planes meet in a point, several vertices lie there, joined by edges of length zero:
/// so no case needs special treatment and every array stays flat. Half-edge `4 v + s` leaves
/// vertex `v` by its slot `s`, 0 to 2; the slots of a vertex run counterclockwise seen from outside.
/// All buffers are kept from cell to cell.
#[derive(Debug)]
pub struct Cell {
    level: Level,
    /// Positions of the vertices, and no more groups than they need.
    groups: Vec<Group>,
    /// By vertex.
    corners: Vec<Corner>,
    n_faces: usize,
    radius_squared: f64,
    removed: Vec<u32>,
    /// Half-edges that lead from a vertex that stays to one that goes, and the faces to the left.
    crossings: Vec<(u32, u32)>,
    /// For each face with crossings the one that has it to the right.
    by_right_face: Vec<u32>,
    /// The crossings in order around the new face.
    outline: Vec<Crossing>,
    rays: Vec<Rays>,
    face_starts: Vec<u32>,
    phases: Phases,
}

/// For each face a complex number whose phase is half its solid angle.
#[derive(Debug, Default)]
struct Phases {
    real: Vec<f64>,
    imaginary: Vec<f64>,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            level: simd::level(),
            groups: Vec::new(),
            corners: Vec::new(),
            n_faces: 0,
            radius_squared: 0.0,
            removed: Vec::new(),
            crossings: Vec::new(),
            by_right_face: Vec::new(),
            outline: Vec::new(),
            rays: Vec::new(),
            face_starts: Vec::new(),
            phases: Phases::default(),
        }
    }
}

impl Cell {
    /// Starts again from the cube `|x|, |y|, |z| <= half_width`, whose faces are 0 to 5.
    pub fn reset(&mut self, half_width: f64) {
        self.groups.clear();
        self.groups.push(Group::default());
        self.corners.clear();
        self.corners.extend_from_slice(&CUBE);
        for vertex in 0..CUBE.len() {
            let coordinate = |axis: usize| {
                if vertex >> axis & 1 == 1 {
                    half_width
                } else {
                    -half_width
                }
            };
            let position = [coordinate(0), coordinate(1), coordinate(2)];
            move_vertex(&mut self.groups, vertex, position);
        }
        self.n_faces = N_BOX_FACES;
        self.radius_squared = 3.0 * half_width * half_width;
    }

    /// Distance of the farthest vertex from the origin.
    pub fn radius(&self) -> f64 {
        self.radius_squared.sqrt()
    }

    /// Keeps the side of the plane `r . normal = distance` that holds the origin; `normal` is a
    /// unit vector, `distance` positive.
    pub fn cut(&mut self, normal: &Vec3, distance: f64) -> Cut {
        match self.level {
            Level::Scalar => self.cut_with(normal, distance, simd::below),
            // SAFETY: `simd::level` gives what the processor has.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { self.cut_avx2(normal, distance) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { self.cut_avx512(normal, distance) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => self.cut_with(normal, distance, simd::below),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn cut_avx2(&mut self, normal: &Vec3, distance: f64) -> Cut {
        self.cut_with(normal, distance, |values, limit| {
            simd::below_avx2(values, limit)
        })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
    fn cut_avx512(&mut self, normal: &Vec3, distance: f64) -> Cut {
        self.cut_with(normal, distance, |values, limit| {
            simd::below_avx512(values, limit)
        })
    }

    #[inline(always)]
    fn cut_with(
        &mut self,
        normal: &Vec3,
        distance: f64,
        below: impl Fn(&[f64; LANES], f64) -> u8,
    ) -> Cut {
        let mut tolerance = VERTEX_TOLERANCE * distance;
        let mut any = 0;
        for group in &mut self.groups {
            for lane in 0..LANES {
                let height = normal[0] * group.x[lane]
                    + normal[1] * group.y[lane]
                    + normal[2] * group.z[lane];
                group.depths[lane] = distance - height;
            }
            group.gone = below(&group.depths, -tolerance);
            any |= group.gone;
        }
        for _ in 0..ATTEMPTS {
            if any == 0 {
                return Cut::Missed;
            }
            if self.trace_outline() {
                self.replace_removed();
                return Cut::Made;
            }
            tolerance *= WIDENING;
            any = 0;
            for group in &mut self.groups {
                group.gone = below(&group.depths, -tolerance);
                any |= group.gone;
            }
        }
        if any == 0 {
            Cut::Missed
        } else {
            Cut::Degenerate
        }
    }

    /// Lists the vertices to remove and the edges that the plane crosses, in order around the new
    /// face; false unless they form one closed polygon.
    ///
    /// The outline leaves a crossing along the face to its left and comes to the crossing that has
    /// that face to its right: there are as many of the one as of the other, one in a sound cut.
    #[inline(always)]
    fn trace_outline(&mut self) -> bool {
        self.removed.clear();
        let n_edges = 3 * self.corners.len();
        if self.crossings.len() < n_edges {
            self.crossings.resize(n_edges, (0, 0));
        }
        // One more than there are faces, for what is not wanted.
        if self.by_right_face.len() <= self.n_faces {
            self.by_right_face.resize(self.n_faces + 1, 0);
        }
        let (groups, corners) = (self.groups.as_slice(), self.corners.as_slice());
        let crossings = self.crossings.as_mut_slice();
        let by_right_face = self.by_right_face.as_mut_slice();
        let not_wanted = self.n_faces;
        let mut n = 0;
        for (number, group) in groups.iter().enumerate() {
            let mut gone = group.gone;
            while gone != 0 {
                let vertex = number * LANES + gone.trailing_zeros() as usize;
                gone &= gone - 1;
                self.removed.push(vertex as u32);
                let corner = &corners[vertex];
                for slot in 0..3 {
                    let half_edge = corner.twins[slot];
                    let crosses = !is_gone(groups, vertex_of(half_edge));
                    let right = corner.faces[slot] as usize;
                    // Written in any case, and overwritten unless it counts: no branch to predict.
                    crossings[n] = (half_edge, face(corners, half_edge));
                    by_right_face[if crosses { right } else { not_wanted }] = n as u32;
                    n += usize::from(crosses);
                }
            }
        }
        if n < 3 {
            return false;
        }
        self.outline.clear();
        let mut at = 0;
        for _ in 0..n {
            let (half_edge, face) = crossings[at];
            let (kept, gone) = (vertex_of(half_edge), vertex_of(twin(corners, half_edge)));
            let (depth, from) = (depth(groups, kept), position(groups, kept));
            let (beyond, to) = (self::depth(groups, gone), position(groups, gone));
            let fraction = depth / (depth - beyond);
            // A kept vertex may lie beyond the plane by the tolerance.
            let fraction = if fraction > 0.0 { fraction } else { 0.0 };
            self.outline.push(Crossing {
                half_edge,
                face,
                position: std::array::from_fn(|k| from[k] + fraction * (to[k] - from[k])),
            });
            at = by_right_face[face as usize] as usize;
            if at == 0 {
                break;
            }
        }
        at == 0 && self.outline.len() == n
    }

    /// Puts a vertex on each crossing, joins them around the new face, and forgets the removed.
    #[inline(always)]
    fn replace_removed(&mut self) {
        let n_new = self.outline.len();
        let n_old = self.corners.len();
        if n_new > self.removed.len() {
            let grown = n_old + n_new - self.removed.len();
            self.removed.extend(n_old as u32..grown as u32);
            self.corners.resize(grown, Corner::default());
            self.groups.resize(grown.div_ceil(LANES), Group::default());
        }
        let new_face = self.n_faces as u32;
        self.n_faces += 1;
        let (outline, removed) = (self.outline.as_slice(), self.removed.as_slice());
        let (groups, corners) = (self.groups.as_mut_slice(), self.corners.as_mut_slice());
        let removed = &removed[..n_new];
        let (mut last, mut last_face) = (removed[n_new - 1], outline[n_new - 1].face);
        for (k, (crossing, &v)) in outline.iter().zip(removed).enumerate() {
            let next = removed[if k + 1 == n_new { 0 } else { k + 1 }];
            move_vertex(groups, v as usize, crossing.position);
            // Slots: back to the vertex that stays, to the last and to the next crossing.
            corners[v as usize] = Corner {
                twins: [crossing.half_edge, 4 * last + 2, 4 * next + 1, 0],
                faces: [last_face, new_face, crossing.face, 0],
            };
            *twin_mut(corners, crossing.half_edge) = 4 * v;
            (last, last_face) = (v, crossing.face);
        }
        // From the highest down, so that the vertex that moves is never one to be removed.
        for k in (n_new..self.removed.len()).rev() {
            self.swap_remove(self.removed[k] as usize);
        }
        let larger = |one: f64, other: f64| if one > other { one } else { other };
        let mut farthest = [0.0; LANES];
        for group in &self.groups {
            for (lane, farthest) in farthest.iter_mut().enumerate() {
                let (x, y, z) = (group.x[lane], group.y[lane], group.z[lane]);
                let squared = x * x + y * y + z * z;
                *farthest = larger(squared, *farthest);
            }
        }
        self.radius_squared = farthest.into_iter().fold(0.0, larger);
    }

    /// Moves the last vertex to place `v`.
    #[inline(always)]
    fn swap_remove(&mut self, v: usize) {
        let last = self.corners.len() - 1;
        let moved = position(&self.groups, last);
        move_vertex(&mut self.groups, v, moved);
        move_vertex(&mut self.groups, last, [0.0; 3]);
        self.corners.swap_remove(v);
        if v != last {
            for slot in 0..3 {
                let half_edge = self.corners[v].twins[slot];
                *twin_mut(&mut self.corners, half_edge) = (4 * v + slot) as u32;
            }
        }
        self.groups.truncate(last.div_ceil(LANES));
    }

    /// Measures every face, the lost ones included, by its number.
    ///
    /// The solid angle is that of van Oosterom and Strackee (10.1109/TBME.1983.325207), whose
    /// tangents of half the angle are added up over the triangles of a face as the phase of a
    /// product of complex numbers: a face takes less than half of all directions.
    pub fn measure(&mut self, measures: &mut Vec<FaceMeasure>) {
        const NONE: u32 = u32::MAX;
        self.rays.resize(self.groups.len(), Rays::default());
        let work = FindRays {
            groups: &self.groups,
            rays: &mut self.rays,
        };
        simd::dispatch(self.level, work);
        self.face_starts.clear();
        self.face_starts.resize(self.n_faces, NONE);
        for (vertex, corner) in self.corners.iter().enumerate() {
            for slot in 0..3 {
                self.face_starts[corner.faces[slot] as usize] = (4 * vertex + slot) as u32;
            }
        }
        measures.clear();
        self.phases.real.clear();
        self.phases.imaginary.clear();
        for start in &self.face_starts {
            let (volume, [real, imaginary]) = if *start == NONE {
                (0.0, [1.0, 0.0])
            } else {
                self.measure_face(*start)
            };
            measures.push(FaceMeasure {
                volume,
                solid_angle: 0.0,
            });
            self.phases.real.push(real);
            self.phases.imaginary.push(imaginary);
        }
        simd::dispatch(self.level, FindAngles(&mut self.phases));
        for (measure, angle) in measures.iter_mut().zip(&self.phases.imaginary) {
            measure.solid_angle = 2.0 * angle;
        }
    }

    /// Direction of a vertex from the origin, and its distance.
    #[inline(always)]
    fn ray(&self, vertex: usize) -> (Vec3, f64) {
        let (rays, lane) = (&self.rays[vertex / LANES], vertex % LANES);
        ([rays.x[lane], rays.y[lane], rays.z[lane]], rays.radii[lane])
    }

    /// Volume of the pyramid to a face, and the number whose phase is half the solid angle.
    fn measure_face(&self, start: u32) -> (f64, [f64; 2]) {
        let apex = vertex_of(start);
        let (a, apex_radius) = self.ray(apex);
        let mut arrival = twin(&self.corners, start);
        let (mut b, mut radius) = self.ray(vertex_of(arrival));
        let (mut volume, mut real, mut imaginary) = (0.0, 1.0, 0.0);
        loop {
            arrival = twin(&self.corners, turn_left(arrival));
            let current = vertex_of(arrival);
            if current == apex {
                break;
            }
            let (c, current_radius) = self.ray(current);
            let triple = dot(&a, &cross(&b, &c));
            let base = 1.0 + dot(&a, &b) + dot(&b, &c) + dot(&c, &a);
            volume += triple * radius * current_radius;
            (real, imaginary) = (
                real * base - imaginary * triple,
                real * triple + imaginary * base,
            );
            (b, radius) = (c, current_radius);
        }
        (volume * apex_radius / 6.0, [real, imaginary])
    }
}

/// The corners of the cube: vertex 0 to 7 by the signs of x, y and z, a bit each.
static CUBE: [Corner; 8] = {
    let mut corners = [Corner {
        twins: [0; 4],
        faces: [0; 4],
    }; 8];
    let mut vertex = 0;
    while vertex < 8 {
        // Seen from outside, the edges along x, y, z run counterclockwise around a corner with an
        // even number of negative signs, clockwise around the others.
        let even = (vertex as u32).count_ones() % 2 == 1;
        let mut slot = 0;
        while slot < 3 {
            let (axis, face_axis) = if even {
                (slot, (slot + 2) % 3)
            } else {
                (2 - slot, (3 - slot) % 3)
            };
            // The edge arrives at a corner of the other parity.
            corners[vertex].twins[slot] = (4 * (vertex ^ (1 << axis)) + 2 - slot) as u32;
            corners[vertex].faces[slot] = (2 * face_axis + (vertex >> face_axis & 1)) as u32;
            slot += 1;
        }
        vertex += 1;
    }
    corners
};

/// Finds the directions of the vertices.
struct FindRays<'a> {
    groups: &'a [Group],
    rays: &'a mut [Rays],
}

impl simd::Work for FindRays<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (group, rays) in self.groups.iter().zip(self.rays) {
            for lane in 0..LANES {
                let (x, y, z) = (group.x[lane], group.y[lane], group.z[lane]);
                let radius = (x * x + y * y + z * z).sqrt();
                rays.x[lane] = x / radius;
                rays.y[lane] = y / radius;
                rays.z[lane] = z / radius;
                rays.radii[lane] = radius;
            }
        }
    }
}

/// Turns the imaginary parts into phases.
struct FindAngles<'a>(&'a mut Phases);

impl simd::Work for FindAngles<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (real, imaginary) in self.0.real.iter().zip(&mut self.0.imaginary) {
            *imaginary = simd::atan2(*imaginary, *real);
        }
    }
}

#[inline(always)]
fn position(groups: &[Group], vertex: usize) -> Vec3 {
    let (group, lane) = (&groups[vertex / LANES], vertex % LANES);
    [group.x[lane], group.y[lane], group.z[lane]]
}

#[inline(always)]
fn move_vertex(groups: &mut [Group], vertex: usize, position: Vec3) {
    let (group, lane) = (&mut groups[vertex / LANES], vertex % LANES);
    [group.x[lane], group.y[lane], group.z[lane]] = position;
}

#[inline(always)]
fn depth(groups: &[Group], vertex: usize) -> f64 {
    groups[vertex / LANES].depths[vertex % LANES]
}

/// Whether the plane cuts a vertex off.
#[inline(always)]
fn is_gone(groups: &[Group], vertex: usize) -> bool {
    groups[vertex / LANES].gone >> (vertex % LANES) & 1 == 1
}

#[inline(always)]
fn twin(corners: &[Corner], half_edge: u32) -> u32 {
    corners[vertex_of(half_edge)].twins[half_edge as usize % 4]
}

#[inline(always)]
fn twin_mut(corners: &mut [Corner], half_edge: u32) -> &mut u32 {
    &mut corners[vertex_of(half_edge)].twins[half_edge as usize % 4]
}

#[inline(always)]
fn face(corners: &[Corner], half_edge: u32) -> u32 {
    corners[vertex_of(half_edge)].faces[half_edge as usize % 4]
}

/// The vertex that a half-edge leaves.
#[inline(always)]
fn vertex_of(half_edge: u32) -> usize {
    half_edge as usize / 4
}

/// The half-edge that goes on along a face, from the twin of the one that arrives.
#[inline(always)]
fn turn_left(twin: u32) -> u32 {
    if twin.is_multiple_of(4) {
        twin + 2
    } else {
        twin - 1
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;
    use crate::lattice::norm;

    fn cell(half_width: f64) -> Cell {
        let mut cell = Cell::default();
        cell.reset(half_width);
        cell
    }

    /// Cuts by the plane through `foot` that is perpendicular to it.
    fn cut(cell: &mut Cell, foot: Vec3) -> Cut {
        let distance = norm(&foot);
        cell.cut(&foot.map(|c| c / distance), distance)
    }

    /// Volume and solid angles of the faces that are left, once the graph is known to be sound.
    fn checked(cell: &mut Cell) -> (f64, Vec<f64>) {
        for half_edge in (0..4 * cell.corners.len() as u32).filter(|half_edge| half_edge % 4 < 3) {
            let other = twin(&cell.corners, half_edge);
            assert_eq!(twin(&cell.corners, other), half_edge);
            assert_ne!(vertex_of(other), vertex_of(half_edge));
            let next = turn_left(other);
            assert_eq!(face(&cell.corners, next), face(&cell.corners, half_edge));
        }
        let mut measures = Vec::new();
        cell.measure(&mut measures);
        let angles: Vec<f64> = measures.iter().map(|m| m.solid_angle).collect();
        assert!((angles.iter().sum::<f64>() - 4.0 * PI).abs() < 1e-12);
        let seen = angles.into_iter().filter(|angle| *angle > 0.0).collect();
        (measures.iter().map(|m| m.volume).sum(), seen)
    }

    #[test]
    fn the_cube_has_six_equal_faces() {
        let (volume, angles) = checked(&mut cell(0.5));
        assert!((volume - 1.0).abs() < 1e-15);
        assert_eq!(angles.len(), 6);
        assert!(angles.iter().all(|a| (a - 4.0 * PI / 6.0).abs() < 1e-14));
    }

    #[test]
    fn a_corner_and_an_edge_are_cut_off() {
        let mut cell = cell(1.0);
        assert_eq!(cut(&mut cell, [0.8, 0.8, 0.8]), Cut::Made);
        let corner = 0.6f64.powi(3) / 6.0;
        let (volume, angles) = checked(&mut cell);
        assert!((volume - (8.0 - corner)).abs() < 1e-14);
        assert_eq!(angles.len(), 7);
        assert_eq!(cut(&mut cell, [-0.9, 0.0, -0.9]), Cut::Made);
        let edge = 0.2 * 0.2 / 2.0 * 2.0;
        let (volume, angles) = checked(&mut cell);
        assert!((volume - (8.0 - corner - edge)).abs() < 1e-14);
        assert_eq!(angles.len(), 8);
    }

    #[test]
    fn planes_through_vertices_and_edges_miss() {
        let mut cell = cell(1.0);
        assert_eq!(cut(&mut cell, [1.0, 1.0, 0.0]), Cut::Missed);
        assert_eq!(cut(&mut cell, [1.0, 1.0, 1.0]), Cut::Missed);
        assert_eq!(cut(&mut cell, [0.0, 0.0, 1.0]), Cut::Missed);
        assert_eq!(cell.radius(), 3.0f64.sqrt());
    }

    #[test]
    fn a_face_can_be_lost_to_later_planes() {
        let mut cell = cell(2.0);
        assert_eq!(cut(&mut cell, [1.0, 1.0, 1.0]), Cut::Made);
        for axis in 0..3 {
            for sign in [-1.0, 1.0] {
                let mut foot = [0.0; 3];
                foot[axis] = sign;
                assert_eq!(cut(&mut cell, foot), Cut::Made);
            }
        }
        let (volume, _) = checked(&mut cell);
        assert!((volume - 8.0).abs() < 1e-12);
        assert!((cell.radius() - 3.0f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn many_tangent_planes_close_in_on_the_sphere() {
        let mut cell = cell(3.0);
        let n = 2000;
        for k in 0..n {
            let z = 1.0 - (2 * k + 1) as f64 / n as f64;
            let angle = PI * (3.0 - 5.0f64.sqrt()) * k as f64;
            let rho = (1.0 - z * z).sqrt();
            assert_ne!(
                cut(&mut cell, [rho * angle.cos(), rho * angle.sin(), z]),
                Cut::Degenerate
            );
        }
        let (volume, angles) = checked(&mut cell);
        assert_eq!(angles.len(), n);
        assert!((volume / (4.0 / 3.0 * PI) - 1.0).abs() < 3e-3);
    }
}
