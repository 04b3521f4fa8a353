//! Whatever comes from outside: arbitrary documents, mutated changes, arbitrary bytes, any hour of any clock. Nothing panics, and
//! what is refused leaves no trace.

use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, LoadOptions, ObjType, ROOT, ReadDoc, ScalarValue, TextEncoding};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sync_core::calendar::Calendar;
use sync_core::case::CaseState;
use sync_core::document::{Document, Trust};
use sync_core::event::VOCABULARY;
use sync_core::fold::{allowed_now, fold_case, fold_patrol, would_stand};
use sync_core::rules::{RuleSet, action, next_action_ms, obligations};
use sync_core::shape::DocumentKind;
use sync_core::sync::wire::{self, SyncRequest, SyncResponse};

const SECTIONS: [&str; 10] =
    ["events", "witness", "actors", "people", "attachments", "parties", "statements", "hazards", "place", "checklist"];

fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>(), 1_500_000_000_000i64..1_700_000_000_000]
}

fn scrap() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        (0u8..6).prop_map(|n| json!(id(n))),
        prop_oneof![Just("street"), Just("district"), Just("rule"), Just("accepted"), Just("unsatisfied")]
            .prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|m| json!(m)),
        ]
    })
}

fn id(n: u8) -> String {
    uuid::Uuid::from_u128(u128::from(n)).to_string()
}

/// An event as somebody might write it who knows the form but not the sense: circles, unknown kinds, bodies of another kind.
fn event() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        4 => (0..VOCABULARY.len()).prop_map(|i| VOCABULARY[i].name.to_owned()),
        1 => "[a-z_]{1,48}".prop_map(String::from),
    ];
    let field = prop_oneof![
        Just("to"),
        Just("reason"),
        Just("trigger"),
        Just("escalation"),
        Just("closure"),
        Just("whistle"),
        Just("rule"),
        Just("satisfied_by"),
        Just("by_level"),
        Just("text"),
        Just("flag"),
        Just("amount"),
        Just("stage"),
        Just("bears_on"),
    ];
    let body = prop::collection::btree_map(field, scrap(), 0..6);
    (kind, moment(), any::<u32>(), prop::collection::vec(0u8..6, 0..4), body, prop::option::of(moment())).prop_map(
        |(kind, wall_ms, count, after, body, token)| {
            json!({
                "kind": kind,
                "by": {"user": id(1), "role": "supervisor", "level": "street"},
                "at": {"hlc": {"wall_ms": wall_ms, "count": count}, "anchor": token.map(|t| json!({"token_ms": t, "elapsed_ms": t}))},
                "after": after.into_iter().map(id).collect::<Vec<_>>(),
                "body": body,
            })
        },
    )
}

fn witness() -> impl Strategy<Value = Value> {
    let basis = prop_oneof![Just("server"), Just("anchored"), Just("claimed"), Just("local"), Just("other")];
    (moment(), moment(), moment(), basis)
        .prop_map(|(r, e, l, basis)| json!({"received_ms": r, "earliest_ms": e, "latest_ms": l, "basis": basis}))
}

/// One thing that stands somewhere in a document.
#[derive(Debug, Clone)]
enum Thing {
    Event(u8, Value),
    Witness(u8, Value),
    Json(usize, String, Value),
    Scalar(usize, String, i64),
    Object(usize, String, u8),
    Root(String, Value),
    Gone(usize),
    Text(String),
}

fn thing() -> impl Strategy<Value = Thing> {
    let key =
        prop_oneof![(0u8..6).prop_map(id), "[a-z_]{1,10}".prop_map(String::from), ".{0,6}".prop_map(String::from)];
    let root =
        prop_oneof![Just("title"), Just("category"), Just("people_involved"), Just("violence"), Just("narrative")];
    prop_oneof![
        6 => (0u8..6, event()).prop_map(|(n, e)| Thing::Event(n, e)),
        3 => (0u8..6, witness()).prop_map(|(n, w)| Thing::Witness(n, w)),
        2 => (0..SECTIONS.len(), key.clone(), scrap()).prop_map(|(s, k, v)| Thing::Json(s, k, v)),
        1 => (0..SECTIONS.len(), key.clone(), any::<i64>()).prop_map(|(s, k, v)| Thing::Scalar(s, k, v)),
        1 => (0..SECTIONS.len(), key, any::<u8>()).prop_map(|(s, k, v)| Thing::Object(s, k, v)),
        1 => (root, scrap()).prop_map(|(k, v)| Thing::Root(k.to_owned(), v)),
        1 => (0..SECTIONS.len()).prop_map(Thing::Gone),
        1 => ".{0,20}".prop_map(Thing::Text),
    ]
}

