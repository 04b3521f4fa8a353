//! A case file as a screen shows it.

use std::collections::HashMap;

use sync_core::case::{CaseState, PendingReason};
use sync_core::rules::Obligation;

use super::{AttachmentView, ConflictView, ItemView, PassageView, TimelineView};
use crate::value::{FieldMap, fields_out};

/// A case file.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct CaseView {
    /// Its id.
    pub id: String,
    /// The community whose journal it belongs to.
    pub community: String,
    /// Who created it.
    pub created_by: String,
    /// When, as its creator says.
    pub created_ms: i64,
    /// Where it stands: `reported`, `accepted` ... `closed`.
    pub status: String,
    /// True while somebody still has to do something about the dispute itself.
    pub is_open: bool,
    /// The hall it lies with: `community`, `street`, `district`.
    pub level: String,
    /// The highest level it has been at.
    pub level_highest: String,
    /// Who is charged with it.
    pub assignee: Option<String>,
    /// The file number given at acceptance.
    pub file_number: Option<String>,
    /// Registers that hold something; the displayed value of each.
    pub fields: FieldMap,
    /// The parties, removed ones left out.
    pub parties: Vec<ItemView>,
    /// The statements.
    pub statements: Vec<ItemView>,
    /// The story.
    pub narrative: String,
    /// What is attached.
    pub attachments: Vec<AttachmentView>,
    /// Everything that happened.
    pub timeline: Vec<TimelineView>,
    /// Registers that wait to be settled.
    pub conflicts: Vec<ConflictView>,
    /// Passages that wait to be confirmed.
    pub passages: Vec<PassageView>,
    /// Closed by somebody who had not seen new facts.
    pub closed_without_knowing: Vec<ClosedWithoutKnowingView>,
    /// Escalations with late evidence that a person has to judge.
    pub evidence_pending: Vec<EvidenceView>,
    /// True when a supervisor has something to decide before this file can rest.
    pub needs_review: bool,
    /// Sum agreed, fen.
    pub amount_agreed: Option<i64>,
    /// Names of the people who wrote, by account, as the server vouches for them.
    pub people: HashMap<String, String>,
}

/// A case that was closed by somebody who had not seen new facts.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ClosedWithoutKnowingView {
    /// The closing event.
    pub closure: String,
    /// The events that its author had not seen.
    pub unseen: Vec<String>,
}

/// An escalation with late evidence.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct EvidenceView {
    /// The escalation.
    pub escalation: String,
    /// The late event.
    pub evidence: String,
    /// `only_claimed` or `level_acted`: why it was not withdrawn by itself.
    pub why: String,
}

/// One thing that must happen in a case by a certain time: a countdown.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ObligationView {
    /// The id of the rule.
    pub rule: String,
    /// What the rule asks, in Chinese.
    pub zh: String,
    /// What the rule asks, in English.
    pub en: String,
    /// The event that started the clock.
    pub trigger: String,
    /// When the clock started.
    pub started_ms: i64,
    /// When it is due.
    pub due_ms: i64,
    /// True when the calendar has no data for a year it crosses.
    pub provisional: bool,
    /// True when the trigger reached the server only after it was due.
    pub arrived_late: bool,
    /// `pending`, `overdue`, `met`, `met_late` or `acted`.
    pub outcome: String,
    /// The event that settled it.
    pub outcome_event: Option<String>,
}

impl From<&CaseState> for CaseView {
    fn from(s: &CaseState) -> Self {
        Self {
            id: s.id.to_string(),
            community: s.community.to_string(),
            created_by: s.created_by.to_string(),
            created_ms: s.created_ms,
            status: s.status.as_str().to_owned(),
            is_open: s.status.is_open(),
            level: s.level.as_str().to_owned(),
            level_highest: s.level_highest.as_str().to_owned(),
            assignee: s.assignee.map(|u| u.to_string()),
            file_number: s.file_number.clone(),
            fields: fields_out(&s.fields),
            parties: super::items(&s.parties),
            statements: super::items(&s.statements),
            narrative: s.narrative.clone(),
            attachments: super::attachments(&s.attachments),
            timeline: s.timeline.iter().map(TimelineView::from).collect(),
            conflicts: super::conflicts(&s.conflicts),
            passages: super::passages(&s.passages),
            closed_without_knowing: s
                .closed_without_knowing
                .iter()
                .map(|c| ClosedWithoutKnowingView {
                    closure: c.closure.to_string(),
                    unseen: c.unseen.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            evidence_pending: s
                .evidence_pending
                .iter()
                .map(|e| EvidenceView {
                    escalation: e.escalation.to_string(),
                    evidence: e.evidence.to_string(),
                    why: match e.why {
                        PendingReason::OnlyClaimed => "only_claimed",
                        PendingReason::LevelActed => "level_acted",
                    }
                    .to_owned(),
                })
                .collect(),
            needs_review: s.needs_review(),
            amount_agreed: s.amount_agreed,
            people: super::people(&s.people),
        }
    }
}

impl From<&Obligation> for ObligationView {
    fn from(o: &Obligation) -> Self {
        let rules = &sync_core::rules::RuleSet::shipped().rules;
        let rule = rules.iter().find(|r| r.id == o.rule);
        Self {
            rule: o.rule.clone(),
            zh: rule.map(|r| r.zh.clone()).unwrap_or_default(),
            en: rule.map(|r| r.en.clone()).unwrap_or_default(),
            trigger: o.trigger.to_string(),
            started_ms: o.started_ms,
            due_ms: o.due_ms,
            provisional: o.provisional,
            arrived_late: o.arrived_late,
            outcome: o.outcome.as_str().to_owned(),
            outcome_event: o.outcome.event().map(|e| e.to_string()),
        }
    }
}
