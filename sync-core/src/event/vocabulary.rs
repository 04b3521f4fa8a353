//! The table of event kinds: what each asks for in its body. Terms are the glossary's; the life of the hall is all here, so that
//! later screens add no kinds.

use serde::{Deserialize, Serialize};

/// What a field of an event's body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    /// Text, not empty.
    Text,
    /// Whole number, not negative.
    Count,
    /// Money in fen, not negative.
    Fen,
    /// Moment, ms UTC.
    Moment,
    /// true or false.
    Flag,
    /// One of these codes.
    OneOf(&'static [&'static str]),
    /// The id of an event of this document.
    Event,
    /// The id of a user.
    User,
    /// The id of another document.
    Document,
    /// A list of texts, not empty.
    Texts,
}

/// One field of an event's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyField {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub holds: BodyType,
    /// Whether the event makes no sense without it.
    pub required: bool,
}

/// One kind of event.
#[derive(Debug, Clone, Copy)]
pub struct KindSpec {
    /// The kind.
    pub kind: EventKind,
    /// Its name in documents, tables and the API.
    pub name: &'static str,
    /// What its body asks for.
    pub body: &'static [BodyField],
}

const fn must(name: &'static str, holds: BodyType) -> BodyField {
    BodyField { name, holds, required: true }
}

const fn may(name: &'static str, holds: BodyType) -> BodyField {
    BodyField { name, holds, required: false }
}

use BodyType::{Count, Document, Event, Fen, Flag, Moment, OneOf, Text, Texts, User};

const NOTE: BodyField = may("note", Text);
const LEVELS: BodyType = OneOf(&["community", "street", "district"]);

