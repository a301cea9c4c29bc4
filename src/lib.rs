//! sfexport exports Salesforce data on a schedule: a job is a SOQL query or an object, an output path and, usually, a
//! cron schedule. Each layer imports only those above it:
//!
//! - [`error`]: what a person reads when something fails, and the exit status
//! - domain, pure, without I/O or a clock: [`job`], [`org`], [`record`], [`report`], [`schedule`], [`soql`],
//!   [`value`]; `human`: figures and times as people read them
//! - `fs`: where file systems differ
//! - [`config`]: what a user wrote, read into the domain's types
//! - [`salesforce`]: the protocol without sockets; [`encode`]: records in, bytes out; [`ddl`]: tables
//!   for its files
//! - edges, the world: [`clock`], [`http`], [`key`], [`monitor`], [`output`], [`state`], `threads`
//! - engine: [`client`], [`check`], [`export`], [`batch`], [`daemon`], [`agenda`], [`retry`], [`stop`]
//! - faces: [`status`], [`notify`], [`cli`]
//! - next to them, above the domain alone: `demo_org`, a Salesforce look-alike on loopback

pub mod error;

pub(crate) mod human;
pub mod job;
pub mod org;
pub mod record;
pub mod report;
pub mod schedule;
pub mod soql;
pub mod value;

pub(crate) mod fs;

pub mod config;

pub mod ddl;
pub mod encode;
pub mod salesforce;

pub mod clock;
pub mod http;
pub mod key;
pub mod memory;
pub mod monitor;
pub mod output;
pub mod state;
mod threads;

pub mod agenda;
pub mod batch;
pub mod check;
pub mod client;
pub mod daemon;
pub mod export;
pub mod retry;
pub mod stop;

pub mod cli;
pub mod notify;
pub mod status;

#[cfg(feature = "demo-org")]
pub mod demo_org;
