//! Reads import files: CSV with areas, or TOML with areas and people. Every error names its line and column and what to do.

use std::collections::HashMap;

use serde::Deserialize;
use sync_core::ids::{AreaCode, Entropy};
use sync_core::role::{AreaKind, Role};

use super::{find, put};
use crate::accounts::users;
use crate::db::{AnyConnection, DbError};
use crate::plain;

/// Why a file was not imported; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is at fault.
    #[error("line {line}, column {column}: {problem}; {remedy}")]
    File {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        problem: String,
        /// What would do.
        remedy: String,
    },
    /// An account could not be made.
    #[error(transparent)]
    User(#[from] users::UserError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// One area as the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedArea {
    code: AreaCode,
    kind: AreaKind,
    name: String,
    parent: Option<String>,
    line: usize,
    column: usize,
}

/// One person as the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedUser {
    login: String,
    name: String,
    password: Option<String>,
    roles: Vec<(Role, AreaCode, usize, usize)>,
    line: usize,
}

/// What a file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    areas: Vec<PlannedArea>,
    users: Vec<PlannedUser>,
}

impl Plan {
    /// Login, name and password of the people to whom the file gives one.
    pub fn logins(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.users.iter().filter_map(|u| Some((u.login.as_str(), u.name.as_str(), u.password.as_deref()?)))
    }
}

/// What an import did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Areas that were new.
    pub areas_added: usize,
    /// Areas that were known; their names were taken over.
    pub areas_known: usize,
    /// Accounts that were new.
    pub users_added: usize,
    /// Logins of accounts that got a generated password, with it.
    pub passwords: Vec<(String, String)>,
}

fn at(line: usize, column: usize, problem: impl Into<String>, remedy: impl Into<String>) -> ImportError {
    ImportError::File { line, column, problem: problem.into(), remedy: remedy.into() }
}

/// Reads a file by its name's ending: `.csv`, else TOML.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Plan, ImportError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let good = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        let column = good.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        at(line, column, "the file is not UTF-8", "save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let plan = if name.to_ascii_lowercase().ends_with(".csv") { csv_plan(text)? } else { toml_plan(text)? };
    check(&plan)?;
    Ok(plan)
}

fn kind_of(text: &str, line: usize, column: usize) -> Result<AreaKind, ImportError> {
    AreaKind::parse(text.trim()).ok_or_else(|| {
        at(line, column, format!("`{text}` is no kind of area"), "use district, street, community, grid or building")
    })
}

fn code_of(text: &str, line: usize, column: usize) -> Result<AreaCode, ImportError> {
    AreaCode::new(text.trim()).map_err(|e| at(line, column, format!("`{text}` is no area code"), e.remedy))
}

