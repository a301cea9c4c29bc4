//! Draws progress bars on a terminal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{human, print};
use crate::monitor::{Event, Monitor};
use crate::report::RunId;

/// One bar per run, only if standard error is a terminal.
#[derive(Clone)]
pub(super) struct Bars {
    drawn: MultiProgress,
    /// Whether nothing is drawn. Asking indicatif would block while something is written.
    hidden: bool,
    of_runs: Arc<Mutex<HashMap<RunId, ProgressBar>>>,
}

impl Bars {
    pub(super) fn new() -> Self {
        // Indicatif draws nothing if standard error is not a terminal.
        Self::on(ProgressDrawTarget::stderr_with_hz(10))
    }

    /// Invisible bars.
    pub(super) fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let drawn = MultiProgress::with_draw_target(target);
        Self { hidden: drawn.is_hidden(), drawn, of_runs: Arc::default() }
    }

    /// The bars, if they are drawn, for others that write to standard error.
    pub(super) fn drawn(&self) -> Option<MultiProgress> {
        (!self.hidden).then(|| self.drawn.clone())
    }
}

impl Monitor for Bars {
    fn notice(&self, run: &RunId, event: &Event<'_>) {
        if self.hidden {
            return;
        }
        let mut bars = self.of_runs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Began { job } => {
                let name = print::job_name(job.job().as_str(), job.org().as_str());
                let bar = self.drawn.add(ProgressBar::no_length().with_prefix(name));
                bar.set_style(style("{prefix}  {msg}"));
                bar.set_message("logging in");
                bars.insert(run.clone(), bar);
            }
            Event::LoggedIn => with(&bars, run, |bar| bar.set_message("waiting for the first page")),
            Event::Progress { records, total, .. } => with(&bars, run, |bar| {
                match total {
                    Some(total) => {
                        if bar.length().is_none() {
                            bar.set_style(style(
                                "{prefix}  {wide_bar} {human_pos}/{human_len} records  {rate}  {eta} left",
                            ));
                        }
                        bar.set_length(*total);
                    }
                    // The total is unknown.
                    None => bar.set_style(style("{prefix}  {human_pos} records  {rate}")),
                }
                bar.set_position(*records);
            }),
            Event::Objects { done, of, records, .. } => with(&bars, run, |bar| {
                if bar.length().is_none() {
                    bar.set_style(style("{prefix}  {wide_bar} {human_pos}/{human_len} objects  {msg}"));
                }
                bar.set_length(*of as u64);
                bar.set_position(*done as u64);
                bar.set_message(human::counted(*records, "record"));
            }),
            Event::Responded { .. }
            | Event::Waiting { .. }
            | Event::ObjectEnded { .. }
            | Event::ObjectSkipped { .. } => {}
            Event::Restarted { .. } => with(&bars, run, |bar| bar.set_position(0)),
            Event::Ended { .. } => {
                if let Some(bar) = bars.remove(run) {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

fn with(bars: &HashMap<RunId, ProgressBar>, run: &RunId, act: impl FnOnce(&ProgressBar)) {
    if let Some(bar) = bars.get(run) {
        act(bar);
    }
}

fn style(template: &str) -> ProgressStyle {
    // Indicatif shows rates with four decimals.
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0}/s", state.per_sec());
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
}
