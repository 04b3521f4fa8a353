//! What lists can be narrowed to: by area of any kind, by arrival, by who is charged; hazards of all patrols; refused changes; and the list
//! as a table, whole.

use serde_json::{Value, json};
use sync_core::ids::DocumentId;
use tests::phones::{patrol_with_hazards, set, write};
use tests::{HOUR, MINUTE, World};

fn ids(world: &World, login: &str, path: &str) -> Vec<String> {
    let (status, page) = world.get(path, Some(&world.token(login)));
    assert_eq!(status, 200, "{path}: {page}");
    page["items"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

fn desk(world: &World, login: &str, case: DocumentId, kind: &str, body: Value) {
    let (status, reply) = world.desk(login, case, json!([{"edit": "add_event", "kind": kind, "body": body}]));
    assert_eq!(status, 200, "{kind}: {reply}");
}

#[test]
fn cases_are_narrowed_by_area_arrival_charge_summons_and_settlement() {
    let world = World::new();
    let (he, elsewhere) = (world.phone("he"), world.phone("baihua"));
    let first = he.report("噪音。");
    he.sync();
    world.pass(HOUR);
    let second = he.report("欠薪。");
    he.sync();
    world.pass(MINUTE);
    let third = elsewhere.report_elsewhere("GM-BAIHUA", "GM-BAIHUA-01", "漏水。");
    elsewhere.sync();
    let me = world.get("/v1/me", Some(&world.token("mediation-director"))).1["id"].clone();
    desk(&world, "receptionist", first, "accepted", json!({}));
    desk(&world, "receptionist", first, "assigned", json!({"to": me}));
    desk(&world, "receptionist", first, "whistle", json!({"departments": ["城管"], "urgency": "urgent"}));
    desk(&world, "mediation-director", second, "accepted", json!({}));
    desk(&world, "mediation-director", second, "resolved", json!({}));
    let arrived = world.case(second).entry(world.case(second).timeline[0].id).unwrap().witness.unwrap().received_ms;
    let all = |found: &[DocumentId]| {
        let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
        found.sort();
        found
    };
    for (login, query, found) in [
        ("district", "area=440311001".to_owned(), vec![first, second, third]),
        ("district", "area=GM-BAIHUA".to_owned(), vec![third]),
        ("district", "area=GM-BIYAN-01".to_owned(), vec![first, second]),
        ("district", "area=GM-BIYAN-SL17-5".to_owned(), vec![first, second]),
        ("district", "area=GM-BIYAN-02".to_owned(), vec![]),
        ("community", "area=GM-BAIHUA".to_owned(), vec![]),
        ("community", format!("received_from={arrived}"), vec![second]),
        ("community", format!("received_to={arrived}"), vec![first]),
        ("mediation-director", "assignee=me".to_owned(), vec![first]),
        ("he", "assignee=me".to_owned(), vec![]),
        ("he", "created_by=me".to_owned(), vec![first, second]),
        ("community", "summoned=true".to_owned(), vec![first]),
        ("community", "summoned=false".to_owned(), vec![second]),
        ("community", "department=%E5%9F%8E%E7%AE%A1".to_owned(), vec![first]),
        ("community", "department=%E5%9F%8E".to_owned(), vec![]),
        ("community", format!("resolved_from={arrived}"), vec![second]),
        ("community", format!("resolved_to={arrived}"), vec![]),
        ("community", format!("escalated_from={arrived}"), vec![]),
        ("community", "due_to=0".to_owned(), vec![]),
    ] {
        let mut got = ids(&world, login, &format!("/v1/cases?{query}"));
        got.sort();
        assert_eq!(got, all(&found), "{login} {query}");
    }
    let by_arrival = ids(&world, "district", "/v1/cases?sort=received&order=asc");
    assert_eq!(by_arrival.last(), Some(&third.to_string()));
    for path in ["/v1/cases", "/v1/patrols", "/v1/hazards"] {
        let (status, problem) = world.get(&format!("{path}?area=NOWHERE"), Some(&world.token("district")));
        assert_eq!((status, problem["field"].as_str()), (400, Some("area")), "{path}: {problem}");
    }
    world.check_rebuild();
}

#[test]
fn hazards_of_all_patrols_are_listed_until_somebody_who_may_says_they_are_put_right() {
    let world = World::new();
    let he = world.phone("he");
    let patrol = patrol_with_hazards(&he, 2);
    he.sync();
    let list = |login: &str, query: &str| {
        let (status, page) = world.get(&format!("/v1/hazards?{query}"), Some(&world.token(login)));
        assert_eq!(status, 200, "{page}");
        page
    };
    let open = list("community", "state=open");
    assert_eq!(open["items"].as_array().unwrap().len(), 2, "{open}");
    let (one, he_id) = (&open["items"][0], world.get("/v1/me", Some(&world.token("he"))).1["id"].clone());
    assert_eq!((&one["patrol"], &one["found_by"], &one["kind"]), (&json!(patrol), &he_id, &json!("fire_passage")));
    let age_ms = world.clock_ms() - one["found_ms"].as_i64().unwrap();
    assert!((0..MINUTE).contains(&age_ms), "{one}");
    // One at a time, each once.
    let first = list("community", "limit=1");
    let next = list("community", &format!("limit=1&cursor={}", first["next"].as_str().unwrap()));
    assert_ne!(first["items"][0]["hazard"], next["items"][0]["hazard"]);
    assert!(next["next"].is_null(), "{next}");
    for (login, query, n) in [
        ("community", "kind=fire_passage", 2),
        ("community", "kind=wiring", 0),
        ("community", "area=GM-BIYAN-01", 2),
        ("community", "area=GM-BIYAN-02", 0),
        ("community", "state=rectified", 0),
        ("community", "overdue=true", 0),
        ("he", "", 2),
        ("baihua", "", 0),
        ("captain", "", 0),
        ("admin", "", 0),
    ] {
        assert_eq!(list(login, query)["items"].as_array().unwrap().len(), n, "{login} {query}");
    }
    let edits =
        json!({"edits": [{"edit": "add_event", "kind": "hazard_rectified", "body": {"hazard": one["hazard"]}}]});
    let path = format!("/v1/patrols/{patrol}/edits");
    assert_eq!(world.post(&path, Some(&world.token("receptionist")), &edits).0, 403);
    assert_eq!(world.post(&path, Some(&world.token("baihua")), &edits).0, 404);
    assert_eq!(world.post(&path, Some(&world.token("community")), &json!({"edits": []})).0, 400);
    let (status, reply) = world.post(&path, Some(&world.token("community")), &edits);
    assert_eq!(status, 200, "{reply}");
    let (status, again) = world.post(&path, Some(&world.token("community")), &edits);
    assert_eq!((status, again["type"].as_str()), (409, Some("urn:fengqiao:problem:event_moot")), "{again}");
    let done = list("community", "state=rectified");
    assert_eq!((&done["items"][0]["hazard"], done["items"].as_array().unwrap().len()), (&one["hazard"], 1));
    assert!(done["items"][0]["rectified_ms"].is_i64() && done["items"][0]["rectified_by"].is_string(), "{done}");
    // A case is edited as a case.
    let case = he.report("噪音。");
    he.sync();
    assert_eq!(world.post(&format!("/v1/patrols/{case}/edits"), Some(&world.token("community")), &edits).0, 404);
    world.check_rebuild();
}

/// 小何 loses his grid while he is offline, and writes on: what he wrote waits for a person.
fn refused(world: &World) {
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let token = world.token("admin");
    let body = json!({"role": "grid_worker", "from": world.user("he"), "to": world.user("baihua")});
    assert_eq!(world.post("/v1/areas/GM-BIYAN-01/reassign", Some(&token), &body).0, 200);
    world.pass(HOUR);
    he.edit(case, &[set("people_involved", 4)]);
    he.edit(case, &[write("narrative", "邻里噪音。又起。")]);
    he.sync();
}

#[test]
fn refused_changes_are_narrowed_by_author_reason_time_and_decision() {
    let world = World::new();
    refused(&world);
    let begun = world.clock_ms() - MINUTE;
    let rows = ids(&world, "community", "/v1/quarantine");
    assert!(!rows.is_empty());
    let reason = json!({"reason": "已由新网格员登记。"});
    let dismissed =
        world.post(&format!("/v1/quarantine/{}/dismiss", rows[0]), Some(&world.token("community")), &reason);
    assert_eq!(dismissed.0, 200, "{}", dismissed.1);
    let detail = world.get(&format!("/v1/quarantine/{}", rows[0]), Some(&world.token("community"))).1;
    let percent = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let all = rows.len();
    for (query, n) in [
        (String::new(), Some(all)),
        ("author=he".into(), Some(all)),
        (format!("author={}", percent("小何")), Some(all)),
        (format!("author={}", world.user("he")), Some(all)),
        ("author=baihua".into(), Some(0)),
        (format!("received_from={begun}"), Some(all)),
        (format!("received_to={begun}"), Some(0)),
        (format!("detail={}", percent(&detail["detail"].as_str().unwrap()[..12])), None),
        ("detail=nothing-of-it".into(), Some(0)),
        (format!("reason={}", percent("新网格员")), None),
        ("reason=nothing-of-it".into(), Some(0)),
    ] {
        let found = ids(&world, "community", &format!("/v1/quarantine?{query}")).len();
        assert!(n.map_or(found > 0, |n| n == found), "{query}: {found}");
    }
    let decided = ids(&world, "community", "/v1/quarantine?decided=true").len();
    let waiting = ids(&world, "community", "/v1/quarantine?decided=false").len();
    assert!(decided > 0 && decided + waiting == all, "{decided} {waiting} {all}");
    assert_eq!(world.get("/v1/quarantine?state=lost", Some(&world.token("community"))).0, 400);
}

#[test]
fn the_command_line_narrows_refused_changes_as_the_api_does() {
    let world = World::new();
    refused(&world);
    let waiting = ids(&world, "community", "/v1/quarantine?decided=false").len();
    let list = ["quarantine", "list", "--as", "community"];
    let (code, said, _) = world.run(&[&list[..], &["--author", "he", "--decided", "false"]].concat());
    assert_eq!((code, said.lines().count()), (Some(0), waiting), "{said}");
    let (code, said, _) = world.run(&["quarantine", "list", "--as", "community", "--from", "2019-05-18"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let (code, _, complaint) = world.run(&["quarantine", "list", "--as", "community", "--from", "yesterday"]);
    assert!(code == Some(2) && complaint.contains("2019-05-17"), "{complaint}");
}

#[test]
fn a_list_is_taken_along_whole_in_the_order_in_which_it_is_shown() {
    let world = World::new();
    let he = world.phone("he");
    for n in 0..203 {
        he.report(&format!("第{n}宗。"));
    }
    he.report_with(vec![write("narrative", "不在其中。"), set("category", "0201")]);
    he.sync();
    let agent: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).build().into();
    let form = [("login", "community"), ("password", &World::password("community"))];
    let answer = agent.post(format!("{}/sign-in", world.url())).send_form(form).unwrap();
    let cookie = answer.headers().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    let get = |path: &str| agent.get(format!("{}{path}", world.url())).header("Cookie", &cookie).call().unwrap();
    let table = get("/cases.csv?sort=created&q=%E5%AE%97").body_mut().read_to_string().unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 204, "a heading and each case once");
    let shown = ids(&world, "community", "/v1/cases?sort=created&q=%E5%AE%97&limit=200");
    let taken: Vec<&str> = lines[1..].iter().map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(taken[..200], shown[..], "in the same order");
    let (_, log) = world.get("/v1/audit?action=case.export", Some(&world.token("admin")));
    assert!(log.to_string().contains("203") && !log.to_string().contains('宗'), "{log}");
    // The second page asks the same.
    let page = get("/cases?sort=created&q=%E5%AE%97").body_mut().read_to_string().unwrap();
    let next = page.split("href=\"").find(|at| at.starts_with("/cases?") && at.contains("cursor=")).unwrap();
    assert!(next.starts_with("/cases?sort=created&#38;q=%E5%AE%97&#38;cursor="), "{}", next.split('"').next().unwrap());
}
