//! Who may change and see what: one table of role x area x place x event kind. The server enforces it change by change, the phone
//! asks it before it offers anything.

use serde::{Deserialize, Serialize};

use crate::document::{Document, Touch};
use crate::error::{Refusal, RefusalCode};
use crate::event::EventKind;
use crate::ids::{AreaCode, DocumentId, UserId};
use crate::role::{AreaKind, Level, Role};
use crate::shape::DocumentKind;

/// A role given in an area for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The area.
    pub area: AreaCode,
    /// Its kind.
    pub kind: AreaKind,
    /// The communities that the area lies in or covers.
    pub communities: Vec<AreaCode>,
    /// From when, ms UTC of the server.
    pub from_ms: i64,
    /// Until when; `None` while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

impl Grant {
    /// Whether it held at some moment between these two, ms UTC of the server.
    pub fn held_between(&self, earliest_ms: i64, latest_ms: i64) -> bool {
        self.from_ms <= latest_ms && self.until_ms.is_none_or(|until| earliest_ms < until)
    }

    /// The level at which its holder acts.
    pub fn level(&self) -> Level {
        Level::of_area(self.kind)
    }

    fn covers(&self, place: &Place) -> bool {
        self.communities.contains(&place.community)
            && match self.kind {
                AreaKind::Grid => place.grid.as_ref() == Some(&self.area),
                AreaKind::Building => place.building.as_ref() == Some(&self.area),
                AreaKind::Community | AreaKind::Street | AreaKind::District => true,
            }
    }
}

/// Somebody who acts, with the roles that held when he did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The account.
    pub user: UserId,
    /// The roles.
    pub grants: Vec<Grant>,
}

/// Where a document lies, as far as rights are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which document.
    pub document: DocumentId,
    /// Its kind.
    pub kind: DocumentKind,
    /// Its community.
    pub community: AreaCode,
    /// Its grid, if one is named.
    pub grid: Option<AreaCode>,
    /// Its building, if one is named.
    pub building: Option<AreaCode>,
    /// Who created it.
    pub created_by: UserId,
}

impl Place {
    /// Where a document lies as it stands.
    pub fn of(document: &Document) -> Self {
        let meta = document.meta();
        let area = |path| document.field(path).and_then(|v| v.as_str().and_then(|s| AreaCode::new(s).ok()));
        Self {
            document: meta.id,
            kind: meta.kind,
            community: meta.community.clone(),
            grid: area("place.grid"),
            building: area("place.building"),
            created_by: meta.created_by,
        }
    }
}

const FIELD: &[Role] = &[Role::GridWorker, Role::StationHead];
const DESK: &[Role] = &[Role::Receptionist, Role::MediationDirector, Role::Supervisor];
const MEDIATION: &[Role] = &[Role::Mediator, Role::MediationDirector, Role::Supervisor];

