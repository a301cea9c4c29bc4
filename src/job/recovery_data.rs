//! What an output needs to know after a crash. Only `output` reads it; the engine carries it to the journal in `state`
//! and back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A stage or a publish of several files, as the journal keeps it. Its form is `output`'s own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecoveryData(Value);

impl RecoveryData {
    /// The data in this form.
    #[must_use]
    pub fn new(form: Value) -> Self {
        Self(form)
    }

    /// The form that it was made of.
    #[must_use]
    pub fn form(&self) -> &Value {
        &self.0
    }
}
