//! A pledge holds for what it was given for, and for nothing else.

use super::*;
use crate::shape::DocumentKind;
use crate::sync::wire::{PROTOCOL_VERSION, PushResult};

fn journal(n: u128) -> JournalId {
    JournalId(uuid::Uuid::from_u128(n))
}

fn document(n: u128) -> DocumentId {
    DocumentId(uuid::Uuid::from_u128(n))
}

fn hash(n: u8) -> ChangeHash {
    ChangeHash([n; 32])
}

fn response() -> SyncResponse {
    SyncResponse {
        version: PROTOCOL_VERSION,
        journal: journal(1),
        now_ms: 5,
        token: Bytes::new(),
        results: vec![],
        refused: vec![],
        deliveries: vec![],
        wanted: vec![],
        purge: vec![],
        orders: None,
        unanswered: 0,
        decisions: vec![],
        cursors: vec![],
        grants: None,
        more: false,
        relay: None,
        pledge: None,
        resupplied: vec![],
    }
}

fn result(n: u128, of: u8, outcome: PushOutcome) -> PushResult {
    PushResult { document: document(n), hash: hash(of), outcome }
}

/// The outside of a change with these dependencies.
fn chunk(deps: &[ChangeHash], word: u8) -> Vec<u8> {
    let mut content = vec![u8::try_from(deps.len()).unwrap()];
    deps.iter().for_each(|d| content.extend(d.0));
    content.push(word);
    let mut size = content.len();
    let mut length = Vec::new();
    while size >= 0x80 {
        length.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    length.push(u8::try_from(size).unwrap());
    [vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1], length, content].concat()
}

fn delivery(n: u128, changes: Vec<Vec<u8>>) -> Delivery {
    let community = crate::ids::AreaCode::new("BY").unwrap();
    let changes = changes.into_iter().map(Bytes::from).collect();
    Delivery { document: document(n), kind: DocumentKind::Case, community, changes }
}

#[test]
fn what_is_refused_or_still_needs_something_is_not_pledged() {
    let mut response = response();
    response.results = vec![
        result(1, 1, PushOutcome::Accepted(1)),
        result(1, 2, PushOutcome::Duplicate),
        result(1, 3, PushOutcome::Need(vec![hash(9)])),
        result(2, 4, PushOutcome::Quarantined(RefusalCode::Fork, String::new())),
        result(3, 5, PushOutcome::Accepted(2)),
    ];
    response.purge = vec![document(3)];
    let pledged = pledged(&response, &[], std::iter::empty());
    assert_eq!(pledged, Pledged::from([(document(1), [hash(2)].into())]));
}

#[test]
fn of_what_is_delivered_only_the_last_changes_are_named() {
    let first = chunk(&[], 1);
    let (one, _) = Document::links(&first).unwrap();
    let (left, right) = (chunk(&[one], 2), chunk(&[one], 3));
    let tips: BTreeSet<_> = [&left, &right].into_iter().map(|c| Document::links(c).unwrap().0).collect();
    let mut response = response();
    response.deliveries = vec![delivery(1, vec![first, left, right])];
    assert_eq!(pledged(&response, &[], std::iter::empty()), Pledged::from([(document(1), tips)]));
}

#[test]
fn doubts_are_pledged_only_where_the_server_says_that_it_has_every_head() {
    let heads: Vec<_> = (0..10).map(|n| [hash(n)]).collect();
    let doubts = || heads.iter().enumerate().map(|(i, h)| (document(u128::try_from(i).unwrap()), h.as_slice()));
    let told = bits((0..10).map(|n| n == 1 || n == 8));
    assert_eq!(told.as_slice(), [2, 1]);
    let named: Vec<_> = pledged(&response(), &told, doubts()).into_keys().collect();
    assert_eq!(named, [document(1), document(8)]);
    assert!(bits((0..10).map(|_| false)).is_empty());
}

#[test]
fn a_pledge_that_was_altered_in_any_part_is_none() {
    let key = DeviceKey::from_seed([3; 32]);
    let list = Bytes::from([[1; 32], [2; 32]].concat());
    let signature = sign(&key, journal(1), 5, &list);
    let pledge = Pledge { journal: journal(1), at_ms: 5, signature, list };
    let keys = [[0; 32], key.public()];
    assert!(pledge.is_genuine(&keys));
    assert!(!pledge.is_genuine(&keys[..1]), "another server's");
    assert!(!Pledge { journal: journal(2), ..pledge.clone() }.is_genuine(&keys), "of another journal");
    assert!(!Pledge { at_ms: 6, ..pledge.clone() }.is_genuine(&keys), "of another time");
    for list in [vec![1; 32], [[1; 32], [3; 32]].concat(), [[1; 32], [2; 32], [3; 32]].concat()] {
        assert!(!Pledge { list: Bytes::from(list), ..pledge.clone() }.is_genuine(&keys), "about other changes");
    }
    for n in [0, 31, 63] {
        let mut signature = pledge.signature.clone();
        signature[n] ^= 1;
        assert!(!Pledge { signature, ..pledge.clone() }.is_genuine(&keys));
    }
    let cut = Bytes::from(pledge.signature[..40].to_vec());
    assert!(!Pledge { signature: cut, ..pledge.clone() }.is_genuine(&keys), "cut");
    // Nor is what a device signs ever taken for the server's word: the domains differ.
    let foreign = Bytes::from(key.sign(b"fengqiao-bundle-v1", &pledge.list).to_vec());
    assert!(!Pledge { signature: foreign, ..pledge }.is_genuine(&keys));
}

#[test]
fn a_list_that_is_cut_is_told_before_anything_is_looked_at() {
    let pledge =
        |list: Vec<u8>| Pledge { journal: journal(1), at_ms: 1, signature: Bytes::new(), list: Bytes::from(list) };
    let check = |list| Resupply { pledges: vec![pledge(list)], ..Resupply::default() }.check();
    assert!(check(vec![1; 64]).is_ok());
    assert!(check(vec![1; 63]).is_err());
    assert!(check(vec![]).is_err());
    let many = vec![pledge(vec![1; 32]); limits::REQUEST_PLEDGES_MAX + 1];
    assert!(Resupply { pledges: many, ..Resupply::default() }.check().is_err());
}
