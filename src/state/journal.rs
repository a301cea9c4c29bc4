//! The notes of a run that has not ended, by which the next one finds what it left.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::{IfExists, KnownFiles};

/// What a run left behind when it was killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Stages that may be there still.
    #[serde(default, with = "paths")]
    pub stages: Vec<PathBuf>,
    /// A publish that may have been interrupted between its renames.
    #[serde(default)]
    pub intent: Option<PublishIntent>,
}

/// Outputs of one run that are published together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishIntent {
    /// Stage and output of each, in the order of the renames.
    #[serde(with = "path_pairs")]
    pub renamings: Vec<(PathBuf, PathBuf)>,
    /// What stood at each of them when this was noted, in the same order; empty in the notes of versions that did not
    /// look.
    #[serde(default)]
    pub known: Vec<KnownFiles>,
    /// What is done where an output exists.
    #[serde(with = "replacing")]
    pub if_exists: IfExists,
}

/// Paths as JSON: text, or their bytes where they are not UTF-8.
mod paths {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum PathForm {
        Path(String),
        Bytes(Vec<u8>),
    }

    impl From<&PathBuf> for PathForm {
        fn from(path: &PathBuf) -> Self {
            match path.to_str() {
                Some(text) => Self::Path(text.to_owned()),
                None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
            }
        }
    }

    impl From<PathForm> for PathBuf {
        fn from(form: PathForm) -> Self {
            match form {
                PathForm::Path(text) => text.into(),
                PathForm::Bytes(bytes) => OsString::from_vec(bytes).into(),
            }
        }
    }

    pub(super) fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(PathForm::from))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<PathForm>::deserialize(from)?.into_iter().map(PathBuf::from).collect())
    }
}

mod path_pairs {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::paths::PathForm;

    pub(super) fn serialize<S: Serializer>(pairs: &[(PathBuf, PathBuf)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(pairs.iter().map(|(stage, output)| (PathForm::from(stage), PathForm::from(output))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(PathBuf, PathBuf)>, D::Error> {
        let pairs = Vec::<(PathForm, PathForm)>::deserialize(from)?;
        Ok(pairs.into_iter().map(|(stage, output)| (stage.into(), output.into())).collect())
    }
}

/// `"replace"` and `"fail"`, as the configuration spells them.
mod replacing {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::job::IfExists;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Replace,
        Fail,
    }

    pub(super) fn serialize<S: Serializer>(if_exists: &IfExists, to: S) -> Result<S::Ok, S::Error> {
        let word = match if_exists {
            IfExists::Replace => Word::Replace,
            IfExists::Fail => Word::Fail,
        };
        word.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<IfExists, D::Error> {
        Ok(match Word::deserialize(from)? {
            Word::Replace => IfExists::Replace,
            Word::Fail => IfExists::Fail,
        })
    }
}
