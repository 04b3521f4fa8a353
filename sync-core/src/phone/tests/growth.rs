//! Long files: what is written for an edit is what it says, and what is read is always all of it.

use super::*;
use crate::store::StoreError;

fn count(phone: &Phone, sql: &str) -> i64 {
    phone.0.store.read(|c| -> Result<i64, StoreError> { Ok(c.query_row(sql, [], |r| r.get(0))?) }).unwrap()
}

fn note(n: usize) -> Vec<Edit> {
    let text = format!("第{n}次联系双方，约定后续安排，双方同意再谈。");
    let body = serde_json::json!({ "text": text });
    vec![Edit::AddEvent { kind: EventKind::Note, body: body.as_object().unwrap().clone().into_iter().collect() }]
}

#[test]
fn growth_every_edit_of_a_long_file_is_read_again_and_few_snapshots_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    let (mut snapshots, mut last) = (0, 0);
    for n in 1..=150 {
        phone.edit(id, &note(n)).unwrap();
        // As after the app was killed: only the store knows.
        phone.0.opened.clear();
        assert_eq!(phone.case(id).unwrap().timeline.len(), n + 1);
        let size = count(&phone, "SELECT snapshot_bytes FROM documents");
        snapshots += i64::from(size != last);
        last = size;
    }
    assert!((1..=8).contains(&snapshots), "{snapshots}");
    let tail = count(&phone, "SELECT coalesce(sum(length(bytes)), 0) FROM tails");
    assert_eq!(tail, count(&phone, "SELECT tail_bytes FROM documents"));
    assert!(tail <= last.max(8 * 1024), "{tail} bytes behind a snapshot of {last}");
}

#[test]
fn growth_a_file_of_which_a_change_is_missing_is_told_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    (1..=5).for_each(|n| drop(phone.edit(id, &note(n)).unwrap()));
    phone
        .0
        .store
        .write(|tx| -> Result<_, StoreError> {
            Ok(tx.execute("DELETE FROM tails WHERE at = (SELECT max(at) FROM tails)", [])?)
        })
        .unwrap();
    phone.0.opened.clear();
    assert!(matches!(phone.case(id), Err(PhoneError::Store(StoreError::Damaged(_)))));
}

#[test]
fn growth_what_is_open_in_memory_gives_way_to_what_the_store_says() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    phone.edit(id, &note(1)).unwrap();
    // A transaction that is rolled back after the file was changed in memory.
    let refused: Result<Edited, PhoneError> =
        phone.edit_with(id, &note(2), |_| Err(StoreError::Damaged("a crash".into())));
    assert!(refused.is_err());
    assert_eq!(phone.case(id).unwrap().timeline.len(), 2);
    phone.edit(id, &note(3)).unwrap();
    phone.0.opened.clear();
    assert_eq!(phone.case(id).unwrap().timeline.len(), 3);
}

#[test]
fn growth_a_forgotten_file_leaves_neither_snapshot_nor_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    (1..=60).for_each(|n| drop(phone.edit(id, &note(n)).unwrap()));
    assert!(count(&phone, "SELECT count(*) FROM snapshots") == 1);
    phone.0.store.write(|tx| documents::forget(tx, id)).unwrap();
    assert_eq!(count(&phone, "SELECT (SELECT count(*) FROM snapshots) + (SELECT count(*) FROM tails)"), 0);
}
