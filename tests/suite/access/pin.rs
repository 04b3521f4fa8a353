//! The lock of a phone.

use std::sync::Arc;

use fengqiao_mobile::{PhoneLibError, PhoneLibrary};
use sync_core::phone::PhoneError;
use tests::{HOUR, MINUTE, World};

const PIN: &str = "271828";

#[test]
fn behind_the_pin_nothing_is_read_or_written_and_syncing_goes_on() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    assert!(he.library.set_pin("1234".into(), None).is_err(), "too short");
    assert!(he.library.set_pin("000000".into(), None).is_err(), "too plain");
    he.library.set_pin(PIN.into(), None).unwrap();
    world.pass(4 * MINUTE);
    assert_eq!(he.case(case).narrative, "工人聚集。", "a touch keeps it open");
    world.pass(4 * MINUTE);
    assert_eq!(he.case(case).narrative, "工人聚集。");
    world.pass(5 * MINUTE);
    assert!(matches!(he.core().case(case), Err(PhoneError::Locked)));
    assert!(matches!(he.core().search("工人", 5), Err(PhoneError::Locked)));
    assert!(matches!(he.core().edit(case, &[]), Err(PhoneError::Locked)));
    assert!(matches!(he.core().refused(), Err(PhoneError::Locked)));
    assert_eq!(he.library.read_case(case.to_string()).err(), Some(PhoneLibError::Locked));
    he.sync();
    assert_eq!(world.case(case).narrative, "工人聚集。", "what was written travels behind the lock");
    assert!(matches!(he.core().case(case), Err(PhoneError::Locked)));
    he.library.unlock(PIN.into()).unwrap();
    assert_eq!(he.case(case).narrative, "工人聚集。");
    he.library.lock();
    assert!(he.library.lock_state().unwrap().locked);
}

/// The clock of the tests runs on by itself: at most this long, and not much shorter.
fn must_wait(answer: Result<(), PhoneLibError>, ms: u64) -> bool {
    matches!(answer, Err(PhoneLibError::PinWait { after_ms }) if after_ms <= ms && after_ms + 2_500 > ms)
}

#[test]
fn wrong_pins_cost_a_wait_that_grows_and_no_clock_and_no_restart_shortens_it() {
    let world = World::new();
    let he = world.phone("he");
    he.library.set_pin(PIN.into(), None).unwrap();
    he.library.lock();
    for _ in 0..2 {
        assert_eq!(he.library.unlock("314159".into()), Err(PhoneLibError::PinWrong { after_ms: 0 }));
    }
    assert_eq!(he.library.unlock("314159".into()), Err(PhoneLibError::PinWrong { after_ms: 5_000 }));
    let wait = |phone: &PhoneLibrary| phone.unlock(PIN.into());
    assert!(must_wait(wait(&he.library), 5_000), "not even the right one is looked at");
    he.host.turn_clock(24 * HOUR);
    assert!(matches!(wait(&he.library), Err(PhoneLibError::PinWait { .. })), "turning the wall clock does not help");
    world.pass(3_000);
    // The app is killed and the phone restarted: the waiting begins anew.
    he.host.reboot();
    let path = he.core().store_path().to_owned();
    let again = PhoneLibrary::open_with(&path, &[7; 32], Arc::clone(&he.host) as _).unwrap();
    assert!(must_wait(wait(&again), 5_000));
    world.pass(5_000);
    assert_eq!(again.unlock("314159".into()), Err(PhoneLibError::PinWrong { after_ms: 10_000 }));
    world.pass(10_000);
    wait(&again).unwrap();
    again.lock();
    assert_eq!(
        again.unlock("314159".into()),
        Err(PhoneLibError::PinWrong { after_ms: 0 }),
        "forgiven by the right one"
    );
}

#[test]
fn a_policy_of_the_server_shortens_the_idle_time_and_wipes_after_wrong_pins() {
    let mut world = World::new();
    world.stop();
    world.start_with(|config| {
        config.lock_idle_minutes = 1;
        config.lock_wipe_after_tries = 2;
    });
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    he.library.set_pin(PIN.into(), None).unwrap();
    world.pass(MINUTE);
    assert!(matches!(he.core().case(case), Err(PhoneError::Locked)));
    assert!(matches!(he.library.unlock("314159".into()), Err(PhoneLibError::PinWrong { .. })));
    let path = he.core().store_path().to_owned();
    assert_eq!(he.library.unlock("314159".into()), Err(PhoneLibError::Wiped));
    assert!(!path.exists());
    assert_eq!(he.library.unlock(PIN.into()), Err(PhoneLibError::Wiped));
}

#[test]
fn a_forgotten_pin_is_replaced_by_who_knows_the_password_and_by_nobody_else() {
    let world = World::new();
    let he = world.phone("he");
    he.library.set_pin(PIN.into(), None).unwrap();
    he.library.lock();
    assert_eq!(he.library.set_pin("161803".into(), None), Err(PhoneLibError::Locked));
    he.sign_in_again(&world, "he");
    he.library.set_pin("161803".into(), None).unwrap();
    assert!(he.library.set_pin("141421".into(), Some(PIN.into())).is_err(), "the one before it no longer counts");
    he.library.lock();
    he.library.unlock("161803".into()).unwrap();
    he.library.clear_pin("161803".into()).unwrap();
    world.pass(HOUR);
    assert!(!he.library.lock_state().unwrap().locked);
}
