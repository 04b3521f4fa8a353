//! Recomputes documents and projections from the journal, and tells where the live tables differ.

use std::collections::BTreeMap;

use diesel::prelude::*;
use sync_core::document::{Document, Trust};
use sync_core::ids::DocumentId;

use crate::db::tables::{
    attachment_refs, cases, documents, hazards, journal as journal_table, notifications, obligations, patrols,
};
use crate::db::{AnyConnection, Database, DbError};
use crate::journal::{self, Grown};
use crate::masking::NumberKey;
use crate::objects::refs;
use crate::projection::{self, Arrival, CaseRow, Law, NotificationRow, ObligationRow, PatrolRow, Rows};

/// What a rebuild found.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Documents recomputed.
    pub documents: usize,
    /// Documents whose rows differ from the live tables, with the table.
    pub differing: Vec<String>,
    /// Rows of documents that the journal does not have.
    pub orphans: usize,
    /// Communities whose positions have a gap.
    pub gaps: Vec<String>,
}

impl Report {
    /// True when the tables are what the journal says.
    pub fn is_clean(&self) -> bool {
        self.differing.is_empty() && self.orphans == 0 && self.gaps.is_empty()
    }
}

/// Compares (`write` false) or rewrites every cached row from the journal.
pub fn rebuild(db: &Database, law: &Law, write: bool) -> Result<Report, DbError> {
    let mut report = Report::default();
    let mut law = law.clone();
    let ids: Vec<String> = {
        let mut conn = db.get()?;
        law.numbers = NumberKey::known(&mut conn)?;
        report.gaps = gaps(&mut conn)?;
        // What was erased is not made again.
        journal_table::table
            .filter(journal_table::basis.ne(crate::erasure::TOMBSTONE))
            .select(journal_table::document)
            .distinct()
            .order(journal_table::document)
            .load(&mut *conn)?
    };
    for id in &ids {
        db.transaction(|conn| one(conn, id, &law, write, &mut report))?;
    }
    db.transaction(|conn| orphans(conn, &ids, write, &mut report))?;
    Ok(report)
}

fn one(conn: &mut AnyConnection, id: &str, law: &Law, write: bool, report: &mut Report) -> Result<(), DbError> {
    let row = || DbError::Row(format!("journal of document {id}"));
    let parsed: DocumentId = id.parse().map_err(|_| row())?;
    let entries = journal::of_document(conn, parsed)?;
    let document = Document::from_changes(entries.iter().map(|e| e.bytes.as_slice()), Trust::Server)
        .map_err(|e| DbError::Row(format!("journal of document {id}: {e}")))?;
    let (first, last) = entries.first().zip(entries.last()).ok_or_else(row)?;
    let arrival = Arrival { first_ms: first.received_ms, last_ms: last.received_ms, position: last.position };
    let rows = projection::compute(&document, arrival, law)?;
    report.documents += 1;
    if write {
        journal::store(conn, &document, last.position, Grown::Whole)?;
        diesel::delete(attachment_refs::table.filter(attachment_refs::document.eq(id))).execute(conn)?;
        refs::note(conn, &document)?;
        let searchable = projection::write(conn, &rows, true)?;
        return projection::index(conn, searchable);
    }
    if !journal::has(conn, &document)? {
        report.differing.push(format!("documents {id}"));
    }
    if refs::of_document(conn, parsed)? != document.attachments().into_keys().collect() {
        report.differing.push(format!("attachments {id}"));
    }
    match live(conn, id, &rows)? {
        Some(standing) if standing == rows => {}
        _ => report.differing.push(format!("projection {id}")),
    }
    Ok(())
}

fn live(conn: &mut AnyConnection, id: &str, like: &Rows) -> Result<Option<Rows>, DbError> {
    Ok(match like {
        Rows::Patrol(..) => {
            let Some(row) = patrols::table.find(id).first::<PatrolRow>(conn).optional()? else { return Ok(None) };
            Some(Rows::Patrol(Box::new(row), projection::hazards_of(conn, id)?))
        }
        Rows::Case(_, due, told) => {
            let Some(row) = cases::table.find(id).first::<CaseRow>(conn).optional()? else { return Ok(None) };
            let mut standing: BTreeMap<_, _> = obligations::table
                .filter(obligations::document.eq(id))
                .load::<ObligationRow>(conn)?
                .into_iter()
                .map(|o| ((o.rule.clone(), o.trigger_event.clone()), o))
                .collect();
            let mut sent: BTreeMap<_, _> = notifications::table
                .filter(notifications::document.eq(id))
                .load::<NotificationRow>(conn)?
                .into_iter()
                .map(|n| (n.event.clone(), n))
                .collect();
            // In the order in which they are computed; what is left over makes the lists differ.
            let mut ordered: Vec<_> =
                due.iter().filter_map(|o| standing.remove(&(o.rule.clone(), o.trigger_event.clone()))).collect();
            ordered.extend(standing.into_values());
            let mut notes: Vec<_> = told.iter().filter_map(|n| sent.remove(&n.event)).collect();
            notes.extend(sent.into_values());
            Some(Rows::Case(Box::new(row), ordered, notes))
        }
    })
}

fn orphans(conn: &mut AnyConnection, known: &[String], write: bool, report: &mut Report) -> Result<(), DbError> {
    let known: std::collections::BTreeSet<&String> = known.iter().collect();
    let mut all: Vec<String> = cases::table.select(cases::document).load(conn)?;
    all.extend(patrols::table.select(patrols::document).load::<String>(conn)?);
    all.extend(hazards::table.select(hazards::document).distinct().load::<String>(conn)?);
    all.extend(attachment_refs::table.select(attachment_refs::document).distinct().load::<String>(conn)?);
    all.extend(documents::table.select(documents::id).load::<String>(conn)?);
    let lost: Vec<String> = all.into_iter().filter(|id| !known.contains(id)).collect();
    report.orphans = lost.len();
    if write {
        diesel::delete(cases::table.filter(cases::document.eq_any(&lost))).execute(conn)?;
        diesel::delete(patrols::table.filter(patrols::document.eq_any(&lost))).execute(conn)?;
        diesel::delete(hazards::table.filter(hazards::document.eq_any(&lost))).execute(conn)?;
        diesel::delete(attachment_refs::table.filter(attachment_refs::document.eq_any(&lost))).execute(conn)?;
        journal::forget(conn, &lost)?;
        diesel::delete(obligations::table.filter(obligations::document.eq_any(&lost))).execute(conn)?;
        diesel::delete(notifications::table.filter(notifications::document.eq_any(&lost))).execute(conn)?;
    }
    Ok(())
}

fn gaps(conn: &mut AnyConnection) -> Result<Vec<String>, DbError> {
    use crate::db::tables::communities;
    let mut broken = Vec::new();
    for (code, head) in communities::table.order(communities::code).load::<(String, i64)>(conn)? {
        let entries: i64 = journal_table::table.filter(journal_table::community.eq(&code)).count().get_result(conn)?;
        if entries != head {
            broken.push(code);
        }
    }
    Ok(broken)
}
