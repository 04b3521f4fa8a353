//! The code tables of `schema/reference/codes.toml`.

mod numbers;
mod personal;

use std::sync::OnceLock;

use serde::Deserialize;

pub use numbers::{Number, NumberKind, normal_number, numbers, scrub, unscrub};
pub use personal::{mask_id, mask_name, mask_phone, phone_is_plausible, resident_id_is_valid};

/// A language of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

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
    /// How sure we are of this entry, where it differs from its table.
    #[serde(default)]
    pub confidence: Option<String>,
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

    /// The codes of a table, in its order.
    pub fn codes(&self, table: &str) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(move |t| t.name == table).flat_map(|t| &t.entries).map(|e| e.code.as_str())
    }

    /// What a code is called.
    pub fn label(&self, table: &str, code: &str, lang: Lang) -> Option<&str> {
        self.entry(table, code).map(|e| match lang {
            Lang::Zh => e.zh.as_str(),
            Lang::En => e.en.as_str(),
        })
    }

    /// The type of people's mediation statistics of a case. Owed wages have a type of their own, which no category names.
    pub fn mediation_type(&self, category: &str, wage_arrears: bool) -> Option<&str> {
        if wage_arrears && category.starts_with("07") {
            return Some("10");
        }
        self.entry("category", category)?.mediation_type.as_deref()
    }

    /// Whether a table has a code.
    pub fn has(&self, table: &str, code: &str) -> bool {
        self.entry(table, code).is_some()
    }
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
    fn every_table_and_entry_says_what_it_is_in_both_languages_and_how_sure_we_are() {
        for table in &codes().tables {
            assert!(!table.source.is_empty(), "{}", table.name);
            let marks = table.entries.iter().filter_map(|e| e.confidence.as_deref()).chain([table.confidence.as_str()]);
            marks.for_each(|m| assert!(["V", "V*", "M", "D"].contains(&m), "{}: {m}", table.name));
            for entry in &table.entries {
                assert!(!entry.zh.is_empty() && !entry.en.is_empty(), "{} {}", table.name, entry.code);
            }
        }
        assert_eq!(codes().label("channel", "reception_day", Lang::Zh), Some("接访日"));
        assert_eq!(codes().label("channel", "reception_day", Lang::En), Some("reception day"));
        assert_eq!(codes().label("channel", "carrier_pigeon", Lang::En), None);
    }

    #[test]
    fn every_category_has_its_place_in_the_statistics_and_owed_wages_their_own() {
        for category in codes().codes("category") {
            let kind = codes().mediation_type(category, false).unwrap();
            assert!(codes().has("mediation_type", kind), "{category} {kind}");
        }
        assert_eq!(codes().mediation_type("0902", false), Some("03"), "homestead stands with housing");
        assert_eq!(codes().mediation_type("0701", false), Some("11"));
        assert_eq!(codes().mediation_type("0701", true), Some("10"));
    }

    #[test]
    fn every_checklist_item_is_law_or_advice_and_only_law_is_sure() {
        for item in &codes().tables.iter().find(|t| t.name == "checklist").unwrap().entries {
            let sure = item.confidence.is_none();
            assert_eq!(item.severity.as_deref(), Some(if sure { "law" } else { "advice" }), "{}", item.code);
        }
    }
}
