//! What lies on the supervisor's desk when the day is over: a conflict, a case closed without knowing, work refused because an area
//! had changed hands, and departments that are on their way.

use diesel::prelude::*;
use serde_json::json;
use server::accounts::users;
use server::audit::{Act, Origin};
use server::clock::SystemEntropy;
use server::db::tables::quarantine;
use sync_core::edit::Edit;
use sync_core::event::EventKind;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::role::Role;
use sync_core::shape::DocumentKind;
use sync_core::time::Clock;

use super::phones::DemoPhone;
use super::story::{draft, set, write};
use super::{Demo, Fallible, picture};

const WAGES: &str = "两名工人到大厅反映,工地上月工资尚未发放,情绪平稳,希望大厅帮助协调。";

/// Two small matters of the early afternoon.
pub(super) struct Matters {
    /// Wages unpaid on a building site in the second grid.
    wages: DocumentId,
    /// Things stored in a stairway.
    stairway: DocumentId,
}

/// On Monday somebody signs in on a phone, syncs, and puts it into a drawer. It is no part of what is compared: nothing was written on it.
pub(super) fn put_away(demo: &Demo) -> Fallible<()> {
    let plan = server::areas::parse("import.toml", schema::DEMO_IMPORT.as_bytes())?;
    let mediator = plan.logins().find(|(login, ..)| *login == "mediator").ok_or("a login is missing")?;
    DemoPhone::sign_in(demo.dir.path(), demo.clock.clone(), &demo.server.url(), mediator)?.sync()?;
    Ok(())
}

/// A patrol of the second grid, what the captain reports and what workers tell at the hall; the hall receives both.
pub(super) fn reported(demo: &mut Demo) -> Fallible<Matters> {
    demo.until(13, 20);
    let colleague = demo.phone("colleague")?;
    let patrol = draft(
        DocumentKind::Patrol,
        "GM-BIYAN",
        vec![
            set("place.grid", "GM-BIYAN-02"),
            set("place.detail", "黑臭水治理工程工地宿舍"),
            set("safety_grade", "watched"),
            set("checklist.exits_clear", "ok"),
            set("checklist.extinguisher", "problem"),
            set("checklist.extinguisher.note", "一具灭火器压力不足"),
        ],
    )?;
    let patrol = colleague.create(&patrol)?;
    let hazard = [("kind".to_owned(), "dispute_sign".into()), ("grade".to_owned(), "minor".into())];
    colleague.edit(patrol, &[Edit::AddItem { collection: "hazards".to_owned(), fields: hazard.into(), text: None }])?;
    colleague.sync()?;
    demo.until(13, 30);
    let captain = demo.phone("captain")?;
    let stairway = draft(
        DocumentKind::Case,
        "GM-BIYAN",
        vec![
            set("title", "楼梯口堆放杂物"),
            set("place.building", "GM-BIYAN-SL17-5"),
            set("category", "0201"),
            set("report.channel", "captain"),
            write("narrative", "一楼住户在楼梯口堆放杂物,楼上住户多次提出,双方争吵。"),
        ],
    )?;
    let stairway = captain.create(&stairway)?;
    captain.attach(stairway, "楼梯口杂物.jpg", picture::stairway(1)?)?;
    captain.sync()?;
    captain.send_photos()?;
    demo.until(13, 45);
    let receptionist = demo.phone("receptionist")?;
    receptionist.sync()?;
    let wages = draft(
        DocumentKind::Case,
        "GM-BIYAN",
        vec![
            set("title", "工地欠薪苗头"),
            set("place.grid", "GM-BIYAN-02"),
            set("place.detail", "黑臭水治理工程工地宿舍"),
            set("category", "0703"),
            set("report.channel", "walk_in"),
            write("narrative", WAGES),
        ],
    )?;
    let wages = receptionist.create(&wages)?;
    for case in [wages, stairway] {
        receptionist.event(case, EventKind::Accepted, json!({}))?;
    }
    receptionist.sync()?;
    demo.tell("small_matters", &[])?;
    Ok(Matters { wages, stairway })
}

/// The end of the day.
pub(super) fn end_of_day(demo: &mut Demo, matters: &Matters) -> Fallible<()> {
    summoned(demo, matters.wages)?;
    handed_on(demo)?;
    apart(demo, matters)?;
    closed_unseen(demo, matters.stairway)?;
    refused(demo, matters.wages)
}

fn summoned(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(16, 45);
    for login in ["receptionist", "captain", "colleague"] {
        demo.phone(login)?.sync()?;
    }
    let receptionist = demo.phone("receptionist")?;
    receptionist.event(
        case,
        EventKind::Whistle,
        json!({"departments": ["街道劳动监察"], "urgency": "urgent", "note": "请到大厅与施工方见面"}),
    )?;
    receptionist.sync()?;
    demo.tell("summoned", &[])
}

