//! A few seeds of the simulator, and proof that its checks can fail: each deliberate wrong is found.

use tests::simulate::faults::Fault;
use tests::simulate::{Options, Outcome, Sabotage, run};

fn a_day(seed: u64) -> Options {
    Options { days: 1, actions_a_day: 90, ..Options::new(seed) }
}

fn held(Outcome { report, story }: &Outcome) {
    assert!(report.is_clean(), "{:#?}\n{}", report.wrong, story.join("\n"));
    assert!(report.edits > 15 && report.syncs > 20, "hardly anything happened: {report:?}");
}

#[test]
fn simulated_days_lose_nothing_and_all_fold_equal_whatever_goes_wrong() {
    let outcome = run(&a_day(1));
    held(&outcome);
    assert!(outcome.report.faults > 5, "hardly anything went wrong: {:?}", outcome.report.by_kind);
}

#[test]
fn a_simulated_seed_tells_the_same_story_twice() {
    let (one, other) = (run(&a_day(7)), run(&a_day(7)));
    held(&one);
    assert_eq!(one.story, other.story);
    assert_eq!(one.report, other.report);
}

#[test]
fn the_simulator_finds_a_server_that_forgets_what_it_acknowledged() {
    let report = run(&Options::sabotaged(1, Sabotage::Forget)).report;
    assert!(report.lost > 0, "{report:?}");
}

#[test]
fn the_simulator_finds_a_phone_that_forgets_what_was_typed() {
    let report = run(&Options::sabotaged(1, Sabotage::Drop)).report;
    assert!(report.lost > 0, "{report:?}");
}

#[test]
fn the_simulator_finds_a_server_that_tells_people_what_they_may_not_see() {
    let report = run(&Options::sabotaged(1, Sabotage::Peek)).report;
    assert!(report.unauthorised > 0, "{report:?}");
}

#[test]
fn the_simulator_finds_a_table_that_is_not_what_the_journal_says() {
    let report = run(&Options::sabotaged(1, Sabotage::Scribble)).report;
    assert!(report.diverged > 0 && report.lost == 0, "{report:?}");
}

#[test]
fn the_simulator_finds_a_server_that_still_names_what_was_erased() {
    let report = run(&Options::sabotaged(1, Sabotage::Remember)).report;
    assert!(report.unauthorised > 0 && report.lost == 0, "{report:?}");
}

#[test]
fn the_simulator_finds_photos_that_are_on_no_server() {
    let report = run(&Options::sabotaged(1, Sabotage::Photos)).report;
    assert!(report.undrained > 0, "{report:?}");
}

#[test]
fn simulated_decisions_meetings_photos_wipes_and_erasures_lose_nothing_and_tell_nobody_else() {
    let outcome = run(&Options { days: 1, actions_a_day: 110, deeds_per_mille: 600, ..Options::new(5) });
    let deeds: Vec<&str> = outcome.report.deeds.keys().map(String::as_str).collect();
    for deed in ["meets", "attaches", "transfers", "frees"] {
        assert!(deeds.contains(&deed), "{deeds:?}");
    }
    held(&outcome);
}

#[test]
fn the_simulator_finds_forgeries_in_no_journal() {
    let mut options = a_day(3);
    options.without.extend(tests::simulate::faults::FAULTS.iter().map(|(f, _)| *f).filter(|f| *f != Fault::Forged));
    let outcome = run(&options);
    held(&outcome);
    assert!(outcome.report.by_kind.contains_key("forged"), "{:?}", outcome.report.by_kind);
}

/// Seeds with a restored server that once went wrong, each for a reason of its own: a claim by a stranger to an actor that the backup
/// did not know, an order to forget that was given for two reasons at once, and one that overtook what the server had just asked for.
#[test]
fn simulated_restores_that_once_went_wrong_lose_nothing_and_keep_every_author() {
    for seed in [1019, 1026, 1038] {
        held(&run(&Options { deeds_per_mille: 0, ..Options::new(seed) }));
    }
}
