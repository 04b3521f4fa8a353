//! Areas and phones that change hands: what is still accepted, what is purged, what comes, and what a lost phone is told.

mod hand_over;
pub(crate) mod lost;
mod pin;
pub(crate) mod reassign;
mod unseen;

pub(crate) use reassign::move_away;
