//! The API versions that an org offers.

use serde::Deserialize;

use super::call::Call;

/// The call that lists them; it needs no session, and is free.
#[must_use]
pub fn call() -> Call<'static> {
    Call::get("/services/data").about("the request for its API versions")
}

/// Reads the list: versions as in `62.0`, oldest first; `None` if the body is not one. What is not a version is left out.
#[must_use]
pub fn read(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Offered {
        version: String,
    }
    let offered: Vec<Offered> = serde_json::from_slice(body).ok()?;
    let versions: Vec<_> =
        offered.into_iter().map(|offered| offered.version).filter(|text| is_version(text)).collect();
    (!versions.is_empty()).then_some(versions)
}

fn is_version(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_recorded_form_is_read() {
        let body = br#"[{"label":"Summer '14","url":"/services/data/v31.0","version":"31.0"},
                        {"label":"Summer '26","url":"/services/data/v67.0","version":"67.0"}]"#;
        assert_eq!(read(body), Some(vec!["31.0".to_owned(), "67.0".to_owned()]));
        let odd = br#"[{"version":"67.0"},{"version":"68.0\n\u001b[2K"},{"version":"next"}]"#;
        assert_eq!(read(odd), Some(vec!["67.0".to_owned()]));
        assert_eq!(read(b"[]"), None);
        assert_eq!(read(b"<html>"), None);
    }
}
