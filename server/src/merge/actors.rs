//! Whose each actor is: the first bundle that names one claims it for its device and author, for ever.

use std::collections::BTreeSet;

use diesel::prelude::*;
use sync_core::ids::ActorId;
use sync_core::sync::server;
use sync_core::sync::wire::Bundle;

use super::Context;
use crate::db::tables::actors;
use crate::db::{AnyConnection, DbError};

/// Registers the actors that a bundle names; gives those that belong to its device and author.
pub(super) fn claim(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    bundle: &Bundle,
) -> Result<BTreeSet<ActorId>, DbError> {
    let mut own = BTreeSet::new();
    for actor in bundle.actors.iter().take(1_000) {
        let owner: Option<(String, String)> =
            actors::table.find(actor.0.to_vec()).select((actors::device, actors::author)).first(conn).optional()?;
        match owner {
            Some((device, author)) if device == bundle.device.to_string() && author == bundle.user.to_string() => {
                own.insert(*actor);
            }
            // Known from what phones handed in for him after a restore: the first of his phones that claims it has it.
            Some((device, author)) if device.is_empty() && author == bundle.user.to_string() => {
                diesel::update(actors::table.find(actor.0.to_vec()))
                    .set(actors::device.eq(bundle.device.to_string()))
                    .execute(conn)?;
                own.insert(*actor);
            }
            Some(_) => {}
            None if server::is_desk_actor(*actor) => {}
            None => {
                diesel::insert_into(actors::table)
                    .values((
                        actors::actor.eq(actor.0.to_vec()),
                        actors::device.eq(bundle.device.to_string()),
                        actors::author.eq(bundle.user.to_string()),
                        actors::first_ms.eq(context.now_ms),
                    ))
                    .execute(conn)?;
                own.insert(*actor);
            }
        }
    }
    Ok(own)
}
