//! `entente algo`: the procedures of this program, for those who vet them.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `entente algo`.
#[derive(Debug, Subcommand)]
pub(crate) enum AlgoCommand {
    /// List the procedures of this program with their digests
    #[command(after_help = "Example:\n  entente algo list")]
    List,
    /// Show a procedure's manifest
    #[command(after_help = "Example:\n  entente algo describe entente:totals")]
    Describe(AlgoDescribeArgs),
    /// Check that every manifest, or one of them, says all that it has to
    #[command(after_help = "Example:\n  entente algo lint --all")]
    Lint(AlgoLintArgs),
    /// Sign a procedure's manifest as a reviewer whom holders list
    #[command(
        after_help = "Example:\n  entente algo review entente:totals --key lin.key --out totals.lin.json"
    )]
    Review(AlgoReviewArgs),
}

/// `entente algo review`.
#[derive(Debug, Args)]
pub(crate) struct AlgoReviewArgs {
    /// Its id, or its digest
    pub(crate) id: String,
    /// The reviewer's own directory, as `entente keys person` made it
    #[arg(long, value_name = "DIR")]
    pub(crate) key: PathBuf,
    /// Write the signed review to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// `entente algo lint`.
#[derive(Debug, Args)]
pub(crate) struct AlgoLintArgs {
    /// One procedure, or its manifest's digest; all without it
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// All procedures
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
}

/// `entente algo describe`.
#[derive(Debug, Args)]
pub(crate) struct AlgoDescribeArgs {
    /// Its id, or its digest
    pub(crate) id: String,
}
