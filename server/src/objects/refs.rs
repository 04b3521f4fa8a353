//! Which documents refer to which contents, and who may therefore hand in or read one. A content that nobody refers to is nobody's.

use std::collections::BTreeSet;

use diesel::prelude::*;
use sync_core::attachments::is_content_hash;
use sync_core::authority::Subject;
use sync_core::document::Document;
use sync_core::ids::{DocumentId, UserId};

use crate::db::tables::{attachment_refs, quarantine};
use crate::db::{AnyConnection, DbError};
use crate::journal;
use crate::quarantine::communities;

/// Notes what a document refers to. Called wherever a document is written, in the same transaction.
pub fn note(conn: &mut AnyConnection, document: &Document) -> Result<(), DbError> {
    let entries = document.attachments();
    if entries.is_empty() {
        return Ok(());
    }
    let id = document.meta().id.to_string();
    let known = of_document(conn, document.meta().id)?;
    for (hash, entry) in entries.iter().filter(|(hash, _)| !known.contains(*hash)) {
        diesel::insert_into(attachment_refs::table)
            .values((
                attachment_refs::document.eq(&id),
                attachment_refs::hash.eq(hash),
                attachment_refs::by_user.eq(entry.by.to_string()),
                attachment_refs::bytes.eq(i64::try_from(entry.bytes).unwrap_or(i64::MAX)),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// What a document refers to.
pub fn of_document(conn: &mut AnyConnection, document: DocumentId) -> Result<BTreeSet<String>, DbError> {
    let rows = attachment_refs::table
        .filter(attachment_refs::document.eq(document.to_string()))
        .select(attachment_refs::hash)
        .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// What a person has to do with a content of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// He may read the document, which refers to it.
    Reader,
    /// He entered it, in the document or in a change that waits in quarantine, and may see the document no more, or not yet.
    Author,
    /// He decides about a change that waits in quarantine and names it, for a document that he may read: he looks at it, no more.
    Decider,
    /// Nothing, as far as he may know.
    None,
}

/// What a person has to do with a content of a document now.
pub fn standing(
    conn: &mut AnyConnection,
    subject: &Subject,
    user: UserId,
    document: DocumentId,
    hash: &str,
) -> Result<Standing, DbError> {
    let entered: Option<String> = attachment_refs::table
        .find((document.to_string(), hash))
        .select(attachment_refs::by_user)
        .first(conn)
        .optional()?;
    if let Some(by) = entered {
        let row = journal::document_row(conn, document)?;
        let readable = match row {
            Some(row) => subject.may_read(&row.place()?),
            None => false,
        };
        return Ok(match (readable, by == user.to_string()) {
            (true, _) => Standing::Reader,
            (false, true) => Standing::Author,
            (false, false) => Standing::None,
        });
    }
    let waiting: Vec<(String, String, Vec<u8>)> = quarantine::table
        .filter(quarantine::document.eq(document.to_string()))
        .filter(quarantine::state.eq("waiting"))
        .select((quarantine::author, quarantine::community, quarantine::bytes))
        .load(conn)?;
    let naming: Vec<(String, String)> = waiting
        .into_iter()
        .filter(|(_, _, bytes)| hashes_in(bytes).contains(hash))
        .map(|(author, community, _)| (author, community))
        .collect();
    if naming.iter().any(|(author, _)| *author == user.to_string()) {
        return Ok(Standing::Author);
    }
    let decides = communities(subject);
    let Some(row) = journal::document_row(conn, document)?.filter(|_| !naming.is_empty()) else {
        return Ok(Standing::None);
    };
    let place = row.place()?;
    // A change says itself which community it is for: it opens nothing of a document that lies in another.
    let decides = naming.iter().any(|(_, c)| c == place.community.as_str() && decides.contains(c));
    Ok(if decides && subject.may_read(&place) { Standing::Decider } else { Standing::None })
}

/// Everything in the bytes of a change that could be the name of a content. Changes are kept as they were signed, and a change that
/// is compressed is refused: a name stands in it letter by letter.
pub fn hashes_in(bytes: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let digit = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    for run in bytes.split(|b| !digit(b)).filter(|run| run.len() >= 64) {
        found.extend(run.windows(64).filter_map(|w| std::str::from_utf8(w).ok()).map(str::to_owned));
    }
    found.retain(|hash| is_content_hash(hash));
    found
}

/// Whether a document, or a change in quarantine, refers to a content.
pub fn is_referred_to(conn: &mut AnyConnection, hash: &str, waiting: &BTreeSet<String>) -> Result<bool, DbError> {
    let rows: i64 = attachment_refs::table.filter(attachment_refs::hash.eq(hash)).count().get_result(conn)?;
    Ok(rows > 0 || waiting.contains(hash))
}

/// What the changes in quarantine may refer to, decided or not: a decision can be looked at again.
pub fn in_quarantine(conn: &mut AnyConnection) -> Result<BTreeSet<String>, DbError> {
    const PAGE: i64 = 200;
    let mut found = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page: Vec<(String, Vec<u8>)> = quarantine::table
            .filter(quarantine::id.gt(&after))
            .order(quarantine::id)
            .limit(PAGE)
            .select((quarantine::id, quarantine::bytes))
            .load(conn)?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after.clone_from(last);
        page.iter().for_each(|(_, bytes)| found.extend(hashes_in(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_it_stands_among_the_bytes() {
        let hash = "ab".repeat(32);
        let bytes = [b"\x01\x40".as_slice(), hash.as_bytes(), b"\xffx"].concat();
        assert!(hashes_in(&bytes).contains(&hash));
        // A digit may stand before it by chance.
        assert!(hashes_in(&[b"7".as_slice(), hash.as_bytes()].concat()).contains(&hash));
        assert!(hashes_in(&bytes[..60]).is_empty());
    }
}
