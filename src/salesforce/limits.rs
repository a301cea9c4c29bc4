//! What an org says of its API limit, beside every answer.

use crate::report::ApiLimit;

/// Reads a `Sforce-Limit-Info` header: `api-usage=18/15000`, perhaps among other parts.
#[must_use]
pub fn read(header: &str) -> Option<ApiLimit> {
    let (_, rest) = header.split_once("api-usage=")?;
    let (used, rest) = rest.split_once('/')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(ApiLimit { used: used.parse().ok()?, allowed: rest[..end].parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_usage_is_found_wherever_it_stands() {
        let read = |header| read(header).map(|limit| (limit.used, limit.allowed));
        assert_eq!(read("api-usage=18/15000"), Some((18, 15000)));
        assert_eq!(read("api-usage=17/250; per-app-api-usage=17/250(appName=sample-app)"), Some((17, 250)));
        assert_eq!(read("x=1; api-usage=16000/15000"), Some((16000, 15000)));
        assert_eq!(read("per-app"), None);
        assert_eq!(read("api-usage=/"), None);
    }
}
