//! Settling what two people wrote unaware of each other, correcting a fact, and undoing either. A form names versions and changes and
//! never carries a value to be kept: what the page masks or a browser rewrites is taken from the document itself.

use std::collections::BTreeMap;

use sync_core::document::{ChangeHash, ChangeInfo, Document, Register, Touch};
use sync_core::edit::Edit;
use sync_core::event::{Body, EventKind};
use sync_core::fold::{fold_patrol, folded_case};
use sync_core::ids::{DocumentId, UserId};
use sync_core::shape::{DocumentKind, FieldValue};
use sync_core::text::PassageFlag;

use crate::db::AnyConnection;
use crate::http::cases::visible;
use crate::http::extract::Principal;
use crate::http::problem::Problem;
use crate::journal;
use crate::masking::{self, Sight};
use crate::merge::{self, Context};

/// What somebody at a desk wants of a document.
pub(super) enum Wish {
    /// One of the standing values of a register, by its writing.
    Value { path: String, write: String },
    /// A flagged passage as it reads now, or as one of its authors left it.
    Passage { text: String, flag: String, version: Option<usize> },
    /// A register with what was typed.
    Fact { path: String, value: FieldValue },
    /// A change of a desk put back.
    Undo(ChangeHash),
}

/// What became of it.
pub(super) enum Outcome {
    /// It stands in the document; by which change, if there was anything to change.
    Written(Option<ChangeHash>),
    /// Somebody decided after the page was made.
    Meanwhile(Meanwhile),
}

/// What somebody else decided.
pub(super) struct Meanwhile {
    /// Who.
    pub(super) by: UserId,
    /// What people call him.
    pub(super) name: Option<String>,
    /// When, ms UTC.
    pub(super) at_ms: i64,
    /// The register or text.
    pub(super) path: String,
    /// What he wrote there, if it is a register.
    pub(super) value: Option<FieldValue>,
}

fn moved_on(field: &str) -> Problem {
    Problem::conflict("changed_meanwhile", "it was changed after the page was made").field(field).remedy("look again")
}

/// Carries a wish about a case out in the caller's transaction, unless somebody wrote there behind `seen`, a position of the journal.
pub(super) fn carry_out(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    who: &Principal,
    id: DocumentId,
    wish: &Wish,
    seen: i64,
) -> Result<Outcome, Problem> {
    carry_out_in(conn, context, who, (DocumentKind::Case, id), wish, seen)
}

/// The same for a record of any kind.
pub(super) fn carry_out_in(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    who: &Principal,
    (kind, id): (DocumentKind, DocumentId),
    wish: &Wish,
    seen: i64,
) -> Result<Outcome, Problem> {
    let place = visible(conn, who, id, kind)?;
    journal::lock(conn, std::slice::from_ref(&place.community))?;
    let document = journal::load(conn, id)?.ok_or_else(|| Problem::not_found("there is no such record"))?;
    if let Some(other) = meanwhile(conn, &document, wish, seen, &Sight::of(&who.subject, &place))? {
        return Ok(Outcome::Meanwhile(other));
    }
    let entered = merge::edits(conn, context, id, &edits(&document, wish)?, Some(&who.subject))?;
    Ok(Outcome::Written(entered.change))
}

/// What somebody wrote at the same place since a page was made.
fn meanwhile(
    conn: &mut AnyConnection,
    document: &Document,
    wish: &Wish,
    seen: i64,
    sight: &Sight,
) -> Result<Option<Meanwhile>, Problem> {
    let about = |touch: &Touch| match (wish, touch) {
        // A conflict is settled by emptying the register first: that is no decision.
        (Wish::Value { path, .. } | Wish::Fact { path, .. }, Touch::Field { path: at, value }) if path == at => {
            Some((path.clone(), Some(sight.value(path, value))))
        }
        (Wish::Passage { text, .. }, Touch::Text { name }) if text == name => Some((text.clone(), None)),
        (Wish::Passage { text, flag, .. }, Touch::Event { event, .. })
            if event.kind == EventKind::PassageConfirmed && event.text("flag") == Some(flag) =>
        {
            Some((text.clone(), None))
        }
        _ => None,
    };
    for line in journal::lines(conn, document.meta().id)?.into_iter().rev().take_while(|l| l.position > seen) {
        let touches = line.change_hash().and_then(|hash| document.did(hash)).unwrap_or_default();
        if let Some((path, value)) = touches.iter().rev().find_map(about) {
            let by = line.author.parse().unwrap_or(UserId::SYSTEM);
            let name = document.people().get(&by).cloned();
            return Ok(Some(Meanwhile { by, name, at_ms: line.written_ms, path, value }));
        }
    }
    Ok(None)
}

/// The passages of a record that two people wrote at once, not yet confirmed.
fn passages(document: &Document) -> Vec<PassageFlag> {
    match document.meta().kind {
        DocumentKind::Case => folded_case(document).passages.clone(),
        DocumentKind::Patrol => fold_patrol(document).passages,
    }
}

