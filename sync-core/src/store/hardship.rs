//! The store when things go wrong: damaged files, a full disk, a writer that takes its time, older programs, what must be forgotten.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::ids::{ActorId, DocumentId};
use crate::shape::DocumentKind;
use crate::store::list::ListRow;

const KEY: [u8; 32] = [7; 32];

fn id(n: u128) -> DocumentId {
    DocumentId(uuid::Uuid::from_u128(n))
}

fn row(n: u128, text: &str) -> ListRow {
    ListRow {
        document: id(n),
        kind: DocumentKind::Case,
        community: "BY".into(),
        title: String::new(),
        status: "reported".into(),
        level: None,
        category: None,
        grid: None,
        building: None,
        created_ms: 1,
        changed_ms: 1,
        due_ms: None,
        conflicts: 0,
        passages: 0,
        needs_review: false,
        away_ms: None,
        text: text.into(),
    }
}

/// A closed store with enough in it that most pages are not the first.
fn filled(path: &Path) {
    let store = Store::open(path, &KEY).unwrap();
    store.write(|tx| set_meta(tx, "much", &[5; 200_000])).unwrap();
    store.lock().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn damage(path: &Path, from: usize, to: usize) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[from..to].iter_mut().for_each(|b| *b ^= 0x55);
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_page_that_is_damaged_is_told_as_damage_and_not_as_a_wrong_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    filled(&path);
    let length = std::fs::read(&path).unwrap().len();
    damage(&path, length / 2, length / 2 + 60_000);
    let told = Store::open(&path, &KEY).and_then(|s| s.read(|c| meta(c, "much")));
    assert!(matches!(told, Err(StoreError::Damaged(_))), "{told:?}");
}

#[test]
fn a_file_whose_beginning_is_damaged_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    filled(&path);
    let bytes = damage(&path, 0, 4_000);
    assert!(matches!(Store::open(&path, &KEY), Err(StoreError::WrongKey)));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_folder_that_is_not_there_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(&dir.path().join("no").join("store"), &KEY), Err(StoreError::Io(_))));
}

#[test]
fn a_full_disk_is_told_as_such_and_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &KEY).unwrap();
    store.write(|tx| set_meta(tx, "word", b"before")).unwrap();
    store.lock().execute_batch("PRAGMA max_page_count = 1").unwrap();
    let full = store.write(|tx| {
        set_meta(tx, "word", b"after")?;
        set_meta(tx, "much", &[5; 500_000])
    });
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    assert_eq!(store.read(|c| meta(c, "word")).unwrap().as_deref(), Some(b"before".as_slice()));
    store.lock().execute_batch("PRAGMA max_page_count = 1000000").unwrap();
    store.write(|tx| set_meta(tx, "word", b"after")).unwrap();
}

#[test]
fn reading_waits_for_no_writer_and_sees_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &KEY).unwrap();
    store.write(|tx| set_meta(tx, "word", b"before")).unwrap();
    let (held, reached) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let store = &store;
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            store.write(|tx| {
                set_meta(tx, "word", b"after")?;
                held.send(()).unwrap();
                // Ends as an error if nobody could read meanwhile.
                released.recv_timeout(Duration::from_secs(60)).map_err(|e| StoreError::Sql(e.to_string()))
            })
        });
        reached.recv().unwrap();
        assert_eq!(store.read(|c| meta(c, "word")).unwrap().as_deref(), Some(b"before".as_slice()));
        release.send(()).unwrap();
        writer.join().unwrap().unwrap();
    });
    assert_eq!(store.read(|c| meta(c, "word")).unwrap().as_deref(), Some(b"after".as_slice()));
}

#[test]
fn a_reader_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &KEY).unwrap();
    let tried = store.read(|c| Ok::<_, StoreError>(c.execute("DELETE FROM meta", [])?));
    assert!(tried.is_err());
}

#[test]
fn a_store_of_the_second_version_knows_whose_its_actors_are_after_it_was_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (user, device) = ("00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000001");
    {
        let mut old = Connection::open(&path).unwrap();
        unlock(&old, &format!("PRAGMA key = \"x'{}'\";", "07".repeat(32))).unwrap();
        migrate(&mut old, schema::PHONE_MIGRATIONS.get(..2).unwrap()).unwrap();
        let enrolment = format!(r#"{{"device":"{device}","user":"{user}","name":"何","login":"he","grants":[]}}"#);
        old.execute("INSERT INTO meta VALUES ('enrolment', ?1), ('actor', ?2)", (enrolment.as_bytes(), [1u8; 16]))
            .unwrap();
        old.execute(
            "INSERT INTO documents (id, kind, community, saved, actor) VALUES ('d', 'case', 'BY', x'00', ?1)",
            [[2u8; 16]],
        )
        .unwrap();
    }
    let store = Store::open(&path, &KEY).unwrap();
    for actor in [1, 2] {
        let owner = store.read(|c| actors::owner(c, ActorId([actor; 16]))).unwrap().unwrap();
        assert_eq!((owner.author.to_string().as_str(), owner.device.to_string().as_str()), (user, device));
    }
    assert_eq!(store.read(|c| actors::owner(c, ActorId([3; 16]))).unwrap(), None);
}

#[test]
fn nothing_of_a_purged_record_stays_in_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), &KEY).unwrap();
    store
        .write(|tx| {
            // Neighbouring terms are stored without what they share: these share nothing.
            list::put(tx, &row(1, "qzx"))?;
            list::put(tx, &row(2, "kwj"))?;
            list::index(tx)
        })
        .unwrap();
    let traces = |word: &str| -> i64 {
        let blob = |c: &Connection| {
            let sql = "SELECT count(*) FROM search_data WHERE instr(block, CAST(?1 AS BLOB)) > 0";
            Ok::<i64, StoreError>(c.query_row(sql, [word], |r| r.get(0))?)
        };
        store.read(blob).unwrap()
    };
    assert!(traces("qzx") > 0, "the test looks where the words lie");
    store
        .write(|tx| {
            documents::purge(tx, id(1))?;
            list::leave_no_trace(tx)
        })
        .unwrap();
    assert_eq!(traces("qzx"), 0);
    assert!(traces("kwj") > 0);
}
