//! Symmetry operators written as coordinate triplets: `-y+1/2, x-y, 0.5+z`.

use crate::lattice::{Mat3, Vec3, cross, dot};

use super::numbers::{parse_number, unquote};

/// Translations are multiples of this in every setting of every space group.
const TRANSLATION_UNIT: f64 = 1.0 / 24.0;
/// How far a decimal translation such as 0.6667 or 0.333 may be from such a multiple.
const TRANSLATION_TOLERANCE: f64 = 5e-4;

/// An affine operation on fractional coordinates: `x' = rotation x + translation`.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// Rows of the linear part.
    pub rotation: Mat3,
    /// Translation in fractions of the cell edges.
    pub translation: Vec3,
}

impl Operator {
    /// The operation that leaves everything where it is.
    pub const IDENTITY: Self = Self {
        rotation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        translation: [0.0; 3],
    };

    /// Reads a triplet; `None` if it is none, or if its linear part does not keep the volume.
    ///
    /// The fourth component of a magnetic operator (time reversal) is read over.
    pub fn parse(raw: &str) -> Option<Self> {
        let mut components = unquote(raw).split(',');
        let mut operator = Self {
            rotation: [[0.0; 3]; 3],
            translation: [0.0; 3],
        };
        for row in 0..3 {
            let component = components.next()?;
            operator.translation[row] = parse_component(component, &mut operator.rotation[row])?;
        }
        match components.next().map(str::trim) {
            None | Some("+1" | "-1" | "1") => {}
            Some(_) => return None,
        }
        let [a, b, c] = &operator.rotation;
        let keeps_volume = (dot(a, &cross(b, c)).abs() - 1.0).abs() < 1e-6;
        (keeps_volume && components.next().is_none()).then_some(operator)
    }

    /// Image of a position, not wrapped into the cell.
    pub fn apply(&self, frac: &Vec3) -> Vec3 {
        std::array::from_fn(|k| dot(&self.rotation[k], frac) + self.translation[k])
    }

    /// Whether this is a whole lattice translation.
    pub fn is_identity(&self) -> bool {
        self.rotation == Self::IDENTITY.rotation
            && self.translation.iter().all(|t| t.fract() == 0.0)
    }

    /// How far the operation is from an isometry of the lattice: the largest change of an element
    /// of the metric tensor relative to the lengths of its two lattice vectors.
    pub fn metric_deviation(&self, metric: &Mat3) -> f64 {
        let r = &self.rotation;
        let mut worst = 0.0f64;
        for i in 0..3 {
            for j in 0..3 {
                let mut turned = 0.0;
                for k in 0..3 {
                    for l in 0..3 {
                        turned += r[k][i] * metric[k][l] * r[l][j];
                    }
                }
                let scale = (metric[i][i] * metric[j][j]).sqrt();
                worst = worst.max((turned - metric[i][j]).abs() / scale);
            }
        }
        worst
    }
}

/// Reads one component into its row of the rotation; returns the translation.
fn parse_component(text: &str, row: &mut Vec3) -> Option<f64> {
    let bytes = text.as_bytes();
    let mut translation = 0.0;
    let mut at = 0;
    let mut terms = 0;
    let skip_blanks = |at: &mut usize| {
        while bytes.get(*at).is_some_and(u8::is_ascii_whitespace) {
            *at += 1;
        }
    };
    loop {
        skip_blanks(&mut at);
        if at == bytes.len() {
            return (terms > 0).then_some(translation);
        }
        let sign = match bytes[at] {
            b'+' => 1.0,
            b'-' => -1.0,
            // Only the first term may go without a sign.
            _ if terms == 0 => 1.0,
            _ => return None,
        };
        if matches!(bytes[at], b'+' | b'-') {
            at += 1;
            skip_blanks(&mut at);
        }
        let number = parse_fraction(text, &mut at)?;
        if number.is_some() && bytes.get(at) == Some(&b'*') {
            at += 1;
        }
        let axis = match bytes.get(at) {
            Some(b'x' | b'X') => Some(0),
            Some(b'y' | b'Y') => Some(1),
            Some(b'z' | b'Z') => Some(2),
            _ => None,
        };
        match (axis, number) {
            (Some(axis), factor) => {
                row[axis] += sign * factor.unwrap_or(1.0);
                at += 1;
            }
            (None, Some(value)) => translation += sign * to_exact(value),
            (None, None) => return None,
        }
        terms += 1;
    }
}

/// Reads `1/2`, `0.5` or `.5` where one starts; the outer `None` is a malformed one.
fn parse_fraction(text: &str, at: &mut usize) -> Option<Option<f64>> {
    let unsigned = |at: &mut usize| {
        let start = *at;
        let digit = |c: &u8| c.is_ascii_digit() || *c == b'.';
        while text.as_bytes().get(*at).is_some_and(digit) {
            *at += 1;
        }
        &text[start..*at]
    };
    let numerator = unsigned(at);
    if numerator.is_empty() {
        return Some(None);
    }
    let value = parse_number(numerator)?;
    if text.as_bytes().get(*at) != Some(&b'/') {
        return Some(Some(value));
    }
    *at += 1;
    let denominator = parse_number(unsigned(at))?;
    (denominator != 0.0).then_some(Some(value / denominator))
}

/// The multiple of 1/24 that a decimal translation was rounded from.
fn to_exact(translation: f64) -> f64 {
    let exact = (translation / TRANSLATION_UNIT).round() * TRANSLATION_UNIT;
    if (translation - exact).abs() < TRANSLATION_TOLERANCE {
        exact
    } else {
        translation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Operator {
        Operator::parse(text).unwrap()
    }

    #[test]
    fn notations_of_one_operator() {
        let expected = parse("-y+1/2,x-y,z+2/3");
        for text in [
            "'1/2-y, x-y, 2/3+z'",
            " -Y + 1/2 , X - Y , Z + 2/3 ",
            ".5-y,+x-y,0.6667+z",
            "0.5-y,-y+x,z+.66667",
            "-y+1/2,x-y,z+2/3,+1",
            "-1*y+1/2,1x-y,z+4/6",
        ] {
            let found = parse(text);
            assert_eq!(found.rotation, expected.rotation, "{text}");
            for k in 0..3 {
                assert!(
                    (found.translation[k] - expected.translation[k]).abs() < 1e-12,
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn translations_outside_the_settings_are_kept() {
        assert_eq!(parse("x+0.3,y,z").translation[0], 0.3);
        assert_eq!(parse("x+1/5,y,z").translation[0], 0.2);
    }

    #[test]
    fn what_is_no_operator() {
        for text in [
            "",
            "x",
            "x,y",
            "x,y,z,2",
            "x,y,z,1,1",
            "x,y,w",
            "x,,z",
            "x y,y,z",
            "x,x,z",
            "2x,y,z",
            "1/0+x,y,z",
            "x+,y,z",
            "x,y,z)",
            "__import__('os'),y,z",
            "x,y,1",
            "1.2.3+x,y,z",
            "é,y,z",
        ] {
            assert_eq!(Operator::parse(text), None, "{text}");
        }
    }

    #[test]
    fn isometries_of_a_hexagonal_cell() {
        let metric = [[4.0, -2.0, 0.0], [-2.0, 4.0, 0.0], [0.0, 0.0, 9.0]];
        assert!(parse("-y,x-y,z").metric_deviation(&metric) < 1e-12);
        assert!(parse("-y,x,z").metric_deviation(&metric) > 0.9);
        assert!(parse("x+1,y-2,z").is_identity());
        assert!(!parse("x,y,z+1/2").is_identity());
    }
}
