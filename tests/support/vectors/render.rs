//! CBOR as people read it: JSON, in which bytes are `h'...'`.

use ciborium::Value as Cbor;
use serde_json::{Map, Value};

use super::hex;

/// Renders CBOR.
pub(super) fn render(cbor: &[u8]) -> Value {
    of(&ciborium::from_reader(cbor).unwrap())
}

fn of(value: &Cbor) -> Value {
    match value {
        Cbor::Bytes(bytes) => Value::String(format!("h'{}'", hex(bytes))),
        Cbor::Array(items) => Value::Array(items.iter().map(of).collect()),
        Cbor::Map(entries) => {
            let pairs = entries.iter().map(|(key, value)| (key.as_text().unwrap().to_owned(), of(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Cbor::Integer(n) => Value::from(i64::try_from(i128::from(*n)).unwrap()),
        Cbor::Text(text) => Value::String(text.clone()),
        Cbor::Bool(yes) => Value::Bool(*yes),
        Cbor::Null => Value::Null,
        other => panic!("the protocol has no {other:?}"),
    }
}
