//! sfexport exports Salesforce data on a schedule: a job is a SOQL query, an output path and, if it is to run by
//! itself, a cron schedule. Each layer imports only those above it:
//!
//! - [`error`]: what a person reads when something fails, and the exit status
//! - domain, pure, without I/O or a clock: [`job`], [`org`], [`record`], [`report`], [`soql`], [`schedule`]
//! - [`config`]: what a user wrote, read into the domain's types
//! - [`salesforce`]: the protocol without sockets; [`sink`]: records in, bytes out
//! - edges, the world: [`output`], [`clock`]
//! - engine: [`retry`]
//! - domain, pure, without I/O or a clock: [`job`], [`org`], [`soql`], [`schedule`], [`report`]
//! - edges, the world: [`output`], [`state`], [`clock`]
//! - domain, pure, without I/O or a clock: [`job`], [`org`], [`soql`], [`schedule`]
//! - the edges, the world: [`key`]

pub mod error;

pub mod job;
pub mod org;
pub mod record;
pub mod report;
pub mod schedule;
pub mod soql;

pub mod config;

pub mod salesforce;
pub mod sink;

pub mod clock;
pub mod output;

pub mod retry;
pub mod state;
pub mod key;
