//! What the people of the benchmark write: case files of a usual size, each with its own words. Computed from the file's number
//! alone, so that every run writes the same.

use std::fmt::Write as _;

use serde_json::json;
use sync_core::edit::{Draft, Edit};
use sync_core::event::EventKind;
use sync_core::ids::AreaCode;
use sync_core::shape::DocumentKind;
use tests::phones::{event, set, write};

/// Communities of the street (the seed's six), among which the grids are dealt out.
pub(crate) const COMMUNITIES: [&str; 6] =
    ["GM-GUANGMING", "GM-BIYAN", "GM-BAIHUA", "GM-DONGZHOU", "GM-CUIHU", "GM-JINGKOU"];

const MATTERS: [(&str, &str, &str); 6] = [
    ("0701", "欠薪", "被拖欠工资"),
    ("0201", "漏水", "因楼上卫生间渗水与住户争执"),
    ("0602", "押金", "退租时与出租人就押金扣除发生争议"),
    ("0402", "物业", "对物业收费与服务质量不满"),
    ("0101", "家庭", "因家庭琐事多次争吵并惊动邻居"),
    ("0601", "消费", "对店铺售后处理不服"),
];
const HOURS: [&str; 6] = ["上午九时许", "上午十时二十分", "中午十二时", "下午三时许", "傍晚六时十分", "晚间八时许"];
const SCENES: [&str; 6] = [
    "网格员巡查至一楼大厅时听到争吵，随即上前了解情况",
    "楼长来电后，网格员十分钟内到达现场",
    "同楼住户向网格员反映，双方已僵持近一小时",
    "走访入户时当事人主动提出诉求",
    "当事人到服务站来访，情绪较为激动",
    "巡查出租屋消防通道时，双方请求居中调解",
];
const CLAIMS: [&str; 5] = [
    "申请人称对方多次承诺而未兑现，要求当日给出书面答复",
    "被申请人表示款项需待上游结清，愿意分期支付",
    "双方对金额的计算依据各执一词，均未能出示完整票据",
    "申请人提供了聊天记录与转账截图，被申请人对部分内容不予认可",
    "双方同意先核对账目，再到群众诉求服务大厅协商",
];
const STEPS: [&str; 5] = [
    "网格员劝导双方保持冷静，并向围观人员说明情况，秩序逐步恢复",
    "已登记双方联系方式，约定次日上午在社区调解室面谈",
    "已提醒当事人保留证据，并告知依法维权的途径与时限",
    "现场未发生肢体冲突，无人员受伤，无财物损坏",
    "已将情况口头报告网格站站长，并安排专人持续关注",
];

fn pick<T>(list: &[T], n: usize) -> &T {
    &list[n % list.len()]
}

/// Some 250 characters.
fn narrative(n: usize) -> String {
    let (_, _, matter) = pick(&MATTERS, n);
    let mut text = format!(
        "2019年5月{}日{}，{}栋{}房住户{matter}，涉及{}人，金额约{}元。",
        1 + n % 28,
        pick(&HOURS, n / 3),
        1 + n % 37,
        101 + n % 9 * 100 + n % 7,
        2 + n % 23,
        600 + n * 137 % 90_000
    );
    for part in [
        pick(&SCENES, n / 2),
        pick(&CLAIMS, n / 5),
        pick(&CLAIMS, n / 5 + 1 + n % 3),
        pick(&STEPS, n / 7),
        pick(&STEPS, n / 7 + 1 + n % 4),
        pick(&STEPS, n / 11),
    ] {
        let _ = write!(text, "{part}。");
    }
    text
}

fn party(role: &str, kind: &str, name: &str, n: usize) -> Edit {
    let fields = json!({
        "name": name, "role": role, "type": kind, "phone": format!("138{:08}", n * 7919 % 100_000_000),
        "represents": 1 + n % 4,
    });
    Edit::AddItem {
        collection: "parties".into(),
        fields: serde_json::from_value(fields).expect("fields of a party"),
        text: None,
    }
}

/// A new case file: some 30 fields, four parties, five events, its narrative.
pub(crate) fn case(community: &str, grid: &str, n: usize) -> Draft {
    let (category, title, _) = pick(&MATTERS, n);
    let day = 1_558_051_200_000 + i64::try_from(n).expect("a small number") * 61_000;
    let mut edits = vec![
        set("title", format!("{}栋{title}纠纷", 1 + n % 37)),
        set("category", *category),
        set("severity", if n.is_multiple_of(9) { "urgent" } else { "normal" }),
        set("people_involved", 2 + n % 3),
        set("amount_claimed", 60_000 + n * 13_700 % 9_000_000),
        set("place.grid", grid),
        set("place.detail", format!("{}房", 101 + n % 9 * 100 + n % 7)),
        set("place.latitude", 22_748_000 + n * 31 % 9_000),
        set("place.longitude", 113_935_000 + n * 17 % 9_000),
        set("report.channel", "patrol"),
        set("report.occurred", day),
        set("report.discovered", day + 1_200_000),
    ];
    for (i, (role, kind, name)) in [
        ("applicant", "self_employed", "申请人甲"),
        ("applicant", "self_employed", "申请人乙"),
        ("respondent", "institution", "被申请人"),
        ("witness", "other", "证人"),
    ]
    .into_iter()
    .enumerate()
    {
        edits.push(party(role, kind, name, n * 4 + i));
    }
    edits.push(write("narrative", &narrative(n)));
    edits.push(event(EventKind::Reported, json!({})));
    edits.push(event(EventKind::OnScene, json!({"note": "已到场"})));
    edits.push(event(EventKind::Note, json!({"text": *pick(&STEPS, n)})));
    edits.push(event(EventKind::ConsentGiven, json!({"note": "双方同意调解"})));
    edits.push(event(EventKind::Guided, json!({"people": 2 + n % 3, "to": "社区群众诉求服务大厅"})));
    Draft { kind: DocumentKind::Case, community: AreaCode::new(community).expect("an area code"), edits }
}

/// What happens to the file afterwards, twice: an event that changes how it stands, and a row of its timeline.
pub(crate) fn further(n: usize, step: usize) -> Vec<Edit> {
    let standing = if step == 0 {
        event(EventKind::MediationSession, json!({"summary": *pick(&CLAIMS, n / 5)}))
    } else {
        event(
            EventKind::OralAgreement,
            json!({"terms": "双方核对账目后分两期付清", "amount": 60_000 + n * 13_700 % 9_000_000}),
        )
    };
    vec![standing, event(EventKind::Note, json!({"text": *pick(&STEPS, n / 3 + step)}))]
}
