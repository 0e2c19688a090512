//! The block of a plain CIF, straight from its text.
//!
//! Nearly all files are plain: ASCII, one data block, items and loops, operators listed. Whatever
//! else there is (other characters, several blocks, save frames, tags that come twice, symmetry by
//! name, any error) is left to a full parser, which knows what to say of it; what is read here has the
//! values that it gives.

use super::Block;
use super::numbers::is_null;
use super::tags::{COORDINATES, OPERATORS, VALUES};

const SITE: &str = "_atom_site_";

/// Reads the text of a block; `None` unless it is plain and no loop that counts has more than
/// `max_rows` rows.
pub fn read_plain(text: &[u8], max_rows: usize) -> Option<Block<'_>> {
    let items = Items::read(text)?;
    let [a, b, c, alpha, beta, gamma, volume, formula_units, formula] =
        VALUES.map(|tag| items.value(tag));
    let (site_tags, site_values) = items.sites(max_rows)?;
    let listed = OPERATORS.map(|tag| items.column(tag));
    let operators = listed
        .into_iter()
        .find(|column| column.first().is_some_and(|first| !is_null(first)))?;
    let type_symbols = items.column("_atom_type_symbol");
    let type_charges = if type_symbols.is_empty() {
        Vec::new()
    } else {
        items.column("_atom_type_oxidation_number")
    };
    let columns = [&operators, &type_symbols, &type_charges];
    if columns.iter().any(|column| column.len() > max_rows) {
        return None;
    }
    Some(Block {
        cell: [a, b, c, alpha, beta, gamma],
        volume,
        formula_units,
        formula,
        operators,
        site_tags,
        site_values,
        type_symbols,
        type_charges,
    })
}

/// All tags of a block with what they stand for.
#[derive(Default)]
struct Items<'a> {
    tags: Vec<(&'a str, Place)>,
    /// Of all items and loops, in the order of the file.
    values: Vec<&'a str>,
}

/// Where the values of a tag are: a loop of one row and one column is an item.
#[derive(Clone, Copy)]
struct Place {
    /// Tags of the loop, this one's number among them, and the numbers of its values.
    width: usize,
    column: usize,
    start: usize,
    end: usize,
    is_loop: bool,
}