fn put(tx: &mut Transaction<'_>, thing: &Thing) {
    let section = |tx: &Transaction<'_>, i: usize| match tx.get(ROOT, SECTIONS[i]) {
        Ok(Some((automerge::Value::Object(ObjType::Map), object))) => Some(object),
        _ => None,
    };
    // What does not fit is left out: the document is arbitrary either way.
    let _ = match thing {
        Thing::Event(n, event) => section(tx, 0).map(|m| tx.put(m, id(*n), event.to_string())),
        Thing::Witness(n, witness) => section(tx, 1).map(|m| tx.put(m, id(*n), witness.to_string())),
        Thing::Json(s, key, value) => section(tx, *s).map(|m| tx.put(m, key.as_str(), value.to_string())),
        Thing::Scalar(s, key, n) => section(tx, *s).map(|m| match n % 4 {
            0 => tx.put(m, key.as_str(), ScalarValue::counter(*n)),
            1 => tx.put(m, key.as_str(), ScalarValue::Timestamp(*n)),
            2 => tx.put(m, key.as_str(), ScalarValue::Bytes(n.to_be_bytes().to_vec())),
            _ => tx.put(m, key.as_str(), *n),
        }),
        Thing::Object(s, key, n) => section(tx, *s).map(|m| {
            let kind = [ObjType::Map, ObjType::List, ObjType::Text][usize::from(*n) % 3];
            tx.put_object(m, key.as_str(), kind).map(drop)
        }),
        Thing::Root(key, value) => Some(match value {
            Value::Number(n) if n.is_i64() => tx.put(ROOT, key.as_str(), n.as_i64().unwrap()),
            other => tx.put(ROOT, key.as_str(), other.to_string()),
        }),
        Thing::Gone(s) => Some(tx.delete(ROOT, SECTIONS[*s])),
        Thing::Text(text) => match tx.get(ROOT, "narrative") {
            Ok(Some((automerge::Value::Object(ObjType::Text), object))) => Some(tx.splice_text(object, 0, 0, text)),
            _ => None,
        },
    };
}

/// A document made past every check, by two hands that do not see each other.
fn arbitrary(kind: DocumentKind, created_ms: i64, hands: &[Vec<Thing>; 3]) -> Option<Document> {
    let mut base = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    base.set_actor(vec![1; 16].into());
    let mut tx = base.transaction();
    let meta = tx.put_object(ROOT, "meta", ObjType::Map).unwrap();
    for (key, value) in
        [("id", id(9)), ("kind", kind.as_str().into()), ("community", "BY".into()), ("created_by", id(1))]
    {
        tx.put(&meta, key, value).unwrap();
    }
    tx.put(&meta, "version", 1).unwrap();
    tx.put(&meta, "created_ms", created_ms).unwrap();
    for section in SECTIONS {
        tx.put_object(ROOT, section, ObjType::Map).unwrap();
    }
    tx.put_object(ROOT, "narrative", ObjType::Text).unwrap();
    hands[0].iter().for_each(|thing| put(&mut tx, thing));
    tx.commit();
    for (n, things) in hands[1..].iter().enumerate() {
        let mut apart = base.fork_at(&[base.get_changes(&[])[0].hash()]).unwrap();
        apart.set_actor(vec![u8::try_from(n).unwrap() + 2; 16].into());
        let mut tx = apart.transaction();
        things.iter().for_each(|thing| put(&mut tx, thing));
        tx.commit_with(
            automerge::transaction::CommitOptions::default().with_message("t:narrative").with_time(created_ms),
        );
        base.merge(&mut apart).unwrap();
    }
    Document::load(&base.save()).ok()
}

fn ask_everything(state: &CaseState, now_ms: i64) {
    let (rules, calendar) = (RuleSet::shipped(), Calendar::shipped());
    for due in obligations(state, rules, calendar, now_ms) {
        action(&due, state, rules);
    }
    next_action_ms(&obligations(state, rules, calendar, i64::MIN));
    for spec in VOCABULARY {
        would_stand(state, spec.kind);
        let _ = allowed_now(state, spec.kind, &state.timeline.first().map(|e| e.body.clone()).unwrap_or_default());
    }
    serde_json::to_vec(state).unwrap();
}

