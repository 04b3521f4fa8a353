//! Writes `schema/vectors` anew. The suite compares what stands there with what this would write.

fn main() -> std::io::Result<()> {
    let folder = tests::vectors::folder();
    for (name, text) in tests::vectors::files() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
