//! What a document of a kind is made of: its registers, texts and collections. The one table from which the change firewall, the
//! typed commands, authority, forms and bindings all read, so that none of them can disagree.

use serde::{Deserialize, Serialize};

use crate::error::EditError;

/// The kinds of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A patrol record.
    Patrol,
    /// A case file.
    Case,
}

impl DocumentKind {
    /// The name in documents, tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            DocumentKind::Patrol => "patrol",
            DocumentKind::Case => "case",
        }
    }

    /// Reads the name back.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "patrol" => Some(DocumentKind::Patrol),
            "case" => Some(DocumentKind::Case),
            _ => None,
        }
    }

    /// What documents of this kind are made of.
    pub fn shape(self) -> &'static Shape {
        match self {
            DocumentKind::Patrol => &crate::patrol::SHAPE,
            DocumentKind::Case => &crate::case::SHAPE,
        }
    }
}

/// What a register may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text of at most [`crate::limits::FIELD_CHARS_MAX`] characters.
    Text,
    /// A code of the named table of `schema/reference/codes.toml`.
    Code(&'static str),
    /// One of these names.
    OneOf(&'static [&'static str]),
    /// A whole number, not negative.
    Count,
    /// Money in fen, not negative.
    Fen,
    /// A moment, ms UTC.
    Moment,
    /// true or false.
    Flag,
    /// The code of an area.
    Area,
    /// Degrees times a million.
    MicroDegrees,
    /// The id of a user.
    User,
    /// The id of another document.
    Document,
}

/// One register.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// `section.name`, or only `name` at the root; within a collection only `name`.
    pub path: &'static str,
    /// What it may hold.
    pub holds: Holds,
    /// True for personal data that lists must mask.
    pub personal: bool,
}

/// A map of things that are each added once under an id of their own.
#[derive(Debug, Clone, Copy)]
pub struct CollectionSpec {
    /// Its name at the root.
    pub name: &'static str,
    /// The registers of each item.
    pub fields: &'static [FieldSpec],
    /// Whether each item carries a collaborative text named `text`.
    pub has_text: bool,
}

/// What a document of one kind is made of.
#[derive(Debug)]
pub struct Shape {
    /// The kind.
    pub kind: DocumentKind,
    /// The version written into new documents.
    pub version: i64,
    /// The registers.
    pub fields: &'static [FieldSpec],
    /// The collaborative texts at the root.
    pub texts: &'static [&'static str],
    /// The collections.
    pub collections: &'static [CollectionSpec],
    /// Whether it has a `checklist`: registers named by item codes, `CODE` for the answer and `CODE.note` for the remark.
    pub has_checklist: bool,
}

/// The answers to a checklist item.
pub const CHECKLIST_ANSWERS: &[&str] = &["ok", "problem", "not_applicable"];

impl Shape {
    /// The register of this path, checklist items included.
    pub fn field(&self, path: &str) -> Option<Holds> {
        if let Some(spec) = self.fields.iter().find(|f| f.path == path) {
            return Some(spec.holds);
        }
        let item = path.strip_prefix("checklist.").filter(|_| self.has_checklist)?;
        let (code, holds) = match item.strip_suffix(".note") {
            Some(code) => (code, Holds::Text),
            None => (item, Holds::OneOf(CHECKLIST_ANSWERS)),
        };
        let fits = !code.is_empty()
            && code.len() <= 48
            && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        fits.then_some(holds)
    }

    /// The collection of this name.
    pub fn collection(&self, name: &str) -> Option<&'static CollectionSpec> {
        self.collections.iter().find(|c| c.name == name)
    }

    /// The names of the sections: maps at the root that group registers.
    pub fn sections(&self) -> impl Iterator<Item = &'static str> {
        let mut seen: Vec<&'static str> = Vec::new();
        for field in self.fields {
            if let Some((section, _)) = field.path.split_once('.')
                && !seen.contains(&section)
            {
                seen.push(section);
            }
        }
        if self.has_checklist {
            seen.push("checklist");
        }
        seen.into_iter()
    }
}

/// A value of a register: text, whole number or truth value. JSON `null` empties the register.
pub type FieldValue = serde_json::Value;

/// Checks a value against what its register may hold. `null` is always accepted: it empties the register.
pub fn check_value(field: &str, holds: Holds, value: &FieldValue) -> Result<(), EditError> {
    use serde_json::Value;
    let wrong = |problem: &str, remedy: &str| {
        Err(EditError::InvalidValue { field: field.to_owned(), problem: problem.to_owned(), remedy: remedy.to_owned() })
    };
    let count = |v: &Value| v.as_i64().is_some_and(|n| (0..=1_000_000_000_000_000).contains(&n));
    match (holds, value) {
        (_, Value::Null) => Ok(()),
        (Holds::Text, Value::String(s)) if s.chars().count() > crate::limits::FIELD_CHARS_MAX => {
            wrong("the text is too long", &format!("at most {} characters", crate::limits::FIELD_CHARS_MAX))
        }
        (Holds::Text, Value::String(s)) if !crate::text::is_storable(s) => {
            wrong("the text holds a NUL character", "leave it out")
        }
        (Holds::Text, Value::String(_)) | (Holds::Flag, Value::Bool(_)) => Ok(()),
        (Holds::Text, _) => wrong("not a text", "send a text"),
        (Holds::Flag, _) => wrong("not a truth value", "send true or false"),
        (Holds::Code(table), Value::String(s)) => {
            if crate::reference::codes().has(table, s) {
                Ok(())
            } else {
                wrong(
                    &format!("`{}` is not in the code table `{table}`", s.chars().take(40).collect::<String>()),
                    "send a code of that table",
                )
            }
        }
        (Holds::OneOf(names), Value::String(s)) if names.contains(&s.as_str()) => Ok(()),
        (Holds::Code(table), _) => wrong("not a code", &format!("send a code of the table `{table}` as text")),
        (Holds::OneOf(names), _) => wrong("not one of the known names", &format!("send one of {}", names.join(", "))),
        (Holds::Count | Holds::Fen | Holds::Moment, v) if count(v) => Ok(()),
        (Holds::Count, _) => wrong("not a count", "send a whole number from 0"),
        (Holds::Fen, _) => wrong("not an amount", "send whole fen from 0"),
        (Holds::Moment, _) => wrong("not a moment", "send milliseconds since 1970 UTC"),
        (Holds::MicroDegrees, v) if v.as_i64().is_some_and(|n| n.abs() <= 180_000_000) => Ok(()),
        (Holds::MicroDegrees, _) => wrong("not a coordinate", "send degrees times a million as a whole number"),
        (Holds::Area, Value::String(s)) if crate::ids::AreaCode::new(s.as_str()).is_ok() => Ok(()),
        (Holds::Area, _) => wrong("not an area code", "send the code of an area of the import file"),
        (Holds::User | Holds::Document, Value::String(s)) if uuid::Uuid::parse_str(s).is_ok() => Ok(()),
        (Holds::User | Holds::Document, _) => wrong("not an id", "send a UUID"),
    }
}
