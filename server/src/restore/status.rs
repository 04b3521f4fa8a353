//! What is told about a restore: from what this life of the server began, what came back, and phone by phone what is still to come.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde::Serialize;
use sync_core::ids::{JournalId, UserId};
use utoipa::ToSchema;

use super::documents_now;
use crate::db::tables::{
    attachment_refs, devices, journal as journal_rows, objects, restores, resupplied_documents, resupplies, users,
};
use crate::db::{AnyConnection, DbError};
use crate::journal::load as journal_of;
use crate::objects::{lost, verify};

/// From what this life of the server began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Restored {
    /// When, ms UTC.
    pub restored_ms: i64,
    /// The journal of the life before, of which the backup was made.
    pub former_journal: String,
    /// The newest thing that the backup held, ms UTC: what is younger had to come back from phones.
    pub backup_ms: i64,
    /// Documents in the backup.
    pub documents: i64,
    /// Changes in the backup.
    pub changes: i64,
}

/// How far a phone has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhoneState {
    /// It was not here since the restore: what only it holds is still missing.
    NotSeen,
    /// It compares what it holds, and hands in what is missing.
    UnderWay,
    /// It has compared all that it holds.
    Done,
}

/// One phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PhoneProgress {
    /// Its id.
    pub device: String,
    /// What people call it.
    pub name: String,
    /// The login of its holder.
    pub user: String,
    /// How far it has come.
    pub state: PhoneState,
    /// Its last contact, ms UTC, before the restore too.
    pub last_seen_ms: Option<i64>,
    /// When it was done, ms UTC.
    pub done_ms: Option<i64>,
    /// Documents that it still has to compare or to hand in.
    pub open_documents: i64,
    /// Documents of which it brought back something with the server's pledge.
    pub documents: i64,
    /// Changes that it brought back so.
    pub changes: i64,
    /// Documents of which it holds what this server lacks and did not take, by the code of the reason.
    pub lacking: BTreeMap<String, i64>,
}

/// Somebody who wrote and has no account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LostPerson {
    /// The identity of his account: with it, `fengqiao user add --id` makes it again.
    pub id: String,
    /// What people call him, as the lost server wrote it down.
    pub name: Option<String>,
}

/// How far a restored server has come with being supplied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RestoreStatus {
    /// The identity of the journal.
    pub journal: String,
    /// From what this life began; none when the server was never restored.
    pub restored: Option<Restored>,
    /// Documents that there are now.
    pub documents: i64,
    /// Changes that there are now.
    pub changes: i64,
    /// Documents of which phones brought back something.
    pub resupplied_documents: i64,
    /// Changes that phones brought back.
    pub resupplied_changes: i64,
    /// Contents that documents name.
    pub attachments: i64,
    /// Contents that documents name and nobody has brought yet.
    pub attachments_missing: i64,
    /// Of these, contents that were here once and are lost.
    pub attachments_lost: i64,
    /// Whether the store was looked through since the restore; until then what it still holds counts as missing.
    pub attachments_looked: bool,
    /// People who wrote what came back and have no account here: theirs was younger than the backup.
    pub people_lost: Vec<LostPerson>,
    /// The phones, those that are not done first; revoked ones are left out.
    pub phones: Vec<PhoneProgress>,
}

