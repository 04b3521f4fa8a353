//! The seed's case, step by step, with what makes offline work worth having.

use serde_json::json;
use sync_core::edit::{Draft, Edit};
use sync_core::event::EventKind;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::shape::DocumentKind;
use sync_core::time::Clock;

use super::phones::DemoPhone;
use super::{Demo, Fallible, desk, idle, picture};

const LOGINS: [&str; 9] = [
    "he",
    "colleague",
    "captain",
    "station-head",
    "receptionist",
    "mediation-director",
    "legal-adviser",
    "baihua",
    "street",
];

const STORY: &str = "网格员小何巡查到水利组17-5栋时,吵闹声很大并且许多群众围观。走近看到两名人员正在发生肢体冲突。\
经了解,万某有一黑臭水治理工程需要熊某招来工人,工程一直未能开工,工人要求支付日常相关费用。";

pub(super) fn set(path: &str, value: impl Into<serde_json::Value>) -> Edit {
    Edit::SetField { path: path.to_owned(), value: value.into() }
}

pub(super) fn write(name: &str, wording: &str) -> Edit {
    Edit::SetText { name: name.to_owned(), wording: wording.to_owned() }
}

fn party(name: &str, role: &str, organisation: &str, represents: i64) -> Edit {
    let fields = [
        ("name".to_owned(), name.into()),
        ("role".to_owned(), role.into()),
        ("organisation".to_owned(), organisation.into()),
        ("represents".to_owned(), represents.into()),
    ];
    Edit::AddItem { collection: "parties".to_owned(), fields: fields.into(), text: None }
}

pub(super) fn draft(kind: DocumentKind, community: &str, edits: Vec<Edit>) -> Fallible<Draft> {
    Ok(Draft { kind, community: AreaCode::new(community)?, edits })
}

/// Replays the day.
pub(super) fn replay(demo: &mut Demo) -> Fallible<()> {
    desk::put_away(demo)?;
    demo.until(8, 30);
    demo.tell("intro", &[])?;
    sign_in(demo)?;
    let case = morning(demo)?;
    let other = baihua(demo)?;
    let workers = idle::visited(demo)?;
    reported(demo, case)?;
    apart(demo, case)?;
    let copy = duplicate(demo, case)?;
    received(demo, case, copy, workers)?;
    climbs(demo, other)?;
    idle::raised(demo, workers)?;
    let matters = desk::reported(demo)?;
    mediated(demo, case)?;
    idle::proved(demo, workers)?;
    settled(demo, case)?;
    desk::end_of_day(demo, &matters)?;
    if demo.case(other)?.status.is_open() {
        demo.tell("unresolved", &[])
    } else {
        Err("the case in 白花 was to stay open".into())
    }
}

fn climbs(demo: &mut Demo, other: DocumentId) -> Fallible<()> {
    demo.until(11, 11);
    demo.scheduled()?;
    if demo.case(other)?.level != sync_core::role::Level::Street {
        return Err("the case in 白花 did not climb".into());
    }
    demo.tell("climbed", &[])
}

fn sign_in(demo: &mut Demo) -> Fallible<()> {
    let plan = server::areas::parse("import.toml", schema::DEMO_IMPORT.as_bytes())?;
    let url = demo.server.url();
    for login in LOGINS {
        let person = plan.logins().find(|(l, ..)| *l == login).ok_or("a login is missing")?;
        let mut phone = DemoPhone::sign_in(demo.dir.path(), demo.clock.clone(), &url, person)?;
        phone.sync()?;
        demo.phones.insert(login, phone);
    }
    demo.tell("signed_in", &[("phones", &LOGINS.len().to_string())])?;
    demo.tell("put_away", &[])
}

