//! What is due in a case: pure, from its state, the rules, the calendar and the present.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Otherwise, Rule, RuleSet, Trigger, When};
use crate::calendar::Calendar;
use crate::case::CaseState;
use crate::event::{Body, EventKind, TimelineEntry};
use crate::ids::EventId;
use crate::role::{Level, Role};
use crate::time::TimeBasis;

/// How an obligation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "event")]
pub enum Outcome {
    /// Not yet due.
    Pending,
    /// Due and not met, and nothing was done about it yet.
    Overdue,
    /// Met in time, by this event.
    Met(EventId),
    /// Met, but late.
    MetLate(EventId),
    /// Not met in time; this reminder, escalation or flash report followed from it.
    Acted(EventId),
}

impl Outcome {
    /// The name in tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Pending => "pending",
            Outcome::Overdue => "overdue",
            Outcome::Met(_) => "met",
            Outcome::MetLate(_) => "met_late",
            Outcome::Acted(_) => "acted",
        }
    }

    /// The event that settled it.
    pub fn event(self) -> Option<EventId> {
        match self {
            Outcome::Met(e) | Outcome::MetLate(e) | Outcome::Acted(e) => Some(e),
            Outcome::Pending | Outcome::Overdue => None,
        }
    }
}

/// One thing that must happen in a case by a certain time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Obligation {
    /// Under which rule.
    pub rule: String,
    /// The event that started the clock.
    pub trigger: EventId,
    /// When the clock started, ms UTC: the trusted beginning of the trigger where there is one, else its arrival.
    pub started_ms: i64,
    /// When it is due, ms UTC.
    pub due_ms: i64,
    /// True when the calendar has no data for a year it crosses.
    pub provisional: bool,
    /// True when the trigger reached the server only after the obligation was due.
    pub arrived_late: bool,
    /// How it stands.
    pub outcome: Outcome,
    /// What was asked for has happened, in time or late, by this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fulfilled_by: Option<EventId>,
}

/// When the clock of a rule starts for a trigger: for what is proved, the moment itself; for what is merely claimed, the arrival,
/// because nobody is held to a time that a wrong clock invented; on a phone that has not synced, its own claim.
fn started_ms(trigger: &TimelineEntry) -> i64 {
    match trigger.witness {
        Some(w) if w.basis == TimeBasis::Claimed => w.received_ms,
        Some(w) => w.earliest_ms,
        None => trigger.at.hlc.wall_ms,
    }
}

fn holds(when: &When, case: &CaseState, rules: &RuleSet, trigger: &TimelineEntry) -> bool {
    let category = case.text("category").unwrap_or_default();
    let begins = |list: &Vec<String>| list.iter().any(|c| category.starts_with(c.as_str()));
    when.levels.as_ref().is_none_or(|l| l.contains(&case.level))
        && when.categories.as_ref().is_none_or(begins)
        && !when.not_categories.as_ref().is_some_and(begins)
        && when.channels.as_ref().is_none_or(|l| case.text("report.channel").is_some_and(|c| l.iter().any(|x| x == c)))
        && when.major.is_none_or(|m| m == rules.is_major(case))
        && when.wage_arrears.is_none_or(|w| w == case.flag("wage_arrears"))
        && when.body.as_ref().is_none_or(|b| trigger.text(&b.field) == Some(b.is.as_str()))
}

fn trigger_of<'a>(rule: &Rule, case: &'a CaseState) -> Option<(usize, &'a TimelineEntry)> {
    let reopened = case.timeline.iter().rposition(|e| e.stands() && e.kind == EventKind::Reopened);
    // A reopened case has been received again at that moment.
    let starts = |e: &TimelineEntry| {
        rule.from.contains(&e.kind) || (e.kind == EventKind::Reopened && rule.from.contains(&EventKind::Accepted))
    };
    let mut found =
        case.timeline.iter().enumerate().filter(|(i, e)| reopened.is_none_or(|r| *i >= r) && e.stands() && starts(e));
    match rule.trigger {
        Trigger::First => found.next(),
        Trigger::Last => found.next_back(),
    }
}

/// Everything that is or was due in a case, in the order of the rules.
pub fn obligations(case: &CaseState, rules: &RuleSet, calendar: &Calendar, now_ms: i64) -> Vec<Obligation> {
    rules.rules.iter().filter_map(|rule| obligation(rule, case, rules, calendar, now_ms)).collect()
}

