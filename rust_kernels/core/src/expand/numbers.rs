//! Values of a CIF as they are written: null values, quotes, numbers with a standard uncertainty.

/// Whether a raw value says "unknown" (`?`), "does not apply" (`.`), or was not given at all.
pub fn is_null(raw: &str) -> bool {
    matches!(raw, "" | "?" | ".")
}

/// A raw value without its quotes or the semicolons of a text field, trimmed.
pub fn unquote(raw: &str) -> &str {
    let bytes = raw.as_bytes();
    let inner = match (bytes.first(), bytes.last()) {
        (Some(b'\''), Some(b'\'')) | (Some(b'"'), Some(b'"')) | (Some(b';'), Some(b';'))
            if bytes.len() >= 2 =>
        {
            &raw[1..raw.len() - 1]
        }
        _ => raw,
    };
    inner.trim()
}

/// A decimal number, with or without a standard uncertainty: `1.234(5)`, `90.(0)`, `.25`, `-2e-3`.
///
/// Nothing else is a number: no `nan`, no `inf`, no fraction, and nothing that overflows.
pub fn parse_number(raw: &str) -> Option<f64> {
    let text = unquote(raw);
    let mantissa = match text.split_once('(') {
        Some((mantissa, uncertainty)) => {
            let digits = uncertainty.strip_suffix(')')?;
            if !digits.bytes().all(|c| c.is_ascii_digit() || c == b'.') {
                return None;
            }
            mantissa
        }
        None => text,
    };
    let allowed = |c: u8| c.is_ascii_digit() || matches!(c, b'.' | b'+' | b'-' | b'e' | b'E');
    if !mantissa.bytes().all(allowed) {
        return None;
    }
    mantissa.parse().ok().filter(|x: &f64| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_and_without_uncertainty() {
        for (raw, expected) in [
            ("1.234(5)", 1.234),
            ("90.(0)", 90.0),
            (".25", 0.25),
            ("-.5", -0.5),
            ("+0.5", 0.5),
            ("1e-3", 1e-3),
            ("'0.31(2)'", 0.31),
            ("7", 7.0),
            ("5.(1.2)", 5.0),
        ] {
            assert_eq!(parse_number(raw), Some(expected), "{raw}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for raw in [
            "", "?", ".", "nan", "inf", "-inf", "1e999", "1/2", "0,5", "0.5(", "0.5(a)", "1 2",
            "(3)", "0x10", "1_000", "--1", "'",
        ] {
            assert_eq!(parse_number(raw), None, "{raw}");
        }
    }

    #[test]
    fn quotes_and_text_fields() {
        assert_eq!(unquote("'x, y, z'"), "x, y, z");
        assert_eq!(unquote("\"Fe2 O3\""), "Fe2 O3");
        assert_eq!(unquote(";\nFe2 O3\n;"), "Fe2 O3");
        assert_eq!(unquote("'"), "'");
        assert_eq!(unquote("O5'"), "O5'");
    }
}
