//! What a form may offer: kinds of event that could have their effect now if their bodies were filled in. It is judged by filling them in.

use serde_json::json;

use super::case::{closes, stands_with};
use crate::case::CaseState;
use crate::event::{Body, BodyField, BodyType, EventKind};
use crate::shape::FieldValue;

/// Whether an event of this kind could have its effect now if its body were filled in: what a form may offer. An event that has to
/// refer to another one is offered when there is one to refer to.
pub fn would_stand(state: &CaseState, kind: EventKind) -> bool {
    let Some(spec) = kind.spec() else { return false };
    let mut bodies = vec![Body::new()];
    for field in spec.body.iter().filter(|f| f.required) {
        let values = values(state, field);
        let with = |body: &Body, value: &FieldValue| {
            let mut body = body.clone();
            body.insert(field.name.to_owned(), value.clone());
            body
        };
        bodies = bodies.iter().flat_map(|body| values.iter().map(move |value| with(body, value))).collect();
    }
    stands_with(state, kind, bodies.into_iter())
}

/// Everything different that a field could be filled with, as far as it makes a difference.
fn values(state: &CaseState, field: &BodyField) -> Vec<FieldValue> {
    match field.holds {
        BodyType::Text => vec![json!("-")],
        BodyType::Texts => vec![json!(["-"])],
        BodyType::Count | BodyType::Fen | BodyType::Moment => vec![json!(0)],
        BodyType::Flag => vec![json!(true)],
        BodyType::OneOf(codes) => codes.iter().map(|code| json!(code)).collect(),
        BodyType::User | BodyType::Document => vec![json!(uuid::Uuid::nil().to_string())],
        BodyType::Event => {
            let fits = |kind: EventKind| match field.name {
                "whistle" => kind == EventKind::Whistle,
                "escalation" => kind == EventKind::Escalation,
                "closure" => closes(kind),
                _ => true,
            };
            let named = state.timeline.iter().filter(|e| fits(e.kind));
            named.map(|e| json!(e.id.to_string())).collect()
        }
    }
}
