//! Contents that no phone of ours writes: a NUL in a text, a moment beyond all time.

use sync_core::document::Document;
use sync_core::error::RefusalCode;
use sync_core::event::EventKind;
use sync_core::ids::ActorId;
use sync_core::sync::wire::PushOutcome;
use tests::World;
use tests::phones::{event, set, write};

use super::{among_good_ones, code, event_of, founded, new_event};
use crate::hand::Hand;

#[test]
fn a_moment_beyond_all_time_breaks_no_list_and_no_file() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    for created_ms in [i64::MAX, i64::MIN] {
        let (case, change) = founded(&hand, "GM-BIYAN", "时间之外");
        let mut told = automerge::Change::from_bytes(change.bytes).unwrap().decode();
        let key = automerge::legacy::Key::Map("created_ms".into());
        let op = told.operations.iter_mut().find(|op| op.key == key).unwrap();
        op.action = automerge::legacy::OpType::Put(automerge::ScalarValue::Int(created_ms));
        let bytes = automerge::Change::from(told).raw_bytes().to_vec();
        let outcomes = among_good_ones(&world, &hand, hand.entry(&case, [&bytes[..]]));
        assert!(matches!(outcomes[..], [PushOutcome::Accepted(_)]), "{created_ms}: {outcomes:?}");
        let (status, file) = world.get(&format!("/v1/cases/{}", case.meta().id), Some(&hand.token));
        assert_eq!(status, 200, "{created_ms}: {file}");
        assert_eq!(world.get("/v1/cases?sort=created&limit=2", Some(&hand.token)).0, 200);
    }
}

/// A change written past the library itself.
fn past_the_library(
    document: &Document,
    actor: ActorId,
    message: Option<&str>,
    steps: impl FnOnce(&mut automerge::transaction::Transaction<'_>) -> Result<(), automerge::AutomergeError>,
) -> Vec<u8> {
    let options = automerge::LoadOptions::new().text_encoding(automerge::TextEncoding::UnicodeCodePoint);
    let mut inner = automerge::Automerge::load_with_options(&document.save(), options).unwrap();
    inner.set_actor(automerge::ActorId::from(actor.0));
    let mut tx = inner.transaction();
    steps(&mut tx).unwrap();
    let mut commit = automerge::transaction::CommitOptions::default();
    if let Some(message) = message {
        commit.set_message(message);
    }
    tx.commit_with(commit);
    inner.get_last_local_change().unwrap().raw_bytes().to_vec()
}

#[test]
fn a_nul_is_refused_wherever_it_stands_and_never_wedges_the_outbox() {
    use automerge::transaction::Transactable;
    use automerge::{ROOT, ReadDoc};
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let mut note = event_of(&hand, hand.user, "note");
    note.body.insert("text".into(), "零\u{0}字符".into());
    let note = serde_json::to_string(&note).unwrap();
    let entry = serde_json::json!({"name": "a\u{0}.jpg", "media_type": "image/jpeg", "bytes": 1, "by": hand.user});
    let (case, first) = hand.case("工人聚集。");
    let object = |tx: &automerge::transaction::Transaction<'_>, key: &str| tx.get(ROOT, key).unwrap().unwrap().1;
    let forge = |message, steps: &dyn Fn(&mut automerge::transaction::Transaction<'_>)| {
        past_the_library(&case, hand.actor, message, |tx| {
            steps(tx);
            Ok(())
        })
    };
    for (what, bytes, expected) in [
        ("a field", forge(None, &|tx| tx.put(ROOT, "title", "零\u{0}字符").unwrap()), RefusalCode::InvalidValue),
        ("a field's name", forge(None, &|tx| tx.put(ROOT, "ti\u{0}tle", "字").unwrap()), RefusalCode::UnknownPlace),
        (
            "a text",
            forge(Some("t:narrative"), &|tx| tx.splice_text(object(tx, "narrative"), 0, 0, "零\u{0}").unwrap()),
            RefusalCode::InvalidValue,
        ),
        (
            "an event",
            forge(None, &|tx| tx.put(object(tx, "events"), new_event().to_string(), note.as_str()).unwrap()),
            RefusalCode::InvalidValue,
        ),
        (
            "an attachment",
            forge(None, &|tx| tx.put(object(tx, "attachments"), "ab".repeat(32), entry.to_string()).unwrap()),
            RefusalCode::InvalidValue,
        ),
    ] {
        let outcomes = among_good_ones(&world, &hand, hand.entry(&case, [&first.bytes[..], &bytes]));
        assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [None, Some(expected)], "{what}: {outcomes:?}");
    }
    // An honest phone says so before anything is written.
    let he = world.phone("he");
    let honest = he.report("一。");
    for edit in [
        write("narrative", "零\u{0}"),
        set("title", "零\u{0}"),
        event(EventKind::Note, serde_json::json!({"text": "\u{0}"})),
    ] {
        assert!(he.core().edit(honest, &[edit]).is_err());
    }
}
