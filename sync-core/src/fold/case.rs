//! Folds a case file: status, level, what is moot, what was withdrawn, what a supervisor must look at.

use super::{Causality, order, parts, passages};
use crate::case::{CaseState, ClosedWithoutKnowing, EvidencePending, Item, PendingReason, Status, Totals};
use crate::document::Document;
use crate::event::{Body, BodyType, EventKind, MootReason, TimelineEntry, Withdrawal};
use crate::ids::{EventId, UserId};
use crate::role::{Level, Role};
use crate::time::TimeBasis;

/// The state of a case file.
pub fn fold_case(document: &Document) -> CaseState {
    let mut parts = parts(document);
    let mut timeline = order::timeline(document.events(), &document.witnesses());
    let causality = Causality::of(&timeline);
    // Withdrawing an escalation can make later events meaningful or moot, which can withdraw another one; each round withdraws one.
    let mut pending = Vec::new();
    let mut life = Life::default();
    for _ in 0..=timeline.len() {
        life = Life::run(&mut timeline);
        let (withdrawn, waiting) = judge_evidence(&timeline, &causality);
        pending = waiting;
        let mut changed = false;
        for (escalation, withdrawal) in withdrawn {
            if let Some(entry) = timeline.iter_mut().find(|e| e.id == escalation && e.withdrawn.is_none()) {
                entry.withdrawn = Some(withdrawal);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let closed_without_knowing = closed_without_knowing(&timeline, &causality);
    let passages = passages::open(document, &parts.actors, &timeline);
    let meta = document.meta();
    let mut parties = parts.collections.remove("parties").unwrap_or_default();
    parties.retain(|_, p: &mut Item| p.fields.get("removed").and_then(|v| v.as_bool()) != Some(true));
    let statements = parts.collections.remove("statements").unwrap_or_default();
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let held = |kind: EventKind| size(timeline.iter().filter(|e| e.kind == kind && e.stands()).count());
    CaseState {
        id: meta.id,
        totals: Totals {
            parties: size(parties.len()),
            people_represented: parties
                .values()
                .filter_map(|p| p.fields.get("represents")?.as_i64())
                .max()
                .unwrap_or(0),
            statements: size(statements.len()),
            mediation_sessions: held(EventKind::MediationSession),
            departments_reported_in: held(EventKind::ReportIn),
            escalations: held(EventKind::Escalation),
            follow_ups: held(EventKind::FollowUp),
        },
        community: meta.community.clone(),
        created_by: meta.created_by,
        created_ms: meta.created_ms,
        status: life.status.unwrap_or(Status::Reported),
        level: life.level,
        level_highest: life.level_highest,
        assignee: life.assignee,
        file_number: life.file_number,
        fields: parts.fields,
        parties,
        statements,
        narrative: document.text("narrative").unwrap_or_default(),
        attachments: document.attachments(),
        conflicts: parts.conflicts,
        passages,
        closed_without_knowing,
        evidence_pending: pending,
        amount_agreed: life.amount,
        people: document.people(),
        accepted: document.acceptances(),
        timeline,
    }
}

/// Whether an event of this kind would have its effect on this state, for forms that must not offer nonsense. `body` is what the
/// form would write.
pub fn allowed_now(state: &CaseState, kind: EventKind, body: &Body) -> Result<(), MootReason> {
    let mut timeline = state.timeline.clone();
    let mut life = Life::run(&mut timeline);
    life.step(&probe(kind, body.clone()), &timeline)
}

/// Whether an event of this kind would have its effect with any of these bodies.
pub(super) fn stands_with(state: &CaseState, kind: EventKind, mut bodies: impl Iterator<Item = Body>) -> bool {
    let mut timeline = state.timeline.clone();
    let life = Life::run(&mut timeline);
    bodies.any(|body| life.clone().step(&probe(kind, body), &timeline).is_ok())
}

fn probe(kind: EventKind, body: Body) -> TimelineEntry {
    TimelineEntry {
        id: EventId(uuid::Uuid::nil()),
        kind,
        by: crate::event::Author::system(),
        at: crate::time::TimeClaim { hlc: crate::time::Hlc::default(), anchor: None },
        after: Vec::new(),
        body,
        witness: None,
        moot: None,
        withdrawn: None,
    }
}

#[derive(Debug, Clone)]
struct Life {
    status: Option<Status>,
    level: Level,
    level_highest: Level,
    assignee: Option<UserId>,
    file_number: Option<String>,
    amount: Option<i64>,
    consent_refused: bool,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            status: None,
            level: Level::Community,
            level_highest: Level::Community,
            assignee: None,
            file_number: None,
            amount: None,
            consent_refused: false,
        }
    }
}

impl Life {
    fn run(timeline: &mut [TimelineEntry]) -> Self {
        let mut life = Life::default();
        for i in 0..timeline.len() {
            let (before, rest) = timeline.split_at_mut(i);
            let Some(entry) = rest.first_mut() else { break };
            if entry.withdrawn.is_some() {
                entry.moot = None;
                continue;
            }
            entry.moot = life.step(entry, before).err();
        }
        life
    }

    fn step(&mut self, entry: &TimelineEntry, before: &[TimelineEntry]) -> Result<(), MootReason> {
        use EventKind as K;
        use MootReason as M;
        complete(entry)?;
        let status = self.status;
        let is = |s: Status| status == Some(s);
        let open = status.is_none_or(Status::is_open);
        let closed = if open { Ok(()) } else { Err(M::CaseClosed) };
        let reference = |name: &str, kind: EventKind| {
            let target = entry.reference(name).and_then(|id| before.iter().find(|e| e.id == id));
            target.filter(|e| e.kind == kind && e.stands()).ok_or(M::ReferenceMoot)
        };
        match entry.kind {
            K::Other(_) => Err(M::UnknownKind),
            K::Reported if status.is_some() => Err(M::AlreadyDone),
            K::Reported => self.become_(Status::Reported),
            K::Accepted => match status {
                None | Some(Status::Reported) => {
                    self.file_number = entry.text("file_number").map(str::to_owned).or(self.file_number.take());
                    self.become_(Status::Accepted)
                }
                // A higher level receives a case that lower ones had accepted before it was raised.
                Some(s) if s.is_open() && raised_since_acceptance(before) => Ok(()),
                Some(s) if s.is_open() => Err(M::AlreadyDone),
                Some(_) => Err(M::CaseClosed),
            },
            K::Rejected if is(Status::Rejected) => Err(M::AlreadyDone),
            K::Rejected if matches!(status, None | Some(Status::Reported)) => self.become_(Status::Rejected),
            K::Rejected => closed.and(Err(M::AlreadyDone)),
            K::Assigned => {
                closed?;
                if matches!(status, None | Some(Status::Reported)) {
                    return Err(M::NotAccepted);
                }
                self.assignee = entry.text("to").and_then(|t| t.parse().ok());
                if is(Status::Mediating) || is(Status::Agreed) { Ok(()) } else { self.become_(Status::Assigned) }
            }
            K::ConsentRefused => {
                closed?;
                self.consent_refused = true;
                Ok(())
            }
            K::ConsentGiven => {
                closed?;
                self.consent_refused = false;
                Ok(())
            }
            K::MediationSession => {
                closed?;
                if self.consent_refused {
                    return Err(M::ConsentRefused);
                }
                if is(Status::Agreed) { Ok(()) } else { self.become_(Status::Mediating) }
            }
            K::MediationAgreement | K::OralAgreement => {
                closed?;
                if self.consent_refused {
                    return Err(M::ConsentRefused);
                }
                if is(Status::Agreed) {
                    return Err(M::AlreadyDone);
                }
                self.amount = entry.number("amount").or(self.amount);
                self.become_(Status::Agreed)
            }
            K::Performance | K::JudicialConfirmationApplied | K::JudicialConfirmation => {
                let agreed =
                    before.iter().any(|e| matches!(e.kind, K::MediationAgreement | K::OralAgreement) && e.stands());
                if agreed { Ok(()) } else { Err(M::NoAgreement) }
            }
            K::Termination if is(Status::Terminated) => Err(M::AlreadyDone),
            K::Termination => closed.and_then(|()| self.become_(Status::Terminated)),
            K::Transfer => closed.and_then(|()| self.become_(Status::Transferred)),
            K::Merged => closed.and_then(|()| self.become_(Status::Merged)),
            K::Resolved if is(Status::Resolved) => Err(M::AlreadyDone),
            K::Resolved => {
                closed?;
                self.amount = entry.number("amount").or(self.amount);
                self.become_(Status::Resolved)
            }
            K::Closed => match status {
                Some(Status::Closed) => Err(M::AlreadyDone),
                Some(
                    Status::Resolved
                    | Status::Agreed
                    | Status::Rejected
                    | Status::Transferred
                    | Status::Terminated
                    | Status::Merged,
                ) => self.become_(Status::Closed),
                _ => Err(M::NotResolved),
            },
            K::Reopened if open => Err(M::CaseNotClosed),
            K::Reopened => self.become_(Status::Accepted),
            K::Escalation => {
                closed?;
                self.raise(entry, before)
            }
            K::ReturnOrder => {
                closed?;
                let Some(below) = below(self.level) else { return Err(M::AlreadyAtLevel) };
                self.level = below;
                Ok(())
            }
            K::EscalationWithdrawn | K::EscalationKept => {
                let target = entry.reference("escalation").and_then(|id| before.iter().find(|e| e.id == id));
                target.filter(|e| e.kind == K::Escalation && e.moot.is_none()).map(|_| ()).ok_or(M::ReferenceMoot)
            }
            K::ReportIn => reference("whistle", K::Whistle).map(|_| ()).map_err(|_| M::NotSummoned),
            K::ClosureConfirmed => {
                let target = entry.reference("closure").and_then(|id| before.iter().find(|e| e.id == id));
                target.filter(|e| closes(e.kind)).map(|_| ()).ok_or(M::ReferenceMoot)
            }
            // What may be told of a closed case too: facts, remarks, follow-up, readers of passages, reports upwards.
            // A reminder may be about what is due after closing, such as the follow-up.
            K::FactAdded
            | K::Note
            | K::Reminder
            | K::FollowUp
            | K::PassageConfirmed
            | K::FlashReport
            | K::PoliceReported
            | K::Acknowledged
            | K::InterestDisclosed
            | K::WarningRaised
            | K::PublicityRecord => Ok(()),
            K::Guided
            | K::OnScene
            | K::HomeVisit
            | K::Triaged
            | K::LegalAdvice
            | K::Whistle
            | K::JointHandling
            | K::Supervision
            | K::LeaderCharge => closed,
            K::PatrolStarted | K::PatrolEnded | K::HazardRectified => Err(M::UnknownKind),
        }
    }

    fn become_(&mut self, status: Status) -> Result<(), MootReason> {
        self.status = Some(status);
        Ok(())
    }

    fn raise(&mut self, entry: &TimelineEntry, before: &[TimelineEntry]) -> Result<(), MootReason> {
        // An escalation that rests on another one falls with it.
        if let Some(trigger) = entry.reference("trigger")
            && before.iter().any(|e| e.id == trigger && e.kind == EventKind::Escalation && !e.stands())
        {
            return Err(MootReason::ReferenceMoot);
        }
        let to = entry.text("to").and_then(Level::parse).ok_or(MootReason::BodyIncomplete)?;
        if to <= self.level {
            return Err(MootReason::AlreadyAtLevel);
        }
        self.level = to;
        self.level_highest = self.level_highest.max(to);
        Ok(())
    }
}

fn below(level: Level) -> Option<Level> {
    match level {
        Level::Community => None,
        Level::Street => Some(Level::Community),
        Level::District => Some(Level::Street),
    }
}

fn raised_since_acceptance(before: &[TimelineEntry]) -> bool {
    let last = before
        .iter()
        .rev()
        .find(|e| e.stands() && matches!(e.kind, EventKind::Accepted | EventKind::Escalation | EventKind::ReturnOrder));
    last.is_some_and(|e| e.kind != EventKind::Accepted)
}

/// Events by which somebody ends his work on a case.
pub(super) fn closes(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Closed | EventKind::Resolved | EventKind::Rejected | EventKind::Merged | EventKind::Transfer
    )
}

