//! One phone that two workers use one after another.

use std::sync::Arc;

use fengqiao_mobile::{ListFilterInput, PhoneLibError, PhoneLibrary, SharedPhone, TransferPolicy};
use sync_core::edit::Draft;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::shape::DocumentKind;
use tests::phones::{TestHost, set, write};
use tests::{HOUR, World};

fn sign_in(phone: &SharedPhone, world: &World, login: &str) -> Arc<PhoneLibrary> {
    phone.sign_in(world.url(), login.into(), World::password(login), "共用手机".into(), None).unwrap()
}

fn report(library: &PhoneLibrary, community: &str, grid: &str, story: &str) -> DocumentId {
    let edits = vec![set("place.grid", grid), write("narrative", story)];
    let community = AreaCode::new(community).unwrap();
    library.core().create(&Draft { kind: DocumentKind::Case, community, edits }).unwrap()
}

#[test]
fn a_hand_over_does_not_mix_outboxes_and_shows_nothing_of_the_first_to_the_second() {
    let world = World::new();
    let dir = world.dir.path().join("shared");
    let phone = SharedPhone::open_with(&dir, &[9; 32], Arc::new(TestHost::new(world.clock.clone()))).unwrap();
    let he = sign_in(&phone, &world, "he");
    he.sync(None, None).unwrap();
    world.pass(HOUR);
    let case = report(&he, "GM-BIYAN", "GM-BIYAN-01", "小何未发送的记录。");
    // The phone is handed over before he could send it.
    let baihua = sign_in(&phone, &world, "baihua");
    assert_eq!(he.read_case(case.to_string()).err(), Some(PhoneLibError::Locked), "he is shut out");
    assert!(matches!(baihua.read_case(case.to_string()), Err(PhoneLibError::NotFound { .. })));
    assert!(baihua.list_cases(ListFilterInput::default()).unwrap().is_empty());
    assert!(baihua.search("小何".into(), 10).unwrap().is_empty());
    let own = report(&baihua, "GM-BAIHUA", "GM-BAIHUA-01", "白花的记录。");
    assert_eq!(baihua.status().unwrap().unsent, 1);
    baihua.sync(None, None).unwrap();
    let left: Vec<_> = phone.people().unwrap().into_iter().map(|p| (p.login, p.unsent)).collect();
    assert_eq!(left, [("he".to_owned(), 1), ("baihua".to_owned(), 0)]);
    // What the first left goes in the background, as his.
    let gone = phone.sync_others(None, None).unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].login.as_str(), gone[0].unsent, &gone[0].problem), ("he", 0, &None));
    let creator = |id| {
        let app = world.app();
        let mut conn = app.db.get().unwrap();
        let entry = server::journal::of_document(&mut conn, id).unwrap()[0].clone();
        (entry.author, entry.device.unwrap())
    };
    let (he_id, baihua_id) = (he.identity().unwrap().unwrap(), baihua.identity().unwrap().unwrap());
    assert_eq!(creator(case), (he_id.user, he_id.device.clone()));
    assert_eq!(creator(own), (baihua_id.user, baihua_id.device.clone()));
    assert_ne!(he_id.device, baihua_id.device, "each is a phone of his own to the server");
    assert_eq!(he.read_case(case.to_string()).err(), Some(PhoneLibError::Locked), "and still nothing is shown");
}

#[test]
fn after_a_hand_over_the_pin_gives_the_phone_back_without_a_network() {
    let mut world = World::new();
    let dir = world.dir.path().join("shared");
    let clock = world.clock.clone();
    let host = || Arc::new(TestHost::new(clock.clone()));
    let phone = SharedPhone::open_with(&dir, &[9; 32], host()).unwrap();
    let (url, he) = (world.url(), sign_in(&phone, &world, "he"));
    he.set_pin("271828".into(), None).unwrap();
    let case = report(&he, "GM-BIYAN", "GM-BIYAN-01", "小何的记录。");
    let baihua = sign_in(&phone, &world, "baihua");
    let own = report(&baihua, "GM-BAIHUA", "GM-BAIHUA-01", "白花的记录。");
    drop((phone, he, baihua));
    let phone = SharedPhone::open_with(&dir, &[9; 32], host()).unwrap();
    world.stop();
    let resume = |login: &str, pin: &str| phone.resume(url.clone(), login.into(), pin.into());
    assert!(matches!(resume("he", "314159"), Err(PhoneLibError::PinWrong { .. })));
    assert!(matches!(resume("baihua", ""), Err(PhoneLibError::NotAllowed { .. })), "who has no PIN shows the password");
    assert!(matches!(resume("captain", "271828"), Err(PhoneLibError::NotFound { .. })));
    let he = resume("he", "271828").unwrap();
    assert_eq!(he.core().case(case).unwrap().narrative, "小何的记录。");
    assert!(he.core().case(own).is_err());
    let names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().file_name()).collect();
    let tells = names.iter().any(|n| n.to_string_lossy().contains("he") && n.to_string_lossy().len() < 8);
    assert!(!tells, "no file tells whose it is: {names:?}");
    assert!(SharedPhone::open_with(&dir, &[8; 32], host()).is_err(), "another key opens nothing");
}

#[test]
fn after_a_hand_over_the_photos_of_the_first_go_by_his_own_session_when_the_network_allows_it() {
    let world = World::new();
    let dir = world.dir.path().join("shared");
    let phone = SharedPhone::open_with(&dir, &[9; 32], Arc::new(TestHost::new(world.clock.clone()))).unwrap();
    let he = sign_in(&phone, &world, "he");
    let case = report(&he, "GM-BIYAN", "GM-BIYAN-01", "楼道堆物。");
    let picture = tests::photos::photo(80, 320, 240);
    let hash = he.attach_photo(case.to_string(), "楼道.jpg".into(), picture.clone()).unwrap().hash;
    let baihua = sign_in(&phone, &world, "baihua");
    let waits: Vec<_> = phone.people().unwrap().into_iter().map(|p| (p.login, p.attachments_waiting)).collect();
    assert_eq!(waits, [("he".to_owned(), 1), ("baihua".to_owned(), 0)]);
    let metered = TransferPolicy { is_metered: true, ..TransferPolicy::default() };
    for (policy, left) in [(None, 1), (Some(metered), 1), (Some(TransferPolicy::default()), 0)] {
        let gone = phone.sync_others(policy, None).unwrap();
        let told: Vec<_> = gone.iter().map(|l| (l.login.as_str(), l.unsent, l.attachments_waiting)).collect();
        assert_eq!((told, &gone[0].problem), (vec![("he", 0, left)], &None), "{policy:?}");
    }
    assert_eq!(he.attachment_bytes(hash.clone()).err(), Some(PhoneLibError::Locked), "and nothing is shown");
    drop((he, baihua));
    assert!(tests::tus::Tus::new(&world, "colleague").download(case, &hash, &[]).body == picture);
}
