//! The file as it stood at a moment, and as its author had it when he wrote: which moments can be asked for, and how one is told.

use sync_core::document::{ChangeHash, Document, Trust};
use sync_core::ids::{DocumentId, EventId, UserId};

use super::format;
use super::words::Words;
use crate::db::AnyConnection;
use crate::http::problem::Problem;
use crate::journal::{self, Line};

/// At which moment the file is looked at.
pub(super) enum Moments {
    /// As it is.
    Now,
    /// After an entry of the journal.
    Position(i64),
    /// With everything that had arrived at a moment, ms UTC.
    When(i64),
    /// As the author of an event had it.
    SeenBy(EventId),
    /// As the author of a change had it.
    SeenByChange(ChangeHash),
}

/// A moment that is past.
pub(super) struct Then {
    /// When, ms UTC.
    pub(super) at_ms: i64,
    /// Who wrote what the moment is named after.
    author: String,
    /// Whether it is what he had seen, not what stood here.
    is_seen: bool,
    /// The entries of this document before and behind.
    pub(super) before: Option<i64>,
    /// The one behind.
    pub(super) after: Option<i64>,
}

impl Then {
    /// The moment and its author in words.
    pub(super) fn told(&self, name: impl Fn(UserId) -> String, w: Words) -> String {
        let author = self.author.parse().map_or_else(|_| self.author.clone(), name);
        let what = w.t(if self.is_seen { "case-seen" } else { "case-at" });
        format!("{} · {author} · {what}", format::moment(self.at_ms).text)
    }
}

/// The moment that an address asks for. One that cannot be read is told, and never taken for now: whoever follows a link that was cut
/// would believe that the file of today is the file of that day, and act on it.
pub(super) fn asked_for(asked: &[(String, String)]) -> Result<Moments, Problem> {
    let of = |name: &str| asked.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let wrong = |name: &str| {
        Problem::invalid("moment_invalid", format!("`{name}` names no moment of a file"))
            .field(name)
            .remedy("follow the whole link, or choose the moment on the file")
    };
    if let Some(position) = of("at") {
        position.parse().map(Moments::Position).map_err(|_| wrong("at"))
    } else if let Some(when) = of("when").filter(|when| !when.is_empty()) {
        // The browser's field when it was emptied asks for nothing.
        format::from_input(when).map(Moments::When).ok_or_else(|| wrong("when"))
    } else if let Some(seen) = of("seen") {
        let event = seen.parse().map(Moments::SeenBy).ok();
        event.or_else(|| ChangeHash::from_hex(seen).map(Moments::SeenByChange)).ok_or_else(|| wrong("seen"))
    } else {
        Ok(Moments::Now)
    }
}

fn gone() -> Problem {
    Problem::not_found("there was no such case at that moment")
}

/// The file as the author of a change had it when he wrote.
fn seen_by(now: &Document, lines: &[Line], change: Option<ChangeHash>) -> Result<(Document, Then), Problem> {
    let written = now.history().into_iter().find(|c| Some(c.hash) == change).ok_or_else(gone)?;
    let line = lines.iter().find(|l| l.change_hash() == change).ok_or_else(gone)?;
    let then = Then { at_ms: line.written_ms, author: line.author.clone(), is_seen: true, before: None, after: None };
    Ok((now.at(&written.deps).map_err(|_| gone())?, then))
}

/// The document at a moment, and the moment if it is past.
pub(super) fn at(
    conn: &mut AnyConnection,
    id: DocumentId,
    now: Document,
    moment: &Moments,
) -> Result<(Document, Option<Then>), Problem> {
    if matches!(moment, Moments::Now) {
        return Ok((now, None));
    }
    let lines = journal::lines(conn, id)?;
    // The server's own entries belong to what they tell of.
    let last = |fits: &dyn Fn(&Line) -> bool| lines.iter().rposition(fits);
    let place = match moment {
        Moments::SeenBy(event) => {
            return seen_by(&now, &lines, now.event_changes().get(event).copied()).map(|(d, then)| (d, Some(then)));
        }
        Moments::SeenByChange(change) => return seen_by(&now, &lines, Some(*change)).map(|(d, then)| (d, Some(then))),
        Moments::Position(position) => last(&|l| l.position <= *position),
        // A browser asks for a minute: with all that came in it.
        Moments::When(ms) => last(&|l| l.received_ms < ms.saturating_add(60_000)),
        Moments::Now => None,
    };
    let place = place.ok_or_else(gone)?;
    let line = lines.get(place).ok_or_else(gone)?;
    let people = |l: &&Line| l.author != UserId::SYSTEM.to_string();
    let (then, behind) = lines.split_at(place + 1);
    let author = then.iter().rev().find(people).unwrap_or(line);
    let told = Then {
        at_ms: if let Moments::When(ms) = moment { *ms } else { line.received_ms },
        author: author.author.clone(),
        is_seen: false,
        before: then.iter().rev().filter(people).nth(1).map(|l| l.position),
        after: behind.iter().find(people).map(|l| l.position),
    };
    let entries = journal::of_document(conn, id)?;
    let then = entries.iter().filter(|e| e.position <= line.position).map(|e| e.bytes.as_slice());
    Ok((Document::from_changes(then, Trust::Server).map_err(|_| gone())?, Some(told)))
}
