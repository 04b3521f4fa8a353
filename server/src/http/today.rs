//! What needs somebody now, by his roles and areas, and the numbers of the day. Each part names the list that shows all of it: its filter
//! is the very one that it was counted by.

use actix_web::web;
use serde::Serialize;
use serde_json::json;
use sync_core::authority::Subject;
use sync_core::calendar::{DAY_MS, day_of};
use sync_core::role::{Level, Role};
use utoipa::ToSchema;

use super::extract::Principal;
use super::problem::Problem;
use crate::accounts::roster;
use crate::app::App;
use crate::areas::Tree;
use crate::audit::Act;
use crate::db::AnyConnection;
use crate::quarantine;
use crate::queries::{self, CaseFilter, CaseSummary, HazardFilter, PatrolFilter, QuarantineFilter};
use crate::replication::{self, Bounds, State};

/// Rows of one part; the rest is behind its heading.
const SHOWN: i64 = 6;
/// Nobody counts further than this by eye.
const COUNT_MAX: i64 = 200;
/// The most that is counted for somebody who looks after grids or buildings.
const PART_COUNT_MAX: i64 = 10_000;
const MINUTE_MS: i64 = 60_000;
const BEIJING_MS: i64 = 8 * 3_600_000;

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/today", web::get().to(today));
}

/// A list, narrowed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "list", content = "filter", rename_all = "snake_case")]
pub enum List {
    /// `/v1/cases`
    Cases(Box<CaseFilter>),
    /// `/v1/patrols`
    Patrols(PatrolFilter),
    /// `/v1/hazards`
    Hazards(HazardFilter),
    /// `/v1/quarantine`
    Quarantine(QuarantineFilter),
    /// `/v1/replication`, by the state of a phone.
    Phones(String),
}

/// Cases that need somebody.
#[derive(Debug, Serialize, ToSchema)]
pub struct Section {
    /// Why they do.
    pub(crate) key: &'static str,
    /// The list that shows all of them.
    #[serde(flatten)]
    pub(crate) list: List,
    /// How many.
    pub(crate) count: i64,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
    /// The first of them.
    pub(crate) items: Vec<CaseSummary>,
}

/// Something that was counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counted {
    /// What.
    pub(crate) key: &'static str,
    /// How many.
    pub(crate) count: i64,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
    /// The list that shows them.
    #[serde(flatten)]
    pub(crate) list: List,
}

/// What needs the asker now, and the numbers of his day.
#[derive(Debug, Serialize, ToSchema)]
pub struct Today {
    /// Cases, by why they need him; those of which there are none are left out.
    pub(crate) sections: Vec<Section>,
    /// What waits beside cases.
    pub(crate) waiting: Vec<Counted>,
    /// The numbers of the day in his areas.
    pub(crate) numbers: Vec<Counted>,
}

/// Whom a part concerns.
struct Concern {
    key: &'static str,
    roles: &'static [Role],
    filter: fn(&Now) -> Vec<CaseFilter>,
}

/// The moment and the levels at which somebody acts.
struct Now {
    ms: i64,
    levels: Vec<Level>,
}

const HALL: &[Role] = &[Role::Receptionist, Role::MediationDirector, Role::Supervisor];
const LEADING: &[Role] = &[Role::StationHead, Role::Receptionist, Role::MediationDirector, Role::Supervisor];
const HANDLING: &[Role] = &[
    Role::GridWorker,
    Role::StationHead,
    Role::Receptionist,
    Role::Mediator,
    Role::MediationDirector,
    Role::Supervisor,
];

fn open() -> CaseFilter {
    CaseFilter { open: Some(true), ..CaseFilter::default() }
}

fn due() -> CaseFilter {
    CaseFilter { sort: Some("due".into()), ..open() }
}

fn flagged(flag: &str) -> Vec<CaseFilter> {
    vec![CaseFilter { flag: Some(flag.into()), ..CaseFilter::default() }]
}

fn at(level: Level) -> CaseFilter {
    CaseFilter { level: Some(level.as_str().into()), ..due() }
}

