//! Migrations are compiled in; a new file in their folder means a new binary.

fn main() {
    println!("cargo:rerun-if-changed=../schema/migrations");
}
