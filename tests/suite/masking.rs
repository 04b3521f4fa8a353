//! Masking by role, break-glass, and search by a full number: a recognisable identity number and phone are planted wherever a case can
//! hold them, and looked for in whatever the server shows or stores.

use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::{event, set, write};
use tests::{TestPhone, World};

use crate::hand::Hand;

const ID: &str = "11010519491231002X";
const PHONE: &str = "13987654321";
const MASKED_ID: &str = "110105********002X";
const MASKED_PHONE: &str = "139****4321";
const LOGINS: [&str; 12] = [
    "he",
    "colleague",
    "baihua",
    "captain",
    "station-head",
    "receptionist",
    "mediation-director",
    "legal-adviser",
    "community",
    "street",
    "district",
    "admin",
];

/// Everything that a case can hold of a person, wherever it can stand.
fn planted(he: &TestPhone) -> DocumentId {
    let told = format!("熊某({ID},电话{PHONE})来访。");
    let case = he.report_with(vec![
        write("narrative", &told),
        set("place.detail", format!("楼下，{PHONE}")),
        set("report.reporter", "熊某"),
        set("report.reporter_phone", PHONE),
        sync_core::edit::Edit::AddItem {
            collection: "parties".into(),
            fields: [("name", "熊某"), ("phone", PHONE), ("id_number", ID), ("organisation", PHONE)]
                .map(|(k, v)| (k.to_owned(), v.into()))
                .into(),
            text: None,
        },
    ]);
    he.edit(case, &[event(EventKind::Note, json!({"text": told}))]);
    he.edit(
        case,
        &[sync_core::edit::Edit::AddItem {
            collection: "statements".into(),
            fields: [("by".to_owned(), "熊某".into())].into(),
            text: Some(told),
        }],
    );
    case
}

fn party(world: &World, case: DocumentId) -> String {
    world.case(case).parties.keys().next().unwrap().clone()
}

fn get_paths(world: &World) -> Vec<String> {
    let (_, api) = world.get("/v1/openapi.json", None);
    let paths = api["paths"].as_object().unwrap();
    paths.iter().filter(|(_, methods)| methods.get("get").is_some()).map(|(path, _)| path.clone()).collect()
}

#[test]
fn masking_leaves_no_number_unmasked_on_any_get_path_for_any_role() {
    let world = World::new();
    let he = world.phone("he");
    let case = planted(&he);
    let patrol = he
        .core()
        .create(&sync_core::edit::Draft {
            kind: sync_core::shape::DocumentKind::Patrol,
            community: tests::biyan(),
            edits: vec![set("place.grid", "GM-BIYAN-01"), write("notes", &format!("房东{PHONE}，{ID}"))],
        })
        .unwrap();
    he.sync();
    // Two who write the same register at once: a conflict shows both values.
    let (colleague, director) = (world.phone("station-head"), world.phone("mediation-director"));
    colleague.sync();
    director.sync();
    let path = format!("parties.{}.phone", party(&world, case));
    colleague.edit(case, &[set(&path, PHONE.replace("139", "138"))]);
    director.edit(case, &[set(&path, PHONE.replace("139", "137"))]);
    colleague.sync();
    director.sync();
    assert_eq!(world.case(case).conflicts.len(), 1);
    // And a refused change that names them.
    let (hand, stranger) = (Hand::register(&world, "he"), Hand::register(&world, "baihua"));
    let (mut other, first) = hand.case("工人聚集。");
    hand.hand_in(vec![hand.entry(&other, [&first.bytes[..]])]);
    let ((), change) =
        other.edit(stranger.actor, stranger.wall_ms, |w| w.set("report.reporter_phone", &PHONE.into())).unwrap();
    stranger.hand_in(vec![stranger.entry(&other, [&change.unwrap().bytes[..]])]);
    let kept =
        world.get("/v1/quarantine", Some(&world.token("district"))).1["items"][0]["id"].as_str().unwrap().to_owned();

    let calling = ["he", "colleague", "station-head", "receptionist", "mediation-director"];
    let (mut seen, mut asked) = (0, 0);
    for login in LOGINS {
        let token = world.token(login);
        for path in get_paths(&world) {
            if path == "/v1/events" {
                continue;
            }
            for id in [case.to_string(), patrol.to_string(), other.meta().id.to_string(), kept.clone()] {
                let asked_path = path.replace("{id}", &id).replace("{area}", "GM-BIYAN");
                let (status, reply) = world.get(&asked_path, Some(&token));
                let text = reply.to_string();
                asked += 1;
                seen += usize::from(status == 200 && text.contains(MASKED_ID));
                assert!(!text.contains(ID), "{login} GET {asked_path}: {text}");
                let file = asked_path.contains(&id) && !asked_path.contains("quarantine");
                if !(file && calling.contains(&login)) {
                    for number in [PHONE, "13887654321", "13787654321"] {
                        assert!(!text.contains(number), "{login} GET {asked_path}: {text}");
                    }
                }
                if !path.contains('{') {
                    break;
                }
            }
        }
    }
    assert!(seen >= 20 && asked > 200, "the planted numbers were met {seen} times in {asked} answers");
}

