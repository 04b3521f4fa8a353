//! Writes the Kotlin, Swift and Python bindings, at the version of UniFFI that the library itself is built with.

fn main() {
    uniffi::uniffi_bindgen_main()
}
