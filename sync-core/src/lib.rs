//! The heart of Fengqiao: documents that people edit offline, the pure fold that says what state they are in, the rules that say
//! what is due, and the state machines that carry changes between a phone and the hall.
//!
//! The same code runs on the phone and on the server. Nothing in this crate speaks HTTP, starts a thread, reads a clock or draws
//! a random number: time, randomness and bytes come in as arguments.

pub mod attachments;
pub mod authority;
pub mod calendar;
pub mod case;
pub mod conflict;
pub mod document;
pub mod edit;
pub mod erase;
pub mod error;
pub mod event;
pub mod fold;
pub mod ids;
pub mod limits;
pub mod patrol;
#[cfg(feature = "store")]
pub mod phone;
pub mod reference;
pub mod relay;
pub mod role;
pub mod rules;
pub mod search;
pub mod shape;
#[cfg(feature = "store")]
pub mod store;
pub mod sync;
pub mod text;
pub mod time;
