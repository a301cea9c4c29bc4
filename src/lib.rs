//! sfexport exports Salesforce data on a schedule: a job is a SOQL query, an output path and, if it is to run by
//! itself, a cron schedule. Each layer imports only those above it:
//!
//! - [`error`]: what a person reads when something fails, and the exit status
//! - domain, pure, without I/O or a clock: [`job`], [`org`], [`soql`], [`schedule`], [`report`]
//! - edges, the world: [`output`], [`clock`]
//! - domain, pure, without I/O or a clock: [`job`], [`org`], [`soql`], [`schedule`]
//! - [`config`]: what a user wrote, read into the domain's types

pub mod error;

pub mod job;
pub mod org;
pub mod record;
pub mod salesforce;
pub mod report;
pub mod schedule;
pub mod sink;
pub mod soql;

pub mod clock;
pub mod output;
pub mod config;
