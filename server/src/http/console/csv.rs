//! The list as a table for a spreadsheet: exactly what the page shows, in its order and all of it, however long. Which cases these are is
//! asked at once; their rows are read and sent bit by bit, so that neither memory nor a connection waits for who takes them.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::cases::{self, Asked, Row};
use super::gate::Visitor;
use super::lists::Wanted;
use super::words::Words;
use crate::app::App;
use crate::audit::Act;
use crate::http::cases as api;
use crate::http::extract::Principal;
use crate::http::guard;
use crate::http::problem::Problem;
use crate::queries;

/// Rows that are read and sent together.
const ROWS: usize = 200;
const COLUMNS: [&str; 11] =
    ["title", "status", "level", "category", "place", "people", "created", "received", "updated", "due", "flags"];

/// A cell that no spreadsheet takes for a formula: some pass over what is blank before the sign, some read the full-width signs of
/// Chinese keyboards as the narrow ones.
fn cell(text: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let begins = text.trim_start_matches(is_blank).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if begins || text.starts_with(['\t', '\r', '\n']) { format!("'{text}") } else { text.to_owned() }
}

fn record(row: &Row) -> [String; 12] {
    let due = row.due.as_ref().map_or_else(String::new, |d| d.text.clone());
    [
        row.id.clone(),
        cell(&row.title),
        row.status.clone(),
        row.level.clone(),
        row.category.clone(),
        cell(&row.place),
        row.people.clone(),
        row.created.text.clone(),
        row.received.text.clone(),
        row.updated.text.clone(),
        due,
        cell(&row.flags.join(" ")),
    ]
}

fn written(records: impl IntoIterator<Item = Vec<String>>) -> Result<Bytes, Problem> {
    let failed = |e: csv::Error| Problem::internal(&e);
    let mut table = csv::Writer::from_writer(Vec::new());
    records.into_iter().try_for_each(|record| table.write_record(record)).map_err(failed)?;
    table.into_inner().map(Bytes::from).map_err(|e| Problem::internal(&e))
}

/// The first line, behind the mark by which spreadsheets know UTF-8.
fn heading(w: Words) -> Result<Bytes, Problem> {
    let heads = COLUMNS.iter().map(|c| w.t(&format!("column-{c}")));
    let line = written([std::iter::once("id".to_owned()).chain(heads).collect()])?;
    Ok([b"\xEF\xBB\xBF".as_slice(), &line].concat().into())
}

async fn some(app: &web::Data<App>, who: &Principal, ids: Vec<String>, w: Words) -> Result<Bytes, Problem> {
    let subject = who.subject.clone();
    let found = app.run(move |conn| queries::cases_of(conn, &subject, &ids)).await?;
    let rows = cases::rows(app, found, w).await?;
    written(rows.iter().map(|row| record(row).to_vec()))
}

/// The file.
pub(super) async fn export(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, who) = (visitor.words, visitor.principal);
    let mut filter = cases::filter(&Wanted::new(asked.into_inner()))?;
    (filter.limit, filter.cursor) = (None, None);
    let words = api::searched(&filter)?;
    if words.is_some() {
        guard::count_by(&app, &app.guard.search, &who.user.0)?;
    }
    let (shared, asker) = (app.clone(), who.clone());
    let found = app.run(move |conn| -> Result<Vec<String>, Problem> {
        let found = queries::case_ids(conn, &asker.subject, &filter, shared.now_ms())??;
        // The words may be a name: only their keyed hash is kept.
        let key = shared.law.numbers.as_ref();
        filter.q = words.zip(key).map(|(words, key)| key.mac("words", &words));
        let detail = json!({ "rows": found.len(), "filter": filter });
        let act = Act::new(&asker.origin(), "case.export", "cases").detail(detail);
        act.record(conn, shared.now_ms(), &shared.entropy)?;
        Ok(found)
    });
    let batches: Vec<Vec<String>> = found.await?.chunks(ROWS).map(<[String]>::to_vec).collect();
    let first = heading(w)?;
    let rest = stream::unfold((batches.into_iter(), app, who), move |(mut batches, app, who)| async move {
        let ids = batches.next()?;
        // What fails here cuts the answer off, so that nobody takes a part for the whole.
        let bytes = some(&app, &who, ids, w).await;
        Some((bytes, (batches, app, who)))
    });
    let body = futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"cases.csv\""))
        .streaming(Box::pin(body)))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_begins_as_a_formula_whatever_stands_before_its_sign_and_however_wide_it_is() {
        for text in ["=1+1", "  =1+1", "\u{3000}=1", "\u{a0}@x", "＝1", " ＋1", "－1", "＠x", "\t1", "\n=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "欠薪=三万", " 张某", "3-5栋"] {
            assert_eq!(cell(text), text);
        }
    }
}