fn obligation(rule: &Rule, case: &CaseState, rules: &RuleSet, calendar: &Calendar, now_ms: i64) -> Option<Obligation> {
    let (place, trigger) = trigger_of(rule, case)?;
    let acted = acted(rule, case, trigger.id);
    // Once something followed from it, it stays on record even if the case no longer fits the rule.
    if acted.is_none() && !holds(&rule.when, case, rules, trigger) {
        return None;
    }
    let started_ms = started_ms(trigger);
    let due = calendar.due(started_ms, rule.within);
    let fulfils = |e: &&TimelineEntry| {
        e.stands()
            && rule.must.contains(&e.kind)
            && rule.by_level.is_none_or(|l| e.by.level.is_some_and(|x| x >= l))
            && tells_enough(rule, e)
    };
    // The server's own flash report is what follows from the rule, not its fulfilment.
    let found = || case.timeline.iter().skip(place + 1).filter(fulfils).filter(|e| Some(e.id) != acted);
    // What only arrived late may stand before what is proved to have been in time.
    let met = found().find(|e| e.latest_ms() <= due.at_ms).or_else(|| found().next());
    let outcome = match (met, acted) {
        (Some(e), _) if e.latest_ms() <= due.at_ms => Outcome::Met(e.id),
        (_, Some(event)) => Outcome::Acted(event),
        (Some(e), None) => Outcome::MetLate(e.id),
        (None, None) if !case.status.is_open() && !rule.even_closed => return None,
        (None, None) if now_ms >= due.at_ms => Outcome::Overdue,
        (None, None) => Outcome::Pending,
    };
    Some(Obligation {
        rule: rule.id.clone(),
        trigger: trigger.id,
        started_ms,
        due_ms: due.at_ms,
        provisional: due.provisional,
        // What is due at once cannot arrive late.
        arrived_late: due.at_ms > started_ms && trigger.witness.is_some_and(|w| w.received_ms > due.at_ms),
        outcome,
        fulfilled_by: met.map(|e| e.id),
    })
}

/// Whether a flash report told every level that the rule names. One that told fewer does not spare the others theirs.
fn tells_enough(rule: &Rule, entry: &TimelineEntry) -> bool {
    let Otherwise::FlashReport { notify } = &rule.otherwise else { return true };
    let told = entry.body.get("notify").and_then(|v| v.as_array());
    let named = |level: &Level| told.is_some_and(|t| t.iter().any(|name| name.as_str() == Some(level.as_str())));
    entry.kind != EventKind::FlashReport || notify.iter().all(named)
}

/// The reminder, escalation or flash report that followed from this rule and trigger, withdrawn or not. Only the server follows
/// rules: a hall that names one in a reminder of its own does not keep its case from being raised.
fn acted(rule: &Rule, case: &CaseState, trigger: EventId) -> Option<EventId> {
    let follows = |e: &&TimelineEntry| {
        e.by.role == Role::System
            && matches!(e.kind, EventKind::Escalation | EventKind::Reminder | EventKind::FlashReport)
            && e.text("rule") == Some(rule.id.as_str())
            && (e.reference("trigger") == Some(trigger) || e.kind == EventKind::FlashReport)
    };
    case.timeline.iter().find(follows).map(|e| e.id)
}

/// When the scheduler must next look at a case: the earliest due time of what is neither met nor acted upon. `all` are the
/// obligations of the case as of the beginning of time, so that the answer is independent of the present and can stand in a table.
pub fn next_action_ms(all: &[Obligation]) -> Option<i64> {
    all.iter().filter(|o| o.outcome == Outcome::Pending).map(|o| o.due_ms).min()
}

/// When the next thing in a case is or was due, ms UTC: what lists show and sort by. What is overdue stays due until it has happened,
/// also after the rules have acted on it. Independent of the present, as [`next_action_ms`] is.
pub fn due_ms(case: &CaseState, all: &[Obligation]) -> Option<i64> {
    let waits = |o: &&Obligation| match o.outcome {
        Outcome::Pending | Outcome::Overdue => true,
        Outcome::Acted(_) => o.fulfilled_by.is_none() && case.status.is_open() && o.due_ms > o.started_ms,
        Outcome::Met(_) | Outcome::MetLate(_) => false,
    };
    all.iter().filter(waits).map(|o| o.due_ms).min()
}

/// What the server writes when an obligation is overdue: the kind and body of an event.
pub fn action(obligation: &Obligation, case: &CaseState, rules: &RuleSet) -> Option<(EventKind, Body)> {
    let rule = rules.rules.iter().find(|r| r.id == obligation.rule)?;
    let names = |levels: &[Level]| levels.iter().map(|l| l.as_str()).collect::<Vec<_>>();
    let common = |notify: &[Level]| vec![("rule", json!(rule.id)), ("notify", json!(names(notify)))];
    let (kind, fields) = match &rule.otherwise {
        Otherwise::Escalate { to, notify } if case.level < *to => {
            let must: Vec<_> = rule.must.iter().map(|k| k.as_str().to_owned()).collect();
            let mut fields = common(notify);
            fields.extend([
                ("to", json!(to.as_str())),
                ("reason", json!("rule")),
                ("rule_set", json!(format!("{}/{}", rules.id, rules.version))),
                ("trigger", json!(obligation.trigger.to_string())),
                ("due", json!(obligation.due_ms)),
                ("satisfied_by", json!(must)),
                ("arrived_late", json!(obligation.arrived_late)),
            ]);
            if let Some(level) = rule.by_level {
                fields.push(("by_level", json!(level.as_str())));
            }
            (EventKind::Escalation, fields)
        }
        // Already there: the level that has it is reminded instead of raising it to where it is.
        Otherwise::Escalate { notify, .. } | Otherwise::Remind { notify } => {
            let mut fields = common(notify);
            fields.extend([
                ("rule_set", json!(format!("{}/{}", rules.id, rules.version))),
                ("trigger", json!(obligation.trigger.to_string())),
                ("due", json!(obligation.due_ms)),
            ]);
            (EventKind::Reminder, fields)
        }
        Otherwise::FlashReport { notify } => {
            let mut fields = common(notify);
            fields.push(("stage", json!("call")));
            (EventKind::FlashReport, fields)
        }
    };
    Some((kind, fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

#[cfg(test)]
mod tests;
