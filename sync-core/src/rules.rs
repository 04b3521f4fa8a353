//! Escalation rules as data, and the pure functions that say what is due. The phone shows the same countdown offline that the
//! server's scheduler acts on.

mod obligation;

use serde::{Deserialize, Serialize};

use crate::calendar::Limit;
use crate::case::CaseState;
use crate::event::EventKind;
use crate::reference::codes;
use crate::role::Level;

pub use obligation::{Obligation, Outcome, action, due_ms, next_action_ms, obligations};

/// The longest limit in minutes: a year.
const MINUTES_MAX: i64 = 525_600;
/// The longest limit in calendar days: a century.
const DAYS_MAX: i64 = 36_500;
/// The longest limit in working days.
const WORKING_DAYS_MAX: i64 = 3_650;

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

impl Rule {
    /// What is wrong with it, and what to do about it: all of it would otherwise make a rule that never holds, or always.
    fn fault(&self) -> Option<String> {
        if let Some(kind) = self.from.iter().chain(&self.must).find(|k| k.spec().is_none()) {
            return Some(format!("`{kind}` is no kind of event; use one of the vocabulary"));
        }
        if self.from.is_empty() || self.must.is_empty() {
            return Some("`from` and `must` name at least one kind of event each".into());
        }
        let fits = match self.within {
            Limit::Minutes(n) => (0..=MINUTES_MAX).contains(&n),
            Limit::Days(n) => (0..=DAYS_MAX).contains(&n),
            Limit::WorkingDays(n) => (0..=WORKING_DAYS_MAX).contains(&n),
            Limit::EndOfDay(is) => is,
        };
        if !fits {
            return Some(format!(
                "`within` is out of range; use minutes = 0 to {MINUTES_MAX}, days = 0 to {DAYS_MAX}, working_days = 0 to \
                 {WORKING_DAYS_MAX} or end_of_day = true"
            ));
        }
        let categories = [&self.when.categories, &self.when.not_categories].into_iter().flatten().flatten();
        for prefix in categories {
            if prefix.is_empty() || !codes().codes("category").any(|c| c.starts_with(prefix.as_str())) {
                return Some(format!("no category begins with `{prefix}`; use the beginning of a code of that table"));
            }
        }
        if let Some(channel) = self.when.channels.iter().flatten().find(|c| !codes().has("channel", c)) {
            return Some(format!("`{channel}` is no channel; use a code of that table"));
        }
        let body = self.when.body.as_ref()?;
        let known = self.from.iter().filter_map(EventKind::spec).any(|s| s.body.iter().any(|f| f.name == body.field));
        (!known).then(|| format!("no event of `from` has the field `{}`; see the vocabulary", body.field))
    }
}

/// The line on which the n-th rule of a file begins, from 1.
fn rule_line(text: &str, n: usize) -> Option<usize> {
    #[derive(Deserialize)]
    struct Places {
        rule: Vec<toml::Spanned<toml::Table>>,
    }
    let places: Places = toml::from_str(text).ok()?;
    Some(text.get(..places.rule.get(n)?.span().start)?.matches('\n').count() + 1)
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
            let twice = set.rules.iter().take(i).any(|r| r.id == rule.id);
            let fault = if twice { Some("the id stands twice; give each rule its own".into()) } else { rule.fault() };
            if let Some(fault) = fault {
                let line = rule_line(text, i).map_or_else(String::new, |n| format!(" (line {n})"));
                return Err(RuleError(format!("rule `{}`{line}: {fault}", rule.id)));
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

    /// The code of the table `scale` that fits: a major alert 03, a group 02, else 01. `None` while nobody has said how many people
    /// there are and nothing else makes it major.
    pub fn scale(&self, case: &CaseState) -> Option<&'static str> {
        if self.is_major(case) {
            return Some("03");
        }
        let group = case.number("people_involved")? >= self.classification.group_from;
        Some(if group { "02" } else { "01" })
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

    /// The error of the shipped file after one replacement.
    fn error(from: &str, to: &str) -> String {
        assert!(schema::RULES.contains(from), "{from}");
        RuleSet::parse(&schema::RULES.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_word_that_the_format_lacks_is_named_with_its_line() {
        for (from, to) in [("act = \"remind\"", "act = \"whisper\""), ("trigger = \"first\"", "trigger = \"frist\"")] {
            let error = error(from, to);
            assert!(error.contains("line ") && error.contains("column "), "{error}");
        }
    }

    #[test]
    fn a_rule_that_could_never_hold_is_refused_with_its_name_line_and_remedy() {
        for (from, to, says) in [
            ("\nid = \"accept.community\"", "\nid = \"flash.call\"", "the id stands twice"),
            ("from = [\"accepted\"]", "from = [\"acepted\"]", "`acepted` is no kind of event"),
            ("from = [\"accepted\"]", "from = []", "at least one kind"),
            ("minutes = 120 ", "minutes = -5 ", "out of range"),
            ("end_of_day = true", "end_of_day = false", "end_of_day = true"),
            ("categories = [\"07\"]", "categories = [\"labour\"]", "no category begins with `labour`"),
            ("\"walk_in\"", "\"walkin\"", "`walkin` is no channel"),
            ("field = \"urgency\"", "field = \"haste\"", "has the field `haste`"),
        ] {
            let error = error(from, to);
            assert!(error.contains(says) && error.contains("rule `") && error.contains("(line "), "{error}");
        }
        let line = schema::RULES.lines().position(|l| l == "id = \"mediate.start\"").unwrap();
        let error = error("minutes = 240 ", "minutes = -1 ");
        assert!(error.contains(&format!("rule `mediate.start` (line {line})")), "{error}");
    }
}
