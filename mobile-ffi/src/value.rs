//! Values of registers and event bodies as Kotlin, Swift and Python see them. The border to JSON; nothing is lost on the way.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use sync_core::event::Body;

/// What a register or a field of an event's body holds.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum FieldValue {
    /// Text, a code, an id or the code of an area.
    Text {
        /// The text.
        value: String,
    },
    /// A whole number: a count, fen, milliseconds since 1970 UTC, millionths of a degree.
    Number {
        /// The number.
        value: i64,
    },
    /// A truth value.
    Flag {
        /// True or false.
        value: bool,
    },
    /// Several texts, such as the departments that are summoned.
    Texts {
        /// The texts.
        values: Vec<String>,
    },
    /// What a newer program wrote and this one does not know.
    Raw {
        /// As JSON.
        json: String,
    },
    /// Nothing: written into a register it empties it.
    Empty,
}

impl From<&Value> for FieldValue {
    fn from(value: &Value) -> Self {
        let raw = || Self::Raw { json: value.to_string() };
        match value {
            Value::Null => Self::Empty,
            Value::Bool(value) => Self::Flag { value: *value },
            Value::Number(n) => n.as_i64().map_or_else(raw, |value| Self::Number { value }),
            Value::String(s) => Self::Text { value: s.clone() },
            Value::Array(list) => {
                let texts: Option<Vec<_>> = list.iter().map(|v| v.as_str().map(str::to_owned)).collect();
                texts.map_or_else(raw, |values| Self::Texts { values })
            }
            Value::Object(_) => raw(),
        }
    }
}

impl From<FieldValue> for Value {
    fn from(value: FieldValue) -> Self {
        match value {
            FieldValue::Text { value } => Value::String(value),
            FieldValue::Number { value } => Value::from(value),
            FieldValue::Flag { value } => Value::Bool(value),
            FieldValue::Texts { values } => Value::from(values),
            // What is no JSON stays the text that it is; the field's own check names it.
            FieldValue::Raw { json } => serde_json::from_str(&json).unwrap_or(Value::String(json)),
            FieldValue::Empty => Value::Null,
        }
    }
}

/// Registers by name.
pub type FieldMap = HashMap<String, FieldValue>;

pub(crate) fn fields_out<'a>(fields: impl IntoIterator<Item = (&'a String, &'a Value)>) -> FieldMap {
    fields.into_iter().map(|(name, value)| (name.clone(), value.into())).collect()
}

pub(crate) fn fields_in(fields: FieldMap) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(name, value)| (name, value.into())).collect()
}

pub(crate) fn body_in(body: FieldMap) -> Body {
    fields_in(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_comes_back_as_it_went() {
        for value in [
            json!("水利组17-5栋"),
            json!(23),
            json!(-1),
            json!(true),
            json!(["城管", "消防"]),
            json!(null),
            json!([]),
            json!(0.5),
            json!({"a": [1, null]}),
            json!([1, "a"]),
        ] {
            assert_eq!(Value::from(FieldValue::from(&value)), value);
        }
    }
}
