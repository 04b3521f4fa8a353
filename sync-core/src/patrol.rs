//! The patrol record: one round of a grid worker. The room that others copy.

mod state;

pub use state::{PatrolState, PatrolStatus};

use crate::shape::{CollectionSpec, DocumentKind, FieldSpec, Holds, Shape};

const fn field(path: &'static str, holds: Holds) -> FieldSpec {
    FieldSpec { path, holds, personal: false }
}

/// What a patrol record is made of.
pub static SHAPE: Shape = Shape {
    kind: DocumentKind::Patrol,
    version: 1,
    fields: &[
        field("place.grid", Holds::Area),
        field("place.building", Holds::Area),
        field("place.detail", Holds::Text),
        field("place.latitude", Holds::MicroDegrees),
        field("place.longitude", Holds::MicroDegrees),
        field("worker", Holds::User),
        field("started", Holds::Moment),
        field("ended", Holds::Moment),
        field("rental_class", Holds::Code("rental_class")),
        field("safety_grade", Holds::Code("safety_grade")),
        field("people_talked_to", Holds::Count),
        field("tenants.local", Holds::Count),
        field("tenants.other_province", Holds::Count),
        field("tenants.overseas", Holds::Count),
        field("publicity.leaflets", Holds::Count),
        field("publicity.posters", Holds::Count),
    ],
    texts: &["notes"],
    collections: &[
        CollectionSpec {
            name: "hazards",
            fields: &[
                field("kind", Holds::Code("hazard_kind")),
                field("grade", Holds::Code("hazard_grade")),
                field("note", Holds::Text),
                field("place", Holds::Text),
                field("rectify_by", Holds::Moment),
            ],
            has_text: false,
        },
        CollectionSpec {
            name: "cases",
            fields: &[field("case", Holds::Document), field("note", Holds::Text)],
            has_text: false,
        },
    ],
    has_checklist: true,
};