macro_rules! vocabulary {
    ($($(#[$doc:meta])* $variant:ident = $name:literal [$($field:expr),* $(,)?];)*) => {
        /// What happened. Written in documents as its snake_case name; a name this program does not know is kept as it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $variant,)*
            /// A kind that a newer program wrote; interned by its name.
            Other(OtherKind),
        }

        /// Every kind with what its body asks for.
        pub const VOCABULARY: &[KindSpec] = &[
            $(KindSpec { kind: EventKind::$variant, name: $name, body: &[$($field),*] },)*
        ];

        impl EventKind {
            /// The name in documents, tables and the API.
            pub fn as_str(&self) -> &str {
                match self {
                    $(EventKind::$variant => $name,)*
                    EventKind::Other(other) => other.as_str(),
                }
            }

            /// Reads a name; one that the vocabulary lacks becomes [`EventKind::Other`]. `None` for a name that cannot be one.
            pub fn parse(name: &str) -> Option<EventKind> {
                match name {
                    $($name => Some(EventKind::$variant),)*
                    other => OtherKind::new(other).map(EventKind::Other),
                }
            }
        }
    };
}

vocabulary! {
    // intake
    /// 上报: somebody tells of a dispute.
    Reported = "reported" [NOTE];
    /// 引导: people are guided to the hall.
    Guided = "guided" [may("people", Count), may("to", Text), NOTE];
    /// 到场: somebody of the team is on the scene.
    OnScene = "on_scene" [NOTE];
    /// 走访入户: a visit.
    HomeVisit = "home_visit" [NOTE];
    /// 受理: the hall receives the case; the receiving level answers for it from now on.
    Accepted = "accepted" [may("file_number", Text), NOTE];
    /// 不予受理, with the way that is open to the people.
    Rejected = "rejected" [must("reason", Text), must("remedy", Text)];
    /// 告知: the people were told in writing or on the spot.
    Acknowledged = "acknowledged" [may("in_writing", Flag), NOTE];
    /// 分流: sent on the way that fits.
    Triaged = "triaged" [must("route", OneOf(&["mediation", "department", "petition", "legal_aid", "consultation"])), NOTE];
    /// 分派: somebody is charged with it.
    Assigned = "assigned" [must("to", User), NOTE];
    /// New facts: what could change the handling. `bears_on` says how.
    FactAdded = "fact_added" [must("fact", Text), may("bears_on", OneOf(&["violence", "more_people", "objection", "danger", "other"])), may("people", Count)];
    /// A remark without effect on the state.
    Note = "note" [must("text", Text)];
    // mediation
    /// 同意调解.
    ConsentGiven = "consent_given" [may("party", Text), NOTE];
    /// 拒绝调解: ends mediation (人民调解法 17).
    ConsentRefused = "consent_refused" [must("party", Text), NOTE];
    /// 回避: the mediator discloses an interest.
    InterestDisclosed = "interest_disclosed" [must("interest", Text), may("withdraws", Flag)];
    /// 调解: a mediation session was held.
    MediationSession = "mediation_session" [may("mediators", Texts), may("present", Texts), may("held", Moment), may("summary", Text), NOTE];
    /// 法律意见: legal advice was given.
    LegalAdvice = "legal_advice" [must("advice", Text)];
    /// 达成书面协议 (人民调解法 29).
    MediationAgreement = "mediation_agreement" [must("terms", Text), may("amount", Fen), may("perform_by", Moment), may("partial", Flag), NOTE];
    /// 口头协议.
    OralAgreement = "oral_agreement" [must("terms", Text), may("amount", Fen), may("perform_by", Moment), NOTE];
    /// 终止调解, with the remedies that are open (人民调解法 26).
    Termination = "termination" [must("reason", OneOf(&["withdrawn", "refused", "facts_hidden", "collusion", "impracticable", "expired"])), must("remedy", Text), NOTE];
    /// 履行.
    Performance = "performance" [must("complete", Flag), may("amount", Fen), NOTE];
    /// 申请司法确认.
    JudicialConfirmationApplied = "judicial_confirmation_applied" [NOTE];
    /// 司法确认结果.
    JudicialConfirmation = "judicial_confirmation" [must("confirmed", Flag), NOTE];
    // joint handling
    /// 吹哨: departments are summoned.
    Whistle = "whistle" [must("departments", Texts), must("urgency", OneOf(&["urgent", "ordinary"])), NOTE];
    /// 报到: a department came.
    ReportIn = "report_in" [must("whistle", Event), must("department", Text), NOTE];
    /// 移送: another body handles it from now on.
    Transfer = "transfer" [must("to", Text), must("reason", Text)];
    /// 退单: sent back to the level below, with reasons.
    ReturnOrder = "return_order" [must("reason", Text)];
    /// 联动.
    JointHandling = "joint_handling" [must("participants", Texts), NOTE];
    /// 督办.
    Supervision = "supervision" [must("demand", Text), may("due", Moment)];
    /// 催办: also written by the server when a rule says so.
    Reminder = "reminder" [may("rule", Text), may("rule_set", Text), may("trigger", Event), may("due", Moment), may("notify", Texts), NOTE];
    /// 领导包案.
    LeaderCharge = "leader_charge" [must("leader", Text), NOTE];
    // escalation
    /// 升级: raised to a level, by a rule (the server) or by a person.
    Escalation = "escalation" [must("to", LEVELS), must("reason", Text), may("rule", Text), may("rule_set", Text), may("trigger", Event), may("due", Moment),
        may("satisfied_by", Texts), may("by_level", LEVELS), may("arrived_late", Flag), may("notify", Texts)];
    /// The level decides that an escalation with late evidence is withdrawn.
    EscalationWithdrawn = "escalation_withdrawn" [must("escalation", Event), must("reason", Text)];
    /// The level decides to keep the case in spite of late evidence.
    EscalationKept = "escalation_kept" [must("escalation", Event), must("reason", Text)];
    /// 大事即报.
    FlashReport = "flash_report" [must("stage", OneOf(&["call", "initial", "follow_on", "final"])), may("situation", Text), may("rule", Text), may("notify", Texts), may("number", Count)];
    /// 预警.
    WarningRaised = "warning_raised" [must("level", OneOf(&["01", "02", "03"])), NOTE];
    /// 报警: reported to the police.
    PoliceReported = "police_reported" [must("matter", Text)];
    // outcome
    /// 化解.
    Resolved = "resolved" [may("method", Text), may("amount", Fen), NOTE];
    /// 办结.
    Closed = "closed" [may("summary", Text), NOTE];
    /// 重新办理.
    Reopened = "reopened" [must("reason", Text)];
    /// A supervisor has seen what the closer had not.
    ClosureConfirmed = "closure_confirmed" [must("closure", Event), must("reason", Text)];
    /// 并案: this file tells the same dispute as another; that one goes on.
    Merged = "merged" [must("into", Document), NOTE];
    /// 回访.
    FollowUp = "follow_up" [must("interviewee", Text), may("satisfaction", OneOf(&["satisfied", "mostly", "unsatisfied"])), may("performed", Flag), may("hazard", Text), NOTE];
    /// Somebody has read a passage that two people wrote at once, and confirms what stands.
    PassageConfirmed = "passage_confirmed" [must("text", Text), must("flag", Text)];
    // patrol
    /// The patrol begins.
    PatrolStarted = "patrol_started" [NOTE];
    /// The patrol ends.
    PatrolEnded = "patrol_ended" [NOTE];
    /// 隐患整改: a hazard was put right.
    HazardRectified = "hazard_rectified" [must("hazard", Text), NOTE];
    /// 宣传: leaflets, posters.
    PublicityRecord = "publicity_record" [may("leaflets", Count), may("posters", Count), NOTE];
}

/// The name of a kind that this program does not know, kept without allocating for each event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherKind {
    bytes: [u8; Self::BYTES_MAX],
    len: u8,
}

impl OtherKind {
    /// The longest name of a kind, in bytes.
    pub const BYTES_MAX: usize = 48;

    fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..name.len()).filter(|_| fits)?.copy_from_slice(name.as_bytes());
        Some(Self { bytes, len: u8::try_from(name.len()).ok()? })
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl std::fmt::Debug for OtherKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl EventKind {
    /// What the kind asks for; `None` for a kind of a newer program.
    pub fn spec(&self) -> Option<&'static KindSpec> {
        VOCABULARY.iter().find(|s| s.kind == *self)
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        EventKind::parse(&name)
            .ok_or_else(|| serde::de::Error::custom("an event kind is 1 to 48 lower-case letters, digits or `_`"))
    }
}
