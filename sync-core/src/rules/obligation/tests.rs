//! What is due, told as short stories by the shipped rules. Cases are put together by hand, so that nothing but the rules is tested.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::calendar::{beijing_ms, beijing_text};
use crate::case::{Status, Totals};
use crate::event::{Author, Withdrawal};
use crate::ids::{AreaCode, DocumentId, UserId};
use crate::time::{Hlc, TimeClaim, Witness};

const MINUTE: i64 = 60_000;
const EVERY_LEVEL: [&str; 3] = ["community", "street", "district"];

/// 17 May 2019, a Friday and a working day.
fn at(hour: i64, minute: i64) -> i64 {
    beijing_ms(2019, 5, 17, hour, minute)
}

/// An event as a connected desk of the community writes it.
fn desk(kind: EventKind, ms: i64) -> TimelineEntry {
    let user = UserId(Uuid::from_u128(7));
    TimelineEntry {
        id: EventId(Uuid::nil()),
        kind,
        by: Author { user, role: Role::Receptionist, level: Some(Level::Community), device: None },
        at: TimeClaim { hlc: Hlc { wall_ms: ms, count: 0 }, anchor: None },
        after: vec![],
        body: Body::new(),
        witness: Some(Witness::server(ms)),
        moot: None,
        withdrawn: None,
    }
}

/// An event as a phone wrote it at `ms` and the server received it at `received_ms`.
fn phone(kind: EventKind, ms: i64, received_ms: i64, basis: TimeBasis) -> TimelineEntry {
    let (earliest_ms, latest_ms) = if basis == TimeBasis::Claimed { (0, received_ms) } else { (ms, ms) };
    TimelineEntry { witness: Some(Witness { received_ms, earliest_ms, latest_ms, basis }), ..desk(kind, ms) }
}

fn with(entry: TimelineEntry, body: serde_json::Value) -> TimelineEntry {
    TimelineEntry { body: serde_json::from_value(body).unwrap(), ..entry }
}

/// The n-th event of a case, from 1.
fn nth(n: usize) -> EventId {
    EventId(Uuid::from_u128(u128::try_from(n).unwrap()))
}

fn case(timeline: Vec<TimelineEntry>) -> CaseState {
    let numbered = timeline.into_iter().enumerate().map(|(i, e)| TimelineEntry { id: nth(i + 1), ..e });
    CaseState {
        id: DocumentId(Uuid::from_u128(1)),
        community: AreaCode::new("440311001001").unwrap(),
        created_by: UserId(Uuid::from_u128(7)),
        created_ms: 0,
        status: Status::Reported,
        level: Level::Community,
        level_highest: Level::Community,
        assignee: None,
        file_number: None,
        fields: BTreeMap::new(),
        parties: BTreeMap::new(),
        statements: BTreeMap::new(),
        narrative: String::new(),
        attachments: BTreeMap::new(),
        timeline: numbered.collect(),
        conflicts: vec![],
        passages: vec![],
        closed_without_knowing: vec![],
        evidence_pending: vec![],
        amount_agreed: None,
        totals: Totals::default(),
        people: BTreeMap::new(),
        accepted: Default::default(),
    }
}

fn violent(mut case: CaseState) -> CaseState {
    case.fields.insert("violence".into(), json!(true));
    case
}

fn find(case: &CaseState, rule: &str, now_ms: i64) -> Option<Obligation> {
    obligations(case, RuleSet::shipped(), Calendar::shipped(), now_ms).into_iter().find(|o| o.rule == rule)
}

fn outcome(case: &CaseState, rule: &str, now_ms: i64) -> Outcome {
    find(case, rule, now_ms).unwrap().outcome
}

/// Writes what the rule asks for, as the server does.
fn follow(mut case: CaseState, rule: &str, now_ms: i64) -> CaseState {
    let due = find(&case, rule, now_ms).unwrap();
    assert_eq!(due.outcome, Outcome::Overdue, "{rule}");
    let (kind, body) = action(&due, &case, RuleSet::shipped()).unwrap();
    let id = nth(case.timeline.len() + 1);
    case.timeline.push(TimelineEntry { id, by: Author::system(), body, ..desk(kind, now_ms) });
    case
}

#[test]
fn a_case_received_up_to_the_last_millisecond_is_received_in_time() {
    for (ms, expected) in [(at(11, 0), Outcome::Met(nth(2))), (at(11, 0) + 1, Outcome::MetLate(nth(2)))] {
        let case = case(vec![desk(EventKind::Reported, at(9, 0)), desk(EventKind::Accepted, ms)]);
        assert_eq!(outcome(&case, "accept.community", at(20, 0)), expected);
    }
}