impl<'a> Items<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
        let mut tokens = Tokens { text, at: 0 };
        let mut items = Self::default();
        if tokens.next()? != Token::Data {
            return None;
        }
        let mut token = tokens.next()?;
        loop {
            let first = items.tags.len();
            let start = items.values.len();
            let is_loop = token == Token::Loop;
            if is_loop {
                token = tokens.next()?;
            }
            while let Token::Tag(tag) = token {
                let (column, width, end) = (items.tags.len() - first, 0, 0);
                items.tags.push((
                    tag,
                    Place {
                        width,
                        column,
                        start,
                        end,
                        is_loop,
                    },
                ));
                token = tokens.next()?;
                if !is_loop {
                    break;
                }
            }
            while let Token::Value(value) = token {
                items.values.push(value);
                token = tokens.next()?;
                if !is_loop {
                    break;
                }
            }
            let (width, end) = (items.tags.len() - first, items.values.len());
            if width == 0 {
                // Neither an item nor a loop: the end, or what does not belong here.
                let is_end = token == Token::End && !is_loop && end == start;
                return (is_end && items.are_unique()).then_some(items);
            }
            if end == start || (end - start) % width != 0 {
                return None;
            }
            for (_, place) in &mut items.tags[first..] {
                (place.width, place.end) = (width, end);
            }
        }
    }

    /// Whether no tag comes twice; it may seem so, which does no harm.
    fn are_unique(&self) -> bool {
        let hash = |tag: &str| {
            tag.bytes().fold(0u64, |hash, c| {
                (hash ^ u64::from(c.to_ascii_lowercase())).wrapping_mul(0x100_0000_01b3)
            })
        };
        let mut hashes: Vec<u64> = self.tags.iter().map(|(tag, _)| hash(tag)).collect();
        hashes.sort_unstable();
        hashes.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn find(&self, tag: &str) -> Option<Place> {
        let mut tags = self.tags.iter();
        tags.find(|(known, _)| known.eq_ignore_ascii_case(tag))
            .map(|(_, place)| *place)
    }

    /// The one value of a tag, empty where it has none or several.
    fn value(&self, tag: &str) -> &'a str {
        let place = self.find(tag).filter(|p| p.end - p.start == p.width);
        place.map_or("", |p| self.values[p.start + p.column])
    }

    /// The values of a tag.
    fn column(&self, tag: &str) -> Vec<&'a str> {
        self.find(tag).map_or(Vec::new(), |p| {
            let values = &self.values[p.start + p.column..p.end];
            values.iter().step_by(p.width).copied().collect()
        })
    }

    /// Tags and values, row after row, of the loop that holds the coordinates; a single atom may be
    /// written without a loop.
    fn sites(&self, max_rows: usize) -> Option<(Vec<&'a str>, Vec<&'a str>)> {
        let place = COORDINATES.iter().find_map(|tag| self.find(tag))?;
        let Place { start, end, .. } = place;
        if place.is_loop {
            let tags = self.tags.iter().filter(|(_, p)| p.start == start);
            let values = self.values[start..end].to_vec();
            let is_allowed = (end - start) / place.width <= max_rows;
            return is_allowed.then(|| (tags.map(|(tag, _)| *tag).collect(), values));
        }
        let is_site = |tag: &str| {
            let first = tag.as_bytes().get(..SITE.len());
            first.is_some_and(|first| first.eq_ignore_ascii_case(SITE.as_bytes()))
        };
        let sites = self
            .tags
            .iter()
            .filter(|(tag, p)| !p.is_loop && is_site(tag));
        Some(sites.map(|(tag, p)| (*tag, self.values[p.start])).unzip())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    /// Header of a data block.
    Data,
    Loop,
    Tag(&'a str),
    /// As it is written, with quotes or semicolons.
    Value(&'a str),
    End,
}

struct Tokens<'a> {
    /// ASCII, so that it may be cut anywhere.
    text: &'a str,
    at: usize,
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Tokens<'a> {
    /// The next token; `None` for what is not plain.
    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space();
        let rest = &self.text.as_bytes()[self.at..];
        let Some(&first) = rest.first() else {
            return Some(Token::End);
        };
        let is_line_start = self.at == 0 || self.text.as_bytes()[self.at - 1] == b'\n';
        let length = match first {
            b';' if is_line_start => text_field(rest)?,
            b'\'' | b'"' => quoted(rest)?,
            _ => bare(rest)?,
        };
        let start = self.at;
        self.at += length;
        if rest.get(length).is_some_and(|&c| !is_space(c)) {
            return None;
        }
        let token = &self.text[start..self.at];
        let starts_with = |word: &str| {
            let first = token.as_bytes().get(..word.len());
            first.is_some_and(|first| first.eq_ignore_ascii_case(word.as_bytes()))
        };
        match first {
            b'_' => (length > 1).then_some(Token::Tag(token)),
            b'$' => None,
            b'd' | b'D' if starts_with("data_") => (length > 5).then_some(Token::Data),
            b'l' | b'L' if token.eq_ignore_ascii_case("loop_") => Some(Token::Loop),
            b's' | b'S' if starts_with("save_") || starts_with("stop_") => None,
            b'g' | b'G' if starts_with("global_") => None,
            _ => Some(Token::Value(token)),
        }
    }

    fn skip_space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(&c) = bytes.get(self.at) {
            if is_space(c) {
                self.at += 1;
            } else if c == b'#' {
                let line = bytes[self.at..].iter().position(|&c| c == b'\n');
                self.at = line.map_or(bytes.len(), |end| self.at + end);
            } else {
                break;
            }
        }
    }
}

/// Length of a text field, between semicolons at the starts of lines.
fn text_field(rest: &[u8]) -> Option<usize> {
    let end = rest.windows(2).position(|pair| pair == b"\n;")?;
    Some(end + 2)
}

