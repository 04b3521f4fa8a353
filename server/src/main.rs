//! The program `fengqiao`. What a server does is in the library; only the demo, which opens phones too, is here.

mod demo;

use std::process::ExitCode;

/// Documents are made of very many small pieces: an eighth of the work of a push was the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::cli::main(demo::run)
}
