//! Rotations of a reduced lattice, and whether some of them form a group.

use crate::lattice::Vec3;

/// Acts on columns of fractional coordinates. In a Minkowski-reduced basis all elements of the
/// rotations of its lattice are -1, 0 or 1.
pub type Rotation = [[i8; 3]; 3];

/// Leaves all as it is.
pub const IDENTITY: Rotation = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

/// Number of matrices of -1, 0 and 1.
const N_CODES: usize = 19_683;

/// The nine elements as digits to base 3; none where an element is not -1, 0 or 1.
pub fn code(rotation: &Rotation) -> Option<u16> {
    let mut code = 0;
    for &element in rotation.iter().flatten() {
        if !(-1..=1).contains(&element) {
            return None;
        }
        code = 3 * code + (element + 1) as u16;
    }
    Some(code)
}

/// `a b`: first `b`, then `a`.
pub fn product(a: &Rotation, b: &Rotation) -> Rotation {
    std::array::from_fn(|i| {
        std::array::from_fn(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j])
    })
}

/// Determinant.
pub fn determinant(r: &Rotation) -> i32 {
    let r = r.map(|row| row.map(i32::from));
    r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1])
        - r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0])
        + r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0])
}

/// `rotation v`.
#[inline]
pub fn rotate(rotation: &Rotation, v: &Vec3) -> Vec3 {
    rotation
        .map(|row| f64::from(row[0]) * v[0] + f64::from(row[1]) * v[1] + f64::from(row[2]) * v[2])
}

/// Rotations that form a group.
pub struct PointGroup {
    /// Position of each rotation by its code.
    positions: Box<[u8]>,
    /// Positions of some rotations of which all others are products. They depend on the order of
    /// the rotations.
    pub generators: Vec<usize>,
}

impl PointGroup {
    /// Checks that the rotations are different and form a group.
    pub fn new(rotations: &[Rotation]) -> Option<Self> {
        if rotations.len() > 48 {
            return None;
        }
        let mut group = Self {
            positions: vec![u8::MAX; N_CODES].into(),
            generators: Vec::new(),
        };
        for (k, rotation) in rotations.iter().enumerate() {
            let position = &mut group.positions[usize::from(code(rotation)?)];
            if *position != u8::MAX {
                return None;
            }
            *position = k as u8;
        }
        let mut members = vec![group.position(&IDENTITY)?];
        let mut is_member = [false; 48];
        is_member[members[0]] = true;
        for k in 0..rotations.len() {
            if is_member[k] {
                continue;
            }
            group.generators.push(k);
            let mut done = 0;
            while done < members.len() {
                for &generator in &group.generators {
                    let made = product(&rotations[members[done]], &rotations[generator]);
                    let made = group.position(&made)?;
                    if !is_member[made] {
                        is_member[made] = true;
                        members.push(made);
                    }
                }
                done += 1;
            }
        }
        Some(group)
    }

    /// Position of a rotation, if it is in the group.
    pub fn position(&self, rotation: &Rotation) -> Option<usize> {
        let position = self.positions[usize::from(code(rotation)?)];
        (position != u8::MAX).then_some(usize::from(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOURFOLD: Rotation = [[0, -1, 0], [1, 0, 0], [0, 0, 1]];

    #[test]
    fn powers_of_a_fourfold_rotation_are_a_group_with_one_generator() {
        let twofold = product(&FOURFOLD, &FOURFOLD);
        let group = PointGroup::new(&[IDENTITY, FOURFOLD, twofold, product(&twofold, &FOURFOLD)]);
        assert_eq!(group.unwrap().generators, [1]);
    }

    #[test]
    fn sets_that_are_no_groups() {
        assert!(PointGroup::new(&[IDENTITY, FOURFOLD]).is_none());
        assert!(PointGroup::new(&[IDENTITY, IDENTITY]).is_none());
        assert!(PointGroup::new(&[FOURFOLD]).is_none());
        assert!(PointGroup::new(&[[[2, 0, 0], [0, 1, 0], [0, 0, 1]]]).is_none());
    }
}
