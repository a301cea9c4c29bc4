//! The progress bars of a terminal, and standard error shared between them and the log.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use crate::monitor::{Event, Monitor};
use crate::report::RunId;

/// One bar a run, drawn only where standard error is a terminal.
#[derive(Clone)]
pub(super) struct Bars {
    drawn: MultiProgress,
    of_runs: Arc<Mutex<HashMap<RunId, ProgressBar>>>,
}

impl Bars {
    pub(super) fn new() -> Self {
        // indicatif draws nothing where standard error is no terminal.
        Self::on(ProgressDrawTarget::stderr_with_hz(10))
    }

    /// Bars that nobody sees.
    pub(super) fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        Self { drawn: MultiProgress::with_draw_target(target), of_runs: Arc::default() }
    }
}

impl Monitor for Bars {
    fn notice(&self, run: &RunId, event: &Event<'_>) {
        if self.drawn.is_hidden() {
            return;
        }
        let mut bars = self.of_runs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Began { job } => {
                let bar = self.drawn.add(ProgressBar::no_length().with_prefix((*job).to_owned()));
                bar.set_style(style("{prefix}  {msg}"));
                bar.set_message("logging in");
                bars.insert(run.clone(), bar);
            }
            Event::LoggedIn => with(&bars, run, |bar| bar.set_message("waiting for the first page")),
            Event::Progress { records, total, .. } => with(&bars, run, |bar| {
                if bar.length().is_none() {
                    bar.set_style(style(
                        "{prefix}  {wide_bar} {human_pos}/{human_len} records  {rate}  {eta} left",
                    ));
                }
                bar.set_length(*total);
                bar.set_position(*records);
            }),
            Event::Answered { .. } | Event::Waiting { .. } => {}
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
    // indicatif's own rate has four decimals.
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0}/s", state.per_sec());
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
}

/// Standard error for the log: the bars step aside for each event.
impl<'a> MakeWriter<'a> for Bars {
    type Writer = BesideBars<'a>;

    fn make_writer(&'a self) -> BesideBars<'a> {
        BesideBars(&self.drawn)
    }
}

pub(super) struct BesideBars<'a>(&'a MultiProgress);

impl Write for BesideBars<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // An event comes in one piece. Where it cannot be written it is lost: no export fails for its log.
        let _ = self.0.suspend(|| io::stderr().lock().write_all(event));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
