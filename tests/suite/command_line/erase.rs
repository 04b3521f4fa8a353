//! `erase case`, `person`, `attachment`, `list`, `approve`, `decline`, `verify`, `scrub`.

use serde_json::json;

use super::{finds, json, lines, not_understood, run, turned_down, world_of_today};

const WORDS: &str = "玉兰花下的秘密";
const REASON: &str = "当事人依法要求删除";

#[test]
fn command_line_a_case_is_erased_and_proven_gone_when_the_phones_have_confirmed() {
    let world = world_of_today();
    let he = world.phone("he");
    let case = he.report(&format!("{WORDS}，依法应当删除。"));
    let other = he.report("留下的案件。");
    he.sync();
    let id = case.to_string();
    let out = run(&world, &["erase", "case", &id, "--reason", REASON]);
    assert!(out.starts_with("asked; erase it with `fengqiao erase approve "), "{out}");
    let asked = lines(&world, &["erase", "list"]).remove(0);
    assert_eq!((&asked["state"], &asked["document"], &asked["kind"]), (&json!("asked"), &json!(id), &json!("case")));
    let erasure = asked["id"].as_str().unwrap();
    assert!(out.contains(erasure));
    assert_eq!(run(&world, &["erase", "approve", erasure]), "erased\n");
    // His phone has not heard of it.
    let told = finds(&world, &["erase", "verify", &id, "--word", WORDS], "not complete");
    assert!(told.contains("\"found\": []"), "nothing is left on the server: {told}");
    he.sync();
    he.sync();
    assert!(!he.core().documents().unwrap().contains(&case) && he.core().documents().unwrap().contains(&other));
    let proof = json(&world, &["erase", "verify", &id, "--word", WORDS]);
    assert!(proof["found"] == json!([]) && proof["phones"][0]["confirmed_ms"].is_i64(), "{proof}");
    assert_eq!(run(&world, &["erase", "scrub"]), "");
    turned_down(
        &world,
        &[
            (&["erase", "approve", erasure], "decided before"),
            (&["erase", "decline", erasure], "decided before"),
            (&["erase", "case", &id, "--reason", REASON], "no such document"),
            (&["erase", "verify", &other.to_string()], "erased document"),
        ],
    );
    world.check_rebuild();
}

#[test]
fn command_line_a_party_is_erased_and_an_erasure_is_declined() {
    let world = world_of_today();
    let he = world.phone("he");
    let case = he.report("甲方与乙方争吵。");
    let name = json!({"name": "玉兰某", "phone": "13800138000"}).as_object().unwrap().clone().into_iter().collect();
    let item = sync_core::edit::Edit::AddItem { collection: "parties".into(), fields: name, text: None };
    let party = he.core().edit(case, &[item]).unwrap().made.remove(0);
    he.sync();
    let id = case.to_string();
    let ask = |world: &tests::World| {
        let out = run(world, &["erase", "person", &id, &party, "--reason", REASON]);
        out.trim().trim_end_matches('`').rsplit(' ').next().unwrap().to_owned()
    };
    let declined = ask(&world);
    assert_eq!(run(&world, &["erase", "decline", &declined]), "declined\n");
    assert_eq!(world.case(case).parties.len(), 1, "nothing was erased");
    let out = run(&world, &["erase", "approve", &ask(&world)]);
    let successor = out.trim().strip_prefix("erased; what is left is ").unwrap_or_else(|| panic!("{out}")).to_owned();
    assert!(world.case(successor.parse().unwrap()).parties.is_empty());
    he.sync();
    he.sync();
    json(&world, &["erase", "verify", &id, "--word", "玉兰某"]);
    let nobody = uuid::Uuid::from_u128(7).to_string();
    turned_down(
        &world,
        &[
            (&["erase", "person", &successor, "nobody", "--reason", REASON], "no such part"),
            (&["erase", "attachment", &successor, &"0".repeat(64), "--reason", REASON], "no such part"),
            (&["erase", "case", &nobody, "--reason", REASON], "no such document"),
            (&["erase", "approve", "nothing"], "no such erasure"),
        ],
    );
    not_understood(
        &world,
        &[(&["erase", "case", "nonsense", "--reason", REASON], "nonsense"), (&["erase", "case", &nobody], "--reason")],
    );
    world.check_rebuild();
}

#[test]
fn command_line_an_erasure_is_asked_for_with_a_reason_as_at_a_desk() {
    let world = world_of_today();
    let he = world.phone("he");
    let case = he.report("依法应当删除。").to_string();
    he.sync();
    let (long, number) = ("很".repeat(501), "`reason` holds an identity or phone number");
    for (reason, names) in [
        ("", "`reason` has 8 to 500 characters; this has 0"),
        ("       a        ", "this has 1"),
        ("short", "this has 5"),
        (long.as_str(), "this has 501"),
        ("13987654321", number),
        ("44030619900101123X 某某", number),
        ("删除wx13987654321的记录", number),
    ] {
        turned_down(&world, &[(&["erase", "case", &case, "--reason", reason], names)]);
        // A desk hears the same words.
        let body = json!({"kind": "case", "document": case, "part": "", "reason": reason});
        let (status, problem) = world.post("/v1/erasures", Some(&world.token("community")), &body);
        assert_eq!((status, problem["field"].as_str()), (400, Some("reason")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(names), "{problem}");
    }
    assert!(lines(&world, &["erase", "list"]).is_empty(), "nothing was asked for");
    run(&world, &["erase", "case", &case, "--reason", REASON]);
    assert_eq!(lines(&world, &["erase", "list"])[0]["reason"], REASON);
}
