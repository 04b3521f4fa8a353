//! The program `fengqiao`. What a server does is in the library; only the demo, which opens phones too, is here.

mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    server::cli::main(demo::run)
}