fn morning(demo: &mut Demo) -> Fallible<DocumentId> {
    demo.until(8, 50);
    let he = demo.phone("he")?;
    let place = |mut edits: Vec<Edit>| {
        edits.insert(0, set("place.grid", "GM-BIYAN-01"));
        edits.insert(1, set("place.building", "GM-BIYAN-SL17-5"));
        edits.insert(2, set("place.detail", "水利组17-5栋"));
        edits
    };
    let patrol = draft(
        DocumentKind::Patrol,
        "GM-BIYAN",
        place(vec![
            set("rental_class", "urban_village"),
            set("safety_grade", "watched"),
            set("checklist.exits_clear", "problem"),
            set("checklist.exits_clear.note", "楼梯口堆放杂物"),
            set("checklist.extinguisher", "ok"),
            set("publicity.leaflets", 6),
        ]),
    )?;
    let patrol = he.create(&patrol)?;
    let hazard = [("kind".to_owned(), "fire_passage".into()), ("grade".to_owned(), "minor".into())];
    he.edit(patrol, &[Edit::AddItem { collection: "hazards".to_owned(), fields: hazard.into(), text: None }])?;
    demo.tell("patrol", &[])?;

    demo.until(9, 0);
    let now_ms = demo.clock.now_ms();
    let he = demo.phone("he")?;
    let case = draft(
        DocumentKind::Case,
        "GM-BIYAN",
        place(vec![
            set("title", "水利组17-5栋劳资纠纷"),
            set("report.channel", "patrol"),
            set("report.discovered", now_ms),
            set("report.patrol", patrol.to_string()),
            set("violence", true),
            set("people_involved", 20),
            write("narrative", STORY),
        ]),
    )?;
    let case = he.create(&case)?;
    he.event(case, EventKind::OnScene, json!({"note": "当场制止,安抚情绪"}))?;
    he.attach(case, "水利组17-5栋门口.jpg", picture::gate()?)?;
    he.edit(
        patrol,
        &[
            Edit::AddItem {
                collection: "cases".to_owned(),
                fields: [("case".to_owned(), case.to_string().into())].into(),
                text: None,
            },
            Edit::AddEvent { kind: EventKind::PatrolEnded, body: Default::default() },
        ],
    )?;
    demo.tell("report", &[("people", "20")])?;
    Ok(case)
}

fn baihua(demo: &mut Demo) -> Fallible<DocumentId> {
    demo.until(9, 5);
    let captain = demo.phone("captain")?;
    let copy = draft(
        DocumentKind::Case,
        "GM-BIYAN",
        vec![
            set("title", "17-5栋门口工人吵架"),
            set("place.building", "GM-BIYAN-SL17-5"),
            set("report.channel", "captain"),
            write("narrative", "17-5栋门口很多工人吵架,有人动手。"),
        ],
    )?;
    captain.create(&copy)?;
    demo.tell("captain", &[])?;
    demo.until(9, 10);
    let worker = demo.phone("baihua")?;
    let noise = draft(
        DocumentKind::Case,
        "GM-BAIHUA",
        vec![
            set("title", "邻里噪音纠纷"),
            set("place.grid", "GM-BAIHUA-01"),
            set("category", "0203"),
            set("report.channel", "resident"),
            write("narrative", "住户反映楼上夜间噪音,双方多次争吵。"),
        ],
    )?;
    let other = worker.create(&noise)?;
    demo.until(9, 30);
    demo.phone("baihua")?.sync()?;
    demo.tell("other", &[])?;
    Ok(other)
}

fn reported(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(9, 31);
    let he = demo.phone("he")?;
    let sent = he.sync()?;
    if he.send_photos()? != 1 {
        return Err("the photo was to reach the server".into());
    }
    demo.scheduled()?;
    let state = demo.case(case)?;
    let reports = state.timeline.iter().filter(|e| e.kind == EventKind::FlashReport && e.stands()).count();
    demo.tell("flash", &[("sent", &sent.to_string()), ("reports", &reports.to_string())])
}

