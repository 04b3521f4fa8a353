//! The case file: a dispute from its first report to its follow-up.

mod standing;
mod state;

pub use standing::Awaited;
pub use state::{Attachment, CaseState, ClosedWithoutKnowing, EvidencePending, Item, PendingReason, Status, Totals};

use crate::shape::{CollectionSpec, DocumentKind, FieldSpec, Holds, Shape};

const fn field(path: &'static str, holds: Holds) -> FieldSpec {
    FieldSpec { path, holds, personal: false }
}

const fn personal(path: &'static str, holds: Holds) -> FieldSpec {
    FieldSpec { path, holds, personal: true }
}

/// What a case file is made of.
pub static SHAPE: Shape = Shape {
    kind: DocumentKind::Case,
    version: 1,
    fields: &[
        field("title", Holds::Text),
        field("category", Holds::Code("category")),
        field("severity", Holds::Code("severity")),
        field("scale", Holds::Code("scale")),
        field("people_involved", Holds::Count),
        field("amount_claimed", Holds::Fen),
        field("wage_arrears", Holds::Flag),
        field("violence", Holds::Flag),
        field("place.grid", Holds::Area),
        field("place.building", Holds::Area),
        field("place.detail", Holds::Text),
        field("place.latitude", Holds::MicroDegrees),
        field("place.longitude", Holds::MicroDegrees),
        field("report.channel", Holds::Code("channel")),
        personal("report.reporter", Holds::Text),
        personal("report.reporter_phone", Holds::Text),
        field("report.occurred", Holds::Moment),
        field("report.discovered", Holds::Moment),
        field("report.patrol", Holds::Document),
    ],
    texts: &["narrative"],
    collections: &[
        CollectionSpec {
            name: "parties",
            fields: &[
                personal("name", Holds::Text),
                field("role", Holds::Code("party_role")),
                field("type", Holds::Code("party_type")),
                field("sex", Holds::Code("sex")),
                personal("phone", Holds::Text),
                field("id_type", Holds::Code("id_type")),
                personal("id_number", Holds::Text),
                field("represents", Holds::Count),
                field("organisation", Holds::Text),
                field("removed", Holds::Flag),
            ],
            has_text: false,
        },
        CollectionSpec {
            name: "statements",
            fields: &[
                field("party", Holds::Text),
                personal("by", Holds::Text),
                field("taken", Holds::Moment),
                field("place", Holds::Text),
            ],
            has_text: true,
        },
    ],
    has_checklist: false,
};
