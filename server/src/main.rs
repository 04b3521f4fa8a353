//! The program `fengqiao`. What a server does is in the library; only the demo, which opens phones too, is here.

mod demo;

use std::process::ExitCode;

/// Documents are made of very many small pieces: an eighth of the work of a push was the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Documents come and go in small pieces: with huge pages the process holds half as much again, and clears it all.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    server::cli::main(demo::run)
}
