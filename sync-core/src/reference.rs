//! (being written)
pub struct Codes;
impl Codes {
    pub fn has(&self, _t: &str, _c: &str) -> bool {
        true
    }
}
pub fn codes() -> Codes {
    Codes
}
