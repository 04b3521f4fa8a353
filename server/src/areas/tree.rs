//! The tree of areas as one reading of it: who lies in whom.

use std::collections::HashMap;

use sync_core::ids::AreaCode;
use sync_core::role::AreaKind;

use super::Area;
use crate::db::{AnyConnection, DbError};

/// All areas at one moment.
#[derive(Debug, Default)]
pub struct Tree {
    by_code: HashMap<String, Area>,
}

impl Tree {
    /// Reads the tree.
    pub fn load(conn: &mut AnyConnection) -> Result<Self, DbError> {
        Ok(Self::new(super::all(conn)?))
    }

    /// A tree of these areas.
    pub fn new(areas: Vec<Area>) -> Self {
        Self { by_code: areas.into_iter().map(|a| (a.code.clone(), a)).collect() }
    }

    /// One area.
    pub fn get(&self, code: &str) -> Option<&Area> {
        self.by_code.get(code)
    }

    /// Its kind.
    pub fn kind(&self, code: &str) -> Option<AreaKind> {
        self.get(code).and_then(|a| AreaKind::parse(&a.kind))
    }

    /// The area and those that it lies in, from the top down.
    pub fn chain(&self, code: &str) -> Vec<&Area> {
        let path = self.get(code).map_or("", |a| a.path.as_str());
        path.split('/').filter(|c| !c.is_empty()).filter_map(|c| self.get(c)).collect()
    }

    /// The community that the area is or lies in; none for a street or district.
    pub fn community_of(&self, code: &str) -> Option<AreaCode> {
        let community = self.chain(code).into_iter().find(|a| a.kind == AreaKind::Community.as_str())?;
        AreaCode::new(community.code.clone()).ok()
    }

    /// Whether `inner` is `outer` or lies in it.
    pub fn contains(&self, outer: &str, inner: &str) -> bool {
        match (self.get(outer), self.get(inner)) {
            (Some(outer), Some(inner)) => inner.path.starts_with(&outer.path),
            _ => false,
        }
    }

    /// The areas that lie in one of these or that one of these lies in, by path: what somebody charged with them may know of.
    pub fn around(&self, codes: &[&str]) -> Vec<&Area> {
        let own: Vec<&Area> = codes.iter().filter_map(|c| self.get(c)).collect();
        let near = |a: &&Area| own.iter().any(|o| a.path.starts_with(&o.path) || o.path.starts_with(&a.path));
        let mut areas: Vec<&Area> = self.by_code.values().filter(near).collect();
        areas.sort_by(|a, b| a.path.cmp(&b.path));
        areas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let area = |path: &str, kind: AreaKind| {
            let mut codes = path.trim_end_matches('/').rsplit('/');
            Area {
                code: codes.next().unwrap().into(),
                kind: kind.as_str().into(),
                name: path.into(),
                parent: codes.next().map(str::to_owned),
                path: path.into(),
            }
        };
        Tree::new(vec![
            area("LH/", AreaKind::District),
            area("LH/FH/", AreaKind::Street),
            area("LH/FH/BY/", AreaKind::Community),
            area("LH/FH/BY/G1/", AreaKind::Grid),
            area("LH/FH/BY2/", AreaKind::Community),
        ])
    }

    #[test]
    fn an_area_contains_itself_and_what_lies_below_and_nothing_beside() {
        let tree = tree();
        assert!(tree.contains("BY", "BY") && tree.contains("LH", "G1") && tree.contains("BY", "G1"));
        assert!(!tree.contains("BY", "BY2") && !tree.contains("G1", "BY") && !tree.contains("XX", "G1"));
    }

    #[test]
    fn a_grid_knows_its_community_and_a_street_has_none() {
        let tree = tree();
        assert_eq!(tree.community_of("G1").unwrap().as_str(), "BY");
        assert_eq!(tree.community_of("FH"), None);
        let around: Vec<_> = tree.around(&["BY"]).iter().map(|a| a.code.as_str()).collect();
        assert_eq!(around, ["LH", "FH", "BY", "G1"]);
    }
}
