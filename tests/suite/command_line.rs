//! The commands of the program end to end, on the database of a running server: what they print, what phones and the API notice of it,
//! and how they end when they are asked what cannot be. Exit code 2 and one line for what the asker can mend, 1 for what is wrong here.

mod audit;
mod begin;
mod contents;
mod erase;
mod operate;
mod people;
mod refused;
mod restore;
mod screen;
mod tools;

use serde_json::Value;
use server::clock::SystemClock;
use sync_core::time::Clock;
use tests::World;

/// A world at the present time: the program has no other clock.
fn world_of_today() -> World {
    let world = World::new();
    catch_up(&world);
    world
}

/// The server and the phones see what the program has just done as past.
fn catch_up(world: &World) {
    world.pass((SystemClock.now_ms() - world.clock_ms()).max(0));
}

/// Runs a command that must end well; gives what it printed.
fn run(world: &World, arguments: &[&str]) -> String {
    let (code, out, err) = world.run(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    assert!(err.is_empty(), "{arguments:?} complains: {err}");
    catch_up(world);
    out
}

/// The same for one that prints one JSON value.
fn json(world: &World, arguments: &[&str]) -> Value {
    let out = run(world, arguments);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}"))
}

/// The same for one that prints a JSON object a line.
fn lines(world: &World, arguments: &[&str]) -> Vec<Value> {
    run(world, arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs commands that must be turned down: nothing on the output, and one line that names what is at fault.
fn turned_down(world: &World, commands: &[(&[&str], &str)]) {
    for (arguments, names) in commands {
        let (code, out, err) = world.run(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {out}{err}");
        assert!(err.starts_with("fengqiao: ") && err.lines().count() == 1, "{arguments:?}: {err}");
        assert!(err.contains(names), "{arguments:?} does not name `{names}`: {err}");
    }
}

/// Runs commands whose arguments cannot be read: the parser says which, and nothing else happens.
fn not_understood(world: &World, commands: &[(&[&str], &str)]) {
    for (arguments, names) in commands {
        let (code, out, err) = world.run(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {out}{err}");
        let first = err.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: ") && err.contains(names), "{arguments:?} does not name `{names}`: {err}");
    }
}

/// Runs a command that finds something wrong: what it found on the output, one line on why it ends with 1.
fn finds(world: &World, arguments: &[&str], names: &str) -> String {
    let (code, out, err) = world.run(arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {out}{err}");
    // Before it may stand what the log tells.
    let last = err.lines().last().unwrap_or_default();
    assert!(last.starts_with("fengqiao: ") && last.contains(names), "{arguments:?}: {err}");
    out
}
