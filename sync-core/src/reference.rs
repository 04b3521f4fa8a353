//! The code tables of `schema/reference/codes.toml`, and the checks and masks for personal data.

use std::sync::OnceLock;

use serde::Deserialize;

/// One code with its labels.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    /// The code.
    pub code: String,
    /// Chinese label.
    pub zh: String,
    /// English label.
    pub en: String,
    /// `law` or `advice`, in the checklist.
    #[serde(default)]
    pub severity: Option<String>,
    /// The type of people's mediation statistics, in the categories.
    #[serde(default)]
    pub mediation_type: Option<String>,
    /// How often such a building is visited, in the safety grades.
    #[serde(default)]
    pub visit: Option<String>,
}

/// One code table with its provenance.
#[derive(Debug, Clone, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// V, V*, M or D; see the file's head.
    pub confidence: String,
    /// From when it holds, ISO date.
    pub effective_from: String,
    /// The codes.
    pub entries: Vec<Entry>,
}

/// All code tables.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Codes {
    /// The tables.
    #[serde(rename = "table", default)]
    pub tables: Vec<Table>,
}

/// The shipped code tables.
pub fn codes() -> &'static Codes {
    static CODES: OnceLock<Codes> = OnceLock::new();
    // The shipped file is read by a test; a phone with an unreadable one would still take records, without codes.
    CODES.get_or_init(|| toml::from_str(schema::CODES).unwrap_or_default())
}

impl Codes {
    /// The entry of a code.
    pub fn entry(&self, table: &str, code: &str) -> Option<&Entry> {
        self.tables.iter().find(|t| t.name == table)?.entries.iter().find(|e| e.code == code)
    }

    /// Whether a table has a code.
    pub fn has(&self, table: &str, code: &str) -> bool {
        self.entry(table, code).is_some()
    }
}

/// Whether a resident identity number has the right length, digits and check character (GB 11643).
pub fn resident_id_is_valid(id: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let chars: Vec<char> = id.chars().collect();
    let Some((last, digits)) = chars.split_last().filter(|(_, d)| d.len() == 17) else { return false };
    let sum: Option<u32> = digits.iter().zip(WEIGHTS).map(|(c, w)| c.to_digit(10).map(|d| d * w)).sum();
    let expected = sum.and_then(|s| "10X98765432".chars().nth(usize::try_from(s % 11).ok()?));
    expected == Some(last.to_ascii_uppercase())
}

/// An identity number for lists: the first six and the last four characters.
pub fn mask_id(id: &str) -> String {
    mask(id, 6, 4)
}

/// A phone number for lists: the first three and the last four digits.
pub fn mask_phone(phone: &str) -> String {
    mask(phone, 3, 4)
}

/// A name for lists: the surname.
pub fn mask_name(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) if chars.next().is_some() => format!("{first}*"),
        Some(first) => first.to_string(),
        None => String::new(),
    }
}

fn mask(text: &str, head: usize, tail: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= head + tail {
        return "*".repeat(chars.len());
    }
    let hidden = chars.len() - head - tail;
    let shown = |range: &[char]| range.iter().collect::<String>();
    format!(
        "{}{}{}",
        shown(chars.get(..head).unwrap_or_default()),
        "*".repeat(hidden),
        shown(chars.get(chars.len() - tail..).unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tables_can_be_read_and_every_code_stands_once() {
        let codes: Codes = toml::from_str(schema::CODES).unwrap();
        for table in &codes.tables {
            let mut seen: Vec<_> = table.entries.iter().map(|e| &e.code).collect();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), table.entries.len(), "{}", table.name);
        }
        assert!(codes.has("category", "0701") && !codes.has("category", "1499"));
        for kind in [crate::shape::DocumentKind::Case, crate::shape::DocumentKind::Patrol] {
            let shape = kind.shape();
            for field in shape.fields.iter().chain(shape.collections.iter().flat_map(|c| c.fields)) {
                if let crate::shape::Holds::Code(table) = field.holds {
                    assert!(codes.tables.iter().any(|t| t.name == table), "{} names the table {table}", field.path);
                }
            }
        }
    }

    #[test]
    fn identity_numbers_are_checked_and_masked() {
        assert!(resident_id_is_valid("11010519491231002X"));
        assert!(!resident_id_is_valid("110101199001010011"));
        assert_eq!(mask_id("11010519491231002X"), "110105********002X");
        assert_eq!(mask_phone("13800138000"), "138****8000");
        assert_eq!(mask_name("熊某"), "熊*");
        assert_eq!(mask_phone("123"), "***");
    }
}