/// A change as an honest author writes it, and the document before it.
fn honest() -> (Document, Vec<u8>, Vec<u8>) {
    let mut base = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    base.set_actor(vec![1; 16].into());
    let hands = [vec![Thing::Text("工人聚集。".into())], vec![], vec![]];
    let mut document = arbitrary(DocumentKind::Case, 1_558_054_800_000, &hands).unwrap();
    let before = document.clone();
    let ((), change) = document
        .edit(sync_core::ids::ActorId([5; 16]), 1_558_054_800_000, |w| {
            w.set("people_involved", &23.into())?;
            w.set("title", &"工人聚集".into())?;
            w.set_text("narrative", "二十三名工人聚集。")
        })
        .unwrap();
    let founding = before.changes()[0].bytes.clone();
    (before, founding, change.unwrap().bytes)
}

/// Cuts, flips and repeats bytes of a change, and gives the result a length and checksum that fit, so that the damage gets far.
pub(super) fn mutate(change: &[u8], cuts: &[(u16, u8, u8)], repaired: bool) -> Vec<u8> {
    let header = if change[9] < 0x80 { 10 } else { 11 };
    let (outside, mut bytes) =
        if repaired { (&change[..8], change[header..].to_vec()) } else { (&change[..0], change.to_vec()) };
    for (at, what, value) in cuts {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(*at) % bytes.len();
        match what % 5 {
            0 | 1 => bytes[at] = *value,
            2 => bytes[at] ^= 1 << (value % 8),
            3 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *value),
        }
    }
    if !repaired {
        return bytes;
    }
    let mut hashed = vec![1];
    let mut length = bytes.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        hashed.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    hashed.extend(&bytes);
    let checksum = Sha256::digest(&hashed);
    [&outside[..4], &checksum[..4], &hashed].concat()
}

proptest! {
    #![proptest_config(super::tries(256))]

    #[test]
    fn no_document_makes_a_fold_or_the_rules_panic(
        patrol in any::<bool>(),
        created_ms in moment(),
        now_ms in moment(),
        hands in prop::array::uniform3(prop::collection::vec(thing(), 0..10)),
    ) {
        let kind = if patrol { DocumentKind::Patrol } else { DocumentKind::Case };
        if let Some(document) = arbitrary(kind, created_ms, &hands) {
            ask_everything(&fold_case(&document), now_ms);
            serde_json::to_vec(&fold_patrol(&document)).unwrap();
            document.registers();
        }
    }

    #[test]
    fn no_mutated_change_panics_or_leaves_a_trace_when_it_is_refused(
        founding in any::<bool>(),
        repaired in prop::bool::weighted(0.9),
        trusted in any::<bool>(),
        cuts in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>()), 1..4),
    ) {
        let (before, first, change) = honest();
        let trust = if trusted { Trust::Server } else { Trust::Stranger };
        let bytes = mutate(if founding { &first } else { &change }, &cuts, repaired);
        let _ = Document::decode(&bytes);
        if let Ok((document, _)) = Document::found(&bytes, trust) {
            ask_everything(&fold_case(&document), 0);
        }
        let mut document = before.clone();
        match document.admit(&bytes, trust, |_, _| Ok(())) {
            Ok(_) => {
                ask_everything(&fold_case(&document), 0);
                let loaded = Document::load(&document.save()).unwrap();
                prop_assert_eq!(loaded.heads(), document.heads());
            }
            Err(_) => prop_assert_eq!(document.save(), before.save()),
        }
    }

    #[test]
    fn no_bytes_make_the_wire_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>()), 0..6),
    ) {
        let _ = (wire::decode::<SyncRequest>(&bytes), wire::decode::<SyncResponse>(&bytes));
        let framed = zstd::bulk::compress(&bytes, 1).unwrap();
        let _ = (wire::decode::<SyncRequest>(&framed), wire::decode::<SyncResponse>(&framed));
        let request = SyncRequest {
            version: 1,
            device: sync_core::ids::DeviceId(uuid::Uuid::nil()),
            journal: None,
            cursors: vec![],
            bundles: vec![wire::SignedBundle { payload: bytes.clone().into(), signature: bytes.into() }],
            doubts: vec![],
            undecided: Vec::new(),
            health: wire::Health::default(),
            relay: None,
            confirmed: None,
            resupply: None,
        };
        let mutated = mutate(&wire::to_cbor(&request).unwrap(), &cuts, false);
        let _ = wire::decode::<SyncRequest>(&zstd::bulk::compress(&mutated, 1).unwrap());
    }
}

#[test]
fn a_change_that_was_only_repacked_is_the_same_change() {
    let (before, _, change) = honest();
    assert_eq!(mutate(&change, &[], true), change);
    let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
    assert!(Automerge::load_with_options(&before.save(), options).is_ok());
}
