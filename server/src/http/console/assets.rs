//! Style and script of the pages: part of the program, named by what they hold, so that a browser keeps them for ever.

use std::sync::OnceLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use sha2::{Digest, Sha256};

use crate::http::problem::Problem;

const STYLE: &str = include_str!("../../../assets/console.css");
const SCRIPT: &str = include_str!("../../../assets/console.js");

fn named(text: &str, kind: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let name: String = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("console-{name}.{kind}")
}

/// The name of the style sheet.
pub(super) fn style() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| named(STYLE, "css"))
}

/// The name of the script.
pub(super) fn script() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| named(SCRIPT, "js"))
}

/// One of them.
pub(super) async fn asset(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (kind, body) = match name.as_str() {
        n if n == style() => ("text/css; charset=utf-8", STYLE),
        n if n == script() => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return Err(Problem::not_found("there is no such file")),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(body))
}