/// Length of a value in quotes: they end it where white space follows.
fn quoted(rest: &[u8]) -> Option<usize> {
    for (k, &c) in rest.iter().enumerate().skip(1) {
        if c == rest[0] && rest.get(k + 1).is_none_or(|&c| is_space(c)) {
            return Some(k + 1);
        }
        if !(c == b' ' || c == b'\t' || c.is_ascii_graphic()) {
            return None;
        }
    }
    None
}

/// Length of a word.
fn bare(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|c| !c.is_ascii_graphic());
    let length = end.unwrap_or(rest.len());
    (length > 0).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "# made by hand
data_NaCl
_cell_length_a 5.64(1)
_CELL_LENGTH_B '5.6 4'
_cell_length_c\n;5.64\n;
loop_
_symmetry_equiv_pos_as_xyz # one operator
 'x, y, z'
loop_ _Cell_Volume 179.4
loop_
_atom_site_label _atom_site_fract_x
Na' 0 \"Cl#\" .5
_cell_angle_alpha ;90
";

    #[test]
    fn items_and_loops_are_read_as_written() {
        let block = read_plain(PLAIN.as_bytes(), 2).unwrap();
        assert_eq!(block.cell[..4], ["5.64(1)", "'5.6 4'", ";5.64\n;", ";90"]);
        assert_eq!((block.volume, block.formula), ("179.4", ""));
        assert_eq!(block.operators, ["'x, y, z'"]);
        assert_eq!(block.site_tags, ["_atom_site_label", "_atom_site_fract_x"]);
        assert_eq!(block.site_values, ["Na'", "0", "\"Cl#\"", ".5"]);
        assert!(read_plain(PLAIN.as_bytes(), 1).is_none(), "two sites");
    }

    #[test]
    fn a_single_atom_needs_no_loop() {
        let text = "data_Po _atom_site_label Po1 _space_group_symop_operation_xyz x,y,z
            _Atom_Site_fract_x 0 _atom_site_fract_y 0 _atom_sites_solution ?";
        let block = read_plain(text.as_bytes(), 1).unwrap();
        assert_eq!(block.site_values, ["Po1", "0", "0"]);
        assert_eq!(block.operators, ["x,y,z"]);
    }

    #[test]
    fn all_else_is_left_to_the_full_parser() {
        for (what, from, to) in [
            ("another block", "loop_ _Cell", "data_more loop_ _Cell"),
            ("save frame", "loop_ _Cell", "save_x loop_ _Cell"),
            (
                "reserved word",
                "_cell_length_a 5.64(1)",
                "_cell_length_a stop_",
            ),
            ("no header", "data_NaCl", ""),
            ("header without name", "data_NaCl", "data_"),
            ("tag that comes twice", "_Cell_Volume", "_Cell_length_A"),
            (
                "tag without value",
                "_cell_angle_alpha ;90",
                "_cell_angle_alpha",
            ),
            ("value without tag", "5.64(1)", "5.64(1) 7"),
            ("empty loop", " 'x, y, z'", ""),
            ("row cut short", " .5\n", "\n"),
            ("open quote", "'5.6 4'", "'5.6 4"),
            ("quote within a word", "'5.6 4'", "'5.6 4'x"),
            ("open text field", "5.64\n;", "5.64\n"),
            ("word after a text field", "5.64\n;", "5.64\n;x"),
            ("frame reference", "5.64(1)", "$5.64"),
            ("control character", "5.64(1)", "5.64\u{c}"),
            ("letter that is not ASCII", "made by hand", "fait à la main"),
            ("tag without name", "_Cell_Volume", "_"),
            ("operators by name", "'x, y, z'", "?"),
            ("no coordinates", "_atom_site_fract_x", "_atom_site_fract_u"),
        ] {
            let text = PLAIN.replacen(from, to, 1);
            assert!(
                text != PLAIN && read_plain(text.as_bytes(), 9).is_none(),
                "{what}"
            );
        }
        assert!(read_plain(b"", 9).is_none());
        assert!(read_plain(b"data_x\xff", 9).is_none());
    }
}
