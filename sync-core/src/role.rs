//! Who people are in this product: roles, and the levels at which a case is handled.

use serde::{Deserialize, Serialize};

/// What somebody is charged with in an area. English terms of the glossary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 网格员: patrols a grid.
    GridWorker,
    /// 楼长: reports disputes of a building.
    BuildingCaptain,
    /// 网格站站长: leads the grid workers of a community.
    StationHead,
    /// 诉求接待员: receives at the hall.
    Receptionist,
    /// 人民调解员: mediates.
    Mediator,
    /// 调解主任: leads the mediators of a community.
    MediationDirector,
    /// 法律顾问: advises in a case.
    LegalAdviser,
    /// A department that was summoned (部门报到).
    DepartmentOfficer,
    /// Reviews merged case files of a community, street or district and decides what a level must decide.
    Supervisor,
    /// Runs the system: accounts, areas, devices. Sees no case file by this role alone.
    Administrator,
    /// The server itself. Never given to a person.
    System,
}

impl Role {
    /// Every role a person can have.
    pub const ALL: [Role; 10] = [
        Role::GridWorker,
        Role::BuildingCaptain,
        Role::StationHead,
        Role::Receptionist,
        Role::Mediator,
        Role::MediationDirector,
        Role::LegalAdviser,
        Role::DepartmentOfficer,
        Role::Supervisor,
        Role::Administrator,
    ];

    /// The name used in documents, tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::GridWorker => "grid_worker",
            Role::BuildingCaptain => "building_captain",
            Role::StationHead => "station_head",
            Role::Receptionist => "receptionist",
            Role::Mediator => "mediator",
            Role::MediationDirector => "mediation_director",
            Role::LegalAdviser => "legal_adviser",
            Role::DepartmentOfficer => "department_officer",
            Role::Supervisor => "supervisor",
            Role::Administrator => "administrator",
            Role::System => "system",
        }
    }

    /// Reads the name back; `None` for anything else, and for `system`, which no person can have.
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.as_str() == name)
    }
}

/// The kind of an area, from the largest to the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AreaKind {
    /// 区
    District,
    /// 街道
    Street,
    /// 社区
    Community,
    /// 网格
    Grid,
    /// 楼栋
    Building,
}

impl AreaKind {
    /// Every kind, largest first.
    pub const ALL: [AreaKind; 5] =
        [AreaKind::District, AreaKind::Street, AreaKind::Community, AreaKind::Grid, AreaKind::Building];

    /// The name used in tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            AreaKind::District => "district",
            AreaKind::Street => "street",
            AreaKind::Community => "community",
            AreaKind::Grid => "grid",
            AreaKind::Building => "building",
        }
    }

    /// Reads the name back.
    pub fn parse(name: &str) -> Option<AreaKind> {
        AreaKind::ALL.into_iter().find(|k| k.as_str() == name)
    }
}

/// The hall that a case lies with. Ordered: a higher level is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The community's appeals hall.
    Community,
    /// The street.
    Street,
    /// The district.
    District,
}

impl Level {
    /// The next level up, if there is one.
    pub fn above(self) -> Option<Level> {
        match self {
            Level::Community => Some(Level::Street),
            Level::Street => Some(Level::District),
            Level::District => None,
        }
    }

    /// The name used in documents, tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Community => "community",
            Level::Street => "street",
            Level::District => "district",
        }
    }

    /// Reads the name back.
    pub fn parse(name: &str) -> Option<Level> {
        [Level::Community, Level::Street, Level::District].into_iter().find(|l| l.as_str() == name)
    }

    /// The level at which someone acts who was given a role in an area of this kind.
    pub fn of_area(kind: AreaKind) -> Level {
        match kind {
            AreaKind::District => Level::District,
            AreaKind::Street => Level::Street,
            AreaKind::Community | AreaKind::Grid | AreaKind::Building => Level::Community,
        }
    }
}
