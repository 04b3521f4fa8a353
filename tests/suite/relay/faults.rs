//! What goes wrong on the way: damage, strangers' keys, full pockets, time that runs out, authors who were locked out.

use diesel::prelude::*;
use server::db::tables::quarantine;
use sync_core::ids::Entropy;
use sync_core::limits;
use sync_core::phone::PhoneError;
use sync_core::relay::parcel::Content;
use sync_core::relay::{Container, OpeningKey, RelayError};
use sync_core::store::carried::CarriedState;
use tests::{HOUR, World};

use super::{entries, exported, import, pending, receipts};
use server::clock::SystemEntropy;

fn error(phone: &tests::TestPhone, file: &[u8]) -> RelayError {
    match phone.core().relay_import(file) {
        Err(PhoneError::Relay(e)) => e,
        other => panic!("{other:?}"),
    }
}

/// Puts a container back into form after its inside was altered: header and checksum are good, the seal is not.
fn checksummed(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    bytes
}

#[test]
fn relay_a_damaged_or_cut_file_is_refused_by_the_carrier_and_changes_nothing() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    he.report("工人聚集。");
    let file = exported(&he);
    for n in [0, 3, 4, 30, 50, 100, file.len() - 1] {
        assert_eq!(error(&colleague, &file[..n]), RelayError::Truncated, "{n}");
    }
    for n in (0..file.len()).step_by(7) {
        let mut altered = file.clone();
        altered[n] ^= 4;
        let refused = error(&colleague, &altered);
        assert_ne!(refused, RelayError::Expired, "byte {n}");
    }
    assert_eq!(error(&colleague, b"hello"), RelayError::NotAParcel);
    assert_eq!(error(&colleague, b"FQRP\x02"), RelayError::Truncated);
    let behind = [file.as_slice(), b"x"].concat();
    assert_eq!(error(&colleague, &behind), RelayError::NotAParcel);
    assert!(colleague.core().relay_carried().unwrap().is_empty());
}

#[test]
fn relay_what_the_server_cannot_open_is_told_apart_and_holds_nobody_up() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report("好的一宗。");
    let good = exported(&he);
    let device = he.core().identity().unwrap().unwrap().device;
    // Sealed to a server of somebody else's.
    let content = Content { device, bundles: vec![] };
    let other = OpeningKey::from_seed(&[9; 32]).public();
    let strange = Container::seal(&content, &other, world.clock_ms(), &SystemEntropy).unwrap();
    // The same seal under another header, with a good checksum.
    let mut header = good.clone();
    header[10] ^= 1;
    // And another seal under the same header.
    let mut body = good.clone();
    body[90] ^= 1;
    for file in [strange.bytes().to_vec(), checksummed(header), checksummed(body), good.clone()] {
        assert_eq!(import(&colleague, &file).parcels_new, 1);
    }
    let own = colleague.report("背包人自己的一宗。");
    let report = colleague.library.sync(None, None).unwrap();
    assert_eq!((report.relayed, report.unsent), (4, 0));
    let states: Vec<_> = colleague.core().relay_carried().unwrap().into_iter().map(|p| p.state).collect();
    let refused = |code: &str| CarriedState::Refused(code.into());
    assert_eq!(
        states,
        [
            refused("parcel_unknown_key"),
            refused("parcel_not_opened"),
            refused("parcel_not_opened"),
            CarriedState::Delivered
        ]
    );
    assert_eq!((entries(&world, case).len(), entries(&world, own).len()), (1, 1));
    let app = world.app();
    let kept = server::relay::refused_parcels(&mut app.db.get().unwrap()).unwrap();
    assert_eq!(kept.len(), 3, "kept for a look at them: {kept:?}");
    assert!(kept.iter().all(|k| k.via.starts_with("device ")));
}

#[test]
fn relay_a_bundle_that_its_author_did_not_sign_is_refused_inside_a_good_parcel() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report("真的一宗。");
    let keys = relay_keys(&world);
    let parcel = &he.core().relay_export().unwrap()[0];
    let mut content = parcel.open(&keys).unwrap();
    let mut forged = content.bundles[0].clone();
    forged.signature[5] ^= 1;
    content.bundles.insert(0, forged);
    let mixed = Container::seal(&content, &keys[0].public(), world.clock_ms(), &SystemEntropy).unwrap();
    import(&colleague, mixed.bytes());
    colleague.sync();
    assert_eq!(entries(&world, case).len(), 1, "the genuine bundle is taken");
    // The receipt names what is there, and says that something is not.
    assert_eq!(import(&he, &receipts(&colleague)).acknowledged, 1);
}

fn relay_keys(world: &World) -> Vec<OpeningKey> {
    let app = world.app();
    app.relay_keys(&mut app.db.get().unwrap()).unwrap().opening()
}

#[test]
fn relay_full_pockets_say_so_and_take_nothing_until_there_is_room() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    he.report("工人聚集。");
    let device = he.core().identity().unwrap().unwrap().device;
    let content = Content { device, bundles: vec![] };
    let key = relay_keys(&world)[0].public();
    let mut file = Vec::new();
    for _ in 0..limits::CARRIED_PARCELS_MAX {
        file.extend(Container::seal(&content, &key, world.clock_ms(), &SystemEntropy).unwrap().bytes());
    }
    assert_eq!(usize::try_from(import(&colleague, &file).parcels_new).unwrap(), limits::CARRIED_PARCELS_MAX);
    let one_more = exported(&he);
    let full = RelayError::CarrierFull { max: limits::CARRIED_PARCELS_MAX, what: "parcels" };
    assert_eq!(error(&colleague, &one_more), full);
    assert_eq!(colleague.core().relay_carried().unwrap().len(), limits::CARRIED_PARCELS_MAX);
    // Known ones are no new burden, and what was handed in makes room.
    import(&colleague, &file);
    colleague.sync();
    assert_eq!(import(&colleague, &one_more).parcels_new, 1);
    colleague.sync();
    assert_eq!(import(&he, &receipts(&colleague)).acknowledged, 1);
}