/// The second grid goes from the colleague to 小何, by the same act that an administrator performs; the colleague has no signal.
fn handed_on(demo: &mut Demo) -> Fallible<()> {
    demo.until(16, 50);
    demo.phone("colleague")?.sync()?;
    demo.until(16, 52);
    let (app, now_ms) = (demo.server.app.clone(), demo.clock.now_ms());
    app.db.transaction(|conn| -> Fallible<()> {
        let mut known = |login: &str| -> Fallible<_> {
            let user = users::by_login(conn, login)?.ok_or("a person is missing")?;
            Ok(user.id.parse()?)
        };
        let (from, to) = (known("colleague")?, known("he")?);
        let grid = AreaCode::new("GM-BIYAN-02")?;
        if !users::hand_on(conn, (Role::GridWorker, &grid), (from, to), now_ms, &SystemEntropy)? {
            return Err("the grid could not be handed on".into());
        }
        let detail = json!({"role": "grid_worker", "from": from.to_string(), "to": to.to_string()});
        Ok(Act::new(&Origin::operator(), "area.reassign", &grid).detail(detail).record(conn, now_ms, &SystemEntropy)?)
    })?;
    demo.phone("he")?.sync()?;
    demo.tell("handed_on", &[])
}

/// 小何 and the receptionist write on one file at once; both phones sync at five.
fn apart(demo: &mut Demo, matters: &Matters) -> Fallible<()> {
    let case = matters.wages;
    demo.until(16, 55);
    let he = demo.phone("he")?;
    he.edit(case, &[set("people_involved", 8)])?;
    he.edit(case, &[write("narrative", &WAGES.replace("上月工资尚未发放", "上月及本月工资均未发放"))])?;
    demo.until(16, 57);
    let receptionist = demo.phone("receptionist")?;
    receptionist.edit(case, &[set("people_involved", 11)])?;
    receptionist.edit(case, &[write("narrative", &WAGES.replace("上月工资尚未发放", "上月工资仅发放一半"))])?;
    demo.until(17, 0);
    for login in ["he", "receptionist", "he"] {
        demo.phone(login)?.sync()?;
    }
    let state = demo.case(case)?;
    let found = state.conflicts.len() + state.passages.len();
    demo.conflicts_found += found;
    demo.tell("apart_again", &[("conflicts", &found.to_string())])
}

/// The hall closes what the captain has just raised an objection to, of which it cannot know.
fn closed_unseen(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(17, 2);
    let captain = demo.phone("captain")?;
    captain.event(
        case,
        EventKind::FactAdded,
        json!({"fact": "三楼住户不同意,要求当面说清", "bears_on": "objection"}),
    )?;
    // It is sent after the texts, when the phone has a better network; for now the file knows of it.
    captain.attach(case, "三楼楼梯口.jpg", picture::stairway(3)?)?;
    demo.until(17, 5);
    let receptionist = demo.phone("receptionist")?;
    receptionist.event(case, EventKind::OralAgreement, json!({"terms": "一楼住户当日清理楼梯口杂物"}))?;
    receptionist.event(case, EventKind::Closed, json!({"summary": "电话回复双方,已清理"}))?;
    receptionist.sync()?;
    demo.until(17, 8);
    demo.phone("captain")?.sync()?;
    if demo.case(case)?.closed_without_knowing.is_empty() {
        return Err("the case was to be seen as closed without knowing".into());
    }
    demo.tell("closed_unseen", &[])
}

/// What the colleague writes about the second grid after it went to 小何 is kept aside, word for word, until somebody decides.
fn refused(demo: &mut Demo, case: DocumentId) -> Fallible<()> {
    demo.until(17, 10);
    let colleague = demo.phone("colleague")?;
    colleague.event(case, EventKind::HomeVisit, json!({"note": "到宿舍逐户走访,共 11 人未领到工资"}))?;
    demo.until(17, 12);
    let colleague = demo.phone("colleague")?;
    colleague.event(case, EventKind::FactAdded, json!({"fact": "其中 3 人表示明天到街道反映", "bears_on": "other"}))?;
    demo.until(17, 25);
    demo.phone("colleague")?.sync()?;
    let waiting: i64 = quarantine::table
        .filter(quarantine::state.eq("waiting"))
        .count()
        .get_result(&mut *demo.server.app.db.get()?)?;
    if waiting == 0 {
        return Err("what was written after the handover was to be kept aside".into());
    }
    demo.tell("refused", &[("waiting", &waiting.to_string())])
}
