//! The id of an org. Its 15 characters are case-sensitive; three more may follow, which repeat the case of the others.

/// The id of an org, as in `00Dxx0000001gPLEAY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgId(String);

impl OrgId {
    /// The length of an id without its suffix.
    const SHORT: usize = 15;
    /// The length of an id with its suffix.
    const LONG: usize = 18;

    /// Reads an id of 15 or 18 characters.
    ///
    /// # Errors
    /// If it is not the id of an org, or if its last three characters do not fit the case of the others.
    pub fn parse(text: &str) -> Result<Self, OrgIdError> {
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            || !matches!(text.len(), Self::SHORT | Self::LONG)
        {
            return Err(OrgIdError::NotAnId);
        }
        if !text.starts_with("00D") {
            return Err(OrgIdError::OfSomethingElse);
        }
        let (short, suffix) = text.split_at(Self::SHORT);
        if !suffix.is_empty() && suffix != self::suffix(short) {
            return Err(OrgIdError::WrongSuffix);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether another id, of 15 or 18 characters, is that of the same org.
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        other.get(..Self::SHORT) == self.0.get(..Self::SHORT)
    }

    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for OrgId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The suffix of an id of 15 characters: for each five of them one character, which says which of the five are capital
/// letters.
fn suffix(id: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let capitals = |five: &[u8]| {
        five.iter()
            .enumerate()
            .fold(0, |bits, (place, byte)| bits | usize::from(byte.is_ascii_uppercase()) << place)
    };
    id.as_bytes().chunks(5).map(|five| char::from(ALPHABET[capitals(five)])).collect()
}

/// Why a text is not the id of an org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrgIdError {
    /// It does not have 15 or 18 letters and digits.
    #[error("is not an id of 15 or 18 letters and digits")]
    NotAnId,
    /// It is the id of a record.
    #[error("is not the id of an org, which begins with 00D")]
    OfSomethingElse,
    /// Its suffix contradicts the case of its letters.
    #[error("is misspelled: its last three characters do not match the others")]
    WrongSuffix,
}

#[cfg(test)]
mod tests {
    use super::{OrgId, OrgIdError};

    #[test]
    fn an_orgs_id_has_15_or_18_characters() {
        // The suffix of the first is that of an example of Salesforce's. Those of the others are computed by hand.
        for good in ["00Dxx0000001gPLEAY", "00Dxx0000001gPL", "00DDm0000000000MAA", "00D000000000001"] {
            assert_eq!(OrgId::parse(good).unwrap().as_str(), good);
        }
        for (bad, expected) in [
            ("", OrgIdError::NotAnId),
            ("00Dxx0000001gPLEA", OrgIdError::NotAnId),
            ("00Dxx0000001gP-", OrgIdError::NotAnId),
            ("00Dxx0000001gPLEAYEAY", OrgIdError::NotAnId),
            ("005xx0000001gPLEAY", OrgIdError::OfSomethingElse),
            ("00dxx0000001gPLEAY", OrgIdError::OfSomethingElse),
            ("00Dxx0000001gplEAY", OrgIdError::WrongSuffix),
            ("00Dxx0000001gPLeay", OrgIdError::WrongSuffix),
        ] {
            assert_eq!(OrgId::parse(bad), Err(expected), "{bad}");
        }
    }

    #[test]
    fn ids_are_compared_without_their_suffix() {
        let id = OrgId::parse("00Dxx0000001gPLEAY").unwrap();
        for same in ["00Dxx0000001gPLEAY", "00Dxx0000001gPL"] {
            assert!(id.matches(same) && OrgId::parse("00Dxx0000001gPL").unwrap().matches(same), "{same}");
        }
        for other in ["00Dxx0000001gPl", "00Dxx0000001gPMEAY", "00Dxx", "", "00Dxx0000001gPä"] {
            assert!(!id.matches(other), "{other}");
        }
    }
}
