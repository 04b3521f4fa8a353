//! The change firewall and the fold, told as small stories on two replicas.

use super::*;
use crate::authority::{Grant, Subject};
use crate::edit::{Draft, Edit, Pen, apply, create};
use crate::error::RefusalCode;
use crate::event::EventKind;
use crate::fold::fold_case;
use crate::ids::Entropy;
use crate::role::{AreaKind, Role};
use crate::time::{Hlc, TimeClaim};
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting(AtomicU64);
impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        for (b, v) in buffer.iter_mut().zip(n.to_be_bytes().iter().rev().cycle()) {
            *b = *v;
        }
    }
}

static ENTROPY: Counting = Counting(AtomicU64::new(1));

fn community() -> AreaCode {
    AreaCode::new("BY").unwrap()
}

fn supervisor(n: u128) -> Subject {
    Subject {
        user: UserId(uuid::Uuid::from_u128(n)),
        grants: vec![Grant {
            role: Role::Supervisor,
            area: community(),
            kind: AreaKind::Community,
            communities: vec![community()],
            from_ms: 0,
            until_ms: None,
        }],
    }
}

fn pen(subject: &Subject, n: u8, ms: i64) -> Pen<'_> {
    Pen {
        subject: Some(subject),
        device: None,
        actor: ActorId([n; 16]),
        at: TimeClaim { hlc: Hlc { wall_ms: ms, count: 0 }, anchor: None },
        entropy: &ENTROPY,
    }
}

fn set(path: &str, value: impl Into<serde_json::Value>) -> Edit {
    Edit::SetField { path: path.into(), value: value.into() }
}

fn say(wording: &str) -> Edit {
    Edit::SetText { name: "narrative".into(), wording: wording.into() }
}

fn case(edits: Vec<Edit>) -> (Document, RawChange) {
    let draft = Draft { kind: DocumentKind::Case, community: community(), edits };
    create(&draft, &pen(&supervisor(1), 1, 1_000)).unwrap()
}

/// Two people edit copies of the same file without seeing each other; both copies then receive the other's changes.
fn apart(base: Vec<Edit>, a: Vec<Edit>, b: Vec<Edit>) -> (Document, Document) {
    let (mut left, _) = case(base);
    let mut right = left.clone();
    let made_left = apply(&mut left, &a, &pen(&supervisor(1), 2, 2_000)).unwrap().change.unwrap();
    let made_right = apply(&mut right, &b, &pen(&supervisor(2), 3, 3_000)).unwrap().change.unwrap();
    left.admit(&made_right.bytes, Trust::Stranger, |_, _| Ok(())).unwrap();
    right.admit(&made_left.bytes, Trust::Stranger, |_, _| Ok(())).unwrap();
    assert_eq!(fold_case(&left), fold_case(&right));
    (left, right)
}

#[test]
fn edits_of_different_fields_never_conflict() {
    let (doc, _) = apart(vec![], vec![set("people_involved", 23)], vec![set("severity", "urgent")]);
    let state = fold_case(&doc);
    assert!(state.conflicts.is_empty());
    assert_eq!((state.number("people_involved"), state.text("severity")), (Some(23), Some("urgent")));
}

#[test]
fn the_same_field_set_apart_keeps_both_values_until_somebody_settles_it() {
    let (mut doc, mut elsewhere) = apart(vec![], vec![set("people_involved", 20)], vec![set("people_involved", 23)]);
    let conflict = fold_case(&doc).conflicts.first().cloned().unwrap();
    assert_eq!(conflict.path, "people_involved");
    assert_eq!(conflict.values.len(), 2);
    let settled =
        apply(&mut doc, &[set("people_involved", 23)], &pen(&supervisor(3), 4, 4_000)).unwrap().change.unwrap();
    elsewhere.admit(&settled.bytes, Trust::Stranger, |_, _| Ok(())).unwrap();
    assert_eq!(fold_case(&elsewhere), fold_case(&doc));
    let state = fold_case(&doc);
    assert!(state.conflicts.is_empty());
    assert_eq!(state.number("people_involved"), Some(23));
}

