//! The case list with its filters, orders, pages and full text; one file with its history; patrol records.

use serde_json::{Value, json};
use sync_core::edit::Draft;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;
use tests::phones::{set, write};
use tests::{HOUR, MINUTE, TestPhone, World, biyan};

fn ids(page: &Value) -> Vec<String> {
    page["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"))
        .iter()
        .map(|c| c["id"].as_str().unwrap().to_owned())
        .collect()
}

fn list(world: &World, login: &str, query: &str) -> Vec<String> {
    let (status, page) = world.get(&format!("/v1/cases?{query}"), Some(&world.token(login)));
    assert_eq!(status, 200, "{query}: {page}");
    ids(&page)
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn some(cases: &[DocumentId]) -> Vec<String> {
    let mut ids: Vec<_> = cases.iter().map(ToString::to_string).collect();
    ids.sort();
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn full_text_finds_words_of_two_characters() {
    let world = World::new();
    let he = world.phone("he");
    let patrol = he.report("夜间巡查发现楼道堆放杂物。");
    let wages = he.report("二十三名工人反映被欠薪三个月。");
    let noise = he.report("邻里噪音纠纷，楼上装修。");
    he.sync();
    for (words, found) in [
        ("巡查", vec![patrol]),
        ("欠薪", vec![wages]),
        ("邻里", vec![noise]),
        ("邻里 装修", vec![noise]),
        ("邻里 欠薪", vec![]),
        ("楼", vec![patrol, noise]),
        ("被欠薪三个月", vec![wages]),
        ("100%", vec![]),
        ("_", vec![]),
        ("\"", vec![]),
    ] {
        assert_eq!(sorted(list(&world, "community", &format!("q={}", percent(words)))), some(&found), "{words}");
    }
    he.edit(noise, &[write("narrative", "楼上已停工。")]);
    he.sync();
    assert_eq!(
        list(&world, "community", &format!("q={}", percent("邻里"))),
        Vec::<String>::new(),
        "what was taken out is not found"
    );
}

#[test]
fn the_list_is_narrowed_by_every_filter() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let wages = he.report_with(vec![write("narrative", "欠薪。"), set("category", "0701"), set("severity", "urgent")]);
    he.sync();
    director.sync();
    director.event(wages, EventKind::Accepted, json!({}));
    director.event(wages, EventKind::Resolved, json!({"method": "peoples_mediation"}));
    director.event(wages, EventKind::Closed, json!({}));
    director.sync();
    world.pass(HOUR);
    let noise = he.report("噪音。");
    he.sync();
    world.pass(121 * MINUTE);
    world.scheduler();
    let created = world.case(noise).created_ms;
    for (query, found) in [
        ("community=GM-BIYAN".to_owned(), vec![wages, noise]),
        ("community=GM-BAIHUA".to_owned(), vec![]),
        ("grid=GM-BIYAN-01&building=GM-BIYAN-SL17-5".to_owned(), vec![wages, noise]),
        ("grid=GM-BIYAN-02".to_owned(), vec![]),
        ("level=street".to_owned(), vec![noise]),
        ("level=community".to_owned(), vec![wages]),
        ("status=closed".to_owned(), vec![wages]),
        ("status=reported".to_owned(), vec![noise]),
        ("category=07".to_owned(), vec![wages]),
        ("category=%25".to_owned(), vec![]),
        ("open=true".to_owned(), vec![noise]),
        ("open=false".to_owned(), vec![wages]),
        ("needs_review=true".to_owned(), vec![]),
        ("arrived_late=true".to_owned(), vec![]),
        (format!("created_from={created}"), vec![noise]),
        (format!("created_to={created}"), vec![wages]),
        ("open=true&level=community".to_owned(), vec![]),
    ] {
        assert_eq!(sorted(list(&world, "district", &query)), some(&found), "{query}");
    }
    for query in ["sort=colour", "order=up", "limit=0", "limit=201", "cursor=x", "colour=red", "open=maybe"] {
        let (status, problem) = world.get(&format!("/v1/cases?{query}"), Some(&world.token("district")));
        assert_eq!((status, problem["type"].as_str()), (400, Some("urn:fengqiao:problem:query_invalid")), "{query}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
}

fn pages(world: &World, query: &str) -> Vec<String> {
    let token = world.token("community");
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = world.get(&format!("/v1/cases?{query}&limit=4{cursor}"), Some(&token));
        assert_eq!(status, 200, "{page}");
        assert!(page["items"].as_array().unwrap().len() <= 4);
        all.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn pages_have_no_gaps_and_no_doubles_in_any_order() {
    let world = World::new();
    let he = world.phone("he");
    let mut made: Vec<DocumentId> = Vec::new();
    for n in 0..13 {
        made.push(he.report(&format!("第{n}宗。")));
        // Several are made and arrive in the same moment of the clock, others later.
        if n % 3 == 0 {
            he.sync();
            world.pass(MINUTE);
        }
    }
    he.sync();
    let by = |key: &dyn Fn(DocumentId) -> i64| {
        let mut ids: Vec<_> = made.iter().map(|id| (key(*id), id.to_string())).collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    let created = by(&|id| world.case(id).created_ms);
    assert_eq!(pages(&world, "sort=created&order=asc"), created);
    assert_eq!(pages(&world, "sort=created"), created.iter().rev().cloned().collect::<Vec<_>>());
    for query in ["sort=updated", "sort=updated&order=asc", "sort=due", "sort=due&order=desc"] {
        assert_eq!(sorted(pages(&world, query)), some(&made), "{query}");
    }
}

#[test]
fn a_page_goes_on_where_it_ended_though_cases_come_in_between() {
    let world = World::new();
    let he = world.phone("he");
    let first: Vec<_> = (0..6).map(|n| he.report(&format!("第{n}宗。"))).collect();
    he.sync();
    let token = world.token("community");
    let (_, page) = world.get("/v1/cases?sort=created&order=asc&limit=4", Some(&token));
    world.pass(MINUTE);
    let late = he.report("后来的一宗。");
    he.sync();
    let next = page["next"].as_str().unwrap();
    let (_, rest) = world.get(&format!("/v1/cases?sort=created&order=asc&limit=4&cursor={next}"), Some(&token));
    let seen: Vec<_> = ids(&page).into_iter().chain(ids(&rest)).collect();
    assert_eq!(sorted(seen), some(&[first, vec![late]].concat()));
}

#[test]
fn a_file_shows_what_is_and_its_history_who_wrote_what_and_when_it_arrived() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let written_ms = world.case_clock();
    let case = he.report_with(vec![write("narrative", "工人聚集。"), set("people_involved", 23)]);
    world.pass(2 * HOUR);
    he.sync();
    assert_eq!(world.desk("community", case, json!([{"edit": "add_event", "kind": "accepted"}])).0, 200);
    let token = world.token("community");
    let (status, file) = world.get(&format!("/v1/cases/{case}"), Some(&token));
    assert_eq!(status, 200, "{file}");
    assert_eq!(file["state"]["fields"]["people_involved"], 23);
    assert_eq!(file["state"]["status"], "accepted");
    assert!(file["allowed_events"].as_array().unwrap().contains(&json!("resolved")), "{file}");
    assert!(file["obligations"].as_array().is_some_and(|o| !o.is_empty()));
    let (status, history) = world.get(&format!("/v1/cases/{case}/history"), Some(&token));
    assert_eq!(status, 200, "{history}");
    let entries = history.as_array().unwrap();
    let of = |name: &str| entries.iter().find(|e| e["author_name"] == name).unwrap_or_else(|| panic!("{history}"));
    let (by_phone, by_desk) = (of("小何"), of("社区主管"));
    assert!(by_phone["device"].is_string() && by_desk["device"].is_null(), "{history}");
    assert!((by_phone["written_ms"].as_i64().unwrap() - written_ms).abs() < MINUTE, "{by_phone}");
    assert!(by_phone["received_ms"].as_i64().unwrap() - written_ms >= 2 * HOUR, "{by_phone}");
    assert_eq!((by_phone["basis"].as_str(), by_desk["basis"].as_str()), (Some("anchored"), Some("server")));
    let what = by_phone["what"].as_array().unwrap();
    assert!(what.contains(&json!("people_involved = 23")) && what.contains(&json!("event reported")), "{by_phone}");
    let positions: Vec<_> = entries.iter().map(|e| e["position"].as_i64().unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
}

trait Now {
    fn case_clock(&self) -> i64;
}

impl Now for World {
    fn case_clock(&self) -> i64 {
        sync_core::time::Clock::now_ms(&*self.clock)
    }
}

#[test]
fn a_case_of_another_community_is_not_there() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    for path in [format!("/v1/cases/{case}"), format!("/v1/cases/{case}/history"), "/v1/cases/nonsense".to_owned()] {
        assert_eq!(world.get(&path, Some(&world.token("baihua"))).0, 404, "{path}");
    }
    let note = json!([{"edit": "add_event", "kind": "note", "body": {"text": "一"}}]);
    assert_eq!(world.desk("baihua", case, note).0, 404);
    assert_eq!(list(&world, "baihua", ""), Vec::<String>::new());
}

fn patrol(phone: &TestPhone) -> DocumentId {
    let edits =
        vec![set("place.grid", "GM-BIYAN-01"), set("place.building", "GM-BIYAN-SL17-5"), write("notes", "夜间巡查。")];
    phone.core().create(&Draft { kind: DocumentKind::Patrol, community: biyan(), edits }).unwrap()
}

#[test]
fn patrols_are_listed_read_and_told_like_cases() {
    let world = World::new();
    let he = world.phone("he");
    let (first, second) = (patrol(&he), patrol(&he));
    he.event(first, EventKind::PatrolEnded, json!({}));
    he.sync();
    let token = world.token("community");
    let (status, page) = world.get("/v1/patrols", Some(&token));
    assert_eq!((status, sorted(ids(&page))), (200, some(&[first, second])));
    let (_, page) = world.get("/v1/patrols?status=open", Some(&token));
    assert_eq!(ids(&page), [second.to_string()]);
    let (status, record) = world.get(&format!("/v1/patrols/{first}"), Some(&token));
    assert_eq!((status, record["state"]["notes"].as_str()), (200, Some("夜间巡查。")), "{record}");
    let (status, history) = world.get(&format!("/v1/patrols/{first}/history"), Some(&token));
    assert_eq!((status, history[0]["author_name"].as_str()), (200, Some("小何")));
    assert_eq!(world.get(&format!("/v1/cases/{first}"), Some(&token)).0, 404, "a patrol is no case");
    assert_eq!(world.get(&format!("/v1/patrols/{first}"), Some(&world.token("baihua"))).0, 404);
}

#[test]
fn only_what_could_have_its_effect_is_offered() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    let token = world.token("community");
    let offered = || world.get(&format!("/v1/cases/{case}"), Some(&token)).1["allowed_events"].clone();
    let has = |kind: &str| offered().as_array().unwrap().contains(&json!(kind));
    let enter = |event: serde_json::Value| {
        let mut event = event;
        event["edit"] = json!("add_event");
        let (status, reply) = world.desk("community", case, json!([event]));
        assert_eq!(status, 200, "{reply}");
    };
    assert!(has("rejected") && has("accepted") && !has("assigned") && !has("report_in") && !has("closure_confirmed"));
    enter(json!({"kind": "accepted"}));
    assert!(!has("rejected") && has("assigned") && has("escalation") && !has("return_order") && !has("performance"));
    enter(json!({"kind": "whistle", "body": {"departments": ["街道劳动监察"], "urgency": "urgent"}}));
    assert!(has("report_in"));
    enter(json!({"kind": "escalation", "body": {"to": "street", "reason": "请街道协调"}}));
    assert!(has("return_order") && has("escalation_kept"));
    enter(json!({"kind": "oral_agreement", "body": {"terms": "当日清理"}}));
    assert!(has("performance") && !has("oral_agreement") && !has("reopened"));
    enter(json!({"kind": "closed"}));
    assert!(has("reopened") && has("fact_added") && has("closure_confirmed") && !has("escalation"));
}

#[test]
fn a_desk_puts_a_record_only_where_there_is_a_grid_or_building_of_its_community() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("水管漏水。");
    he.sync();
    let put = |path: &str, code: &str| {
        let (status, told) =
            world.desk("receptionist", case, json!([{"edit": "set_field", "path": path, "value": code}]));
        (status, told["field"].clone())
    };
    for (path, code) in [
        ("place.grid", "GM-BAIHUA-01"),
        ("place.grid", "GM-BIYAN"),
        ("place.grid", "NOPE"),
        ("place.building", "GM-BIYAN-01"),
    ] {
        assert_eq!(put(path, code), (400, json!(path)), "{code}");
    }
    assert_eq!(put("place.grid", "GM-BIYAN-02").0, 200);
    assert_eq!(put("place.building", "GM-BIYAN-SL17-5").0, 200);
}
