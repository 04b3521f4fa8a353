//! Collecting what is no longer needed. A content that is referred to is never deleted: it must first be found unwanted, stay so for
//! the whole grace period, and be found unwanted again by the transaction that deletes it, while nobody can write a document. Only
//! the key that this transaction found is deleted, so that what is stored again meanwhile stays.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use serde::Serialize;
use sync_core::ids::{AreaCode, made_ms};

use super::uploads::{self, State, Stored};
use super::{ObjectsError, lost, proofs, refs, thumbnails, transact};
use crate::app::App;
use crate::db::tables::{communities, objects, upload_parts, uploads as upload_rows};
use crate::db::{AnyConnection, DbError};
use crate::{erasure, journal, restore};

const DAY_MS: i64 = 24 * 3_600_000;
/// Contents looked at in one transaction: while it runs nobody can write a document.
const BATCH: i64 = 100;

/// What was collected, or would be.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Uploads that have expired.
    pub uploads: usize,
    /// Contents that nobody refers to, found for the first time.
    pub candidates: usize,
    /// Contents deleted.
    pub contents: usize,
    /// Bytes of these contents.
    pub bytes: u64,
    /// Things in the store that the database knows nothing of, deleted.
    pub strays: usize,
    /// Contents deleted that went with an erased document, and that could not be deleted at once.
    pub erased: usize,
    /// Phones that are still expected to hand in what a restored server lacks. While there are any no content is deleted.
    pub awaited: i64,
}

/// Collects, or with `dry_run` only says what would be.
pub async fn collect(app: &App, dry_run: bool) -> Result<Collected, ObjectsError> {
    let mut done = Collected { uploads: expired(app, dry_run).await?, ..Collected::default() };
    if !dry_run {
        done.erased = erasure::contents::clear(app).await?;
        let now_ms = app.now_ms();
        transact(&app.db, move |conn| lost::ask(conn, now_ms).map_err(ObjectsError::from)).await?;
    }
    let hold_ms = app.config.attachment_hold_days.max(0).saturating_mul(DAY_MS);
    let (journal, now_ms) = (app.journal, app.now_ms());
    done.awaited =
        transact(&app.db, move |conn| restore::awaited(conn, journal, hold_ms, now_ms).map_err(ObjectsError::from))
            .await?;
    if done.awaited > 0 {
        return Ok(done);
    }
    done.candidates = mark(app, dry_run).await?;
    sweep(app, dry_run, &mut done).await?;
    done.strays = strays(app, dry_run).await?;
    Ok(done)
}

fn grace_ms(app: &App) -> i64 {
    app.config.attachment_grace_days.max(0) * DAY_MS
}

/// Uploads whose time is over; the rows of ended ones go when they no longer count towards a day's quota.
async fn expired(app: &App, dry_run: bool) -> Result<usize, ObjectsError> {
    let now_ms = app.now_ms();
    let over: Vec<String> = transact(&app.db, move |conn| {
        let open =
            upload_rows::table.filter(upload_rows::expires_ms.le(now_ms)).filter(upload_rows::state.eq(State::OPEN));
        open.select(upload_rows::id).load(conn).map_err(ObjectsError::from)
    })
    .await?;
    if dry_run {
        return Ok(over.len());
    }
    for id in &over {
        let (row, folder) = (id.clone(), format!("uploads/{id}"));
        let ended = transact(&app.db, move |conn| {
            // It may have gone on since it was found.
            let still = upload_rows::table
                .find(&row)
                .filter(upload_rows::expires_ms.le(now_ms))
                .count()
                .get_result::<i64>(conn)?;
            if still > 0 {
                uploads::end(conn, &row, State::GONE)?;
            }
            Ok::<_, ObjectsError>(still > 0)
        });
        if ended.await? {
            let keys = app.objects.list(&folder).await?.into_iter().map(|o| o.key);
            app.objects.delete_all(keys).await;
        }
    }
    transact(&app.db, move |conn| {
        let old = upload_rows::table
            .filter(upload_rows::state.ne(State::OPEN))
            .filter(upload_rows::expires_ms.le(now_ms))
            .filter(upload_rows::created_ms.le(now_ms - DAY_MS));
        diesel::delete(old).execute(conn).map_err(ObjectsError::from)
    })
    .await?;
    Ok(over.len())
}

/// Finds contents that nobody refers to, and notes since when; who is referred to again is no candidate any more.
async fn mark(app: &App, dry_run: bool) -> Result<usize, ObjectsError> {
    let now_ms = app.now_ms();
    transact(&app.db, move |conn| {
        let waiting = refs::in_quarantine(conn)?;
        let (mut after, mut count) = (String::new(), 0);
        loop {
            let page: Vec<Stored> =
                objects::table.filter(objects::hash.gt(&after)).order(objects::hash).limit(BATCH).load(conn)?;
            let Some(last) = page.last() else { return Ok(count) };
            after.clone_from(&last.hash);
            for row in page {
                let wanted = refs::is_referred_to(conn, &row.hash, &waiting)?;
                let since = match (wanted, row.candidate_ms) {
                    (true, Some(_)) => None,
                    (false, None) => Some(now_ms),
                    _ => continue,
                };
                count += usize::from(!wanted);
                if !dry_run {
                    diesel::update(objects::table.find(&row.hash))
                        .set(objects::candidate_ms.eq(since))
                        .execute(conn)?;
                }
            }
        }
    })
    .await
}

