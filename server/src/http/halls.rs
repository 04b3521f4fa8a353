//! The halls: what lies with one, and what the rules told it.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use sync_core::role::{AreaKind, Level, Role};
use utoipa::ToSchema;

use super::audit::looked;
use super::extract::Principal;
use super::problem::Problem;
use crate::app::App;
use crate::areas;
use crate::db::DbError;
use crate::queries::{self, CaseFilter, CaseSummary, Notification};

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/halls/{area}/queue", web::get().to(queue)).route("/notifications", web::get().to(notifications));
}

/// What lies with a hall.
#[derive(Serialize, ToSchema)]
pub struct Queue {
    /// The area.
    area: String,
    /// Its name.
    name: String,
    /// The level of its hall.
    level: String,
    /// Open cases that lie with it, what is due first.
    cases: Vec<CaseSummary>,
    /// How many of them are overdue.
    overdue: usize,
    /// How many are due within four hours.
    due_soon: usize,
    /// How many nobody has received yet.
    reported: usize,
    /// How many a supervisor must look at.
    needs_review: usize,
}

const SOON_MS: i64 = 4 * 3_600_000;

/// The queue of a hall: open cases that lie at its level, in its area.
#[utoipa::path(get, path = "/v1/halls/{area}/queue", tag = "halls",
    params(("area" = String, Path, description = "Code of a community, street or district")),
    responses((status = 200, body = Queue), (status = 404, description = "No such hall")), security(("bearer" = [])))]
pub async fn queue(
    principal: Principal,
    area: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let code = area.into_inner();
    let now_ms = app.now_ms();
    let shared = app.clone();
    let queue = app
        .run(move |conn| -> Result<_, Problem> {
            let hidden = || Problem::not_found("there is no such hall, or you do not belong to it");
            let area = areas::find(conn, &code)?.ok_or_else(hidden)?;
            let kind = AreaKind::parse(&area.kind).filter(|k| *k <= AreaKind::Community).ok_or_else(hidden)?;
            let level = Level::of_area(kind);
            let inside: Vec<String> = areas::all(conn)?
                .into_iter()
                .filter(|a| a.kind == AreaKind::Community.as_str() && a.path.starts_with(&area.path))
                .map(|a| a.code)
                .collect();
            let mine = principal.subject.communities();
            if !mine.iter().any(|m| inside.iter().any(|i| i == m.as_str())) {
                return Err(hidden());
            }
            let mut cases: Vec<CaseSummary> = Vec::new();
            for community in inside {
                let mut filter = CaseFilter {
                    community: Some(community),
                    level: Some(level.as_str().to_owned()),
                    open: Some(true),
                    limit: Some(queries::PAGE_MAX),
                    ..CaseFilter::default()
                };
                loop {
                    let page = queries::case_page(conn, &principal.subject, &filter, now_ms)??;
                    cases.extend(page.items);
                    filter.cursor = page.next;
                    if filter.cursor.is_none() || cases.len() >= 2_000 {
                        break;
                    }
                }
            }
            let detail = json!({ "found": cases.len() });
            looked(conn, &shared, &principal.origin(), ("hall.queue", &area.code), detail)?;
            cases.sort_by_key(|c| (c.due_ms.unwrap_or(i64::MAX), c.created_ms, c.id.clone()));
            let count = |f: &dyn Fn(&CaseSummary) -> bool| cases.iter().filter(|c| f(c)).count();
            Ok(Queue {
                overdue: count(&|c| c.due_ms.is_some_and(|d| d <= now_ms)),
                due_soon: count(&|c| c.due_ms.is_some_and(|d| d > now_ms && d <= now_ms + SOON_MS)),
                reported: count(&|c| c.status == "reported"),
                needs_review: count(&|c| c.needs_review),
                area: area.code,
                name: area.name,
                level: level.as_str().to_owned(),
                cases,
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(queue))
}

/// The communities in which somebody holds one of these roles.
fn codes(principal: &Principal, roles: &[Role]) -> Vec<String> {
    let grants = principal.subject.grants.iter().filter(|g| roles.contains(&g.role));
    grants.flat_map(|g| g.communities.iter().cloned().map(String::from)).collect()
}

/// What the rules told the halls of the asker's areas: escalations, reminders, flash reports, and what was withdrawn and why.
#[utoipa::path(get, path = "/v1/notifications", tag = "halls", responses((status = 200, body = Vec<Notification>)),
    security(("bearer" = [])))]
pub async fn notifications(principal: Principal, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    principal.must_hold(DESKS)?;
    let shared = app.clone();
    let list = app.run(move |conn| -> Result<_, DbError> {
        let list = queries::notification_list(conn, &codes(&principal, DESKS), 500)?;
        let detail = json!({ "found": list.len() });
        looked(conn, &shared, &principal.origin(), ("notification.list", "notifications"), detail)?;
        Ok(list)
    });
    let list = list.await?;
    Ok(HttpResponse::Ok().json(list))
}

const DESKS: &[Role] =
    &[Role::Supervisor, Role::MediationDirector, Role::Receptionist, Role::StationHead, Role::Mediator];
