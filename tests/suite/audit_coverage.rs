//! Every read of personal data stands in the audit log: each GET of the API, each page of the console and each command that shows
//! something is tried, and writes one row, unless it stands below with the reason why it need not. A route that is added is tried
//! here without another line.

use std::collections::BTreeSet;
use std::path::Path;

use diesel::prelude::*;
use serde_json::json;
use server::db::tables::audit;
use tests::phones::{set, write};
use tests::{TestPhone, World};

use crate::hand::Hand;

/// What nobody's data is read by.
const EXEMPT_API: &[(&str, &str)] = &[
    ("/healthz", "says that the process answers"),
    ("/readyz", "says that the database answers"),
    ("/metrics", "figures without names"),
    ("/v1/openapi.json", "the description of the API"),
    ("/v1/me", "one's own account"),
    ("/v1/areas", "codes and names of areas, of nobody"),
    ("/v1/events", "says that something changed, never what; who asks for it then is written down"),
];
const EXEMPT_PAGES: &[(&str, &str)] = &[
    ("/", "sends a browser on"),
    ("/assets/{name}", "files of the program"),
    ("/language", "keeps a choice"),
    ("/sign-in", "an empty form; who signs in is written down"),
    ("/live", "says that something changed, never what"),
];

fn rows(world: &World) -> Vec<String> {
    let app = world.app();
    audit::table.order(audit::id).select(audit::action).load(&mut app.db.get().unwrap()).unwrap()
}

/// A world with one of everything that can be read.
struct Furnished {
    world: World,
    case: String,
    patrol: String,
    photo: String,
    quarantined: String,
    erasure: String,
    user: String,
    device: String,
}

fn attached(he: &TestPhone) -> (sync_core::ids::DocumentId, String) {
    let case = he.report("噪音纠纷，附照片。");
    let attached =
        he.library.attach_photo(case.to_string(), "一.jpg".into(), tests::photos::photo(3, 320, 240)).unwrap();
    he.sync();
    let done = he.library.transfer_attachments(fengqiao_mobile::TransferPolicy::default(), None, None).unwrap();
    assert_eq!(done.waiting, 0);
    (case, attached.hash)
}

fn furnished() -> Furnished {
    let world = World::new();
    let he = world.phone("he");
    let (case, photo) = attached(&he);
    let draft = sync_core::edit::Draft {
        kind: sync_core::shape::DocumentKind::Patrol,
        community: tests::biyan(),
        edits: vec![set("place.grid", "GM-BIYAN-01"), write("notes", "楼道已清。")],
    };
    let patrol = he.core().create(&draft).unwrap().to_string();
    he.sync();
    let (hand, stranger) = (Hand::register(&world, "he"), Hand::register(&world, "baihua"));
    let (mut other, first) = hand.case("工人聚集。");
    hand.hand_in(vec![hand.entry(&other, [&first.bytes[..]])]);
    let ((), change) =
        other.edit(stranger.actor, stranger.wall_ms, |w| w.set("report.reporter", &"熊某".into())).unwrap();
    stranger.hand_in(vec![stranger.entry(&other, [&change.unwrap().bytes[..]])]);
    let district = world.token("district");
    let kept = world.get("/v1/quarantine", Some(&district)).1;
    let wish = json!({"kind": "case", "document": other.meta().id.to_string(), "reason": "当事人依法要求删除"});
    let erasure =
        world.post("/v1/erasures", Some(&world.token("community")), &wish).1["id"].as_str().unwrap().to_owned();
    let decided =
        world.post(&format!("/v1/erasures/{erasure}/decide"), Some(&world.token("street")), &json!({"approve": true}));
    assert_eq!(decided.0, 200, "{decided:?}");
    let identity = he.core().identity().unwrap().unwrap();
    let quarantined = kept["items"][0]["id"].as_str().unwrap().to_owned();
    let (user, device) = (identity.user.to_string(), identity.device.to_string());
    Furnished { world, case: case.to_string(), patrol, photo, quarantined, erasure, user, device }
}

