//! Random edits: dice become fields, sentences, parties and events with bodies that fit their kinds.

use std::collections::BTreeMap;

use crate::phones::{event, set, write};
use serde_json::{Value, json};
use sync_core::document::Document;
use sync_core::edit::Edit;
use sync_core::event::{Body, BodyType, EventKind, VOCABULARY};
use sync_core::shape::{DocumentKind, FieldValue, Holds};

const SENTENCES: [&str; 8] = [
    "二十三名工人聚集在水利组17-5栋门口。",
    "双方争吵。",
    "承包方拖欠工资三个月！",
    "代表已前往诉求服务大厅；",
    "楼长到场劝解。",
    "有人推搡？",
    "约定下午五时再谈。",
    "🙂 现场平静…",
];

/// One throw of the dice.
pub type Dice = [u8; 6];

fn pick<T: Copy>(from: &[T], die: u8) -> T {
    from[usize::from(die) % from.len()]
}

/// The edits that a throw stands for, on a document as its author sees it.
pub fn edits(document: &Document, dice: Dice) -> Vec<Edit> {
    let [what, a, b, c, d, e] = dice;
    match what % 8 {
        0 => vec![field(document, a, b)],
        1 => vec![field(document, a, b), field(document, c, d)],
        2 | 3 => vec![text(document, a, b, c)],
        4 if c.is_multiple_of(2) => vec![item(document, a, b), text(document, c, d, e)],
        4 => vec![item(document, a, b)],
        5 => vec![happening(document, a, [b, c, d, e])],
        // Behind a note nothing asks whether the second event makes sense; much of it will be moot.
        6 => vec![event(EventKind::Note, json!({"text": pick(&SENTENCES, b)})), happening(document, a, [b, c, d, e])],
        _ => vec![happening(document, a, [b, c, d, e]), field(document, b, c), text(document, c, d, e)],
    }
}

fn value(holds: Holds, die: u8) -> FieldValue {
    match holds {
        _ if die.is_multiple_of(11) => Value::Null,
        Holds::Text => json!(pick(&SENTENCES, die)),
        Holds::Flag => json!(die.is_multiple_of(2)),
        Holds::OneOf(names) => json!(pick(names, die)),
        Holds::Area => json!(pick(&["GM-BIYAN-01", "GM-BIYAN-SL17-5"], die)),
        Holds::User | Holds::Document => json!(uuid::Uuid::from_u128(u128::from(die % 5)).to_string()),
        Holds::Code(table) => {
            let codes = ["0701", "urgent", "01", "02", "03", "1", "2", "ordinary"];
            let known: Vec<_> = codes.into_iter().filter(|c| sync_core::reference::codes().has(table, c)).collect();
            if known.is_empty() { Value::Null } else { json!(pick(&known, die)) }
        }
        Holds::Count | Holds::Fen | Holds::Moment | Holds::MicroDegrees => json!(u32::from(die) * 1_000),
    }
}

fn field(document: &Document, a: u8, b: u8) -> Edit {
    let shape = document.shape();
    if a.is_multiple_of(4)
        && let Some(collection) = shape.collections.first()
        && let Some(id) = document.items(collection.name).get(usize::from(a) / 16)
    {
        let spec = pick(&collection.fields.iter().collect::<Vec<_>>(), b);
        return set(&format!("{}.{id}.{}", collection.name, spec.path), value(spec.holds, b));
    }
    let spec = pick(&shape.fields.iter().collect::<Vec<_>>(), a);
    set(spec.path, value(spec.holds, b))
}

/// Puts in, takes out or rewrites one sentence.
fn text(document: &Document, a: u8, b: u8, c: u8) -> Edit {
    let shape = document.shape();
    let mut names: Vec<String> = shape.texts.iter().map(|t| (*t).to_owned()).collect();
    for collection in shape.collections.iter().filter(|s| s.has_text) {
        names.extend(document.items(collection.name).into_iter().map(|id| format!("{}.{id}", collection.name)));
    }
    let name = &names[usize::from(a) % names.len()];
    let now = document.text(name).unwrap_or_default();
    let mut sentences: Vec<String> = now.split_inclusive(['。', '！', '；', '？', '…']).map(str::to_owned).collect();
    let at = if sentences.is_empty() { 0 } else { usize::from(b) % sentences.len() };
    match c % 4 {
        0 if !sentences.is_empty() => drop(sentences.remove(at)),
        1 if !sentences.is_empty() => sentences[at].insert(0, '又'),
        2 if !sentences.is_empty() => sentences[at] = pick(&SENTENCES, c).to_owned(),
        _ => sentences.insert(at, pick(&SENTENCES, c).to_owned()),
    }
    write(name, &sentences.concat())
}

fn item(document: &Document, a: u8, b: u8) -> Edit {
    let collection = pick(&document.shape().collections.iter().collect::<Vec<_>>(), a);
    let spec = pick(&collection.fields.iter().collect::<Vec<_>>(), b);
    let fields = BTreeMap::from([(spec.path.to_owned(), value(spec.holds, b))]);
    let text = collection.has_text.then(|| pick(&SENTENCES, b).to_owned());
    Edit::AddItem { collection: collection.name.to_owned(), fields, text }
}

/// An event of any kind with a body that its kind accepts.
fn happening(document: &Document, a: u8, dice: [u8; 4]) -> Edit {
    let patrol = [EventKind::PatrolStarted, EventKind::PatrolEnded, EventKind::HazardRectified, EventKind::Note];
    let kind = match document.meta().kind {
        DocumentKind::Patrol => pick(&patrol, a),
        // Those that move a case come up more often than the rest.
        DocumentKind::Case if a.is_multiple_of(3) => pick(
            &[
                EventKind::Accepted,
                EventKind::Escalation,
                EventKind::EscalationWithdrawn,
                EventKind::Resolved,
                EventKind::Closed,
            ],
            a / 3,
        ),
        DocumentKind::Case => pick(VOCABULARY, a).kind,
    };
    let events: Vec<String> = document.events().into_keys().map(|id| id.to_string()).collect();
    let mut body = Body::new();
    for (i, field) in kind.spec().unwrap().body.iter().enumerate() {
        let die = dice[i % 4].wrapping_add(u8::try_from(i).unwrap());
        if !field.required && die.is_multiple_of(3) {
            continue;
        }
        let value = match field.holds {
            BodyType::Text if field.name == "hazard" => {
                json!(document.items("hazards").first().map_or("none", String::as_str))
            }
            BodyType::Text => json!(pick(&SENTENCES, die)),
            BodyType::Count | BodyType::Fen | BodyType::Moment => json!(u32::from(die) * 1_000),
            BodyType::Flag => json!(die.is_multiple_of(2)),
            BodyType::OneOf(names) => json!(pick(names, die)),
            BodyType::Event => json!(events[usize::from(die) % events.len()]),
            BodyType::User | BodyType::Document => json!(uuid::Uuid::from_u128(u128::from(die % 5)).to_string()),
            BodyType::Texts => json!([pick(&SENTENCES, die), "accepted"]),
        };
        body.insert(field.name.to_owned(), value);
    }
    Edit::AddEvent { kind, body }
}
