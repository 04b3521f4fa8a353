//! The areas that somebody may know of: his own, what lies in them, and what they lie in.

use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::areas::Tree;

/// One area.
#[derive(Debug, Serialize, ToSchema)]
pub struct AreaView {
    /// The customer's code.
    pub code: String,
    /// `district`, `street`, `community`, `grid` or `building`.
    pub kind: String,
    /// What people call it.
    pub name: String,
    /// The area it lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The community that it is or lies in; none for a street or district.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community: Option<String>,
}

/// Areas.
#[derive(Debug, Serialize, ToSchema)]
pub struct AreasView {
    /// Each after the one that it lies in.
    pub items: Vec<AreaView>,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/areas").route(web::get().to(list)));
}

/// The areas that the asker may know of.
#[utoipa::path(get, path = "/v1/areas", tag = "areas",
    responses((status = 200, body = AreasView), (status = 401, body = ProblemBody)))]
pub(super) async fn list(app: web::Data<App>, principal: Principal) -> Result<web::Json<AreasView>, Problem> {
    let tree = app.run(Tree::load).await?;
    let own: Vec<&str> = principal.subject.grants.iter().map(|g| g.area.as_str()).collect();
    let items = tree.around(&own).into_iter().map(|area| AreaView {
        code: area.code.clone(),
        kind: area.kind.clone(),
        name: area.name.clone(),
        parent: area.parent.clone(),
        community: tree.community_of(&area.code).map(String::from),
    });
    Ok(web::Json(AreasView { items: items.collect() }))
}
