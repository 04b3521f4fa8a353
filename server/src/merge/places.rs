//! Where a desk may put a record: in a grid and a building that there are, in the record's own community. Phones know only the areas of
//! their owners; what they write of a place is judged by authority.

use sync_core::edit::Edit;
use sync_core::error::EditError;
use sync_core::ids::AreaCode;
use sync_core::role::AreaKind;

use super::MergeError;
use crate::areas;
use crate::db::AnyConnection;

const PLACES: [(&str, AreaKind); 2] = [("place.grid", AreaKind::Grid), ("place.building", AreaKind::Building)];

/// Refuses an edit that names as its grid or building what is none of this community.
pub(super) fn check(conn: &mut AnyConnection, community: &AreaCode, edits: &[Edit]) -> Result<(), MergeError> {
    for edit in edits {
        let Edit::SetField { path, value } = edit else { continue };
        let Some((_, kind)) = PLACES.iter().find(|(place, _)| place == path) else { continue };
        let Some(code) = value.as_str() else { continue };
        let area = areas::find(conn, code)?;
        let fits = area.is_some_and(|area| {
            area.kind == kind.as_str() && area.path.split('/').any(|above| above == community.as_str())
        });
        if !fits {
            let named: String = code.chars().take(60).collect();
            return Err(MergeError::Edit(EditError::InvalidValue {
                field: path.clone(),
                problem: format!("`{named}` is no {} of {community}", kind.as_str()),
                remedy: "name one of `GET /v1/areas` that lies there".into(),
            }));
        }
    }
    Ok(())
}