/// New facts that somebody who closes a case should have known.
fn bears_on_closing(entry: &TimelineEntry) -> bool {
    match entry.kind {
        EventKind::FactAdded => {
            matches!(entry.text("bears_on"), Some("violence" | "more_people" | "objection" | "danger"))
        }
        EventKind::ConsentRefused | EventKind::WarningRaised | EventKind::PoliceReported => true,
        EventKind::FollowUp => entry.text("satisfaction") == Some("unsatisfied"),
        _ => false,
    }
}

/// The body holds what the kind asks for.
fn complete(entry: &TimelineEntry) -> Result<(), MootReason> {
    let Some(spec) = entry.kind.spec() else { return Err(MootReason::UnknownKind) };
    let there = |name: &str, holds: BodyType| {
        entry.body.get(name).is_some_and(|value| match holds {
            BodyType::Text | BodyType::User | BodyType::Document | BodyType::Event => {
                value.as_str().is_some_and(|s| !s.is_empty())
            }
            BodyType::OneOf(names) => value.as_str().is_some_and(|s| names.contains(&s)),
            BodyType::Count | BodyType::Fen | BodyType::Moment => value.as_i64().is_some_and(|n| n >= 0),
            BodyType::Flag => value.is_boolean(),
            BodyType::Texts => value.as_array().is_some_and(|a| !a.is_empty() && a.iter().all(|t| t.is_string())),
        })
    };
    if spec.body.iter().all(|f| !f.required || there(f.name, f.holds)) {
        Ok(())
    } else {
        Err(MootReason::BodyIncomplete)
    }
}

