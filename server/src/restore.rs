//! After a restore: which lives this server had, what phones hand in of what it lost, and how far each phone has come.

mod status;

use std::collections::BTreeSet;

use diesel::prelude::*;
use sync_core::error::{Refusal, RefusalCode};
use sync_core::ids::{AreaCode, DeviceId, DocumentId, JournalId};
use sync_core::relay::receipt::Receipt;
use sync_core::sync::pledge::{Resupplied, Resupply};
use sync_core::sync::wire::{SyncRequest, SyncResponse};

use crate::app::App;
use crate::db::tables::{
    devices, documents, journal as journal_rows, restores, resupplied_documents, resupplies, settings,
};
use crate::db::{AnyConnection, DbError};
use crate::journal;
use crate::merge::{self, Proof};

pub use status::{LostPerson, PhoneProgress, PhoneState, RestoreStatus, Restored, status};

/// How the names of settings begin that name a life which no backup knows.
const LOST: &str = "lost_journal.";

/// Writes down that a new life of the server begins with what a backup held. `former` is its journal.
pub fn note(conn: &mut AnyConnection, journal: JournalId, former: JournalId, now_ms: i64) -> Result<(), DbError> {
    let newest: Option<i64> = journal_rows::table.select(diesel::dsl::max(journal_rows::received_ms)).first(conn)?;
    let made: Option<i64> = {
        use crate::db::tables::audit;
        audit::table.filter(audit::action.eq("backup.make")).select(diesel::dsl::max(audit::at_ms)).first(conn)?
    };
    let documents: i64 =
        journal_rows::table.select(diesel::dsl::count(journal_rows::document).aggregate_distinct()).first(conn)?;
    let changes: i64 = journal_rows::table.count().get_result(conn)?;
    diesel::insert_into(restores::table)
        .values((
            restores::journal.eq(journal.to_string()),
            restores::former.eq(former.to_string()),
            restores::backup_ms.eq(newest.max(made).unwrap_or_default()),
            restores::restored_ms.eq(now_ms),
            restores::documents.eq(documents),
            restores::changes.eq(changes),
        ))
        .execute(conn)?;
    Ok(())
}

/// Whether this life of the server began with a restore.
pub fn is_restored(conn: &mut AnyConnection, journal: JournalId) -> Result<bool, DbError> {
    let rows: i64 = restores::table.find(journal.to_string()).count().get_result(conn)?;
    Ok(rows > 0)
}

/// How many phones are expected to hand in what a restored server lacks: those that were seen not too long before the restore, and have
/// not compared all that they hold since. `hold_ms` after the restore nobody is waited for any more.
pub fn awaited(conn: &mut AnyConnection, journal: JournalId, hold_ms: i64, now_ms: i64) -> Result<i64, DbError> {
    let restored: Option<i64> =
        restores::table.find(journal.to_string()).select(restores::restored_ms).first(conn).optional()?;
    let Some(restored_ms) = restored.filter(|at| now_ms < at.saturating_add(hold_ms)) else { return Ok(0) };
    let done = resupplies::table
        .filter(resupplies::journal.eq(journal.to_string()))
        .filter(resupplies::done_ms.is_not_null())
        .select(resupplies::device);
    Ok(devices::table
        .filter(devices::revoked_ms.is_null())
        .filter(devices::last_seen_ms.ge(restored_ms.saturating_sub(hold_ms)))
        .filter(devices::id.ne_all(done))
        .count()
        .get_result(conn)?)
}

/// The journals of all lives of this server that are known here.
pub fn lives(conn: &mut AnyConnection, now: JournalId) -> Result<BTreeSet<JournalId>, DbError> {
    let rows: Vec<(String, String)> = restores::table.select((restores::journal, restores::former)).load(conn)?;
    let lost: Vec<String> =
        settings::table.filter(settings::name.like(format!("{LOST}%"))).select(settings::value).load(conn)?;
    let all = rows.into_iter().flat_map(|(journal, former)| [journal, former]).chain(lost);
    Ok(all.filter_map(|id| id.parse().ok()).chain([now]).collect())
}

/// Takes a journal for that of a life of this server that no backup knows. Gives whether it was not known before.
pub fn know(conn: &mut AnyConnection, journal: JournalId) -> Result<bool, DbError> {
    let name = format!("{LOST}{journal}");
    let known: i64 = settings::table.find(&name).count().get_result(conn)?;
    if known == 0 {
        diesel::insert_into(settings::table)
            .values((settings::name.eq(name), settings::value.eq(journal.to_string())))
            .execute(conn)?;
    }
    Ok(known == 0)
}

/// Takes what a phone hands in, in a transaction of its own: nothing of it can hold up what the phone itself has to send.
pub fn take(app: &App, device: DeviceId, resupply: Option<&Resupply>) -> Result<Vec<Resupplied>, DbError> {
    let Some(resupply) = resupply.filter(|r| !r.documents.is_empty()) else { return Ok(Vec::new()) };
    app.db.transaction(|conn| {
        let proof = proof(app, conn, resupply)?;
        let codes: Vec<AreaCode> = resupply.documents.iter().map(|d| d.community.clone()).collect();
        let known: BTreeSet<AreaCode> = journal::lock(conn, &codes)?.into_iter().collect();
        let context = app.context();
        let mut answers = Vec::with_capacity(resupply.documents.len());
        for handed in &resupply.documents {
            let answer = merge::resupply(conn, &context, &proof, handed, known.contains(&handed.community))?;
            if let Some((code, detail)) = &answer.refused {
                tracing::warn!(%device, document = %handed.document, code = code.as_str(), detail, "not taken back");
            }
            note_document(conn, app.journal, device, &answer)?;
            answers.push(answer);
        }
        Ok(answers)
    })
}

