//! What a phone learns of a record that its owner may not see, by naming it.

use sync_core::document::ChangeHash;
use sync_core::ids::DocumentId;
use sync_core::sync::wire::Doubt;
use tests::World;

use crate::hand::Hand;

#[test]
fn a_stranger_who_doubts_a_record_is_answered_as_if_there_were_none_unless_he_shows_that_he_holds_it() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人讨要工资。");
    he.sync();
    let stranger = Hand::register(&world, "baihua");
    let asked = |document: DocumentId, heads: &[ChangeHash]| {
        let mut request = stranger.request(vec![]);
        request.doubts = vec![Doubt { document, heads: heads.to_vec() }];
        let answer = stranger.send(&request);
        let wanted: Vec<_> = answer.wanted.into_iter().map(|w| (w.document == document, w.heads)).collect();
        (wanted, answer.purge, answer.deliveries.len(), answer.orders)
    };
    let nobodys = DocumentId(uuid::Uuid::from_u128(7));
    for heads in [vec![], vec![ChangeHash([7; 32])], vec![ChangeHash([7; 32]), ChangeHash([8; 32])]] {
        assert_eq!(asked(case, &heads), asked(nobodys, &heads), "{heads:?}");
    }
    let history = world.get(&format!("/v1/cases/{case}/history"), Some(&world.token("community"))).1;
    let known = ChangeHash::from_hex(history[0]["hash"].as_str().unwrap()).unwrap();
    let (wanted, purge, delivered, _) = asked(case, &[known]);
    assert_eq!((wanted, purge, delivered), (vec![], vec![case], 0), "who holds it is told to forget it");
}