/// Which escalations late evidence withdraws, and which a person must judge.
fn judge_evidence(
    timeline: &[TimelineEntry],
    causality: &Causality,
) -> (Vec<(EventId, Withdrawal)>, Vec<EvidencePending>) {
    let mut withdrawn = Vec::new();
    let mut pending = Vec::new();
    for escalation in timeline.iter().filter(|e| e.kind == EventKind::Escalation && e.stands()) {
        let decisions = || timeline.iter().filter(|e| e.stands() && e.reference("escalation") == Some(escalation.id));
        if let Some(decision) = decisions().next_back() {
            if decision.kind == EventKind::EscalationWithdrawn {
                withdrawn.push((escalation.id, Withdrawal { by: decision.id, automatic: false }));
            }
            continue;
        }
        let Some(due) = escalation.number("due") else { continue };
        let trigger = escalation.reference("trigger");
        let satisfying: Vec<&str> = escalation
            .body
            .get("satisfied_by")
            .and_then(|v| v.as_array())
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str())
            .collect();
        let by_level = escalation.text("by_level").and_then(Level::parse);
        let evidence = timeline.iter().filter(|e| {
            e.stands()
                && by_level.is_none_or(|l| e.by.level.is_some_and(|x| x >= l))
                && satisfying.contains(&e.kind.as_str())
                && !causality.saw(e.id, escalation.id)
                && Some(e.id) != trigger
                && trigger.is_none_or(|t| comes_after(timeline, e.id, t))
        });
        let mut claimed = None;
        let mut proved = None;
        for e in evidence {
            match e.witness {
                Some(w) if matches!(w.basis, TimeBasis::Anchored | TimeBasis::Server) && w.latest_ms <= due => {
                    proved = Some(e.id);
                    break;
                }
                Some(w) if w.basis == TimeBasis::Claimed && w.earliest_ms <= due && e.at.hlc.wall_ms <= due => {
                    claimed = claimed.or(Some(e.id));
                }
                _ => {}
            }
        }
        let acted = level_acted(timeline, causality, escalation);
        match (proved, claimed) {
            (Some(by), _) if !acted => withdrawn.push((escalation.id, Withdrawal { by, automatic: true })),
            (Some(evidence), _) => {
                pending.push(EvidencePending { escalation: escalation.id, evidence, why: PendingReason::LevelActed })
            }
            (None, Some(evidence)) => {
                pending.push(EvidencePending { escalation: escalation.id, evidence, why: PendingReason::OnlyClaimed })
            }
            (None, None) => {}
        }
    }
    (withdrawn, pending)
}

