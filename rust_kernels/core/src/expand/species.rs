//! What a site holds, from type symbols and labels as people write them.

use crate::elements::atomic_number;

use super::formula::{Composition, parse_formula};
use super::numbers::{is_null, parse_number, unquote};

/// One kind of atom on a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Species {
    /// Element.
    pub atomic_number: u8,
    /// Fraction of the site that it fills.
    pub occupancy: f64,
    /// Charge in units of e, NaN where unknown.
    pub oxidation_state: f64,
}

impl Species {
    /// Whether both are the same element in the same charge state.
    pub fn is_same_kind(&self, other: &Self) -> bool {
        let same_charge = self.oxidation_state == other.oxidation_state
            || (self.oxidation_state.is_nan() && other.oxidation_state.is_nan());
        self.atomic_number == other.atomic_number && same_charge
    }
}

/// Meaning of a type symbol or label.
#[derive(Debug, Clone, PartialEq)]
pub enum Symbol {
    /// An element, with its charge if the symbol states one.
    Element(u8, Option<f64>),
    /// Several elements with their fractions: `0.8Nb + 0.2Zr`.
    Mixture(Vec<(u8, f64)>),
    /// One heavier atom with hydrogens that have no site of their own: `OH`, `H2O`, `NH4`.
    WithHydrogens(u8),
    /// Several heavier atoms on one position: `NO3`.
    Molecule,
    /// A position without an atom.
    Dummy,
    /// None of these.
    Unknown,
}

/// Reads an `_atom_site_type_symbol`. Where a symbol has two meanings (`CO`, `HO`), the one whose
/// element is in the formula is taken.
pub fn parse_type_symbol(raw: &str, formula: Option<&Composition>) -> Symbol {
    let text = unquote(raw);
    let is_dummy = |name: &&str| text.eq_ignore_ascii_case(name);
    if is_null(raw)
        || text.is_empty()
        || ["X", "Xx", "Du", "Dum", "Va", "Vac", "Zz", "Q"]
            .iter()
            .any(is_dummy)
    {
        return Symbol::Dummy;
    }
    if text.contains(" + ") {
        return parse_mixture(text).map_or(Symbol::Unknown, Symbol::Mixture);
    }
    let (letters, suffix) = text.split_at(leading_letters(text));
    if let (Some(z), Some(charge)) = (element_in_any_case(letters), parse_charge(suffix)) {
        let misread = letters.len() == 2
            && formula.is_some_and(|formula| formula[usize::from(z)] == 0.0)
            && parse_group(text).is_some();
        if !misread {
            return Symbol::Element(z, charge);
        }
    }
    parse_group(text).unwrap_or_else(|| parse_label(raw, formula))
}

/// Reads an `_atom_site_label`: what it starts with counts.
pub fn parse_label(raw: &str, formula: Option<&Composition>) -> Symbol {
    let text = unquote(raw);
    let letters = &text[..leading_letters(text)];
    if is_null(raw)
        || ["X", "Du", "Dum", "Vac", "Q"]
            .iter()
            .any(|name| letters.eq_ignore_ascii_case(name))
    {
        return Symbol::Dummy;
    }
    if letters
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("wat"))
    {
        return Symbol::WithHydrogens(8);
    }
    // "T1" is a tetrahedral site far more often than tritium.
    let candidates = [letters.get(..2), letters.get(..1).filter(|c| *c != "T")]
        .map(|start| start.and_then(element_in_any_case));
    let in_formula = |z: &u8| formula.is_none_or(|f| f[usize::from(*z)] > 0.0);
    let mut known = candidates.into_iter().flatten();
    let chosen = known.clone().find(in_formula).or_else(|| known.next());
    chosen.map_or(Symbol::Unknown, |z| Symbol::Element(z, None))
}

/// Charges from the `_atom_type` loop.
#[derive(Debug)]
pub struct TypeCharges<'a>(Vec<(&'a str, Option<u8>, f64)>);

impl<'a> TypeCharges<'a> {
    /// Pairs the two columns; entries without a number say nothing.
    pub fn new(symbols: &[&'a str], charges: &[&str]) -> Self {
        let entries = symbols.iter().zip(charges).filter_map(|(symbol, charge)| {
            let z = match parse_type_symbol(symbol, None) {
                Symbol::Element(z, _) => Some(z),
                _ => None,
            };
            Some((unquote(symbol), z, parse_number(charge)?))
        });
        Self(entries.collect())
    }

    /// Charge of a type symbol: of its own entry, else what all entries of its element agree on.
    pub fn charge(&self, symbol: &str, z: u8) -> Option<f64> {
        let symbol = unquote(symbol);
        let own = self.0.iter().find(|entry| entry.0 == symbol);
        own.map(|entry| entry.2).or_else(|| {
            let mut charges = self.0.iter().filter(|e| e.1 == Some(z)).map(|e| e.2);
            let first = charges.next()?;
            charges.all(|charge| charge == first).then_some(first)
        })
    }
}

fn leading_letters(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_alphabetic).count()
}

/// Element of a symbol in any capitals. `NH` and `NO` in capitals are groups of atoms, not the
/// elements 113 and 102, of which there are no crystals.
fn element_in_any_case(letters: &str) -> Option<u8> {
    const HEAVIEST: u8 = 99;
    atomic_number(letters).or_else(|| {
        let mut title = letters.to_ascii_lowercase();
        title.get_mut(..1)?.make_ascii_uppercase();
        atomic_number(&title).filter(|z| *z <= HEAVIEST)
    })
}