async fn sweep(app: &App, dry_run: bool, done: &mut Collected) -> Result<(), ObjectsError> {
    let before_ms = app.now_ms() - grace_ms(app);
    let mut after = String::new();
    loop {
        let from = after.clone();
        let (last, gone) = transact(&app.db, move |conn| delete_batch(conn, &from, before_ms, dry_run)).await?;
        for row in &gone {
            done.contents += 1;
            done.bytes += u64::try_from(row.bytes).unwrap_or_default();
        }
        if !dry_run {
            app.objects.delete_all(gone.iter().map(|r| r.object.clone())).await;
            for row in &gone {
                thumbnails::forget(app, &row.hash).await?;
                let marks = app.objects.list(&proofs::folder(&row.hash)).await?.into_iter().map(|o| o.key);
                app.objects.delete_all(marks).await;
            }
        }
        match last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Takes out the rows of contents that were unwanted all the time and still are. Whoever writes a document waits meanwhile.
fn delete_batch(
    conn: &mut AnyConnection,
    after: &str,
    before_ms: i64,
    dry_run: bool,
) -> Result<(Option<String>, Vec<Stored>), ObjectsError> {
    let codes: Vec<String> = communities::table.select(communities::code).load(conn)?;
    let codes: Vec<AreaCode> = codes.into_iter().filter_map(|c| AreaCode::new(c).ok()).collect();
    journal::lock(conn, &codes)?;
    let page: Vec<Stored> = objects::table
        .filter(objects::candidate_ms.le(before_ms))
        .filter(objects::hash.gt(after))
        .order(objects::hash)
        .limit(BATCH)
        .load(conn)?;
    let last = page.last().map(|r| r.hash.clone());
    if page.is_empty() {
        return Ok((last, page));
    }
    let waiting = refs::in_quarantine(conn)?;
    let mut gone = Vec::new();
    for row in page {
        if refs::is_referred_to(conn, &row.hash, &waiting)? {
            continue;
        }
        // Whoever was told meanwhile that it is here has made it no candidate.
        let still =
            objects::table.filter(objects::hash.eq(&row.hash)).filter(objects::candidate_ms.eq(row.candidate_ms));
        if dry_run {
            gone.push(row);
        } else if diesel::delete(still).execute(conn)? > 0 {
            proofs::forget(conn, &row.hash)?;
            gone.push(row);
        }
    }
    Ok((last, gone))
}

/// Things that an interrupted request left in the store. What a journal before a restore may have known is not touched until that
/// journal's phones have had the grace period to say so.
async fn strays(app: &App, dry_run: bool) -> Result<usize, ObjectsError> {
    let journal_ms = made_ms(app.journal.0).unwrap_or(0);
    let before_ms = app.now_ms() - grace_ms(app);
    if journal_ms > before_ms {
        return Ok(0);
    }
    let mut count = 0;
    for folder in ["objects", "uploads", "thumbnails", "proofs"] {
        let old = app.objects.list(folder).await?.into_iter().filter(|o| o.modified_ms <= before_ms);
        let keys: Vec<String> = old.map(|o| o.key).collect();
        let unknown = transact(&app.db, move |conn| strangers(conn, keys).map_err(ObjectsError::from)).await?;
        count += unknown.len();
        if !dry_run {
            app.objects.delete_all(unknown).await;
        }
    }
    Ok(count)
}

/// Which of these keys nobody knows. A content that a document refers to is known even when its row is not there.
fn strangers(conn: &mut AnyConnection, keys: Vec<String>) -> Result<Vec<String>, DbError> {
    let waiting = refs::in_quarantine(conn)?;
    let mut unknown = Vec::new();
    for key in keys {
        let part = |n: usize| key.split('/').nth(n).unwrap_or_default();
        let known = match part(0) {
            "objects" => {
                let rows: i64 = objects::table.filter(objects::object.eq(&key)).count().get_result(conn)?;
                let here = uploads::is_stored(conn, part(2))?.is_some();
                rows > 0 || (!here && refs::is_referred_to(conn, part(2), &waiting)?)
            }
            "uploads" => upload_parts::table.filter(upload_parts::object.eq(&key)).count().get_result::<i64>(conn)? > 0,
            // What is lost may come back, and is read through the same records then.
            "proofs" => uploads::is_stored(conn, part(1))?.is_some() || refs::is_referred_to(conn, part(1), &waiting)?,
            _ => uploads::is_stored(conn, part(1))?.is_some(),
        };
        if !known {
            unknown.push(key);
        }
    }
    Ok(unknown)
}

/// Collects again and again until told to stop. The first time after one interval: a server that was just restored is left alone.
pub async fn schedule(app: Arc<App>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let minutes = app.config.attachment_gc_minutes;
    if minutes == 0 {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(minutes.saturating_mul(60))) => {}
            _ = stop.changed() => return,
        }
        match collect(&app, false).await {
            Ok(done) if done != Collected::default() => tracing::info!(?done, "attachments collected"),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "attachments could not be collected"),
        }
    }
}
