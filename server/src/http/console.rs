//! The pages of the people who decide at a desk. They stand on the same functions as the API: what a page shows or does is asked, judged
//! and logged there. A page works without script; script keeps it fresh.

mod actions;
mod assets;
mod attachments;
mod cases;
mod changes;
mod csv;
mod deeds;
mod file;
mod format;
mod forms;
mod gate;
mod hazards;
mod kept;
mod lists;
mod moments;
mod page;
mod parts;
mod patrol;
mod patrols;
mod phones;
mod preview;
mod problems;
mod quarantine;
mod reveal;
mod settle;
mod sign_in;
mod timeline;
mod today;
mod words;

use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};
use sync_core::reference::Lang;
use sync_core::role::Role;

/// What a role is called on the pages, in Chinese and in English.
pub fn role_names(role: Role) -> [String; 2] {
    [Lang::Zh, Lang::En].map(|lang| words::Words { lang }.of_code("role", role.as_str()))
}

pub(super) use problems::for_people;

/// Adds every page. It comes last: what stands before it is not asked for a cookie.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let known = web::scope("")
        .wrap(from_fn(gate::known))
        .route("/sign-out", web::post().to(sign_in::sign_out))
        .route("/today", web::get().to(today::page))
        .route("/cases", web::get().to(cases::page))
        .route("/cases.csv", web::get().to(csv::export))
        .route("/cases/{id}", web::get().to(file::page))
        .route("/cases/{id}/changes", web::get().to(changes::page))
        .route("/cases/{id}/attachments/{hash}", web::get().to(attachments::contents))
        .route("/cases/{id}/attachments/{hash}/thumbnail", web::get().to(attachments::thumbnail))
        .route("/cases/{id}/events", web::post().to(actions::event))
        .route("/cases/{id}/fields", web::post().to(actions::field))
        .route("/cases/{id}/settle", web::post().to(actions::settled))
        .route("/cases/{id}/reveal", web::post().to(reveal::reveal))
        .route("/patrols", web::get().to(patrols::page))
        .route("/patrols/{id}", web::get().to(patrol::page))
        .route("/patrols/{id}/events", web::post().to(patrol::event))
        .route("/patrols/{id}/settle", web::post().to(patrol::settled))
        .route("/patrols/{id}/reveal", web::post().to(reveal::reveal_patrol))
        .route("/hazards", web::get().to(hazards::page))
        .route("/quarantine", web::get().to(quarantine::page))
        .route("/quarantine/{id}", web::get().to(quarantine::entry))
        .route("/quarantine/{id}/{decision}", web::post().to(quarantine::decide))
        .route("/phones", web::get().to(phones::page))
        .route("/phones/{id}/{order}", web::post().to(phones::order))
        .route("/live", web::get().to(gate::live));
    config
        .app_data(kept::form_config(super::JSON_BYTES_MAX))
        .route("/", web::get().to(begin))
        .route("/assets/{name}", web::get().to(assets::asset))
        .route("/language", web::get().to(sign_in::language))
        .route("/sign-in", web::get().to(sign_in::page))
        .route("/sign-in", web::post().to(sign_in::sign_in))
        .service(known);
}

async fn begin() -> HttpResponse {
    see("/today")
}

/// Sends a browser to another page.
fn see(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).finish()
}
