//! What is referred to and not here, and the reverse. A server that was restored from a backup finds again what its store still
//! holds; what is lost for good is asked of the phones.

use diesel::prelude::*;
use serde::Serialize;
use sync_core::ids::{DocumentId, JournalId};
use tokio::sync::watch;

use super::uploads::{self, Stored};
use super::{ObjectsError, content, lost, proofs, transact};
use crate::app::App;
use crate::db::tables::{attachment_refs, objects, settings};
use crate::db::{AnyConnection, DbError};

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Contents that documents refer to.
    pub referred: usize,
    /// Contents that are here and whole.
    pub whole: usize,
    /// Contents that lay in the store and the database knew nothing of; they are entered again.
    pub adopted: Vec<String>,
    /// Contents that are referred to and have not arrived: on some phone, or on their way.
    pub missing: Vec<String>,
    /// Contents that the database believes to be here and that are gone or altered; with `repair` phones are asked for them again.
    pub lost: Vec<String>,
}

impl Report {
    /// True when nothing that once was here is lost.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
    }
}

/// Enters a content again that lies in the store, if its bytes are what its name says.
pub async fn adopt(app: &App, hash: &str) -> Result<Option<Stored>, ObjectsError> {
    for found in app.objects.list(&uploads::content_folder(hash)).await? {
        if found.bytes > app.config.attachment_bytes_max {
            continue;
        }
        let Some(bytes) = app.objects.get(&found.key).await? else { continue };
        let (name, length) = (hash.to_owned(), i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        let checked = tokio::task::spawn_blocking(move || content::check(&name, &bytes)).await;
        let Ok(media_type) = checked.map_err(|e| ObjectsError::Worker(e.to_string()))? else { continue };
        let row = uploads::stored(hash, &found.key, length, media_type, app.now_ms());
        let entered = row.clone();
        transact(&app.db, move |conn| uploads::store(conn, &entered).map_err(ObjectsError::from)).await?;
        tracing::info!(hash, "a content was found in the store and entered again");
        return Ok(Some(row));
    }
    Ok(None)
}

/// A content, if it is here; one of which the database knows nothing any more is looked for in the store.
pub async fn find(app: &App, hash: &str) -> Result<Option<Stored>, ObjectsError> {
    let name = hash.to_owned();
    let known = transact(&app.db, move |conn| {
        let here = uploads::touch(conn, &name)?;
        if here { Ok::<_, ObjectsError>(uploads::is_stored(conn, &name)?) } else { Ok(None) }
    });
    match known.await? {
        Some(row) => Ok(Some(row)),
        None => adopt(app, hash).await,
    }
}

/// A content of which its bytes were seen to lie in the store, as many as there should be: whoever is told so may delete his own.
pub async fn stands(app: &App, hash: &str) -> Result<Option<Stored>, ObjectsError> {
    match find(app, hash).await? {
        Some(row) if !whole(app, &row, false).await? => {
            lost::lose(app, &row).await?;
            adopt(app, hash).await
        }
        found => Ok(found),
    }
}

/// Contents looked for at once.
const PAGE: i64 = 100;
/// The setting that names the journal for which the store was looked through.
const LOOKED: &str = "contents_looked";

/// Whether everything that documents named when this journal began was looked for in the store.
pub fn is_looked_through(conn: &mut AnyConnection, journal: JournalId) -> Result<bool, DbError> {
    let of: Option<String> = settings::table.find(LOOKED).select(settings::value).first(conn).optional()?;
    Ok(of.is_some_and(|of| of == journal.to_string()))
}

/// After a restore: looks in the store for every content that documents name, so that it is known what is missing before anybody asks.
pub async fn look_through(app: &App, stop: &watch::Receiver<bool>) -> Result<(), ObjectsError> {
    let journal = app.journal;
    let done = move |conn: &mut AnyConnection| is_looked_through(conn, journal).map_err(ObjectsError::from);
    if !app.restored || transact(&app.db, done).await? {
        return Ok(());
    }
    let (mut after, mut missing) = (String::new(), 0_usize);
    loop {
        let from = after.clone();
        let page: Vec<String> = transact(&app.db, move |conn| {
            let named = attachment_refs::table
                .filter(attachment_refs::hash.gt(from))
                .filter(attachment_refs::hash.ne_all(objects::table.select(objects::hash)));
            let named = named.select(attachment_refs::hash).distinct().order(attachment_refs::hash).limit(PAGE);
            named.load(conn).map_err(ObjectsError::from)
        })
        .await?;
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        for hash in &page {
            if *stop.borrow() {
                return Ok(());
            }
            missing += usize::from(adopt(app, hash).await?.is_none());
        }
    }
    transact(&app.db, move |conn| {
        diesel::delete(settings::table.find(LOOKED)).execute(conn)?;
        let row = (settings::name.eq(LOOKED), settings::value.eq(journal.to_string()));
        diesel::insert_into(settings::table).values(row).execute(conn).map_err(ObjectsError::from)
    })
    .await?;
    tracing::info!(missing, "the store was looked through after the restore");
    Ok(())
}

/// Looks through the store once, when a server begins.
pub async fn look_through_once(app: std::sync::Arc<App>, stop: watch::Receiver<bool>) {
    if let Err(error) = look_through(&app, &stop).await {
        tracing::error!(%error, "the store could not be looked through; the next start tries again");
    }
}

/// Compares documents, database and store. `deep` reads every content and checks its hash; `repair` takes out what is lost, so that
/// phones supply it.
pub async fn verify(app: &App, deep: bool, repair: bool) -> Result<Report, ObjectsError> {
    let referred: Vec<String> = transact(&app.db, |conn| {
        let all = attachment_refs::table.select(attachment_refs::hash).distinct().order(attachment_refs::hash);
        all.load(conn).map_err(ObjectsError::from)
    })
    .await?;
    let mut report = Report { referred: referred.len(), ..Report::default() };
    let known: Vec<Stored> =
        transact(&app.db, |conn| objects::table.order(objects::hash).load(conn).map_err(ObjectsError::from)).await?;
    for row in &known {
        if whole(app, row, deep).await? {
            report.whole += 1;
            continue;
        }
        report.lost.push(row.hash.clone());
        if repair {
            let (row, now_ms) = (row.clone(), app.now_ms());
            transact(&app.db, move |conn| lost::note(conn, &row, now_ms).map_err(ObjectsError::from)).await?;
        }
    }
    if repair {
        let now_ms = app.now_ms();
        transact(&app.db, move |conn| lost::ask(conn, now_ms).map_err(ObjectsError::from)).await?;
    }
    let known: std::collections::BTreeSet<&String> = known.iter().map(|r| &r.hash).collect();
    for hash in referred.into_iter().filter(|h| !known.contains(h)) {
        match adopt(app, &hash).await? {
            Some(_) => report.adopted.push(hash),
            None => report.missing.push(hash),
        }
    }
    Ok(report)
}

async fn whole(app: &App, row: &Stored, deep: bool) -> Result<bool, ObjectsError> {
    if !deep {
        return Ok(app.objects.size(&row.object).await? == u64::try_from(row.bytes).ok());
    }
    let Some(bytes) = app.objects.get(&row.object).await? else { return Ok(false) };
    let hash = row.hash.clone();
    let checked = tokio::task::spawn_blocking(move || sync_core::attachments::content_hash(&bytes) == hash).await;
    checked.map_err(|e| ObjectsError::Worker(e.to_string()))
}

/// Where a content stands, as far as one who asks may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// The server holds it.
    Here,
    /// It is referred to, and the server does not hold it.
    Missing,
    /// No record that the asker may see refers to it.
    Unknown,
}

/// Where contents of documents stand. What the database has forgotten and the store has not counts as here; what nobody handed in for
/// this very document does not.
pub async fn locate(
    app: &App,
    who: &uploads::Uploader,
    asked: Vec<(DocumentId, String)>,
) -> Result<Vec<Where>, ObjectsError> {
    let (asker, questions) = (who.clone(), asked.clone());
    // Nobody frees anything on the word of a row: the store is asked each time.
    let mut found = transact(&app.db, move |conn| {
        let one = |(document, hash): &(DocumentId, String)| -> Result<Where, ObjectsError> {
            let standing = super::refs::standing(conn, &asker.subject, asker.user, *document, hash)?;
            if standing == super::refs::Standing::None {
                return Ok(Where::Unknown);
            }
            Ok(Where::Missing)
        };
        questions.iter().map(one).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    for (at, (document, hash)) in found.iter_mut().zip(&asked).filter(|(at, _)| **at == Where::Missing) {
        if proofs::find(app, *document, hash).await? && stands(app, hash).await?.is_some() {
            *at = Where::Here;
        }
    }
    Ok(found)
}