#[test]
fn two_people_who_set_the_same_value_agree() {
    let (doc, _) = apart(vec![], vec![set("people_involved", 23)], vec![set("people_involved", 23)]);
    assert!(fold_case(&doc).conflicts.is_empty());
}

#[test]
fn edits_of_different_sentences_merge_without_a_flag() {
    let (doc, _) = apart(
        vec![say("工人聚集。双方争吵。")],
        vec![say("二十三名工人聚集。双方争吵。")],
        vec![say("工人聚集。双方激烈争吵。")],
    );
    let state = fold_case(&doc);
    assert_eq!(state.narrative, "二十三名工人聚集。双方激烈争吵。");
    assert_eq!(state.passages, vec![]);
}

#[test]
fn the_same_sentence_written_by_two_is_flagged_with_both_originals_until_confirmed() {
    let (mut doc, _) = apart(
        vec![say("工人聚集。双方争吵。围观者众。")],
        vec![say("工人聚集。双方激烈争吵。围观者众。")],
        vec![say("工人聚集。双方争吵并推搡。围观者众。")],
    );
    let flag = fold_case(&doc).passages.first().cloned().unwrap();
    let versions: Vec<_> = flag.versions.iter().map(|v| v.passage.as_str()).collect();
    assert_eq!(versions, ["双方激烈争吵。", "双方争吵并推搡。"]);
    assert_eq!(flag.merged, "双方激烈争吵并推搡。");
    let body = [("text".to_owned(), "narrative".into()), ("flag".to_owned(), flag.flag.into())].into();
    apply(&mut doc, &[Edit::AddEvent { kind: EventKind::PassageConfirmed, body }], &pen(&supervisor(3), 4, 4_000))
        .unwrap();
    assert_eq!(fold_case(&doc).passages, vec![]);
}