#[test]
fn masking_hides_numbers_beside_letters_and_in_all_groups_and_neither_words_nor_reasons_hold_them() {
    let world = World::new();
    let he = world.phone("he");
    let told = [
        "ID440306199001011236",
        "_440306199001011236",
        "440306199001011236a",
        "wx13812345678",
        "T13812345678",
        "13812345678a",
        "(0755)27401234",
        "（0755）27401234",
        "400-820-8820",
        "138 12 34 56 78",
        "138/1234/5678",
        "138_1234_5678",
        "138\u{2011}1234\u{2011}5678",
        "138\u{a0}1234\u{a0}5678",
        "138  1234  5678",
        "138 1234\n5678",
    ];
    let cases: Vec<DocumentId> = told.iter().map(|number| he.report(&format!("他留下{number}，在场。"))).collect();
    let nowhere = he.report_with(vec![set("place.detail", "楼下wx13812345678")]);
    he.sync();
    let (adviser, receptionist) = (world.token("legal-adviser"), world.token("receptionist"));
    for (number, case) in told.iter().zip(&cases) {
        let (_, file) = world.get(&format!("/v1/cases/{case}"), Some(&adviser));
        let narrative = file["state"]["narrative"].as_str().unwrap();
        assert!(narrative.contains('*') && !narrative.contains(number), "{number:?}: {narrative}");
        let body = json!({"fields": ["narrative"], "reason": format!("about {number} please")});
        let (status, problem) = world.post(&format!("/v1/cases/{case}/reveal"), Some(&receptionist), &body);
        assert_eq!((status, problem["field"].as_str()), (400, Some("reason")), "{number:?}: {problem}");
    }
    let list = world.get("/v1/cases?limit=100", Some(&receptionist)).1.to_string();
    assert!(list.contains(&nowhere.to_string()));
    for number in ["440306199001011236", "13812345678", "27401234", "820-8820"] {
        assert!(!list.contains(number), "{number}: {list}");
    }
    let (status, problem) = world.get("/v1/cases?q=wx13812345678", Some(&receptionist));
    assert_eq!((status, problem["field"].as_str()), (400, Some("q")), "{problem}");
    // Each way of writing it is one number to who looks for the person's cases.
    let (_, found) = world.post("/v1/persons/search", Some(&receptionist), &json!({"number": "13812345678"}));
    let mobiles = told.iter().filter(|n| n.contains("138")).count();
    assert_eq!(found["items"].as_array().unwrap().len(), mobiles + 1, "{found}");
    world.check_rebuild();
}

#[test]
fn masking_keeps_numbers_out_of_search_text_and_stored_rows() {
    let world = World::new();
    let he = world.phone("he");
    let case = planted(&he);
    he.sync();
    #[derive(diesel::QueryableByName)]
    struct Stored {
        #[diesel(sql_type = diesel::sql_types::Text)]
        text: String,
    }
    let app = world.app();
    let rows: Vec<Stored> = diesel::sql_query("SELECT document || title || search_text || numbers AS text FROM cases")
        .load(&mut *app.db.get().unwrap())
        .unwrap();
    assert!(rows.iter().any(|r| r.text.contains(&case.to_string())));
    for row in rows {
        assert!(
            !row.text.contains(ID) && !row.text.contains(&ID.to_lowercase()) && !row.text.contains(PHONE),
            "{}",
            row.text
        );
    }
    world.check_rebuild();
}

