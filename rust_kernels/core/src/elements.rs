//! Element symbols by atomic number.

/// Symbols of the elements 1 to 118, in order.
pub const SYMBOLS: [&str; 118] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl",
    "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In",
    "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb",
    "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl",
    "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk",
    "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh",
    "Fl", "Mc", "Lv", "Ts", "Og",
];

/// Atomic number of a symbol in its usual capitals; deuterium and tritium are hydrogen.
pub fn atomic_number(symbol: &str) -> Option<u8> {
    match symbol {
        "D" | "T" => Some(1),
        _ => SYMBOLS
            .iter()
            .position(|s| *s == symbol)
            .map(|k| k as u8 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_map_to_atomic_numbers() {
        for (symbol, number) in [
            ("H", 1),
            ("D", 1),
            ("Li", 3),
            ("La", 57),
            ("U", 92),
            ("Og", 118),
        ] {
            assert_eq!(atomic_number(symbol), Some(number));
        }
        assert_eq!(atomic_number("Xx"), None);
    }
}
