//! How far the phones are in step, for those who look after the people who carry them.

use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use sync_core::ids::DeviceId;
use utoipa::{IntoParams, ToSchema};

use super::audit::{looked, narrowed};
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::accounts::roster;
use crate::app::App;
use crate::areas::Tree;
use crate::audit::Act;
use crate::db::AnyConnection;
use crate::queries;
use crate::replication::{self, Bounds, DeviceHealth, State};

/// Which phones.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReplicationFilter {
    /// The code of an area: phones of people who work in it or below it.
    pub area: Option<String>,
    /// `revoked`, `never`, `silent`, `refused`, `behind`, `clock` or `ok`.
    pub state: Option<String>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// At most so many, 1 to 200.
    pub limit: Option<i64>,
}

/// A page of phones.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplicationView {
    /// Longest without a contact first; those that never synced before all.
    pub items: Vec<DeviceHealth>,
    /// How many phones of the filter's area stand in each state, on whatever page.
    pub states: BTreeMap<&'static str, u64>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One phone with what was told of it before.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceHistoryView {
    /// As it stands.
    #[serde(flatten)]
    pub health: DeviceHealth,
    /// The last alerts about it, newest first.
    pub history: Vec<PastAlertView>,
}

/// An alert that stands or stood.
#[derive(Debug, Serialize, ToSchema)]
pub struct PastAlertView {
    /// `silent` or `clock`.
    pub kind: String,
    /// When it was raised, ms UTC.
    pub raised_ms: i64,
    /// When it was over, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_ms: Option<i64>,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.route("/replication", web::get().to(list)).route("/replication/{device}", web::get().to(one));
}

fn looked_after(
    app: &App,
    conn: &mut AnyConnection,
    principal: &Principal,
    area: Option<&str>,
) -> Result<Vec<DeviceHealth>, Problem> {
    let seen = |tree: &Tree, member: &roster::Member| {
        let here = |a: &String| area.is_none_or(|area| tree.contains(area, a));
        let own = member.user.id == principal.user.to_string();
        let overseen = |a: &String| own || roster::looks_after(&principal.subject, tree, a);
        member.areas.iter().any(|a| here(a) && overseen(a)) || (own && area.is_none())
    };
    let mut rows = replication::all(conn, &Bounds::of(&app.config), app.now_ms(), seen)?;
    rows.sort_by(|a, b| (a.last_seen_ms, &a.device).cmp(&(b.last_seen_ms, &b.device)));
    Ok(rows)
}

/// How far phones are in step: one's own, and those of the people one looks after as administrator or supervisor.
#[utoipa::path(get, path = "/v1/replication", tag = "devices", params(ReplicationFilter),
    responses((status = 200, body = ReplicationView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody)),
    security(("bearer" = [])))]
pub(crate) async fn list(
    app: web::Data<App>,
    principal: Principal,
    filter: web::Query<ReplicationFilter>,
) -> Result<web::Json<ReplicationView>, Problem> {
    let filter = filter.into_inner();
    let wrong = |field: &str, detail: String, remedy: &str| {
        Problem::invalid("parameter_invalid", detail).field(field).remedy(remedy)
    };
    let state = filter.state.as_deref().map(|word| {
        State::parse(word).ok_or_else(|| {
            let words: Vec<&str> = State::ALL.iter().map(|s| s.as_str()).collect();
            wrong("state", format!("`{word}` is no state of a phone"), &format!("one of {}", words.join(", ")))
        })
    });
    let state = state.transpose()?;
    let limit = filter.limit.unwrap_or(50);
    if !(1..=queries::PAGE_MAX).contains(&limit) {
        return Err(wrong("limit", format!("{limit} rows are asked for"), "1 to 200"));
    }
    let limit = usize::try_from(limit).unwrap_or_default();
    let shared = app.clone();
    let page = app.run(move |conn| -> Result<ReplicationView, Problem> {
        if let Some(area) = &filter.area
            && Tree::load(conn)?.get(area).is_none()
        {
            return Err(wrong("area", format!("there is no area `{area}`"), "give the code of an area"));
        }
        let rows = looked_after(&shared, conn, &principal, filter.area.as_deref())?;
        let states = replication::tally(&rows);
        let mut rows: Vec<DeviceHealth> =
            rows.into_iter().filter(|r| state.is_none_or(|s| r.states.contains(&s))).collect();
        if let Some(cursor) = &filter.cursor {
            let after = place(cursor).ok_or_else(|| {
                wrong("cursor", "this is no cursor of this list".into(), "give the `next` of the page before")
            })?;
            rows.retain(|r| (r.last_seen_ms, r.device.as_str()) > (after.0, after.1));
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|r| format!("{}.{}", r.last_seen_ms.map_or(String::new(), |ms| ms.to_string()), r.device));
        let detail = json!({ "filter": narrowed(&filter), "found": rows.len() });
        looked(conn, &shared, &principal.origin(), ("replication.list", "devices"), detail)?;
        Ok(ReplicationView { items: rows, states, next })
    });
    Ok(web::Json(page.await?))
}

/// The place in the list behind which the next page begins.
fn place(cursor: &str) -> Option<(Option<i64>, &str)> {
    let (seen, device) = cursor.split_once('.')?;
    let seen = if seen.is_empty() { None } else { Some(seen.parse().ok()?) };
    device.parse::<DeviceId>().ok()?;
    Some((seen, device))
}

/// One phone, with the alerts that were raised about it.
#[utoipa::path(get, path = "/v1/replication/{device}", tag = "devices", params(("device" = String, Path, description = "The phone")),
    responses((status = 200, body = DeviceHistoryView), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)),
    security(("bearer" = [])))]
pub(crate) async fn one(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
) -> Result<web::Json<DeviceHistoryView>, Problem> {
    let unknown = || Problem::not_found("there is no such phone among those that you look after");
    let id: DeviceId = path.parse().map_err(|_| unknown())?;
    let shared = app.clone();
    let found = app.run(move |conn| -> Result<DeviceHistoryView, Problem> {
        let rows = looked_after(&shared, conn, &principal, None)?;
        let health = rows.into_iter().find(|r| r.device == id.to_string()).ok_or_else(unknown)?;
        let past = |(kind, raised_ms, closed_ms)| PastAlertView { kind, raised_ms, closed_ms };
        let history = replication::history(conn, id)?.into_iter().map(past).collect();
        Act::new(&principal.origin(), "replication.read", id).record(conn, shared.now_ms(), &shared.entropy)?;
        Ok(DeviceHistoryView { health, history })
    });
    Ok(web::Json(found.await?))
}
