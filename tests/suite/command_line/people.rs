//! `user assign`, `unassign`, `reassign`.

use tests::phones::set;

use super::{run, turned_down, world_of_today};

#[test]
fn command_line_areas_change_hands_and_the_phones_follow() {
    let world = world_of_today();
    let (he, baihua) = (world.phone("he"), world.phone("baihua"));
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    baihua.sync();
    assert!(!baihua.core().documents().unwrap().contains(&case));

    let out = run(&world, &["user", "assign", "baihua", "grid_worker@GM-BIYAN-01"]);
    assert_eq!(out, "baihua is grid_worker@GM-BIYAN-01 from now on\n");
    baihua.sync();
    assert_eq!(baihua.case(case), world.case(case), "a role that is given brings what it shows");

    let out = run(&world, &["user", "unassign", "baihua", "grid_worker@GM-BIYAN-01"]);
    assert_eq!(out, "baihua is no longer grid_worker@GM-BIYAN-01\n");
    baihua.sync();
    assert!(!baihua.core().documents().unwrap().contains(&case), "and what is taken away is forgotten");

    // What he writes before he hears of it was his to write.
    he.sync();
    he.edit(case, &[set("people_involved", 23)]);
    let hand_on = ["user", "reassign", "grid_worker@GM-BIYAN-01", "--from", "he", "--to", "baihua"];
    assert_eq!(run(&world, &hand_on), "grid_worker@GM-BIYAN-01: baihua instead of he from now on\n");
    he.sync();
    baihua.sync();
    assert_eq!(world.case(case).number("people_involved"), Some(23));
    assert_eq!(baihua.case(case), world.case(case));
    let listed = run(&world, &["user", "list"]);
    let of = |login: &str| listed.lines().find(|l| l.starts_with(&format!("{login}\t"))).unwrap().to_owned();
    assert!(of("baihua").contains("grid_worker@GM-BIYAN-01"), "{listed}");
    assert!(!of("he").contains("grid_worker@GM-BIYAN-01"), "{listed}");
    world.check_rebuild();
}

#[test]
fn command_line_roles_that_cannot_be_given_are_named() {
    let world = world_of_today();
    let before = run(&world, &["user", "list"]);
    turned_down(
        &world,
        &[
            (&["user", "assign", "nobody", "grid_worker@GM-BIYAN-01"], "nobody"),
            (&["user", "assign", "he", "grid_worker@GM-NOWHERE"], "GM-NOWHERE"),
            (&["user", "assign", "he", "boss@GM-BIYAN-01"], "boss"),
            (&["user", "assign", "he", "grid_worker"], "grid_worker"),
            (&["user", "unassign", "he", "grid_worker@GM-BAIHUA-01"], "GM-BAIHUA-01"),
            (&["user", "unassign", "nobody", "grid_worker@GM-BIYAN-01"], "nobody"),
            (&["user", "reassign", "grid_worker@GM-BIYAN-01", "--from", "he", "--to", "he"], "somebody else"),
            (&["user", "reassign", "grid_worker@GM-BIYAN-01", "--from", "he", "--to", "nobody"], "nobody"),
            (&["user", "reassign", "grid_worker@GM-BAIHUA-01", "--from", "he", "--to", "baihua"], "GM-BAIHUA-01"),
            (&["user", "disable", "nobody"], "nobody"),
        ],
    );
    assert_eq!(run(&world, &["user", "list"]), before, "none of them changed anything");
}
