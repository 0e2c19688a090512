//! Chemical formulas: `Li45.888 La24 Zr11.808 Ta3.952 O96`.

use crate::elements::atomic_number;

/// Amount of each element by atomic number.
pub type Composition = [f64; 119];

/// Reads a formula without brackets; `None` where it is empty or written otherwise.
pub fn parse_formula(text: &str) -> Option<Composition> {
    let mut composition = [0.0; 119];
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let symbol_length = symbol_length(rest);
        let z = atomic_number(rest.get(..symbol_length)?)?;
        rest = &rest[symbol_length..];
        let digits = rest
            .bytes()
            .take_while(|c| c.is_ascii_digit() || *c == b'.')
            .count();
        let amount = match &rest[..digits] {
            "" => 1.0,
            number => number.parse().ok()?,
        };
        composition[usize::from(z)] += amount;
        rest = rest[digits..].trim_start();
    }
    Some(composition)
}

/// Bytes of a capital and the small letter after it, if there is one.
fn symbol_length(text: &str) -> usize {
    1 + usize::from(text.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_with_and_without_blanks() {
        let composition = parse_formula("Li45.888 La24 O96").unwrap();
        assert_eq!(
            [composition[3], composition[57], composition[8]],
            [45.888, 24.0, 96.0]
        );
        let composition = parse_formula("Fe2O3D2H").unwrap();
        assert_eq!(
            [composition[26], composition[8], composition[1]],
            [2.0, 3.0, 3.0]
        );
    }

    #[test]
    fn what_is_no_formula() {
        for text in [
            "", "?", "(Li O)2", "Xx2", "2 Li", "Li1..2", "é", "Lié", "C6 H5 1-",
        ] {
            assert_eq!(parse_formula(text), None, "{text}");
        }
    }
}