/// The roles that may write an event of this kind.
pub fn roles_for(kind: EventKind) -> Vec<Role> {
    use EventKind as K;
    use Role as R;
    let lists: &[&[Role]] = match kind {
        K::Reported => &[FIELD, DESK, MEDIATION, &[R::BuildingCaptain]],
        K::Guided | K::OnScene | K::PublicityRecord => &[FIELD, DESK, MEDIATION, &[R::BuildingCaptain]],
        K::FactAdded | K::Note => {
            &[FIELD, DESK, MEDIATION, &[R::BuildingCaptain, R::LegalAdviser, R::DepartmentOfficer]]
        }
        K::HomeVisit
        | K::FollowUp
        | K::Performance
        | K::WarningRaised
        | K::PoliceReported
        | K::FlashReport
        | K::Resolved => &[FIELD, DESK, MEDIATION],
        K::ConsentGiven | K::ConsentRefused | K::MediationSession | K::OralAgreement => {
            &[FIELD, MEDIATION, &[R::Receptionist]]
        }
        K::InterestDisclosed => &[MEDIATION, &[R::LegalAdviser]],
        K::LegalAdvice => &[MEDIATION, &[R::LegalAdviser, R::DepartmentOfficer]],
        K::MediationAgreement | K::Termination | K::JudicialConfirmationApplied | K::JudicialConfirmation => {
            &[MEDIATION]
        }
        K::Accepted | K::Acknowledged | K::Triaged => &[DESK, MEDIATION, &[R::StationHead]],
        K::Assigned | K::Whistle | K::JointHandling | K::Reminder | K::Escalation => &[DESK, &[R::StationHead]],
        K::Rejected | K::Transfer | K::Merged | K::Closed | K::Reopened => &[DESK],
        K::ReportIn => &[&[R::DepartmentOfficer], DESK],
        K::PassageConfirmed => &[DESK, MEDIATION, &[R::StationHead]],
        K::ReturnOrder
        | K::Supervision
        | K::LeaderCharge
        | K::EscalationWithdrawn
        | K::EscalationKept
        | K::ClosureConfirmed => &[&[R::Supervisor]],
        K::PatrolStarted | K::PatrolEnded | K::HazardRectified => &[FIELD, &[R::Supervisor]],
        // What this version does not know it cannot judge.
        K::Other(_) => &[],
    };
    let mut roles: Vec<Role> = lists.iter().flat_map(|l| l.iter().copied()).collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn roles_for_creating(kind: DocumentKind) -> &'static [Role] {
    match kind {
        DocumentKind::Patrol => FIELD,
        DocumentKind::Case => &[
            Role::GridWorker,
            Role::StationHead,
            Role::BuildingCaptain,
            Role::Receptionist,
            Role::Mediator,
            Role::MediationDirector,
            Role::Supervisor,
        ],
    }
}

/// Who may edit registers, texts and collections of documents in the area.
fn roles_for_content(kind: DocumentKind) -> &'static [Role] {
    match kind {
        DocumentKind::Patrol => &[Role::GridWorker, Role::StationHead, Role::Supervisor],
        DocumentKind::Case => &[
            Role::GridWorker,
            Role::StationHead,
            Role::Receptionist,
            Role::Mediator,
            Role::MediationDirector,
            Role::Supervisor,
        ],
    }
}

const READING: &[Role] = &[
    Role::GridWorker,
    Role::StationHead,
    Role::Receptionist,
    Role::Mediator,
    Role::MediationDirector,
    Role::LegalAdviser,
    Role::DepartmentOfficer,
    Role::Supervisor,
];

impl Subject {
    fn may_as(&self, roles: &[Role], place: &Place, what: &str) -> Result<(), Refusal> {
        let own = place.created_by == self.user;
        let in_community = |g: &Grant| g.communities.contains(&place.community);
        let fits = |g: &&Grant| roles.contains(&g.role) && (g.covers(place) || (own && in_community(g)));
        if self.grants.iter().any(|g| fits(&g)) {
            return Ok(());
        }
        if self.grants.iter().any(|g| roles.contains(&g.role)) {
            return Err(Refusal::new(
                RefusalCode::ForeignArea,
                format!("{what}: the place is outside your areas; ask the worker of that area"),
            ));
        }
        let names: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
        Err(Refusal::new(
            RefusalCode::NotAllowed,
            format!("{what}: reserved to {}", if names.is_empty() { "nobody".into() } else { names.join(", ") }),
        ))
    }

    /// Whether this person may do this to a document that lies there. For a founding change `place` is where the new document
    /// will lie.
    pub fn may(&self, place: &Place, touch: &Touch) -> Result<(), Refusal> {
        match touch {
            Touch::Create { created_by } => {
                if *created_by != self.user {
                    return Err(Refusal::new(
                        RefusalCode::ForgedAuthor,
                        "the document names another creator than who signed",
                    ));
                }
                self.may_create(place)
            }
            Touch::Event { event, .. } => {
                if event.by.user != self.user {
                    return Err(Refusal::new(
                        RefusalCode::ForgedAuthor,
                        "the event names another author than who signed",
                    ));
                }
                let (role, level) = (event.by.role, event.by.level);
                let held = self.grants.iter().any(|g| g.role == role && Some(g.level()) == level);
                if !held {
                    return Err(Refusal::new(
                        RefusalCode::NotAllowed,
                        format!("its author does not hold the role `{}` at that level", role.as_str()),
                    ));
                }
                let what = format!("writing `{}`", event.kind);
                let roles = roles_for(event.kind);
                if roles.contains(&role) {
                    self.may_as(&[role], place, &what)
                } else {
                    self.may_as(&roles, place, &what)
                        .and(Err(Refusal::new(RefusalCode::NotAllowed, format!("{what}: not as `{}`", role.as_str()))))
                }
            }
            Touch::Field { path, value } => {
                self.may_edit(place, path)?;
                self.may_move(path, value)
            }
            Touch::Item { collection, .. } => self.may_edit(place, collection),
            Touch::Text { name } => self.may_edit(place, name),
            Touch::Attachment { by, .. } => {
                if *by != Some(self.user) {
                    return Err(Refusal::new(
                        RefusalCode::ForgedAuthor,
                        "the attachment names another author than who signed",
                    ));
                }
                if self.may_edit(place, "attachments").is_ok() {
                    return Ok(());
                }
                self.may_as(&[Role::LegalAdviser, Role::DepartmentOfficer], place, "attaching")
            }
            Touch::Server => Err(Refusal::new(RefusalCode::NotAllowed, "only the server writes witnesses and names")),
            Touch::Unknown => {
                Err(Refusal::new(RefusalCode::UnknownPlace, "the change writes what this version does not know"))
            }
        }
    }

