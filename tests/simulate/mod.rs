//! The simulator: phones, network and server in one process under virtual time, driven by one seed. The phones are the product's
//! phone library on real encrypted stores, the server is the product's own on a real SQLite file; only network, clocks, randomness
//! and people are made here.

pub mod checks;
pub mod clock;
pub mod deeds;
pub mod dice;
pub mod faults;
pub mod hostile;
pub mod network;
pub mod people;
pub mod phone;
pub mod photos;
pub mod report;
pub mod server;
pub mod world;

use std::collections::BTreeSet;

use diesel::prelude::*;

use faults::{FAULTS, Fault, GAPS};
use report::Report;
use world::World;

/// A deliberate wrong, to show that the checks can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The server forgets what it has acknowledged.
    Forget,
    /// The server answers everybody as if he were a supervisor.
    Peek,
    /// A row of a list is other than the journal says.
    Scribble,
    /// A phone forgets what it has not sent.
    Drop,
    /// The server goes on naming what was erased by law.
    Remember,
    /// The folder of photos is lost.
    Photos,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Virtual days.
    pub days: u32,
    /// Actions of people in a virtual day.
    pub actions_a_day: u32,
    /// Of a thousand actions those that are neither writing, syncing nor relay: decisions, meetings, photos, wipes, erasures.
    pub deeds_per_mille: u32,
    /// Kinds of fault that are switched off.
    pub without: BTreeSet<Fault>,
    /// A deliberate wrong.
    pub sabotage: Option<Sabotage>,
}

impl Options {
    /// Everything that can happen but the known gaps, for three days.
    pub fn new(seed: u64) -> Self {
        let without = GAPS.iter().copied().collect();
        Self { seed, days: 3, actions_a_day: 140, deeds_per_mille: 180, without, sabotage: None }
    }

    /// Nothing goes wrong but this.
    pub fn sabotaged(seed: u64, sabotage: Sabotage) -> Self {
        let without = FAULTS.iter().map(|(fault, _)| *fault).collect();
        Self { seed, days: 1, actions_a_day: 70, deeds_per_mille: 0, without, sabotage: Some(sabotage) }
    }
}

/// What a run came to.
pub struct Outcome {
    /// The counts.
    pub report: Report,
    /// The story, line by line.
    pub story: Vec<String>,
}

/// Lives through the days of a seed, heals, drains and checks.
pub fn run(options: &Options) -> Outcome {
    let mut world = World::new(options, options.seed);
    let end_ms = world.start_ms + i64::from(options.days) * 86_400_000;
    while world.now_ms() < end_ms {
        world.clock.pass(world.dice.between(1_000, 2 * 86_400_000 / i64::from(options.actions_a_day)));
        world.late_requests();
        world.disasters();
        world.act();
    }
    match options.sabotage {
        Some(Sabotage::Drop) => world.drop_unsent(),
        Some(Sabotage::Remember) => world.erase(),
        Some(Sabotage::Photos) => (0..world.phones.len()).for_each(|who| world.attach(who)),
        _ => {}
    }
    world.drain();
    if options.sabotage == Some(Sabotage::Scribble) {
        world.scribble_over();
    }
    if options.sabotage == Some(Sabotage::Remember) {
        world.name_the_erased();
    }
    if options.sabotage == Some(Sabotage::Photos) {
        world.server.lose_contents();
    }
    world.check();
    world.report.device_days = u64::from(options.days) * u64::try_from(world.phones.len()).unwrap();
    world.report.trace = world.trace.hash();
    Outcome { report: world.report, story: world.trace.lines }
}

impl World {
    fn scribble_over(&self) {
        use ::server::db::tables::cases;
        let mut conn = self.server.app().db.get().unwrap();
        diesel::update(cases::table).set(cases::title.eq("another")).execute(&mut *conn).unwrap();
    }

    fn name_the_erased(&self) {
        use ::server::db::tables::document_moves as moves;
        let mut conn = self.server.app().db.get().unwrap();
        for id in &self.erased {
            let row = (
                moves::community.eq("GM-BIYAN"),
                moves::position.eq(1_000_000),
                moves::document.eq(id.to_string()),
                moves::moved_ms.eq(0),
            );
            diesel::insert_into(moves::table).values(row).execute(&mut *conn).unwrap();
        }
    }

    fn drop_unsent(&mut self) {
        for phone in &mut self.phones {
            phone.drop_unsent();
        }
    }
}