#[test]
fn relay_full_pockets_in_bytes() {
    let world = World::new();
    let colleague = world.phone("colleague");
    let key = relay_keys(&world)[0].public();
    let mut noise = vec![0; limits::PARCEL_BYTES_MAX - 10_000];
    SystemEntropy.fill(&mut noise);
    let signed = sync_core::sync::wire::SignedBundle { payload: noise.into(), signature: vec![0; 64].into() };
    let device = colleague.core().identity().unwrap().unwrap().device;
    let content = Content { device, bundles: vec![signed] };
    let fit = limits::CARRIED_BYTES_MAX / limits::PARCEL_BYTES_MAX;
    for n in 0..fit + 3 {
        let parcel = Container::seal(&content, &key, world.clock_ms(), &SystemEntropy).unwrap();
        match colleague.core().relay_import(parcel.bytes()) {
            Ok(done) => assert_eq!((done.parcels_new, n <= fit), (1, true)),
            Err(PhoneError::Relay(e)) => {
                assert_eq!(e, RelayError::CarrierFull { max: limits::CARRIED_BYTES_MAX, what: "bytes" });
                assert!(n >= fit);
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("no limit was met");
}

#[test]
fn relay_a_parcel_whose_time_is_over_is_dropped_and_its_author_still_has_everything() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    colleague.sync();
    let case = he.report("工人聚集。");
    let file = exported(&he);
    import(&colleague, &file);
    world.pass(limits::PARCEL_LIFE_MS + HOUR);
    let late = world.phone("station-head");
    assert_eq!(import(&late, &file).parcels_expired, 1);
    colleague.sign_in_again(&world, "colleague");
    colleague.sync();
    assert!(entries(&world, case).is_empty());
    // A phone that goes by a wrong clock hands it in all the same; the server says no.
    let (status, reply) =
        world.post_bytes("/v1/relay", &world.token("receptionist"), sync_core::relay::parcel::MEDIA_TYPE, &file);
    assert_eq!((status, reply["items"][0]["code"].as_str()), (200, Some("parcel_expired")), "{reply}");
    assert_eq!(pending(&he), 1);
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(entries(&world, case).len(), 1);
}

#[test]
fn relay_what_a_revoked_phone_wrote_before_is_taken_and_what_it_wrote_later_is_not() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let before = he.report("停用之前所写。");
    world.pass(HOUR);
    let device = he.core().identity().unwrap().unwrap().device;
    let (status, reply) =
        world.post(&format!("/v1/devices/{device}/revoke"), Some(&world.token("admin")), &serde_json::json!({}));
    assert_eq!(status, 200, "{reply}");
    world.pass(HOUR);
    // The phone knows nothing of it and has no network.
    let after = he.report("停用之后所写。");
    import(&colleague, &exported(&he));
    colleague.sync();
    assert_eq!(entries(&world, before).len(), 1, "its time is proven by the token that it holds");
    assert!(entries(&world, after).is_empty());
    let app = world.app();
    let kept: Vec<String> = quarantine::table
        .filter(quarantine::document.eq(after.to_string()))
        .select(quarantine::code)
        .load(&mut app.db.get().unwrap())
        .unwrap();
    assert_eq!(kept, ["revoked"]);
    // The receipt frees what is in the journal and leaves the rest.
    assert_eq!(import(&he, &receipts(&colleague)).acknowledged, 1);
    assert_eq!(pending(&he), 1);
    world.check_rebuild();
}

#[test]
fn relay_receipts_of_strangers_or_of_another_journal_free_nothing() {
    let mut world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    he.report("工人聚集。");
    import(&colleague, &exported(&he));
    colleague.sync();
    let genuine = receipts(&colleague);
    // Somebody signs the same words with a key of his own.
    let receipt = sync_core::relay::parcel::receipts_of(&Container::parse_one(&genuine).unwrap()).unwrap().remove(0);
    let keys = relay_verify(&world);
    let words = sync_core::relay::receipt::Receipt::verified(&receipt, &keys).unwrap();
    let forged = words.sign(&sync_core::sync::bundle::DeviceKey::from_seed([3; 32])).unwrap();
    let file = Container::receipts(&[forged.into()], world.clock_ms(), &SystemEntropy).unwrap();
    let told = import(&he, file.bytes());
    assert_eq!((told.receipts_new, told.receipts_refused, told.acknowledged), (0, 1, 0));

    // The server is restored: what its old journal held may be gone.
    let app = world.app();
    app.db.transaction(|conn| server::journal::renew(conn, app.now_ms(), &app.entropy)).unwrap();
    drop(app);
    world.stop();
    world.start();
    let late = world.phone("colleague");
    late.sync();
    let told = import(&late, &genuine);
    assert_eq!((told.receipts_new, told.acknowledged), (1, 0));
    // He has not met the new journal yet and believes it; his next sync compares everything that he holds.
    assert_eq!(import(&he, &genuine).acknowledged, 1);
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(pending(&he), 0);
}

fn relay_verify(world: &World) -> Vec<[u8; 32]> {
    let app = world.app();
    app.relay_keys(&mut app.db.get().unwrap()).unwrap().public()
}
