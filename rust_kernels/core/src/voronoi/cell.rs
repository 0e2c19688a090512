//! A convex polyhedron around the origin that is cut down plane by plane.

use crate::lattice::{Vec3, dot};
use crate::simd::{self, Level};

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
#[derive(Debug, Clone, Copy)]
struct Crossing {
    /// Half-edge that leads from a vertex that stays to one that goes.
    half_edge: u32,
    /// Face to the left of it.
    face: u32,
    position: Vec3,
}

/// A convex polyhedron in which three edges meet at every vertex.
///
/// Where more planes meet in a point, several vertices lie there, joined by edges of length zero:
/// so no case needs special treatment and every array stays flat. Half-edge `3 v + s` leaves
/// vertex `v` by its slot `s`; the slots of a vertex run counterclockwise seen from outside. All
/// buffers are kept from cell to cell.
#[derive(Debug)]
pub struct Cell {
    level: Level,
    x: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
    /// The same edge from its other end, per half-edge.
    twins: Vec<u32>,
    /// Face to the left, per half-edge.
    faces: Vec<u32>,
    n_faces: usize,
    radius_squared: f64,
    /// Height of each vertex above the plane of the current cut.
    heights: Vec<f64>,
    removed: Vec<u32>,
    outline: Vec<Crossing>,
    directions: Vec<Vec3>,
    radii: Vec<f64>,
    face_starts: Vec<u32>,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            level: simd::level(),
            x: Vec::new(),
            y: Vec::new(),
            z: Vec::new(),
            twins: Vec::new(),
            faces: Vec::new(),
            n_faces: 0,
            radius_squared: 0.0,
            heights: Vec::new(),
            removed: Vec::new(),
            outline: Vec::new(),
            directions: Vec::new(),
            radii: Vec::new(),
            face_starts: Vec::new(),
        }
    }
}