fn refused(doc: &mut Document, bytes: &[u8]) -> RefusalCode {
    let before = doc.heads();
    let code = doc.admit(bytes, Trust::Stranger, |_, _| Ok(())).unwrap_err().code;
    assert_eq!(doc.heads(), before, "a refused change leaves the document untouched");
    code
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_change_is_refused_or_harmless_and_never_panics() {
    let (base, _) = case(vec![say("工人聚集。")]);
    let mut writer = base.clone();
    let edits = [
        set("people_involved", 23),
        say("工人聚集在门口。"),
        Edit::AddEvent { kind: EventKind::Accepted, body: Default::default() },
    ];
    let change = apply(&mut writer, &edits, &pen(&supervisor(1), 2, 2_000)).unwrap().change.unwrap();
    for n in 0..change.bytes.len() {
        refused(&mut base.clone(), change.bytes.get(..n).unwrap());
        let mut flipped = change.bytes.clone();
        *flipped.get_mut(n).unwrap() ^= 0x55;
        refused(&mut base.clone(), &flipped);
    }
}

#[test]
fn a_change_whose_predecessor_is_missing_is_held_back_by_name() {
    let (mut base, _) = case(vec![]);
    let mut writer = base.clone();
    let subject = supervisor(1);
    let first = apply(&mut writer, &[set("people_involved", 1)], &pen(&subject, 2, 2_000)).unwrap().change.unwrap();
    let second = apply(&mut writer, &[set("people_involved", 2)], &pen(&subject, 2, 3_000)).unwrap().change.unwrap();
    assert_eq!(refused(&mut base, &second.bytes), RefusalCode::MissingDependency);
    base.admit(&first.bytes, Trust::Stranger, |_, _| Ok(())).unwrap();
    base.admit(&second.bytes, Trust::Stranger, |_, _| Ok(())).unwrap();
    assert!(matches!(base.admit(&second.bytes, Trust::Stranger, |_, _| Ok(())), Ok(Admission::Duplicate(_))));
}

#[test]
fn a_restored_phone_that_writes_again_under_the_same_actor_is_told_to_take_a_new_one() {
    let (mut base, _) = case(vec![]);
    let mut restored = base.clone();
    let subject = supervisor(1);
    let lost = apply(&mut base, &[set("people_involved", 1)], &pen(&subject, 2, 2_000)).unwrap();
    assert!(lost.change.is_some());
    let again = apply(&mut restored, &[set("people_involved", 2)], &pen(&subject, 2, 3_000)).unwrap().change.unwrap();
    assert_eq!(refused(&mut base, &again.bytes), RefusalCode::Fork);
}

#[test]
fn a_document_rebuilt_from_its_changes_is_the_same_document() {
    let (doc, _) = apart(vec![say("一。")], vec![set("people_involved", 20)], vec![set("people_involved", 23)]);
    let changes = doc.changes();
    let rebuilt = Document::from_changes(changes.iter().map(|c| c.bytes.as_slice()), Trust::Stranger).unwrap();
    assert_eq!(fold_case(&rebuilt), fold_case(&doc));
    assert_eq!(rebuilt.heads(), doc.heads());
    let loaded = Document::load(&doc.save()).unwrap();
    assert_eq!(fold_case(&loaded), fold_case(&doc));
}

#[test]
fn what_a_change_did_and_what_its_author_saw_before_is_told_by_the_document_in_which_it_stands() {
    let party =
        Edit::AddItem { collection: "parties".into(), fields: [("name".into(), "熊某".into())].into(), text: None };
    let note = Edit::AddEvent { kind: EventKind::Note, body: [("text".into(), "已联系".into())].into() };
    let (document, _) = apart(
        vec![set("people_involved", 20)],
        vec![set("people_involved", 21), party, note],
        vec![set("people_involved", 23)],
    );
    let seen = |touch: &Touch| match touch {
        Touch::Field { path, value } => format!("{path} = {value}"),
        Touch::Item { collection, .. } => format!("+ {collection}"),
        Touch::Event { event, .. } => format!("event {}", event.kind),
        other => format!("{other:?}"),
    };
    for change in document.history() {
        let did: Vec<String> = document.did(change.hash).expect("it stands there").iter().map(seen).collect();
        let before = document.field_at("people_involved", &change.deps);
        match change.at_ms {
            1_000 => assert!(before.is_none() && did.contains(&"people_involved = 20".into()), "{did:?}"),
            2_000 => {
                assert_eq!(before, Some(20.into()));
                for expected in ["people_involved = 21", "+ parties", "event note"] {
                    assert!(did.iter().any(|d| d == expected), "{expected}: {did:?}");
                }
            }
            _ => assert_eq!((before, did), (Some(20.into()), vec!["people_involved = 23".to_owned()])),
        }
    }
    assert_eq!(document.did(ChangeHash([7; 32])), None);
}

#[test]
fn the_same_photo_from_two_who_did_not_know_of_each_other_stands_once_and_each_is_told_by_his_name_for_it() {
    let hash = "ab".repeat(32);
    let attach = |name: &str| Edit::Attach {
        hash: hash.clone(),
        name: name.into(),
        media_type: "image/jpeg".into(),
        bytes: 9,
        taken_ms: None,
        location: None,
    };
    let (document, elsewhere) = apart(vec![], vec![attach("楼梯口.jpg")], vec![attach("现场.jpg"), say("有争吵。")]);
    assert_eq!(document.attachments().keys().collect::<Vec<_>>(), [&hash]);
    assert_eq!(document.attachments()[&hash].name, "楼梯口.jpg", "whichever copy is asked");
    assert_eq!(fold_case(&elsewhere).narrative, "有争吵。", "what came along with it is there too");
    let all = document.history().into_iter().flat_map(|change| document.did(change.hash).expect("it stands there"));
    let names = all.filter_map(|touch| match touch {
        Touch::Attachment { name, .. } => Some(name),
        _ => None,
    });
    assert_eq!(
        names.collect::<std::collections::BTreeSet<_>>(),
        ["楼梯口.jpg".to_owned(), "现场.jpg".to_owned()].into()
    );
    // Who knows of it enters nothing.
    let mut known = document;
    assert!(apply(&mut known, &[attach("又一张.jpg")], &pen(&supervisor(1), 2, 4_000)).unwrap().change.is_none());
}