#[test]
fn a_case_nobody_receives_is_pending_and_then_overdue() {
    let case = case(vec![desk(EventKind::Reported, at(9, 0))]);
    assert_eq!(outcome(&case, "accept.community", at(11, 0) - 1), Outcome::Pending);
    assert_eq!(outcome(&case, "accept.community", at(11, 0)), Outcome::Overdue);
    assert_eq!(next_action_ms(&obligations(&case, RuleSet::shipped(), Calendar::shipped(), i64::MIN)), Some(at(11, 0)));
}

#[test]
fn what_was_raised_is_not_raised_again_even_when_it_was_withdrawn() {
    let reported = case(vec![desk(EventKind::Reported, at(9, 0))]);
    let mut raised = follow(reported, "accept.community", at(11, 0));
    assert_eq!(raised.timeline[1].kind, EventKind::Escalation);
    assert_eq!(outcome(&raised, "accept.community", at(12, 0)), Outcome::Acted(nth(2)));
    raised.timeline[1].withdrawn = Some(Withdrawal { by: nth(9), automatic: true });
    assert_eq!(outcome(&raised, "accept.community", at(12, 0)), Outcome::Acted(nth(2)));
    assert_eq!(next_action_ms(&obligations(&raised, RuleSet::shipped(), Calendar::shipped(), i64::MIN)), None);
}

#[test]
fn nobody_but_the_server_can_tick_off_that_a_rule_was_followed() {
    let reminder = json!({"rule": "accept.community", "trigger": nth(1).to_string()});
    let case = case(vec![desk(EventKind::Reported, at(9, 0)), with(desk(EventKind::Reminder, at(9, 5)), reminder)]);
    assert_eq!(outcome(&case, "accept.community", at(11, 0)), Outcome::Overdue);
}

#[test]
fn evidence_in_time_counts_wherever_it_stands_among_late_evidence() {
    let case = case(vec![
        desk(EventKind::Reported, at(9, 0)),
        phone(EventKind::Accepted, at(9, 30), at(15, 0), TimeBasis::Claimed),
        phone(EventKind::OralAgreement, at(10, 0), at(15, 0), TimeBasis::Anchored),
    ]);
    assert_eq!(outcome(&case, "accept.community", at(16, 0)), Outcome::Met(nth(3)));
}

#[test]
fn a_major_incident_is_due_at_once_and_told_to_every_level_without_raising_it() {
    let case = follow(violent(case(vec![desk(EventKind::Reported, at(9, 0))])), "flash.call", at(9, 0));
    let told = &case.timeline[1];
    assert_eq!((told.kind, &told.body["notify"]), (EventKind::FlashReport, &json!(EVERY_LEVEL)));
    assert_eq!(outcome(&case, "flash.call", at(9, 1)), Outcome::Acted(nth(2)));
    let late = violent(self::case(vec![phone(EventKind::Reported, at(9, 0), at(18, 0), TimeBasis::Anchored)]));
    assert!(!find(&late, "flash.call", at(18, 0)).unwrap().arrived_late, "what is due at once cannot arrive late");
}

#[test]
fn a_persons_flash_report_spares_the_servers_only_if_it_told_every_level() {
    for (body, expected) in [
        (json!({"stage": "call"}), Outcome::Overdue),
        (json!({"stage": "call", "notify": ["community"]}), Outcome::Overdue),
        (json!({"stage": "call", "notify": EVERY_LEVEL}), Outcome::MetLate(nth(2))),
    ] {
        let told = with(desk(EventKind::FlashReport, at(9, 5)), body.clone());
        let case = violent(case(vec![desk(EventKind::Reported, at(9, 0)), told]));
        assert_eq!(outcome(&case, "flash.call", at(9, 6)), expected, "{body}");
    }
}

#[test]
fn headcounts_class_a_case_half_open_and_violence_makes_it_major() {
    let people = |n: i64| {
        let mut case = case(vec![desk(EventKind::Reported, at(9, 0))]);
        case.fields.insert("people_involved".into(), json!(n));
        case
    };
    let rules = RuleSet::shipped();
    for (n, scale) in [(1, "01"), (4, "01"), (5, "02"), (49, "02"), (50, "03")] {
        assert_eq!(rules.scale(&people(n)), Some(scale), "{n}");
        assert!(crate::reference::codes().has("scale", scale));
        assert_eq!(rules.is_major(&people(n)), scale == "03");
    }
    assert_eq!(rules.scale(&violent(people(1))), Some("03"));
    assert_eq!(rules.scale(&case(vec![])), None);
}

#[test]
fn working_days_leap_over_the_national_day_week_and_use_the_adjusted_saturday() {
    for (from, due) in [((2019, 9, 30), "2019-10-09 00:00"), ((2026, 2, 13), "2026-02-15 00:00")] {
        let case = case(vec![desk(EventKind::Accepted, beijing_ms(from.0, from.1, from.2, 10, 0))]);
        assert_eq!(beijing_text(find(&case, "resolve.community", 0).unwrap().due_ms), due);
    }
}

