//! The API versions that an org offers.

use serde::Deserialize;

use super::call::Call;

/// The call that lists them; it needs no session, and is free.
#[must_use]
pub fn call() -> Call<'static> {
    Call::get("/services/data").about("the question which API versions it has")
}

/// Reads the list: versions as in `62.0`, oldest first; `None` where the body is none.
#[must_use]
pub fn read(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Offered {
        version: String,
    }
    let offered: Vec<Offered> = serde_json::from_slice(body).ok()?;
    (!offered.is_empty()).then(|| offered.into_iter().map(|offered| offered.version).collect())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_recorded_form_is_read() {
        let body = br#"[{"label":"Summer '14","url":"/services/data/v31.0","version":"31.0"},
                        {"label":"Summer '26","url":"/services/data/v67.0","version":"67.0"}]"#;
        assert_eq!(read(body), Some(vec!["31.0".to_owned(), "67.0".to_owned()]));
        assert_eq!(read(b"[]"), None);
        assert_eq!(read(b"<html>"), None);
    }
}
