//! The list as a table for a spreadsheet: exactly what the page shows, all of it.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::cases::{self, Asked, Row};
use super::gate::Visitor;
use crate::app::App;
use crate::audit::Act;
use crate::db::DbError;
use crate::http::cases as api;
use crate::http::problem::Problem;
use crate::queries::PAGE_MAX;

/// Rows of one file; whoever needs more narrows the list.
const ROWS_MAX: usize = 20_000;

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

fn record(row: &Row) -> [String; 11] {
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
        row.updated.text.clone(),
        due,
        row.flags.join(" "),
    ]
}

/// The file.
pub(super) async fn export(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let mut filter = cases::filter(&asked)?;
    (filter.limit, filter.cursor) = (Some(PAGE_MAX), None);
    let failed = |e: csv::Error| Problem::internal(&e);
    let mut table = csv::Writer::from_writer(Vec::new());
    let columns = ["title", "status", "level", "category", "place", "people", "created", "updated", "due", "flags"];
    let heads = columns.iter().map(|c| w.t(&format!("column-{c}")));
    table.write_record(std::iter::once("id".to_owned()).chain(heads)).map_err(failed)?;
    let mut count = 0;
    loop {
        let page = api::list(visitor.principal.clone(), web::Query(filter.clone()), app.clone()).await?.into_inner();
        for row in cases::rows(&app, page.items, w).await? {
            table.write_record(record(&row)).map_err(failed)?;
            count += 1;
        }
        if page.next.is_none() {
            break;
        }
        if count >= ROWS_MAX {
            return Err(Problem::too_large(format!("more than {ROWS_MAX} cases")).remedy("narrow the list"));
        }
        filter.cursor = page.next;
    }
    let (shared, origin) = (app.clone(), visitor.principal.origin());
    app.run(move |conn| -> Result<(), DbError> {
        let act = Act::new(&origin, "case.export", "cases").detail(json!({ "rows": count }));
        act.record(conn, shared.now_ms(), &shared.entropy)
    })
    .await?;
    let bytes = table.into_inner().map_err(|e| Problem::internal(&e))?;
    // The mark by which spreadsheets know UTF-8.
    let body = [b"\xEF\xBB\xBF".as_slice(), &bytes].concat();
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"cases.csv\""))
        .body(body))
}
