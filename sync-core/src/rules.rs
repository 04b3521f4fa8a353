//! Escalation rules as data, and the pure functions that say what is due. The phone shows the same countdown offline that the
//! server's scheduler acts on.

mod obligation;

use serde::{Deserialize, Serialize};

use crate::calendar::Limit;
use crate::case::CaseState;
use crate::event::EventKind;
use crate::role::Level;

pub use obligation::{Obligation, Outcome, action, due_ms, next_action_ms, obligations};

/// A rule file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule file: {0}")]
pub struct RuleError(String);

/// Which of several triggering events starts the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The first one since the case was last opened.
    #[default]
    First,
    /// The last one: each starts anew.
    Last,
}

/// For which cases a rule holds. An absent part does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The case lies at one of these levels.
    #[serde(default)]
    pub levels: Option<Vec<Level>>,
    /// The category begins with one of these.
    #[serde(default)]
    pub categories: Option<Vec<String>>,
    /// The category begins with none of these.
    #[serde(default)]
    pub not_categories: Option<Vec<String>>,
    /// The report came by one of these channels.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// It is a major alert, or is not.
    #[serde(default)]
    pub major: Option<bool>,
    /// Wages are owed, or are not.
    #[serde(default)]
    pub wage_arrears: Option<bool>,
    /// The triggering event says this.
    #[serde(default)]
    pub body: Option<BodyIs>,
}

/// A field of the triggering event's body with its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyIs {
    /// The field.
    pub field: String,
    /// The value.
    pub is: String,
}

/// What happens when the limit passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Otherwise {
    /// Somebody is reminded.
    Remind {
        /// The levels that are told.
        notify: Vec<Level>,
    },
    /// The case is raised.
    Escalate {
        /// To this level.
        to: Level,
        /// The levels that are told.
        notify: Vec<Level>,
    },
    /// 大事即报: every level named is told at once; the case stays where it is.
    FlashReport {
        /// The levels that are told.
        notify: Vec<Level>,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Chinese label.
    pub zh: String,
    /// English label.
    pub en: String,
    /// Where it comes from.
    pub source: String,
    /// V, V*, M or D.
    pub confidence: String,
    /// From when it holds, if later than its rule set; ISO date.
    #[serde(default)]
    pub effective_from: Option<String>,
    /// For which cases.
    #[serde(default)]
    pub when: When,
    /// What starts the clock.
    pub from: Vec<EventKind>,
    /// Which of several such events.
    #[serde(default)]
    pub trigger: Trigger,
    /// What must have happened.
    pub must: Vec<EventKind>,
    /// By somebody of this level or above.
    #[serde(default)]
    pub by_level: Option<Level>,
    /// Within this time.
    pub within: Limit,
    /// Or else.
    pub otherwise: Otherwise,
    /// True for what is due after a case was closed too.
    #[serde(default)]
    pub even_closed: bool,
}

/// How headcounts class a case; half-open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// From here a group.
    pub group_from: i64,
    /// From here, or with violence, a major alert.
    pub major_from: i64,
    /// Where it comes from.
    pub source: String,
    /// V, V*, M or D.
    pub confidence: String,
}

/// A set of rules with the date from which it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Its name.
    pub id: String,
    /// Its version.
    pub version: String,
    /// From when it holds, ISO date.
    pub effective_from: String,
    /// How headcounts class a case.
    pub classification: Classification,
    /// The rules.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

impl RuleSet {
    /// Reads a rule file; an error names line, column and remedy.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let set: RuleSet = toml::from_str(text).map_err(|e| RuleError(e.to_string()))?;
        for (i, rule) in set.rules.iter().enumerate() {
            let wrong = |what: String| Err(RuleError(format!("rule `{}`: {what}", rule.id)));
            if set.rules.iter().take(i).any(|r| r.id == rule.id) {
                return wrong("the id stands twice; give each rule its own".into());
            }
            if let Some(kind) = rule.from.iter().chain(&rule.must).find(|k| k.spec().is_none()) {
                return wrong(format!("`{kind}` is no kind of event; use one of the vocabulary"));
            }
            if rule.from.is_empty() || rule.must.is_empty() {
                return wrong("`from` and `must` name at least one kind of event each".into());
            }
        }
        Ok(set)
    }

    /// The shipped default.
    pub fn shipped() -> &'static RuleSet {
        static SHIPPED: std::sync::OnceLock<RuleSet> = std::sync::OnceLock::new();
        SHIPPED.get_or_init(|| {
            RuleSet::parse(schema::RULES).unwrap_or_else(|_| RuleSet {
                id: "empty".into(),
                version: String::new(),
                effective_from: String::new(),
                classification: Classification {
                    group_from: 5,
                    major_from: 50,
                    source: String::new(),
                    confidence: "D".into(),
                },
                rules: Vec::new(),
            })
        })
    }

    /// 大事: violence, danger, severity major, or as many people as the rule set says.
    pub fn is_major(&self, case: &CaseState) -> bool {
        let told = case.timeline.iter().any(|e| {
            e.stands() && e.kind == EventKind::FactAdded && matches!(e.text("bears_on"), Some("violence" | "danger"))
        });
        told || case.flag("violence")
            || case.text("severity") == Some("major")
            || case.number("people_involved").is_some_and(|n| n >= self.classification.major_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_can_be_read() {
        assert!(RuleSet::parse(schema::RULES).unwrap().rules.len() > 10);
    }

    #[test]
    fn a_broken_rule_names_its_line() {
        let text = schema::RULES.replace("act = \"remind\"", "act = \"whisper\"");
        let error = RuleSet::parse(&text).unwrap_err().to_string();
        assert!(error.contains("line"), "{error}");
        let twice = format!(
            "{}\n{}",
            schema::RULES,
            schema::RULES.split_once("[[rule]]").map(|(_, r)| format!("[[rule]]{r}")).unwrap()
        );
        assert!(RuleSet::parse(&twice).unwrap_err().to_string().contains("stands twice"));
    }
}