    fn may_create(&self, place: &Place) -> Result<(), Refusal> {
        let roles = roles_for_creating(place.kind);
        let what = format!("creating a {}", place.kind.as_str());
        // A place that is not filled in yet is nobody else's.
        let fits = |g: &Grant| {
            roles.contains(&g.role)
                && g.communities.contains(&place.community)
                && (g.covers(place)
                    || match g.kind {
                        AreaKind::Grid => place.grid.is_none(),
                        AreaKind::Building => place.building.is_none(),
                        _ => false,
                    })
        };
        if self.grants.iter().any(fits) {
            return Ok(());
        }
        let stranger = Place { created_by: UserId::SYSTEM, ..place.clone() };
        self.may_as(roles, &stranger, &what)
    }

    fn may_edit(&self, place: &Place, path: &str) -> Result<(), Refusal> {
        let what = format!("editing `{}`", path.chars().take(80).collect::<String>());
        if place.created_by == self.user && self.may_as(roles_for_creating(place.kind), place, &what).is_ok() {
            return Ok(());
        }
        self.may_as(roles_for_content(place.kind), place, &what)
    }

    /// A worker of a grid or building cannot push a document into somebody else's.
    fn may_move(&self, path: &str, value: &serde_json::Value) -> Result<(), Refusal> {
        let kind = match path {
            "place.grid" => AreaKind::Grid,
            "place.building" => AreaKind::Building,
            _ => return Ok(()),
        };
        let Some(code) = value.as_str() else { return Ok(()) };
        let wide = self
            .grants
            .iter()
            .any(|g| !matches!((g.kind, kind), (AreaKind::Grid, AreaKind::Grid) | (AreaKind::Building, _)));
        let own = self.grants.iter().any(|g| g.kind == kind && g.area.as_str() == code);
        if wide || own {
            Ok(())
        } else {
            Err(Refusal::new(RefusalCode::ForeignArea, format!("`{path}`: `{code}` is outside your areas")))
        }
    }

    /// Whether this person may see a document that lies there.
    pub fn may_read(&self, place: &Place) -> bool {
        let own = place.created_by == self.user;
        self.grants.iter().any(|g| {
            g.communities.contains(&place.community)
                && g.role != Role::Administrator
                && (own || (READING.contains(&g.role) && g.covers(place)))
        })
    }

    /// The communities of which this person may see anything.
    pub fn communities(&self) -> Vec<AreaCode> {
        let readable = self.grants.iter().filter(|g| g.role != Role::Administrator);
        let mut all: Vec<_> = readable.flat_map(|g| g.communities.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The role in which this person would write an event of this kind there: the highest level that fits.
    pub fn role_for(&self, kind: EventKind, place: &Place) -> Option<(Role, Level)> {
        let roles = roles_for(kind);
        let own = place.created_by == self.user;
        let fits = |g: &&Grant| {
            roles.contains(&g.role) && (g.covers(place) || (own && g.communities.contains(&place.community)))
        };
        self.grants.iter().filter(fits).map(|g| (g.role, g.level())).max_by_key(|(role, level)| (*level, *role))
    }
}