/// Whether an event stands behind another one in the order of the timeline.
fn comes_after(timeline: &[TimelineEntry], event: EventId, trigger: EventId) -> bool {
    let place = |id| timeline.iter().position(|e| e.id == id);
    match (place(event), place(trigger)) {
        (Some(e), Some(t)) => e > t,
        _ => false,
    }
}

/// Whether somebody at the level that the case was raised to has acted on it since, knowing of the escalation.
fn level_acted(timeline: &[TimelineEntry], causality: &Causality, escalation: &TimelineEntry) -> bool {
    let to = escalation.text("to").and_then(Level::parse);
    timeline.iter().any(|e| {
        e.stands()
            && e.by.role != Role::System
            && e.by.level.is_some_and(|l| Some(l) >= to)
            && !matches!(e.kind, EventKind::Note | EventKind::PassageConfirmed)
            && causality.saw(e.id, escalation.id)
    })
}

fn closed_without_knowing(timeline: &[TimelineEntry], causality: &Causality) -> Vec<ClosedWithoutKnowing> {
    let mut out = Vec::new();
    for closure in timeline.iter().filter(|e| closes(e.kind) && e.stands()) {
        let unseen: Vec<EventId> = timeline
            .iter()
            .filter(|e| {
                bears_on_closing(e)
                    && e.stands()
                    && !causality.saw(closure.id, e.id)
                    && !causality.saw(e.id, closure.id)
            })
            .map(|e| e.id)
            .collect();
        let confirmed = |id: &EventId| {
            timeline.iter().any(|e| {
                e.kind == EventKind::ClosureConfirmed
                    && e.stands()
                    && e.reference("closure") == Some(closure.id)
                    && causality.saw(e.id, *id)
            })
        };
        let unseen: Vec<_> = unseen.into_iter().filter(|id| !confirmed(id)).collect();
        if !unseen.is_empty() {
            out.push(ClosedWithoutKnowing { closure: closure.id, unseen });
        }
    }
    out
}