/// Charge at the end of a type symbol: `1+`, `+3`, `-`, `2.5+`. `Some(None)` where there is none;
/// a bare number (`Fe1`) is a count, not a charge.
fn parse_charge(suffix: &str) -> Option<Option<f64>> {
    if suffix.is_empty() {
        return Some(None);
    }
    let (sign, digits) = match (
        suffix.strip_prefix(['+', '-']),
        suffix.strip_suffix(['+', '-']),
    ) {
        (Some(digits), None) => (suffix.as_bytes().first(), digits),
        (None, Some(digits)) => (suffix.as_bytes().last(), digits),
        (Some(""), Some("")) => (suffix.as_bytes().first(), ""),
        _ => return None,
    };
    let magnitude = match digits {
        "" => 1.0,
        _ if digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') => digits.parse().ok()?,
        _ => return None,
    };
    Some(Some(if sign == Some(&b'-') {
        -magnitude
    } else {
        magnitude
    }))
}

/// `0.8Nb + 0.2Zr`, `0.967(4)Mg + 0.033(4)Fe`.
fn parse_mixture(text: &str) -> Option<Vec<(u8, f64)>> {
    text.split(" + ")
        .map(|part| {
            let part = part.trim();
            let at = part.find(|c: char| c.is_ascii_alphabetic())?;
            let fraction = parse_number(&part[..at])?;
            Some((atomic_number(&part[at..])?, fraction))
        })
        .collect()
}

/// Groups of atoms that some files put on one position.
fn parse_group(text: &str) -> Option<Symbol> {
    if text
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("wat"))
    {
        return Some(Symbol::WithHydrogens(8));
    }
    let plain = text.trim_end_matches(['+', '-']).replace('-', "");
    let atoms = parse_formula(&plain)?;
    let hydrogens = atoms[1];
    let heavier: f64 = atoms[2..].iter().sum();
    let z = (2..=118u8).find(|z| atoms[usize::from(*z)] > 0.0)?;
    if heavier == 1.0 && hydrogens > 0.0 {
        Some(Symbol::WithHydrogens(z))
    } else if heavier > 1.0 && plain.bytes().filter(u8::is_ascii_uppercase).count() > 1 {
        Some(Symbol::Molecule)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Symbol::{Dummy, Element, Mixture, Molecule, Unknown, WithHydrogens};

    #[test]
    fn type_symbols() {
        for (raw, expected) in [
            ("Li", Element(3, None)),
            ("Li1+", Element(3, Some(1.0))),
            ("O2-", Element(8, Some(-2.0))),
            ("O-2", Element(8, Some(-2.0))),
            ("Fe+3", Element(26, Some(3.0))),
            ("FE2.5+", Element(26, Some(2.5))),
            ("Cl-", Element(17, Some(-1.0))),
            ("Na+", Element(11, Some(1.0))),
            ("Al0+", Element(13, Some(0.0))),
            ("D", Element(1, None)),
            ("D1+", Element(1, Some(1.0))),
            ("Fe1", Element(26, None)),
            ("Cval", Element(6, None)),
            ("CO", Element(27, None)),
            ("OH", WithHydrogens(8)),
            ("O-H", WithHydrogens(8)),
            ("H2O", WithHydrogens(8)),
            ("NH4+", WithHydrogens(7)),
            ("Wat", WithHydrogens(8)),
            ("NO3", Molecule),
            ("'0.8Nb + 0.2Zr'", Mixture(vec![(41, 0.8), (40, 0.2)])),
            (
                "'0.967(4)Mg + 0.033(4)Fe'",
                Mixture(vec![(12, 0.967), (26, 0.033)]),
            ),
            ("'0.7OH + 0.3F'", Unknown),
            ("X", Dummy),
            ("Vac", Dummy),
            (".", Dummy),
            ("?", Dummy),
            ("Jj", Unknown),
            ("é", Unknown),
            ("+", Unknown),
        ] {
            assert_eq!(parse_type_symbol(raw, None), expected, "{raw}");
        }
    }

    #[test]
    fn labels_and_the_formula_as_arbiter() {
        let formula = parse_formula("C2 O4 H2");
        for (raw, alone, in_formula) in [
            ("CA1", Element(20, None), Element(6, None)),
            ("HO1", Element(67, None), Element(1, None)),
            ("Ca1", Element(20, None), Element(6, None)),
            ("O1A", Element(8, None), Element(8, None)),
            ("li2", Element(3, None), Element(3, None)),
            ("W1", Element(74, None), Element(74, None)),
            ("Wat2", WithHydrogens(8), WithHydrogens(8)),
            ("X1", Dummy, Dummy),
            ("T1(o)", Unknown, Unknown),
            ("M1", Unknown, Unknown),
            ("1", Unknown, Unknown),
        ] {
            assert_eq!(parse_label(raw, None), alone, "{raw}");
            assert_eq!(parse_label(raw, formula.as_ref()), in_formula, "{raw}");
        }
        assert_eq!(parse_type_symbol("HO", formula.as_ref()), WithHydrogens(8));
    }

    #[test]
    fn charges_of_types() {
        let charges = TypeCharges::new(&["Fe2+", "'Fe3+'", "O", "Li"], &["2", "3", "-2", "?"]);
        assert_eq!(charges.charge("Fe3+", 26), Some(3.0));
        assert_eq!(charges.charge("Fe", 26), None);
        assert_eq!(charges.charge("O1", 8), Some(-2.0));
        assert_eq!(charges.charge("Li", 3), None);
    }
}
