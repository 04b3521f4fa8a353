//! After several phones have done whatever they did against the real server, the tables are what a rebuild would make of the
//! journal, and nobody shows anything else than the server.

use proptest::prelude::*;
use sync_core::edit::Edit;
use tests::{MINUTE, TestPhone, World};

use tests::scribble::{Dice, edits};

fn edit(phone: &TestPhone, dice: Dice) {
    let ids = phone.core().documents().unwrap();
    if ids.is_empty() {
        return;
    }
    let id = ids[usize::from(dice[5]) % ids.len()];
    let mut wanted = edits(&phone.core().document(id).unwrap(), dice);
    // Whoever moves a case out of a worker's grid takes it from his sight: another matter.
    wanted.retain(|e| !matches!(e, Edit::SetField { path, .. } if path == "place.grid" || path == "place.building"));
    // What this person may not do, or what makes no sense now, is refused by the phone itself.
    let _ = phone.core().edit(id, &wanted);
}

proptest! {
    #![proptest_config(super::tries(3))]

    #[test]
    fn the_tables_are_what_a_rebuild_makes_of_the_journal(
        steps in prop::collection::vec((0u8..7, any::<u8>(), any::<Dice>()), 20..50),
    ) {
        let world = World::new();
        let phones: Vec<_> = ["he", "mediation-director", "community"].map(|login| world.phone(login)).into();
        for (what, who, dice) in steps {
            let phone = &phones[usize::from(who) % phones.len()];
            match what {
                0 => drop(phone.report("水利组17-5栋有工人聚集。双方争吵。")),
                1..=3 => edit(phone, dice),
                4 => phone.sync(),
                5 => world.pass(i64::from(dice[0]) * MINUTE),
                _ => drop(world.scheduler()),
            }
        }
        for phone in phones.iter().chain(&phones) {
            phone.sync();
        }
        world.check_rebuild();
        let ids = phones[0].core().documents().unwrap();
        for phone in &phones {
            assert_eq!(phone.core().status().unwrap().pending, 0);
            assert_eq!(phone.core().refused().unwrap(), vec![]);
            for id in &ids {
                let (there, here) = (world.case(*id), phone.case(*id));
                let text = |state| serde_json::to_string_pretty(&state).unwrap();
                let (there, here) = (text(there), text(here));
                let differ: Vec<_> = there.lines().zip(here.lines()).filter(|(a, b)| a != b).collect();
                assert!(there == here, "{id}: {differ:?}");
            }
        }
    }
}