impl Furnished {
    /// A route with what there is in its places.
    fn filled(&self, route: &str) -> String {
        let id = match route.trim_start_matches("/v1").split('/').nth(1).unwrap_or_default() {
            "cases" => &self.case,
            "patrols" => &self.patrol,
            "quarantine" => &self.quarantined,
            "erasures" => &self.erasure,
            "users" => &self.user,
            _ => &self.device,
        };
        let path = route
            .replace("{id}", id)
            .replace("{device}", &self.device)
            .replace("{hash}", &self.photo)
            .replace("{area}", "GM-BIYAN")
            .replace("{name}", "console.css");
        if route.starts_with("/v1/attachments/") { format!("{path}?document={}", self.case) } else { path }
    }

    /// Tries one route; what it wrote down.
    fn tried(&self, what: &str, ask: impl FnOnce() -> u16) -> Vec<String> {
        let before = rows(&self.world).len();
        let status = ask();
        assert_eq!(status, 200, "{what}: give it what it needs here");
        rows(&self.world).split_off(before)
    }
}

fn judge(what: &str, wrote: &[String], exempt: &[(&str, &str)], seen: &mut BTreeSet<String>) {
    if let Some((_, why)) = exempt.iter().find(|(route, _)| *route == what) {
        assert!(wrote.is_empty(), "{what} is exempt ({why}), and wrote {wrote:?}");
    } else {
        assert_eq!(wrote.len(), 1, "{what} writes one row for one request: {wrote:?}");
        seen.extend(wrote.iter().cloned());
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What the book says of each action.
fn is_in_the_book(actions: &BTreeSet<String>) {
    let page = std::fs::read_to_string(root().join("docs/src/privacy.md")).unwrap();
    let missing: Vec<_> = actions.iter().filter(|action| !page.contains(&format!("`{action}`"))).collect();
    assert!(missing.is_empty(), "docs/src/privacy.md does not say when these are written: {missing:?}");
}

#[test]
fn audit_has_one_row_for_each_get_of_the_api_that_shows_somebodys_data() {
    let here = furnished();
    let token = here.world.token("district");
    let (_, api) = here.world.get("/v1/openapi.json", None);
    let gets = api["paths"].as_object().unwrap().iter().filter(|(_, methods)| methods.get("get").is_some());
    let (mut tried, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for (route, _) in gets {
        let wrote = here.tried(route, || here.world.get(&here.filled(route), Some(&token)).0);
        judge(route, &wrote, EXEMPT_API, &mut seen);
        tried.insert(route.as_str());
    }
    assert!(tried.len() > 20 && seen.len() > 15, "{tried:?} {seen:?}");
    for (route, _) in EXEMPT_API.iter().filter(|(r, _)| *r != "/v1/openapi.json") {
        assert!(tried.contains(route), "{route} is exempt and not there");
    }
    for action in ["case.list", "patrol.list", "hall.queue", "notification.list", "user.list", "user.assignments"] {
        assert!(seen.contains(action), "{action}");
    }
    for action in ["device.list", "device.orders", "erasure.list", "erasure.proof", "replication.list", "restore.read"]
    {
        assert!(seen.contains(action), "{action}");
    }
    is_in_the_book(&seen);
    // What a list was narrowed to is kept with how many rows were given; what was searched for is not.
    let narrowed = "/v1/cases?community=GM-BIYAN&open=true&q=%E7%86%8A%E6%9F%90";
    assert_eq!(here.world.get(narrowed, Some(&token)).0, 200);
    let row = &here.world.get("/v1/audit?action=case.search", Some(&token)).1["items"][0];
    let detail: serde_json::Value = serde_json::from_str(row["detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["filter"], json!({"community": "GM-BIYAN", "open": true}), "{row}");
    assert!(detail["found"].is_number() && !row.to_string().contains("熊某"), "{row}");
}

#[test]
fn audit_has_one_row_for_each_page_that_shows_somebodys_data() {
    let here = furnished();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let form = [("login", "district"), ("password", &World::password("district"))];
    let signed_in: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let answer = signed_in.post(format!("{}/sign-in", here.world.url())).send_form(form).unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let source = std::fs::read_to_string(root().join("server/src/http/console.rs")).unwrap();
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| {
        let (route, handler) = rest.split_once("\", web::")?;
        handler.starts_with("get()").then_some(route)
    });
    let page = here.world.get("/sign-in", None).1;
    let style = page.as_str().unwrap().split('"').find(|t| t.starts_with("/assets/")).unwrap().to_owned();
    let (mut tried, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for route in routes {
        let path = match route {
            "/language" => "/language?to=zh&back=/sign-in".to_owned(),
            "/assets/{name}" => style.clone(),
            _ => here.filled(route),
        };
        let ask = || {
            let request = agent.get(format!("{}{path}", here.world.url())).header("Cookie", &cookie);
            request.call().unwrap().status().as_u16()
        };
        let wrote = here.tried(route, ask);
        // `/` and `/language` lead on to a page that is itself tried here.
        let wrote = if matches!(route, "/") { Vec::new() } else { wrote };
        judge(route, &wrote, EXEMPT_PAGES, &mut seen);
        tried.insert(route);
    }
    assert!(tried.len() > 14, "{tried:?}");
    for (route, _) in EXEMPT_PAGES {
        assert!(tried.contains(route), "{route} is exempt and not there");
    }
    assert!(seen.contains("today.read") && seen.contains("case.export"), "{seen:?}");
    is_in_the_book(&seen);
}

#[test]
fn audit_has_a_row_for_each_command_that_shows_somebodys_data() {
    let here = furnished();
    let mut seen = BTreeSet::new();
    for (command, ends) in [
        (&["user", "list"][..], 0),
        (&["replication"], 0),
        (&["replication", "--json", "--area", "GM-BIYAN"], 0),
        (&["erase", "list"], 0),
        (&["erase", "verify", &here.case], 2),
        (&["erase", "scrub"], 0),
        (&["retention", "report"], 0),
        (&["retention", "apply", "--dry-run"], 0),
        (&["attachments", "status"], 0),
        (&["attachments", "verify"], 0),
        (&["journal", "status"], 0),
        (&["restore", "status"], 0),
        (&["quarantine", "list", "--as", "community"], 0),
        (&["audit", "list"], 0),
    ] {
        let before = rows(&here.world).len();
        let objects = here.world.dir.path().join("objects").display().to_string();
        let (code, _, told) = here.world.run(&[command, &["--config", &config(&here.world, &objects)]].concat());
        assert_eq!(code, Some(ends), "{command:?}: {told}");
        let wrote = rows(&here.world).split_off(before);
        assert_eq!(wrote.len(), 1, "{command:?}: {wrote:?}");
        seen.extend(wrote);
    }
    is_in_the_book(&seen);
}

fn config(world: &World, objects: &str) -> String {
    let file = world.dir.path().join("fengqiao-test.toml");
    std::fs::write(&file, format!("objects = {objects:?}\n")).unwrap();
    file.display().to_string()
}

#[test]
fn audit_tells_of_a_parcel_that_could_not_be_opened_and_of_a_phone_that_has_destroyed_its_data() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    he.report("一。");
    let mut parcel = he.core().relay_export().unwrap()[0].bytes().to_vec();
    parcel[60] ^= 1;
    let end = parcel.len() - 32;
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&parcel[..end]);
    parcel[end..].copy_from_slice(&digest);
    let media_type = sync_core::relay::parcel::MEDIA_TYPE;
    assert_eq!(world.post_bytes("/v1/relay", &world.token("receptionist"), media_type, &parcel).0, 200);
    let admin = world.token("admin");
    let rows = |action: &str| world.get(&format!("/v1/audit?action={action}"), Some(&admin)).1["items"].clone();
    let refused = rows("relay.refuse");
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    assert!(refused[0]["detail"].as_str().unwrap().contains("parcel_not_opened"), "{refused}");
    let identity = he.core().identity().unwrap().unwrap();
    assert_eq!(world.post(&format!("/v1/devices/{}/wipe", identity.device), Some(&admin), &json!({})).0, 200);
    assert!(rows("device.wiped").as_array().unwrap().is_empty(), "ordered, not done");
    assert!(matches!(he.library.sync(None, None), Err(fengqiao_mobile::PhoneLibError::Wiped)));
    let wiped = rows("device.wiped");
    assert_eq!(wiped.as_array().unwrap().len(), 1, "{wiped}");
    assert_eq!(wiped[0]["actor"], identity.user.to_string());
    assert_eq!(wiped[0]["device"], identity.device.to_string());
    is_in_the_book(&["relay.refuse", "device.wiped", "device.wipe"].map(str::to_owned).into());
}