/// What concerns whom, what is most pressing first.
const CONCERNS: &[Concern] = &[
    Concern { key: "overdue", roles: HANDLING, filter: |_| vec![CaseFilter { overdue: Some(true), ..due() }] },
    Concern {
        key: "soon",
        roles: HANDLING,
        filter: |now| vec![CaseFilter { overdue: Some(false), due_to: Some(now.ms + DAY_MS), ..due() }],
    },
    Concern {
        key: "summoned",
        roles: &[
            Role::DepartmentOfficer,
            Role::StationHead,
            Role::Receptionist,
            Role::MediationDirector,
            Role::Supervisor,
        ],
        filter: |_| vec![CaseFilter { summoned: Some(true), ..CaseFilter::default() }],
    },
    Concern { key: "major", roles: HANDLING, filter: |_| vec![CaseFilter { major: Some(true), ..open() }] },
    Concern {
        key: "mine",
        roles: &[
            Role::GridWorker,
            Role::StationHead,
            Role::Receptionist,
            Role::Mediator,
            Role::MediationDirector,
            Role::LegalAdviser,
            Role::DepartmentOfficer,
            Role::Supervisor,
        ],
        filter: |_| vec![CaseFilter { assignee: Some("me".into()), ..open() }],
    },
    Concern {
        key: "receive",
        roles: LEADING,
        filter: |now| {
            let lowest = now.levels.iter().filter(|l| **l == Level::Community);
            lowest
                .map(|l| CaseFilter { status: Some("reported".into()), sort: Some("received".into()), ..at(*l) })
                .collect()
        },
    },
    Concern {
        key: "raised",
        roles: HALL,
        filter: |now| now.levels.iter().filter(|l| **l > Level::Community).map(|l| at(*l)).collect(),
    },
    Concern { key: "conflicts", roles: &[Role::StationHead, Role::Supervisor], filter: |_| flagged("conflicts") },
    Concern {
        key: "passages",
        roles: &[Role::StationHead, Role::MediationDirector, Role::Supervisor],
        filter: |_| flagged("passages"),
    },
    Concern { key: "unknowing", roles: &[Role::Supervisor], filter: |_| flagged("unknowing") },
    Concern { key: "evidence", roles: &[Role::Supervisor], filter: |_| flagged("evidence") },
    Concern { key: "late", roles: LEADING, filter: |_| vec![CaseFilter { arrived_late: Some(true), ..open() }] },
    Concern {
        key: "new",
        roles: LEADING,
        filter: |now| {
            let received_from = Some(now.ms - DAY_MS);
            vec![CaseFilter { received_from, sort: Some("received".into()), ..CaseFilter::default() }]
        },
    },
    Concern {
        key: "reported",
        roles: &[Role::GridWorker, Role::BuildingCaptain],
        filter: |_| vec![CaseFilter { created_by: Some("me".into()), ..open() }],
    },
];

fn section(
    conn: &mut AnyConnection,
    subject: &Subject,
    key: &'static str,
    filter: CaseFilter,
    now_ms: i64,
) -> Result<Option<Section>, Problem> {
    let asked = CaseFilter { limit: Some(SHOWN), ..filter.clone() };
    let page = queries::case_page(conn, subject, &asked, now_ms)??;
    if page.items.is_empty() {
        return Ok(None);
    }
    let (count, more) = if page.next.is_none() {
        (i64::try_from(page.items.len()).unwrap_or(SHOWN), false)
    } else {
        queries::case_count(conn, subject, &filter, now_ms, COUNT_MAX)??
    };
    Ok(Some(Section { key, list: List::Cases(Box::new(filter)), count, more, items: page.items }))
}

/// What waits beside cases, for those who look after it.
fn waiting(
    app: &App,
    conn: &mut AnyConnection,
    who: &Principal,
    holds: &dyn Fn(&[Role]) -> bool,
) -> Result<Vec<Counted>, Problem> {
    let mut found = Vec::new();
    if holds(&[Role::Supervisor]) {
        let asked = QuarantineFilter { state: Some("waiting".into()), ..QuarantineFilter::default() };
        let all = QuarantineFilter { limit: Some(queries::PAGE_MAX), ..asked.clone() };
        let page = queries::quarantine_page(conn, &quarantine::communities(&who.subject), &all)??;
        let count = i64::try_from(page.items.len()).unwrap_or(i64::MAX);
        found.push(Counted { key: "quarantine", count, more: page.next.is_some(), list: List::Quarantine(asked) });
        let asked = PatrolFilter { needs_review: Some(true), ..PatrolFilter::default() };
        let (count, more) = queries::patrol_count(conn, &who.subject, &asked, COUNT_MAX)??;
        found.push(Counted { key: "patrols", count, more, list: List::Patrols(asked) });
    }
    if holds(&[Role::GridWorker, Role::StationHead, Role::Supervisor]) {
        let asked = HazardFilter { overdue: Some(true), ..HazardFilter::default() };
        let (count, more) = queries::hazard_count(conn, &who.subject, &asked, app.now_ms(), COUNT_MAX)??;
        found.push(Counted { key: "hazards", count, more, list: List::Hazards(asked) });
    }
    if holds(&[Role::Supervisor, Role::Administrator]) {
        let seen = |tree: &Tree, member: &roster::Member| {
            member.areas.iter().any(|a| roster::looks_after(&who.subject, tree, a))
        };
        let rows = replication::all(conn, &Bounds::of(&app.config), app.now_ms(), seen)?;
        let silent = rows.iter().filter(|r| r.states.contains(&State::Silent)).count();
        let count = i64::try_from(silent).unwrap_or(i64::MAX);
        found.push(Counted { key: "phones", count, more: false, list: List::Phones("silent".into()) });
    }
    found.retain(|c| c.count > 0);
    Ok(found)
}