fn edits(document: &Document, wish: &Wish) -> Result<Vec<Edit>, Problem> {
    match wish {
        Wish::Value { path, write } => {
            let register = document.registers().into_iter().find(|r| r.path == *path);
            let chosen = register.and_then(|r| r.standing.into_iter().find(|v| v.write == *write));
            let value = chosen.ok_or_else(|| moved_on(path))?.value;
            Ok(vec![Edit::SetField { path: path.clone(), value }])
        }
        Wish::Passage { text, flag, version } => {
            let found = passages(document).into_iter().find(|p| p.flag == *flag && p.text == *text);
            let passage = found.ok_or_else(|| moved_on(text))?;
            let body: Body =
                [("text".to_owned(), text.as_str().into()), ("flag".to_owned(), flag.as_str().into())].into();
            let confirmed = Edit::AddEvent { kind: EventKind::PassageConfirmed, body };
            let Some(version) = version else { return Ok(vec![confirmed]) };
            let chosen = passage.versions.get(*version).ok_or_else(|| moved_on(text))?;
            let whole = document.text(text).unwrap_or_default();
            let behind = passage.start + passage.merged.chars().count();
            let wording = whole.chars().take(passage.start).chain(chosen.passage.chars());
            let wording = wording.chain(whole.chars().skip(behind)).collect();
            Ok(vec![Edit::SetText { name: text.clone(), wording }, confirmed])
        }
        Wish::Fact { path, value } => {
            // A number that comes back as it was shown stays as it is.
            Ok(masking::restore(document, &[Edit::SetField { path: path.clone(), value: value.clone() }]))
        }
        Wish::Undo(hash) => {
            let info = document.history().into_iter().find(|c| c.hash == *hash);
            let touches = document.did(*hash).unwrap_or_default();
            let back = info.and_then(|info| reversed(document, &info, &touches, &document.registers()));
            back.ok_or_else(|| moved_on("undo"))
        }
    }
}

/// What stood in a register before a change, as its author saw it. Who kept the value that was shown decided against the other one.
pub(super) fn former(document: &Document, info: &ChangeInfo, path: &str, after: &FieldValue) -> Option<FieldValue> {
    let before = document.field_at(path, &info.deps).unwrap_or(FieldValue::Null);
    if before != *after {
        return Some(before);
    }
    let then = document.at(&info.deps).ok()?.registers().into_iter().find(|r| r.path == path)?;
    then.standing.into_iter().map(|v| v.value).find(|v| v != after)
}

/// The registers that a change left behind, each once: settling a conflict empties the register before it is written anew.
pub(super) fn fields(touches: &[Touch]) -> BTreeMap<&str, &FieldValue> {
    let fields = touches.iter().filter_map(|t| match t {
        Touch::Field { path, value } => Some((path.as_str(), value)),
        _ => None,
    });
    fields.collect()
}

/// The edits that put a change back, as long as everything that it wrote still stands and is not disputed among the document's
/// registers. What it confirmed was read and stays confirmed.
pub(super) fn reversed(
    document: &Document,
    info: &ChangeInfo,
    touches: &[Touch],
    registers: &[Register],
) -> Option<Vec<Edit>> {
    let mut edits = Vec::new();
    for touch in touches {
        match touch {
            Touch::Field { .. } => {}
            Touch::Text { name } => {
                let (before, after) = (document.text_at(name, &info.deps)?, document.text_at(name, &[info.hash])?);
                let wording = put_back(&before, &after, &document.text(name)?)?;
                edits.push(Edit::SetText { name: name.clone(), wording });
            }
            Touch::Event { event, .. } if event.kind == EventKind::PassageConfirmed => {}
            _ => return None,
        }
    }
    for (path, after) in fields(touches) {
        let stands = document.field(path).unwrap_or(FieldValue::Null) == *after;
        if !stands || registers.iter().any(|r| r.path == path && !r.standing.is_empty()) {
            return None;
        }
        let value = former(document, info, path, after)?;
        edits.push(Edit::SetField { path: path.to_owned(), value });
    }
    (!edits.is_empty()).then_some(edits)
}

/// How many characters two texts have in common at their beginnings and, behind these, at their ends.
fn in_common(a: &[char], b: &[char]) -> (usize, usize) {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let room = a.len().min(b.len()) - head;
    (head, a.iter().rev().zip(b.iter().rev()).take(room).take_while(|(x, y)| x == y).count())
}

/// A text with one rewriting of it put back, if nobody has touched the rewritten stretch since.
fn put_back(before: &str, after: &str, now: &str) -> Option<String> {
    let [before, after, now] = [before, after, now].map(|t| t.chars().collect::<Vec<char>>());
    let (head, tail) = in_common(&before, &after);
    let old = before.get(head..before.len() - tail)?;
    let (from, to) = (head, after.len() - tail);
    let (same_head, same_tail) = in_common(&after, &now);
    let (from, to) = if to <= same_head {
        (from, to)
    } else if from >= after.len() - same_tail {
        (from + now.len() - after.len(), to + now.len() - after.len())
    } else {
        return None;
    };
    Some(now.get(..from)?.iter().chain(old).chain(now.get(to..)?).collect())
}

#[cfg(test)]
mod tests {
    use super::put_back;

    #[test]
    fn a_rewriting_is_put_back_where_nobody_has_touched_it_since() {
        let back = |now| put_back("甲说工资未发。双方推搡。", "甲说工资发了一半。双方推搡。", now);
        assert_eq!(back("甲说工资发了一半。双方推搡。").as_deref(), Some("甲说工资未发。双方推搡。"));
        assert_eq!(back("甲说工资发了一半。双方推搡。已劝开。").as_deref(), Some("甲说工资未发。双方推搡。已劝开。"));
        assert_eq!(back("今日,甲说工资发了一半。双方推搡。").as_deref(), Some("今日,甲说工资未发。双方推搡。"));
        assert_eq!(back("甲说工资发了一大半。双方推搡。"), None);
        assert_eq!(back(""), None);
        assert_eq!(put_back("", "新写", "新写").as_deref(), Some(""));
    }
}