impl Cell {
    /// Starts again from the cube `|x|, |y|, |z| <= half_width`, whose faces are 0 to 5.
    pub fn reset(&mut self, half_width: f64) {
        for list in [&mut self.x, &mut self.y, &mut self.z] {
            list.clear();
        }
        self.twins.clear();
        self.faces.clear();
        for vertex in 0..8u32 {
            let positive: [bool; 3] = std::array::from_fn(|axis| vertex >> axis & 1 == 1);
            let coordinate = |axis: usize| {
                if positive[axis] {
                    half_width
                } else {
                    -half_width
                }
            };
            self.x.push(coordinate(0));
            self.y.push(coordinate(1));
            self.z.push(coordinate(2));
            // Seen from outside, the edges along x, y, z run counterclockwise around a corner
            // with an even number of negative signs, clockwise around the others.
            let even = positive.iter().filter(|sign| !**sign).count() % 2 == 0;
            for slot in 0..3u32 {
                let (axis, face_axis) = if even {
                    (slot, (slot + 2) % 3)
                } else {
                    (2 - slot, (3 - slot) % 3)
                };
                // The edge arrives at a corner of the other parity.
                let twin_slot = 2 - slot;
                self.twins.push(3 * (vertex ^ (1 << axis)) + twin_slot);
                self.faces
                    .push(2 * face_axis + u32::from(positive[face_axis as usize]));
            }
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
        let mut tolerance = VERTEX_TOLERANCE * distance;
        if !self.measure_heights(normal, distance, tolerance) {
            return Cut::Missed;
        }
        for _ in 0..ATTEMPTS {
            if self.trace_outline(tolerance) {
                self.replace_removed();
                return Cut::Made;
            }
            tolerance *= WIDENING;
            if self.heights.iter().all(|height| *height <= tolerance) {
                return Cut::Missed;
            }
        }
        Cut::Degenerate
    }

    /// Fills `heights`; true if any is above the tolerance.
    fn measure_heights(&mut self, normal: &Vec3, distance: f64, tolerance: f64) -> bool {
        let n = self.x.len();
        self.heights.resize(n, 0.0);
        let heights = Heights {
            vertices: [&self.x[..n], &self.y[..n], &self.z[..n]],
            normal: *normal,
            distance,
            tolerance,
            heights: &mut self.heights[..n],
        };
        simd::dispatch(self.level, heights)
    }

    /// Lists the vertices to remove and the edges that the plane crosses, in order around the new
    /// face; false unless they form one closed polygon.
    fn trace_outline(&mut self, tolerance: f64) -> bool {
        let (heights, twins) = (&self.heights, &self.twins);
        let is_gone = |half_edge: u32| heights[half_edge as usize / 3] > tolerance;
        self.removed.clear();
        self.outline.clear();
        let mut n_crossings = 0;
        let mut start = None;
        for v in 0..self.x.len() {
            if heights[v] > tolerance {
                self.removed.push(v as u32);
                for twin in &twins[3 * v..3 * v + 3] {
                    if !is_gone(*twin) {
                        n_crossings += 1;
                        start = start.or(Some(*twin));
                    }
                }
            }
        }
        let Some(start) = start else {
            return false;
        };
        let mut half_edge = start;
        loop {
            let twin = twins[half_edge as usize];
            let (kept, gone) = (half_edge as usize / 3, twin as usize / 3);
            // A kept vertex may lie above the plane by the tolerance.
            let fraction = (-heights[kept] / (heights[gone] - heights[kept])).max(0.0);
            self.outline.push(Crossing {
                half_edge,
                face: self.faces[half_edge as usize],
                position: [
                    self.x[kept] + fraction * (self.x[gone] - self.x[kept]),
                    self.y[kept] + fraction * (self.y[gone] - self.y[kept]),
                    self.z[kept] + fraction * (self.z[gone] - self.z[kept]),
                ],
            });
            // Along the face to the left, until the plane is crossed again.
            let mut step = turn_left(twin);
            while is_gone(twins[step as usize]) {
                step = turn_left(twins[step as usize]);
            }
            half_edge = twins[step as usize];
            if half_edge == start {
                break;
            }
        }
        n_crossings == self.outline.len() && n_crossings >= 3
    }

    /// Puts a vertex on each crossing, joins them around the new face, and forgets the removed.
    fn replace_removed(&mut self) {
        let n_new = self.outline.len();
        let n_old = self.x.len();
        if n_new > self.removed.len() {
            let grown = n_old + n_new - self.removed.len();
            self.removed.extend(n_old as u32..grown as u32);
            for list in [&mut self.x, &mut self.y, &mut self.z] {
                list.resize(grown, 0.0);
            }
            self.twins.resize(3 * grown, 0);
            self.faces.resize(3 * grown, 0);
        }
        let new_face = self.n_faces as u32;
        self.n_faces += 1;
        for k in 0..n_new {
            let crossing = self.outline[k];
            let last = if k == 0 { n_new - 1 } else { k - 1 };
            let next = if k + 1 == n_new { 0 } else { k + 1 };
            let v = self.removed[k];
            let at = v as usize;
            [self.x[at], self.y[at], self.z[at]] = crossing.position;
            // Slots: back to the vertex that stays, to the last and to the next crossing.
            let edges = 3 * at..3 * at + 3;
            self.twins[edges.clone()].copy_from_slice(&[
                crossing.half_edge,
                3 * self.removed[last] + 2,
                3 * self.removed[next] + 1,
            ]);
            self.faces[edges].copy_from_slice(&[self.outline[last].face, new_face, crossing.face]);
            self.twins[crossing.half_edge as usize] = 3 * v;
        }
        // From the highest down, so that the vertex that moves is never one to be removed.
        for k in (n_new..self.removed.len()).rev() {
            self.swap_remove(self.removed[k] as usize);
        }
        let farthest = |radius: f64, v: usize| {
            let squared = self.x[v] * self.x[v] + self.y[v] * self.y[v] + self.z[v] * self.z[v];
            if squared > radius { squared } else { radius }
        };
        self.radius_squared = (0..self.x.len()).fold(0.0, farthest);
    }

    /// Moves the last vertex to place `v`.
    fn swap_remove(&mut self, v: usize) {
        for list in [&mut self.x, &mut self.y, &mut self.z] {
            list.swap_remove(v);
        }
        let last = self.x.len();
        if v != last {
            for slot in 0..3 {
                let twin = self.twins[3 * last + slot];
                self.twins[3 * v + slot] = twin;
                self.twins[twin as usize] = (3 * v + slot) as u32;
                self.faces[3 * v + slot] = self.faces[3 * last + slot];
            }
        }
        self.twins.truncate(3 * last);
        self.faces.truncate(3 * last);
    }

    /// Measures every face, the lost ones included, by its number.
    ///
    /// The solid angle is that of van Oosterom and Strackee (10.1109/TBME.1983.325207), whose
    /// tangents of half the angle are added up over the triangles of a face as the phase of a
    /// product of complex numbers: a face takes less than half of all directions.
    pub fn measure(&mut self, measures: &mut Vec<FaceMeasure>) {
        const NONE: u32 = u32::MAX;
        let n = self.x.len();
        self.directions.clear();
        self.radii.clear();
        for v in 0..n {
            let position = [self.x[v], self.y[v], self.z[v]];
            let radius = dot(&position, &position).sqrt();
            self.radii.push(radius);
            self.directions.push(position.map(|c| c / radius));
        }
        self.face_starts.clear();
        self.face_starts.resize(self.n_faces, NONE);
        for (half_edge, face) in self.faces.iter().enumerate() {
            self.face_starts[*face as usize] = half_edge as u32;
        }
        measures.clear();
        measures.extend(self.face_starts.iter().map(|start| {
            if *start == NONE {
                FaceMeasure::default()
            } else {
                self.measure_face(*start)
            }
        }));
    }

    fn measure_face(&self, start: u32) -> FaceMeasure {
        let head = |half_edge: u32| self.twins[half_edge as usize] as usize / 3;
        let apex = start as usize / 3;
        let a = &self.directions[apex];
        let mut half_edge = start;
        let mut previous = head(start);
        let (mut volume, mut real, mut imaginary) = (0.0, 1.0, 0.0);
        loop {
            half_edge = turn_left(self.twins[half_edge as usize]);
            let current = head(half_edge);
            if current == apex {
                break;
            }
            let (b, c) = (&self.directions[previous], &self.directions[current]);
            let triple = dot(a, &crate::lattice::cross(b, c));
            let base = 1.0 + dot(a, b) + dot(b, c) + dot(c, a);
            volume += triple * self.radii[previous] * self.radii[current];
            (real, imaginary) = (
                real * base - imaginary * triple,
                real * triple + imaginary * base,
            );
            previous = current;
        }
        FaceMeasure {
            volume: volume * self.radii[apex] / 6.0,
            solid_angle: 2.0 * imaginary.atan2(real),
        }
    }
}

/// Heights of vertices above a plane; results in whether any is above the tolerance.
struct Heights<'a> {
    vertices: [&'a [f64]; 3],
    normal: Vec3,
    distance: f64,
    tolerance: f64,
    heights: &'a mut [f64],
}

impl simd::Work for Heights<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let n = self.heights.len();
        let [x, y, z] = self.vertices.map(|list| &list[..n]);
        let mut any = false;
        for v in 0..n {
            let height = self.normal[0] * x[v] + self.normal[1] * y[v] + self.normal[2] * z[v]
                - self.distance;
            self.heights[v] = height;
            any |= height > self.tolerance;
        }
        any
    }
}

/// The half-edge that goes on along a face, from the twin of the one that arrives.
fn turn_left(twin: u32) -> u32 {
    match twin % 3 {
        0 => twin + 2,
        _ => twin - 1,
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
        for (half_edge, twin) in cell.twins.iter().enumerate() {
            assert_eq!(cell.twins[*twin as usize] as usize, half_edge);
            assert_ne!(*twin as usize / 3, half_edge / 3);
            let next = turn_left(*twin) as usize;
            assert_eq!(cell.faces[next], cell.faces[half_edge]);
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
