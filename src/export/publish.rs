//! The files of one run together: stages that are noted before they are opened, and outputs that appear together.

use super::blocking;
use super::error::RunError;
use crate::error::{Exit, Failure};
use crate::job::{IfExists, Job};
use crate::output::{self, Output, Reached, Sealed, Staged};
use crate::report::RunId;
use crate::state::{JobLock, PublishIntent, State};

use super::Target;

/// Where the files of one run go.
pub(super) enum Outputs {
    /// The main one, then those of the child queries.
    Places(Vec<Box<dyn Output>>),
    /// Everything goes to one stream.
    Stream(Box<dyn Staged>),
}

impl Outputs {
    /// The outputs of a job whose main file goes to `target`.
    ///
    /// # Errors
    /// [`Exit::Usage`] if a child query's file would have to lie next to a stream.
    pub(super) fn of(target: Target, job: &Job) -> Result<Self, Failure> {
        let parts = job.child_files();
        match target {
            Target::Output { output: mut main, .. } => {
                if !parts.is_empty() {
                    main.join_group();
                }
                let mut places: Vec<_> = parts.iter().map(|part| main.beside(part)).collect();
                places.insert(0, main);
                Ok(Self::Places(places))
            }
            Target::Stream(stream) if parts.is_empty() => Ok(Self::Stream(stream)),
            Target::Stream(_) => {
                let what = "a child query's file lies next to the output, and a stream has no place for it";
                let hint = "name a file as the output, or set children = \"json\"";
                Err(Failure::new(Exit::Usage, what).hint(hint))
            }
        }
    }

    /// Whether a run may begin at all, as far as that can be known without writing.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Places(places) => places.iter().try_for_each(|place| place.check()),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Opens the stages, whose paths are noted before the first of them exists.
    pub(super) fn stage(
        self,
        id: &RunId,
        remembered: Option<(&State, &JobLock)>,
    ) -> Result<Vec<Box<dyn Staged>>, Failure> {
        let places = match self {
            Self::Places(places) => places,
            Self::Stream(stream) => return Ok(vec![stream]),
        };
        let paths: Vec<_> = places
            .iter()
            .flat_map(|place| [place.stage_path(id), place.waiting_path(id)])
            .flatten()
            .collect();
        if let (Some((state, lock)), false) = (remembered, paths.is_empty()) {
            state.note_stages(lock, &paths)?;
        }
        places.iter().map(|place| place.stage(id)).collect()
    }
}

/// Flushes the files of a run and lets them appear together, in their order. Several are noted before the first
/// appears: if the process dies between two of them, the job's next run publishes the rest.
///
/// # Errors
/// [`RunError::PartlyPublished`] if the note must stay; otherwise the outputs are as they were.
pub(super) async fn publish(
    group: Vec<Box<dyn Staged>>,
    if_exists: IfExists,
    remembered: Option<(&State, &JobLock)>,
) -> Result<Vec<output::Published>, RunError> {
    let bug = |error| Failure::new(Exit::General, format!("a bug in sfexport: {error}"));
    let seal = move || group.into_iter().map(Staged::seal).collect::<Result<Vec<Box<dyn Sealed>>, _>>();
    let sealed = tokio::task::spawn_blocking(seal).await.map_err(bug)??;
    let renamings: Vec<_> = sealed.iter().filter_map(|sealed| sealed.renaming()).collect();
    let is_noted = renamings.len() > 1;
    if let (Some((state, lock)), true) = (remembered, is_noted) {
        blocking(|| {
            let known = renamings.iter().map(|(stage, output)| output::known_files(stage, output));
            let known = known.collect::<Result<_, _>>()?;
            state.note_intent(lock, PublishIntent { renamings, known, if_exists })
        })?;
    }
    let published = tokio::task::spawn_blocking(|| output::publish(sealed)).await.map_err(bug)?;
    published.map_err(|unpublished| {
        let failure = match unpublished.reached {
            Reached::Some => unpublished.failure.context("not all of the run's files could be published"),
            Reached::Nothing | Reached::All => unpublished.failure,
        };
        match unpublished.reached {
            Reached::Some | Reached::All if is_noted => RunError::PartlyPublished(failure),
            _ => RunError::Failed(failure),
        }
    })
}