#[test]
fn masking_lets_a_clerk_find_a_persons_other_cases_by_the_full_number() {
    let world = World::new();
    let he = world.phone("he");
    let first = planted(&he);
    let second = he.report(&format!("又来电，{}。", "139 8765 4321"));
    let _third = he.report("别人的事。");
    he.sync();
    let ask = |login: &str, number: &str| {
        let (status, reply) = world.post("/v1/persons/search", Some(&world.token(login)), &json!({"number": number}));
        let mut ids: Vec<String> = reply["items"]
            .as_array()
            .map(|i| i.iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect())
            .unwrap_or_default();
        ids.sort();
        (status, ids)
    };
    let mut both = vec![first.to_string(), second.to_string()];
    both.sort();
    assert_eq!(ask("receptionist", PHONE), (200, both.clone()));
    assert_eq!(ask("receptionist", "+86 139-8765-4321"), (200, both));
    assert_eq!(ask("receptionist", &ID.to_lowercase()), (200, vec![first.to_string()]));
    assert_eq!(ask("receptionist", "13987654322"), (200, vec![]));
    for login in ["he", "captain", "baihua", "legal-adviser", "admin"] {
        assert_eq!(ask(login, PHONE).0, 403, "{login}");
    }
    for number in ["", "123", "没有", &"1".repeat(41)] {
        assert_eq!(ask("receptionist", number).0, 400, "{number}");
    }
    // In an address a number is refused, and the remedy is named.
    let (status, problem) = world.get(&format!("/v1/cases?q={PHONE}"), Some(&world.token("receptionist")));
    assert_eq!(status, 400, "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("/v1/persons/search"));
    // Another one's number is not found by its masked form, nor by pieces.
    let (_, page) = world.get("/v1/cases?q=87654", Some(&world.token("receptionist")));
    assert_eq!(page["items"], json!([]));
    world.check_rebuild();
    assert_eq!(ask("receptionist", &ID.to_lowercase()).1, vec![first.to_string()], "and after a rebuild");
}

#[test]
fn break_glass_shows_full_values_to_few_roles_with_a_reason_that_is_kept() {
    let world = World::new();
    let he = world.phone("he");
    let case = planted(&he);
    he.sync();
    let party = party(&world, case);
    let field = format!("parties.{party}.id_number");
    let ask =
        |login: &str, body: &Value| world.post(&format!("/v1/cases/{case}/reveal"), Some(&world.token(login)), body);
    let good = json!({"fields": [field, "report.reporter_phone", "narrative"], "reason": "核对调解协议当事人身份"});
    for login in ["receptionist", "mediation-director", "community", "street", "district", "station-head"] {
        let (status, reply) = ask(login, &good);
        assert_eq!((status, reply["values"][&field].as_str()), (200, Some(ID)), "{login}: {reply}");
        assert_eq!(reply["values"]["report.reporter_phone"], PHONE);
        assert!(reply["values"]["narrative"].as_str().unwrap().contains(ID));
    }
    assert_eq!(ask("he", &good).0, 403);
    for (login, status) in [("captain", 404), ("legal-adviser", 403), ("baihua", 404), ("admin", 404)] {
        assert_eq!(ask(login, &good).0, status, "{login}");
    }
    for (body, field) in [
        (json!({"fields": [field], "reason": "看看"}), "reason"),
        (json!({"fields": [field], "reason": format!("要找{PHONE}核实情况")}), "reason"),
        (json!({"fields": [], "reason": "核对调解协议当事人身份"}), "fields"),
        (json!({"fields": vec!["narrative"; 21], "reason": "核对调解协议当事人身份"}), "fields"),
        (json!({"fields": ["colour"], "reason": "核对调解协议当事人身份"}), "fields"),
        (json!({"fields": ["parties.x.id_number"], "reason": "核对调解协议当事人身份"}), "fields"),
    ] {
        let (status, problem) = ask("community", &body);
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{body}: {problem}");
    }
    assert_eq!(ask("community", &json!({})).0, 400);
    let (_, page) = world.get("/v1/audit?action=case.reveal", Some(&world.token("district")));
    let rows = page["items"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "one for each that was shown, none for what was refused");
    for row in rows {
        assert_eq!(
            (row["reason"].as_str(), row["object"].as_str()),
            (Some("核对调解协议当事人身份"), Some(&*case.to_string()))
        );
        assert!(row["detail"].as_str().unwrap().contains("id_number") && !row.to_string().contains(ID), "{row}");
    }
}

#[test]
fn masking_loses_no_number_when_somebody_who_saw_it_masked_writes_back() {
    let world = World::new();
    let he = world.phone("he");
    let case = planted(&he);
    he.sync();
    let party = party(&world, case);
    let token = world.token("community");
    let (_, file) = world.get(&format!("/v1/cases/{case}"), Some(&token));
    let narrative = file["state"]["narrative"].as_str().unwrap();
    assert!(narrative.contains(MASKED_ID) && narrative.contains(MASKED_PHONE), "{narrative}");
    let id_number = &file["state"]["parties"][&party]["fields"]["id_number"];
    let edits = json!([
        {"edit": "set_text", "name": "narrative", "wording": format!("{narrative}已告知权利。")},
        {"edit": "set_field", "path": format!("parties.{party}.id_number"), "value": id_number},
        {"edit": "set_field", "path": format!("parties.{party}.phone"), "value": MASKED_PHONE},
        {"edit": "set_field", "path": "place.detail", "value": format!("楼上，{MASKED_PHONE}")},
    ]);
    let (status, reply) = world.desk("community", case, edits);
    assert_eq!(status, 200, "{reply}");
    let state = world.case(case);
    assert_eq!(state.narrative, format!("熊某({ID},电话{PHONE})来访。已告知权利。"));
    assert_eq!(state.parties[&party].fields["id_number"], ID);
    assert_eq!(state.parties[&party].fields["phone"], PHONE);
    assert_eq!(state.text("place.detail"), Some(&*format!("楼上，{PHONE}")));
}

#[test]
fn break_glass_shows_the_numbers_of_a_patrol_record_too_with_a_reason_that_is_kept() {
    let world = World::new();
    let he = world.phone("he");
    let notes = format!("房东{PHONE}，{ID}");
    let patrol = he
        .core()
        .create(&sync_core::edit::Draft {
            kind: sync_core::shape::DocumentKind::Patrol,
            community: tests::biyan(),
            edits: vec![set("place.grid", "GM-BIYAN-01"), write("notes", &notes)],
        })
        .unwrap();
    let case = planted(&he);
    he.sync();
    let seen = world.get(&format!("/v1/patrols/{patrol}"), Some(&world.token("community"))).1;
    assert_eq!(seen["state"]["notes"], format!("房东{MASKED_PHONE}，{MASKED_ID}"));
    assert_eq!(seen["may_reveal"], true);
    let ask = |login: &str, id: DocumentId, body: &Value| {
        world.post(&format!("/v1/patrols/{id}/reveal"), Some(&world.token(login)), body)
    };
    let good = json!({"fields": ["notes"], "reason": "核对房东身份证件信息"});
    for login in ["community", "station-head"] {
        let (status, reply) = ask(login, patrol, &good);
        assert_eq!((status, reply["values"]["notes"].as_str()), (200, Some(notes.as_str())), "{login}: {reply}");
    }
    for (login, status) in [("he", 403), ("captain", 404), ("baihua", 404), ("admin", 404)] {
        assert_eq!(ask(login, patrol, &good).0, status, "{login}");
    }
    assert_eq!(ask("community", case, &good).0, 404, "a case is no patrol");
    assert_eq!(ask("community", patrol, &json!({"fields": ["notes"], "reason": "看看"})).0, 400);
    assert_eq!(ask("community", patrol, &json!({"fields": ["narrative"], "reason": "核对房东身份证件信息"})).0, 400);
    let (_, page) = world.get("/v1/audit?action=patrol.reveal", Some(&world.token("district")));
    let rows = page["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|r| r["reason"] == "核对房东身份证件信息" && r["object"] == patrol.to_string()));
}
