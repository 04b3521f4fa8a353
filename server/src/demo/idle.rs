//! A case that two halls answer for without knowing of each other: the community received it in time on a phone without signal, the
//! street acted on it meanwhile. Whether it stays with the street nobody but a person can decide.

use serde_json::json;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use sync_core::role::Level;
use sync_core::shape::DocumentKind;

use super::story::{draft, set, write};
use super::{Demo, Fallible};

/// The colleague visits the site's dormitory and writes down what the workers say.
pub(super) fn visited(demo: &mut Demo) -> Fallible<DocumentId> {
    demo.until(9, 30);
    let colleague = demo.phone("colleague")?;
    let workers = draft(
        DocumentKind::Case,
        "GM-BIYAN",
        vec![
            set("title", "工人闲置等待工程开工"),
            set("place.grid", "GM-BIYAN-02"),
            set("place.detail", "黑臭水治理工程工地宿舍"),
            set("report.channel", "patrol"),
            set("people_involved", 6),
            write(
                "narrative",
                "走访工地宿舍,6名工人反映工程一直未能开工,闲置等待,询问来深的日常费用由谁承担,情绪平稳。",
            ),
        ],
    )?;
    let workers = colleague.create(&workers)?;
    colleague.sync()?;
    demo.tell("idle", &[])?;
    Ok(workers)
}

/// The mediation director receives it in the basement, where there is no signal.
pub(super) fn received(demo: &mut Demo, workers: DocumentId) -> Fallible<()> {
    demo.until(10, 20);
    demo.phone("mediation-director")?.event(workers, EventKind::Accepted, json!({}))
}

/// The limit passes, the case climbs, and the street acts.
pub(super) fn raised(demo: &mut Demo, workers: DocumentId) -> Fallible<()> {
    demo.until(11, 31);
    demo.scheduled()?;
    if demo.case(workers)?.level != Level::Street {
        return Err("the workers' case was to climb".into());
    }
    demo.until(11, 40);
    let street = demo.phone("street")?;
    street.sync()?;
    street.event(workers, EventKind::Supervision, json!({"demand": "请社区当天组织施工方与工人代表见面"}))?;
    street.sync()?;
    demo.tell("idle_raised", &[])
}

/// The director's phone has signal again: the proof is here, but the street has acted.
pub(super) fn proved(demo: &mut Demo, workers: DocumentId) -> Fallible<()> {
    if demo.case(workers)?.evidence_pending.is_empty() {
        return Err("the evidence was to be put before a person".into());
    }
    demo.tell("evidence", &[])
}