/// Collects it.
pub fn status(conn: &mut AnyConnection, journal: JournalId) -> Result<RestoreStatus, DbError> {
    type Row = (String, i64, i64, i64, i64);
    let columns =
        (restores::former, restores::restored_ms, restores::backup_ms, restores::documents, restores::changes);
    let row: Option<Row> = restores::table.find(journal.to_string()).select(columns).first(conn).optional()?;
    let restored = row.map(|(former_journal, restored_ms, backup_ms, documents, changes)| Restored {
        restored_ms,
        former_journal,
        backup_ms,
        documents,
        changes,
    });
    let handed: Vec<(String, String, i64, Option<String>)> = resupplied_documents::table
        .filter(resupplied_documents::journal.eq(journal.to_string()))
        .select((
            resupplied_documents::document,
            resupplied_documents::device,
            resupplied_documents::changes,
            resupplied_documents::code,
        ))
        .load(conn)?;
    let mut brought: Vec<&str> = handed.iter().filter(|h| h.2 > 0).map(|h| h.0.as_str()).collect();
    brought.sort_unstable();
    brought.dedup();
    let named: i64 =
        attachment_refs::table.select(diesel::dsl::count(attachment_refs::hash).aggregate_distinct()).first(conn)?;
    let missing: i64 = attachment_refs::table
        .filter(attachment_refs::hash.ne_all(objects::table.select(objects::hash)))
        .select(diesel::dsl::count(attachment_refs::hash).aggregate_distinct())
        .first(conn)?;
    let phones = match &restored {
        Some(_) => phones(conn, journal, &handed)?,
        None => Vec::new(),
    };
    let people_lost = if restored.is_some() { people_lost(conn)? } else { Vec::new() };
    let is_restored = restored.is_some();
    Ok(RestoreStatus {
        journal: journal.to_string(),
        restored,
        documents: documents_now(conn)?,
        changes: journal_rows::table.count().get_result(conn)?,
        resupplied_documents: i64::try_from(brought.len()).unwrap_or(i64::MAX),
        resupplied_changes: handed.iter().map(|h| h.2).sum(),
        attachments: named,
        attachments_missing: missing,
        attachments_lost: lost::count(conn)?,
        attachments_looked: !is_restored || verify::is_looked_through(conn, journal)?,
        people_lost,
        phones,
    })
}

fn people_lost(conn: &mut AnyConnection) -> Result<Vec<LostPerson>, DbError> {
    let ids: Vec<String> = journal_rows::table
        .filter(journal_rows::author.ne_all(users::table.select(users::id)))
        .filter(journal_rows::author.ne(UserId::SYSTEM.to_string()))
        .select(journal_rows::author)
        .distinct()
        .load(conn)?;
    let mut lost = Vec::with_capacity(ids.len());
    for id in ids {
        let written: Option<String> = journal_rows::table
            .filter(journal_rows::author.eq(&id))
            .select(journal_rows::document)
            .first(conn)
            .optional()?;
        let document = written.and_then(|w| w.parse().ok()).map(|w| journal_of(conn, w)).transpose()?.flatten();
        let user = id.parse::<UserId>().ok();
        let name = document.zip(user).and_then(|(document, user)| document.people().remove(&user));
        lost.push(LostPerson { id, name });
    }
    Ok(lost)
}

fn phones(
    conn: &mut AnyConnection,
    journal: JournalId,
    handed: &[(String, String, i64, Option<String>)],
) -> Result<Vec<PhoneProgress>, DbError> {
    type Known = (String, String, String, Option<i64>);
    let known: Vec<Known> = devices::table
        .filter(devices::revoked_ms.is_null())
        .order(devices::id)
        .select((devices::id, devices::user_id, devices::name, devices::last_seen_ms))
        .load(conn)?;
    let logins: Vec<(String, String)> = users::table.select((users::id, users::login)).load(conn)?;
    let logins: BTreeMap<String, String> = logins.into_iter().collect();
    let progress: Vec<(String, i64, Option<i64>)> = resupplies::table
        .filter(resupplies::journal.eq(journal.to_string()))
        .select((resupplies::device, resupplies::open_documents, resupplies::done_ms))
        .load(conn)?;
    let progress: BTreeMap<String, (i64, Option<i64>)> = progress.into_iter().map(|(d, n, at)| (d, (n, at))).collect();
    let one = |(device, user, name, last_seen_ms): Known| {
        let met = progress.get(&device).copied();
        let of_phone = || handed.iter().filter(|h| h.1 == device);
        let mut lacking: BTreeMap<String, i64> = BTreeMap::new();
        for code in of_phone().filter_map(|h| h.3.clone()) {
            *lacking.entry(code).or_default() += 1;
        }
        PhoneProgress {
            state: match met {
                None => PhoneState::NotSeen,
                Some((_, None)) => PhoneState::UnderWay,
                Some((_, Some(_))) => PhoneState::Done,
            },
            name,
            user: logins.get(&user).cloned().unwrap_or_default(),
            last_seen_ms,
            done_ms: met.and_then(|m| m.1),
            open_documents: met.map_or(0, |m| m.0),
            documents: i64::try_from(of_phone().filter(|h| h.2 > 0).count()).unwrap_or(i64::MAX),
            changes: of_phone().map(|h| h.2).sum(),
            lacking,
            device,
        }
    };
    let mut phones: Vec<PhoneProgress> = known.into_iter().map(one).collect();
    phones.sort_by_key(|p| p.state == PhoneState::Done);
    Ok(phones)
}