#[test]
fn the_last_day_of_labour_mediation_rolls_over_spring_festival_2026() {
    let mut case = case(vec![desk(EventKind::MediationSession, beijing_ms(2026, 2, 5, 10, 0))]);
    case.fields.insert("category".into(), json!("0701"));
    assert_eq!(beijing_text(find(&case, "mediate.labour", 0).unwrap().due_ms), "2026-02-25 00:00");
    assert_eq!(find(&case, "mediate.default", 0), None);
}

#[test]
fn a_due_date_in_a_year_without_its_notice_is_provisional() {
    let case = case(vec![desk(EventKind::Accepted, beijing_ms(2031, 3, 3, 10, 0))]);
    assert!(find(&case, "resolve.community", 0).unwrap().provisional);
    assert!(!find(&case, "mediate.start", 0).unwrap().provisional, "minutes need no calendar");
}

#[test]
fn a_case_that_arrives_overdue_says_so_in_its_escalation() {
    let reported = case(vec![phone(EventKind::Reported, at(9, 0), at(12, 0), TimeBasis::Anchored)]);
    assert!(find(&reported, "accept.community", at(12, 0)).unwrap().arrived_late);
    assert!(follow(reported, "accept.community", at(12, 0)).timeline[1].flag("arrived_late"));
}

#[test]
fn the_clock_starts_when_the_trigger_is_known_to_have_happened() {
    let claimed = phone(EventKind::Reported, at(9, 0), at(12, 0), TimeBasis::Claimed);
    let unsent = TimelineEntry { witness: None, ..claimed.clone() };
    let anchored = phone(EventKind::Reported, at(9, 0), at(12, 0), TimeBasis::Anchored);
    for (entry, started_ms) in [(claimed, at(12, 0)), (unsent, at(9, 0)), (anchored, at(9, 0))] {
        let due = find(&case(vec![entry]), "accept.community", 0).unwrap();
        assert_eq!((due.started_ms, due.due_ms), (started_ms, started_ms + 120 * MINUTE));
    }
}

#[test]
fn the_street_must_act_itself_and_a_withdrawn_escalation_starts_no_clock() {
    let raised = with(desk(EventKind::Escalation, at(11, 0)), json!({"to": "street", "reason": "rule"}));
    let mut case = case(vec![desk(EventKind::Reported, at(9, 0)), raised, desk(EventKind::Accepted, at(12, 0))]);
    case.level = Level::Street;
    assert_eq!(outcome(&case, "accept.street", at(15, 0)), Outcome::Overdue, "the community is not the street");
    case.timeline[2].by.level = Some(Level::Street);
    assert_eq!(outcome(&case, "accept.street", at(15, 0)), Outcome::Met(nth(3)));
    case.timeline[1].withdrawn = Some(Withdrawal { by: nth(9), automatic: true });
    assert_eq!(find(&case, "accept.street", at(15, 0)), None);
}

#[test]
fn a_case_that_lies_with_the_street_already_is_reminded_of_instead_of_raised() {
    let mut case = case(vec![desk(EventKind::Reported, at(9, 0))]);
    case.level = Level::Street;
    assert_eq!(follow(case, "accept.community", at(11, 0)).timeline[1].kind, EventKind::Reminder);
}

#[test]
fn a_closed_case_owes_nothing_but_its_follow_up() {
    let mut case = violent(case(vec![desk(EventKind::Reported, at(9, 0)), desk(EventKind::Rejected, at(9, 30))]));
    case.timeline.push(TimelineEntry { id: nth(3), ..desk(EventKind::Closed, at(10, 0)) });
    case.status = Status::Closed;
    let open: Vec<_> = obligations(&case, RuleSet::shipped(), Calendar::shipped(), at(23, 0))
        .into_iter()
        .filter(|o| matches!(o.outcome, Outcome::Pending | Outcome::Overdue))
        .map(|o| o.rule)
        .collect();
    assert_eq!(open, ["followup.key"]);
}

#[test]
fn what_the_server_writes_holds_what_the_vocabulary_asks_for_and_nothing_else() {
    let rules = RuleSet::shipped();
    for rule in &rules.rules {
        let due = Obligation {
            rule: rule.id.clone(),
            trigger: nth(1),
            started_ms: at(9, 0),
            due_ms: at(11, 0),
            provisional: false,
            arrived_late: false,
            outcome: Outcome::Overdue,
            fulfilled_by: None,
        };
        let (kind, body) = action(&due, &case(vec![desk(EventKind::Reported, at(9, 0))]), rules).unwrap();
        let spec = kind.spec().unwrap();
        assert!(spec.body.iter().all(|f| !f.required || body.contains_key(f.name)), "{}", rule.id);
        assert!(body.keys().all(|k| spec.body.iter().any(|f| f.name == k)), "{}", rule.id);
    }
}
