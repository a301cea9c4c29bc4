//! The API versions, and the resources of one.

use crate::demo_org::render::push;
use crate::demo_org::{API_VERSIONS, Org};

/// `/services/data`: the versions, oldest first.
pub(super) fn versions() -> Vec<u8> {
    let mut out = b"[".to_vec();
    for version in API_VERSIONS.0..=API_VERSIONS.1 {
        // 31.0 was Summer '14; three releases a year: Spring, Summer, Winter of the next year.
        let since = version - 31;
        let (season, year) = match since % 3 {
            0 => ("Summer", 14 + since / 3),
            1 => ("Winter", 15 + since / 3),
            _ => ("Spring", 15 + since / 3),
        };
        if version > API_VERSIONS.0 {
            out.push(b',');
        }
        push(
            &mut out,
            format_args!(
                r#"{{"label":"{season} '{year}","url":"/services/data/v{version}.0","version":"{version}.0"}}"#
            ),
        );
    }
    out.push(b']');
    out
}

/// `/services/data/vXX.0/`: the resources that are here. The identity's URL is whole, unlike the others.
pub(super) fn resources(org: &Org, version: &str) -> Vec<u8> {
    let (organization, user) = (org.organization_id(), org.user_id());
    let mut out = Vec::new();
    push(&mut out, format_args!(r#"{{"identity":"{}/id/{organization}/{user}""#, org.url));
    for name in ["composite", "jobs", "limits", "query", "queryAll", "sobjects"] {
        push(&mut out, format_args!(r#","{name}":"/services/data/v{version}/{name}""#));
    }
    out.push(b'}');
    out
}