/// What the pledges and receipts prove, and why one of them does not.
fn proof(app: &App, conn: &mut AnyConnection, resupply: &Resupply) -> Result<Proof, DbError> {
    let lives = lives(conn, app.journal)?;
    let keys = app.relay_keys(conn)?.public();
    let mut proof = Proof { pledged: BTreeSet::new(), at_ms: 0, fault: None };
    let pledges = resupply.pledges.iter().map(|p| match p.is_genuine(&keys) {
        true => Ok((p.journal, p.at_ms, p.hashes().collect::<Vec<_>>())),
        false => Err(forged()),
    });
    let receipts = resupply.receipts.iter().map(|r| match Receipt::verified(r, &keys) {
        Some(receipt) => Ok((receipt.journal, receipt.at_ms, receipt.taken)),
        None => Err(forged()),
    });
    for word in pledges.chain(receipts) {
        let fault = match word {
            Ok((journal, at_ms, changes)) if lives.contains(&journal) => {
                proof.pledged.extend(changes);
                proof.at_ms = proof.at_ms.max(at_ms);
                continue;
            }
            Ok((journal, ..)) => foreign(journal),
            Err(forged) => forged,
        };
        proof.fault.get_or_insert(fault);
    }
    Ok(proof)
}

fn forged() -> Refusal {
    Refusal::new(RefusalCode::ForgedPledge, "a pledge is not signed by a key that this server knows")
}

fn foreign(journal: JournalId) -> Refusal {
    let detail = format!(
        "a pledge is of journal {journal}, of which this server does not know that it was its own; \
         if it was, run `fengqiao restore know {journal}`"
    );
    Refusal::new(RefusalCode::ForeignJournal, detail)
}

fn note_document(
    conn: &mut AnyConnection,
    journal: JournalId,
    device: DeviceId,
    answer: &Resupplied,
) -> Result<(), DbError> {
    use resupplied_documents as d;
    let code = answer.refused.as_ref().map(|(code, _)| code.as_str());
    let taken = i64::try_from(answer.taken).unwrap_or(i64::MAX);
    let key = (journal.to_string(), answer.document.to_string(), device.to_string());
    let known = diesel::update(d::table.find(key.clone())).set((d::changes.eq(d::changes + taken), d::code.eq(code)));
    if known.execute(conn)? == 0 && (taken > 0 || code.is_some()) {
        let (journal, document, device) = key;
        let row = (
            d::journal.eq(journal),
            d::document.eq(document),
            d::device.eq(device),
            d::changes.eq(taken),
            d::code.eq(code),
        );
        diesel::insert_into(d::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// Writes down how far a phone has come, by what it said of itself and what it is answered.
pub fn note_progress(
    conn: &mut AnyConnection,
    app: &App,
    device: DeviceId,
    request: &SyncRequest,
    answer: &SyncResponse,
) -> Result<(), DbError> {
    use resupplies as r;
    if !app.restored {
        return Ok(());
    }
    let key = (app.journal.to_string(), device.to_string());
    let known: Option<Option<i64>> = r::table.find(key.clone()).select(r::done_ms).first(conn).optional()?;
    // It meets this life only now: what it holds is compared from the next request on.
    let meets = request.journal.is_some_and(|j| j != app.journal);
    let resupply = request.resupply.as_ref();
    if known.flatten().is_some() && resupply.is_none() && !meets {
        return Ok(());
    }
    let now_ms = app.now_ms();
    let left = resupply.map_or(0, |r| i64::try_from(r.left).unwrap_or(i64::MAX));
    let handed = i64::try_from(answer.resupplied.len() + answer.wanted.len()).unwrap_or(i64::MAX);
    let open = left.saturating_add(handed).saturating_add(i64::from(answer.unanswered));
    let done = (!meets && open == 0).then_some(now_ms);
    let set = (r::last_ms.eq(now_ms), r::open_documents.eq(open), r::done_ms.eq(done));
    if diesel::update(r::table.find(key.clone())).set(set).execute(conn)? == 0 {
        let (journal, device) = key;
        diesel::insert_into(r::table)
            .values((r::journal.eq(journal), r::device.eq(device), r::met_ms.eq(now_ms), set))
            .execute(conn)?;
    }
    let Some(resupply) = resupply else { return Ok(()) };
    for document in &resupply.unproven {
        let key = (app.journal.to_string(), document.to_string(), device.to_string());
        let code: Option<Option<String>> =
            resupplied_documents::table.find(key).select(resupplied_documents::code).first(conn).optional()?;
        if code.flatten().is_none() {
            let refused = Some((RefusalCode::Unproven, String::new()));
            note_document(
                conn,
                app.journal,
                device,
                &Resupplied { document: *document, taken: 0, refused, aside: Vec::new() },
            )?;
        }
    }
    // What was compared and is not wanted stands here as the phone holds it.
    let wanted: BTreeSet<DocumentId> = answer.wanted.iter().map(|w| w.document).collect();
    let looked = request.doubts.len().saturating_sub(usize::try_from(answer.unanswered).unwrap_or(usize::MAX));
    let even: Vec<String> = request
        .doubts
        .iter()
        .take(looked)
        .filter(|d| !wanted.contains(&d.document))
        .map(|d| d.document.to_string())
        .collect();
    use resupplied_documents as d;
    for some in even.chunks(500) {
        let rows = d::table
            .filter(d::journal.eq(app.journal.to_string()))
            .filter(d::device.eq(device.to_string()))
            .filter(d::document.eq_any(some));
        diesel::update(rows).set(d::code.eq(None::<String>)).execute(conn)?;
    }
    Ok(())
}

/// How many documents there are now.
pub(crate) fn documents_now(conn: &mut AnyConnection) -> Result<i64, DbError> {
    Ok(documents::table.count().get_result(conn)?)
}
