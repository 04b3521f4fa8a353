//! Codes go round on a display and are scanned as often as the camera sees them: twice is no harm, one too few is told.

use fengqiao_mobile::{PhoneLibError, RelayFrames};
use sync_core::relay::frame::frames;
use sync_core::relay::parcel::MEDIA_TYPE;
use tests::{TestPhone, World};

use super::{entries, pending};

/// The codes of one parcel with a long story in it.
fn codes(phone: &TestPhone) -> Vec<String> {
    let parcel = phone.core().relay_export().unwrap().remove(0);
    let codes = frames(&parcel, 200).unwrap();
    assert!(codes.len() > 2, "{}", codes.len());
    codes
}

/// Each code twice, and all of them once more.
fn doubled(codes: &[String]) -> String {
    let twice = codes.iter().flat_map(|c| [c.clone(), c.clone()]);
    twice.chain(codes.iter().cloned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn relay_codes_that_were_scanned_twice_are_taken_at_the_desk_and_by_a_phone() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report(&"工人讨要工资,包工头不在。".repeat(40));
    let text = doubled(&codes(&he));
    let (status, reply) = world.post_bytes("/v1/relay", &world.token("receptionist"), MEDIA_TYPE, text.as_bytes());
    assert_eq!((status, reply["items"].as_array().map(Vec::len)), (200, Some(1)), "{reply}");
    assert_eq!(entries(&world, case).len(), 1);

    let taken = colleague.library.relay_import(text.into_bytes()).unwrap();
    assert_eq!((taken.parcels_new, taken.parcels_known), (1, 0));
    colleague.sync();
    let receipts = colleague.library.relay_receipts().unwrap().unwrap();
    let back = doubled(&he.library.relay_frames(receipts, 100).unwrap());
    assert_eq!(he.library.relay_import(back.into_bytes()).unwrap().acknowledged, 1);
    assert_eq!(pending(&he), 0);
}

#[test]
fn relay_codes_that_go_round_and_round_leave_nothing_behind_in_who_gathers_them() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    he.report(&"工人讨要工资,包工头不在。".repeat(40));
    let frames = RelayFrames::new();
    // Each export is another parcel: more of them one after the other than may be gathered at the same time.
    for _ in 0..12 {
        let codes = codes(&he);
        let whole: Vec<_> = codes.iter().filter_map(|c| frames.add(c.clone()).unwrap().whole).collect();
        assert_eq!(whole.len(), 1);
        for code in &codes {
            let seen = frames.add(code.clone()).unwrap();
            assert!(seen.again && seen.missing.is_empty() && seen.whole.is_none(), "{seen:?}");
            assert_eq!(usize::try_from(seen.count).unwrap(), codes.len());
        }
    }
}

#[test]
fn relay_a_missing_code_is_named_and_the_rest_is_not_taken_for_a_whole() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    he.report(&"工人讨要工资,包工头不在。".repeat(40));
    let mut codes = codes(&he);
    let lost = codes.remove(1);
    let frames = RelayFrames::new();
    let seen: Vec<_> = codes.iter().map(|c| frames.add(c.clone()).unwrap()).collect();
    let last = seen.last().unwrap();
    assert_eq!((&last.missing, &last.whole), (&vec![2], &None));
    let refused = colleague.library.relay_import(doubled(&codes).into_bytes()).unwrap_err();
    assert!(matches!(&refused, PhoneLibError::Relay { code, .. } if code == "parcel_truncated"), "{refused:?}");
    assert!(colleague.library.relay_carried().unwrap().is_empty());
    let whole = frames.add(lost).unwrap().whole.unwrap();
    assert_eq!(colleague.library.relay_import(whole).unwrap().parcels_new, 1);
}
