//! Tells the story: lines for people, Chinese first, or one JSON object a step. All words come from the message file.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::json;
use server::accounts::{grants, users};
use server::app::App;
use server::areas::{self, Plan};
use server::http::role_names;
use sync_core::calendar::beijing_text;
use sync_core::role::Role;

use super::Fallible;
use super::compare::Summary;

#[derive(Deserialize)]
struct Message {
    zh: String,
    en: String,
}

impl Message {
    fn filled(text: &str, values: &[(&str, &str)]) -> String {
        values.iter().fold(text.to_owned(), |t, (name, value)| t.replace(&format!("{{{name}}}"), value))
    }
}

pub(super) struct Teller {
    json: bool,
    messages: BTreeMap<String, Message>,
    step: u32,
}

fn line(text: &str) -> Fallible<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        // A reader that has gone away (`| head`) is no error.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

impl Teller {
    pub(super) fn new(json: bool) -> Fallible<Self> {
        Ok(Self { json, messages: toml::from_str(schema::DEMO_MESSAGES)?, step: 0 })
    }

    fn message(&self, key: &str) -> Fallible<&Message> {
        self.messages.get(key).ok_or_else(|| format!("the message `{key}` is missing").into())
    }

    /// Both languages of a message, for use inside another one.
    pub(super) fn words(&self, key: &str, values: &[(&str, &str)]) -> Fallible<(String, String)> {
        let message = self.message(key)?;
        Ok((Message::filled(&message.zh, values), Message::filled(&message.en, values)))
    }

    /// Tells one step. A value may give both languages, divided by `|`.
    pub(super) fn tell(&mut self, key: &str, values: &[(&str, &str)], now_ms: i64) -> Fallible<()> {
        let side = |n: usize| -> Vec<(&str, &str)> {
            values.iter().map(|(k, v)| (*k, v.split('|').nth(n).unwrap_or(v))).collect()
        };
        let message = self.message(key)?;
        let (zh, en) = (Message::filled(&message.zh, &side(0)), Message::filled(&message.en, &side(1)));
        let at = beijing_text(now_ms);
        self.step += 1;
        if self.json {
            return line(&json!({ "step": self.step, "key": key, "at": at, "zh": zh, "en": en }).to_string());
        }
        line(&format!("{}  {zh}\n       {en}\n", at.split(' ').nth(1).unwrap_or_default()))
    }

    /// Lists the logins: for each what he is and where now, for a program one object each.
    pub(super) fn logins(&self, plan: &Plan, app: &App, now_ms: i64) -> Fallible<()> {
        let conn = &mut *app.db.get()?;
        for (login, name, password) in plan.logins() {
            let user = users::by_login(conn, login)?.ok_or("a person is missing")?;
            let grants = grants::now(conn, user.id.parse()?, now_ms)?.grants;
            let codes: Vec<String> = grants.iter().map(|g| g.area.to_string()).collect();
            let names = areas::names(conn, &codes)?;
            let roles = grants.iter().map(|g| {
                let area = g.area.as_str();
                (g.role, role_names(g.role), area, names.get(area).map_or(area, String::as_str))
            });
            if self.json {
                let object = |(role, _, area, area_name): (Role, _, _, _)| json!({ "role": role.as_str(), "area": area, "area_name": area_name });
                let roles: Vec<_> = roles.map(object).collect();
                line(&json!({ "login": login, "password": password, "name": name, "roles": roles }).to_string())?;
                continue;
            }
            let words = roles.map(|(_, [zh, en], _, area)| format!("{zh} {en}, {area}"));
            let words = words.collect::<Vec<_>>().join("; ");
            line(&format!("       {login:<20} {password:<26} {name} ({words})"))?;
        }
        if self.json { Ok(()) } else { line("") }
    }

    /// The summary: JSON in one line at the end, or a small table.
    pub(super) fn summary(&self, summary: &Summary) -> Fallible<()> {
        if self.json {
            return line(&serde_json::to_string(summary)?);
        }
        line(&serde_json::to_string_pretty(summary)?)
    }
}