fn apart(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(9, 35);
    for login in ["he", "colleague"] {
        demo.phone(login)?.sync()?;
    }
    demo.until(9, 38);
    let he = demo.phone("he")?;
    he.edit(case, &[set("category", "0701"), set("people_involved", 21)])?;
    he.edit(
        case,
        &[write("narrative", &STORY.replace("两名人员正在发生肢体冲突", "一名工人与施工方人员正在发生肢体冲突"))],
    )?;
    demo.until(9, 40);
    let colleague = demo.phone("colleague")?;
    colleague.edit(case, &[set("severity", "urgent"), set("people_involved", 23)])?;
    colleague.edit(
        case,
        &[write("narrative", &STORY.replace("两名人员正在发生肢体冲突", "两名人员正在发生激烈的肢体接触"))],
    )?;
    demo.tell("apart", &[])?;
    demo.until(9, 50);
    for login in ["he", "colleague", "he"] {
        demo.phone(login)?.sync()?;
    }
    let state = demo.case(case)?;
    demo.conflicts_found = state.conflicts.len() + state.passages.len();
    let values = state.conflicts.iter().flat_map(|c| &c.values).map(|v| {
        let name = v.by.and_then(|u| state.people.get(&u)).cloned().unwrap_or_default();
        format!("{name} {}", v.value)
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let found = demo.conflicts_found.to_string();
    demo.tell("merged", &[("values", &values), ("conflicts", &found)])
}

fn duplicate(demo: &mut Demo, case: DocumentId) -> Fallible<DocumentId> {
    demo.until(9, 55);
    let he = demo.phone("he")?;
    he.edit(
        case,
        &[
            party("熊某", "representative", "工人代表", 23),
            party("黄某", "representative", "工人代表", 23),
            party("李某", "representative", "工人代表", 23),
            party("陶某", "representative", "工人代表", 23),
            party("李某", "respondent", "施工方负责人", 1),
            party("万某", "respondent", "施工方负责人", 1),
        ],
    )?;
    he.event(case, EventKind::Guided, json!({"people": 6, "to": "碧眼社区群众诉求服务大厅"}))?;
    he.sync()?;
    let captain = demo.phone("captain")?;
    captain.sync()?;
    let copy = captain.core().documents()?.into_iter().next().ok_or("the captain's report is missing")?;
    demo.tell("guided", &[])?;
    Ok(copy)
}

fn received(demo: &mut Demo, case: DocumentId, copy: DocumentId, workers: DocumentId) -> Fallible<()> {
    demo.until(10, 0);
    let director = demo.phone("mediation-director")?;
    director.sync()?;
    director.event(case, EventKind::Accepted, json!({"file_number": "(2019)碧眼人调字第1号"}))?;
    director.event(copy, EventKind::Merged, json!({"into": case.to_string(), "note": "同一宗纠纷"}))?;
    director.sync()?;
    demo.tell("accepted", &[])?;
    demo.until(10, 15);
    for login in ["station-head", "legal-adviser", "mediation-director"] {
        demo.phone(login)?.sync()?;
    }
    idle::received(demo, workers)?;
    demo.until(11, 0);
    let director = demo.phone("mediation-director")?;
    director.event(
        case,
        EventKind::MediationSession,
        json!({"mediators": ["社区调解主任", "网格站站长"], "present": ["熊某", "黄某", "李某", "陶某", "李某", "万某"],
            "summary": "听取双方陈述"}),
    )?;
    let adviser = demo.phone("legal-adviser")?;
    adviser.event(case, EventKind::LegalAdvice, json!({"advice": "招工来深的必要费用应由安排方承担,建议协商支付"}))?;
    demo.tell("mediation", &[])
}

fn mediated(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(14, 1);
    demo.scheduled()?;
    let raised = demo.case(case)?;
    if raised.level != sync_core::role::Level::Street {
        return Err("the case did not climb when its limit passed".into());
    }
    let (zh, en) = demo.teller.words("level_street", &[])?;
    let (rule_zh, rule_en) = demo.teller.words("rule_mediate_start", &[])?;
    demo.tell("escalated", &[("level", &format!("{zh}|{en}")), ("rule", &format!("{rule_zh}|{rule_en}"))])?;
    demo.until(15, 30);
    demo.phone("mediation-director")?.sync()?;
    demo.phone("legal-adviser")?.sync()?;
    let state = demo.case(case)?;
    let withdrawn = state.timeline.iter().find_map(|e| e.withdrawn.as_ref().filter(|w| w.automatic));
    let evidence = withdrawn.and_then(|w| state.entry(w.by)).ok_or("the escalation did not withdraw itself")?;
    let time = |ms: i64| sync_core::calendar::beijing_text(ms).split(' ').nth(1).unwrap_or_default().to_owned();
    let written = time(evidence.at.hlc.wall_ms);
    let arrived = time(evidence.witness.map_or(0, |w| w.received_ms));
    demo.tell("withdrawn", &[("written", &written), ("received", &arrived)])
}

fn settled(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(15, 50);
    let flags: Vec<_> = demo.case(case)?.passages.into_iter().map(|p| (p.text, p.flag)).collect();
    let director = demo.phone("mediation-director")?;
    director.edit(case, &[set("people_involved", 23)])?;
    director.sync()?;
    let head = demo.phone("station-head")?;
    head.sync()?;
    for (text, flag) in flags {
        head.event(case, EventKind::PassageConfirmed, json!({"text": text, "flag": flag}))?;
    }
    head.sync()?;
    demo.tell("settled", &[])?;
    demo.until(16, 20);
    let director = demo.phone("mediation-director")?;
    director.sync()?;
    director.event(
        case,
        EventKind::MediationAgreement,
        json!({"terms": "施工负责人万某支付23名工人来深的日常相关费用;工人代表熊某妥善安排工人。"}),
    )?;
    demo.tell("agreement", &[])?;
    demo.until(16, 40);
    let director = demo.phone("mediation-director")?;
    director.event(case, EventKind::Resolved, json!({"method": "peoples_mediation"}))?;
    director.event(case, EventKind::Closed, json!({"summary": "案结事了"}))?;
    director.sync()?;
    let state = demo.case(case)?;
    let found = state.number("report.discovered").unwrap_or(state.created_ms);
    let minutes = (demo.clock.now_ms() - found) / 60_000;
    let (h, m) = ((minutes / 60).to_string(), (minutes % 60).to_string());
    let (zh, en) = demo.teller.words("hours", &[("h", &h), ("m", &m)])?;
    demo.tell("closed", &[("hours", &format!("{zh}|{en}"))])
}