fn csv_plan(text: &str) -> Result<Plan, ImportError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
    let mut plan = Plan::default();
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(|e| {
            let line = e.position().and_then(|p| usize::try_from(p.line()).ok()).unwrap_or(i + 1);
            at(line, 1, e.to_string(), "check the quotes of this line")
        })?;
        let line = record.position().and_then(|p| usize::try_from(p.line()).ok()).unwrap_or(i + 1);
        if i == 0 {
            let header: Vec<_> = record.iter().map(str::trim).collect();
            if header != ["code", "kind", "name", "parent"] {
                return Err(at(line, 1, "the header is not `code,kind,name,parent`", "begin the file with that line"));
            }
            continue;
        }
        let column = |n: usize| record.iter().take(n).map(|f| f.chars().count() + 1).sum::<usize>() + 1;
        let [code, kind, name, parent] = record.iter().collect::<Vec<_>>()[..] else {
            return Err(at(line, 1, format!("{} columns", record.len()), "give code, kind, name and parent"));
        };
        let parent = parent.trim();
        plan.areas.push(PlannedArea {
            code: code_of(code, line, column(0))?,
            kind: kind_of(kind, line, column(1))?,
            name: name.trim().to_owned(),
            parent: (!parent.is_empty()).then(|| parent.to_owned()),
            line,
            column: column(3),
        });
    }
    Ok(plan)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    area: Vec<toml::Spanned<FileArea>>,
    #[serde(default)]
    user: Vec<toml::Spanned<FileUser>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileArea {
    code: toml::Spanned<String>,
    kind: toml::Spanned<String>,
    name: String,
    #[serde(default)]
    parent: Option<toml::Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileUser {
    login: String,
    name: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    roles: Vec<FileRole>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRole {
    role: toml::Spanned<String>,
    area: toml::Spanned<String>,
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

fn toml_plan(text: &str) -> Result<Plan, ImportError> {
    let file: File = toml::from_str(text).map_err(|e| {
        let (line, column) = place(text, e.span().map_or(0, |s| s.start));
        at(line, column, e.message().to_owned(), "see the chapter on import files")
    })?;
    let mut plan = Plan::default();
    for area in file.area {
        let start = area.span().start;
        let area = area.into_inner();
        let spot = |s: &toml::Spanned<String>| place(text, s.span().start);
        let (code_line, code_column) = spot(&area.code);
        let (kind_line, kind_column) = spot(&area.kind);
        let (line, column) = area.parent.as_ref().map_or_else(|| place(text, start), spot);
        plan.areas.push(PlannedArea {
            code: code_of(area.code.get_ref(), code_line, code_column)?,
            kind: kind_of(area.kind.get_ref(), kind_line, kind_column)?,
            name: area.name,
            parent: area.parent.map(toml::Spanned::into_inner),
            line,
            column,
        });
    }
    for user in file.user {
        let (line, _) = place(text, user.span().start);
        let user = user.into_inner();
        let mut roles = Vec::new();
        for r in &user.roles {
            let (role_line, role_column) = place(text, r.role.span().start);
            let role = Role::parse(r.role.get_ref()).ok_or_else(|| {
                let names: Vec<_> = Role::ALL.iter().map(|r| r.as_str()).collect();
                at(
                    role_line,
                    role_column,
                    format!("`{}` is no role", r.role.get_ref()),
                    format!("use one of {}", names.join(", ")),
                )
            })?;
            let (l, c) = place(text, r.area.span().start);
            roles.push((role, code_of(r.area.get_ref(), l, c)?, l, c));
        }
        plan.users.push(PlannedUser { login: user.login, name: user.name, password: user.password, roles, line });
    }
    Ok(plan)
}

/// What can be said of a file without the database.
fn check(plan: &Plan) -> Result<(), ImportError> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for area in &plan.areas {
        if area.name.is_empty() || area.name.chars().count() > 100 {
            return Err(at(area.line, 1, "the name is empty or too long", "give 1 to 100 characters"));
        }
        if !plain::is_plain(&area.name) {
            return Err(at(area.line, 1, format!("the name of `{}` acts on a screen", area.code), plain::REMEDY));
        }
        if let Some(line) = seen.insert(area.code.as_str(), area.line) {
            return Err(at(
                area.line,
                1,
                format!("the code `{}` stands in line {line} too", area.code),
                "give each area its own code",
            ));
        }
    }
    Ok(())
}

/// Carries out a plan in the caller's transaction.
pub fn import(
    conn: &mut AnyConnection,
    plan: &Plan,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<Imported, ImportError> {
    let mut done = Imported::default();
    let mut waiting: Vec<&PlannedArea> = plan.areas.iter().collect();
    // Parents may stand below their children in the file: each round takes those whose parent is there.
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut later = Vec::new();
        for area in waiting {
            if !import_area(conn, area, &mut done)? {
                later.push(area);
            }
        }
        if later.len() == before {
            let waits = |area: &PlannedArea| later.iter().any(|a| Some(a.code.as_str()) == area.parent.as_deref());
            // Whoever waits for somebody who waits too is not to blame, unless all do.
            let missing = later.iter().find(|a| !waits(a));
            if let Some(area) = missing.or(later.first()) {
                let parent = area.parent.clone().unwrap_or_default();
                let (problem, remedy) = if missing.is_none() {
                    (format!("`{}` lies in itself by way of `{parent}`", area.code), "break the circle")
                } else {
                    (
                        format!("the parent `{parent}` is neither in this file nor imported before"),
                        "add it, or correct the code",
                    )
                };
                return Err(at(area.line, area.column, problem, remedy));
            }
        }
        waiting = later;
    }
    for user in &plan.users {
        import_user(conn, user, now_ms, entropy, &mut done)?;
    }
    Ok(done)
}

fn import_area(conn: &mut AnyConnection, area: &PlannedArea, done: &mut Imported) -> Result<bool, ImportError> {
    let parent = match &area.parent {
        None => None,
        Some(code) => match find(conn, code)? {
            Some(parent) => Some(parent),
            None => return Ok(false),
        },
    };
    let above = parent.as_ref().and_then(|p| AreaKind::parse(&p.kind));
    let position = |k: AreaKind| AreaKind::ALL.iter().position(|x| *x == k);
    let fits = match above {
        None => area.kind == AreaKind::District,
        Some(above) => position(above).map(|p| p + 1) == position(area.kind),
    };
    if !fits {
        let found = above.map_or("nothing", AreaKind::as_str);
        return Err(at(
            area.line,
            area.column,
            format!("a {} cannot lie in {found}", area.kind.as_str()),
            "the order is district, street, community, grid, building",
        ));
    }
    if let Some(known) = find(conn, area.code.as_str())?
        && (known.kind != area.kind.as_str() || known.parent != area.parent)
    {
        return Err(at(
            area.line,
            area.column,
            format!("`{}` is known as a {} in {}", area.code, known.kind, known.parent.unwrap_or_default()),
            "an area is not moved by an import; give the new one another code",
        ));
    }
    let path = format!("{}{}/", parent.as_ref().map_or("", |p| p.path.as_str()), area.code);
    let new = put(conn, area.code.as_str(), area.kind, &area.name, area.parent.as_deref(), &path)?;
    if new {
        done.areas_added += 1
    } else {
        done.areas_known += 1
    }
    Ok(true)
}

fn import_user(
    conn: &mut AnyConnection,
    user: &PlannedUser,
    now_ms: i64,
    entropy: &dyn Entropy,
    done: &mut Imported,
) -> Result<(), ImportError> {
    let id = match users::by_login(conn, &user.login)? {
        Some(known) => known.id.parse().map_err(|_| DbError::Row(format!("user {}", user.login)))?,
        None => {
            let password = user.password.clone().unwrap_or_else(|| {
                let secret: String = entropy.ten().iter().map(|b| format!("{b:02x}")).collect();
                done.passwords.push((user.login.clone(), secret.clone()));
                secret
            });
            done.users_added += 1;
            users::add(conn, &user.login, &user.name, &password, now_ms, entropy)
                .map_err(|e| at(user.line, 1, format!("user `{}`: {e}", user.login), "correct this entry"))?
        }
    };
    for (role, area, line, column) in &user.roles {
        if find(conn, area.as_str())?.is_none() {
            return Err(at(
                *line,
                *column,
                format!("the area `{area}` is not known"),
                "add it to the file, or correct the code",
            ));
        }
        users::assign(conn, id, *role, area, now_ms, entropy)?;
    }
    Ok(())
}
