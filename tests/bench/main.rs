//! Benchmarks that anyone can run: `cargo run --release -p tests --bin bench -- NAME`.

fn main() {}