/// The numbers of the day: of whole communities from sums, of grids and buildings one by one.
fn numbers(conn: &mut AnyConnection, subject: &Subject, now_ms: i64) -> Result<Vec<Counted>, Problem> {
    let day_ms = day_of(now_ms) * DAY_MS - BEIJING_MS;
    let above = |level: Level| CaseFilter { level: Some(level.as_str().into()), ..open() };
    let lists = [
        (
            "received",
            CaseFilter { received_from: Some(day_ms), sort: Some("received".into()), ..CaseFilter::default() },
        ),
        ("resolved", CaseFilter { resolved_from: Some(day_ms), ..CaseFilter::default() }),
        ("open", open()),
        ("overdue", CaseFilter { overdue: Some(true), ..due() }),
        ("raised", CaseFilter { escalated_from: Some(day_ms), ..CaseFilter::default() }),
        ("street", above(Level::Street)),
        ("district", above(Level::District)),
        ("summoned", CaseFilter { summoned: Some(true), ..CaseFilter::default() }),
    ];
    let whole = queries::whole_communities(subject);
    let sums = queries::numbers(conn, &whole, day_ms, now_ms)?;
    let mut numbers = Vec::new();
    for (key, filter) in lists {
        let (count, more) = if whole.is_empty() {
            queries::case_count(conn, subject, &filter, now_ms, PART_COUNT_MAX)??
        } else {
            let count = match key {
                "received" => sums.received,
                "resolved" => sums.resolved,
                "open" => sums.open,
                "overdue" => sums.overdue,
                "raised" => sums.raised,
                "street" => sums.street,
                "district" => sums.district,
                _ => sums.summoned,
            };
            (count, false)
        };
        numbers.push(Counted { key, count, more, list: List::Cases(Box::new(filter)) });
    }
    let walked = PatrolFilter { received_from: Some(day_ms), sort: Some("received".into()), ..PatrolFilter::default() };
    let (count, more) = if whole.is_empty() {
        queries::patrol_count(conn, subject, &walked, PART_COUNT_MAX)??
    } else {
        (sums.patrols, false)
    };
    numbers.push(Counted { key: "patrols", count, more, list: List::Patrols(walked) });
    let left = HazardFilter { state: Some("open".into()), ..HazardFilter::default() };
    let (count, more) = if whole.is_empty() {
        queries::hazard_count(conn, subject, &left, now_ms, PART_COUNT_MAX)??
    } else {
        (sums.hazards, false)
    };
    numbers.push(Counted { key: "hazards", count, more, list: List::Hazards(left) });
    // What lies with a higher level is told where there is any.
    numbers.retain(|n| n.count > 0 || !matches!(n.key, "street" | "district"));
    Ok(numbers)
}

/// What needs the asker now, by his roles and areas, and the numbers of his day.
#[utoipa::path(get, path = "/v1/today", tag = "cases", responses((status = 200, body = Today)), security(("bearer" = [])))]
pub async fn today(principal: Principal, app: web::Data<App>) -> Result<web::Json<Today>, Problem> {
    let shared = app.clone();
    let found = app.run(move |conn| -> Result<Today, Problem> {
        // Whole minutes: so they can stand in the address of a page.
        let now_ms = shared.now_ms();
        let subject = &principal.subject;
        let holds = |roles: &[Role]| subject.grants.iter().any(|g| roles.contains(&g.role));
        let halls = subject.grants.iter().filter(|g| LEADING.contains(&g.role));
        let mut levels: Vec<Level> = halls.map(|g| g.level()).collect();
        levels.sort_unstable();
        levels.dedup();
        let now = Now { ms: now_ms - now_ms.rem_euclid(MINUTE_MS), levels };
        let mut sections = Vec::new();
        for concern in CONCERNS.iter().filter(|c| holds(c.roles)) {
            for filter in (concern.filter)(&now) {
                sections.extend(section(conn, subject, concern.key, filter, now_ms)?);
            }
        }
        let waiting = waiting(&shared, conn, &principal, &holds)?;
        let reads = subject.grants.iter().any(|g| g.role != Role::Administrator);
        let numbers = if reads { numbers(conn, subject, now_ms)? } else { Vec::new() };
        let shown: usize = sections.iter().map(|s| s.items.len()).sum();
        let act = Act::new(&principal.origin(), "today.read", "today");
        act.detail(json!({ "rows": shown })).record(conn, shared.now_ms(), &shared.entropy)?;
        Ok(Today { sections, waiting, numbers })
    });
    Ok(web::Json(found.await?))
}
