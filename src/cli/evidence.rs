//! `entente contract` and `entente evidence`: what was agreed and what was done, to be read and verified.

use super::JobIdArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `entente contract`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContractCommand {
    /// Print the page that is signed: who, why, which columns, what leaves, to whom, until when, what each learns, how to stop it
    #[command(
        after_help = "Example:\n  entente contract explain 3f2a… --lang zh\n\n\
                            Every approval names the SHA-256 of this page, in both languages."
    )]
    Explain(ExplainArgs),
    /// Write what all parties have agreed on to one file: contract, approvals, page and plan
    #[command(after_help = "Example:\n  entente contract export 3f2a… --out contract.json")]
    Export(ContractExportArgs),
    /// Verify a contract file: from its bytes alone, without a network, a configuration or a running agent
    #[command(
        after_help = "Example:\n  entente contract verify contract.json --trust trusted.toml\n\n\
                            Exit code 0 if every check holds; otherwise the code of the first that does not:\n\
                            \x20 20 form, 21 contract, 22 trust, 23 approvals, 24 approval, 25 page, 26 plan\n\n\
                            With --tamper-all, every value of the file is changed as well, also in the documents that were signed, and each change\n\
                            has to be found: exit code 1 if one is not."
    )]
    Verify(ContractVerifyArgs),
}

/// `entente contract explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The language
    #[arg(long, value_enum, default_value_t = PageLanguage::En)]
    pub(crate) lang: PageLanguage,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// The languages of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageLanguage {
    /// English
    En,
    /// Chinese
    Zh,
}

/// `entente contract export`.
#[derive(Debug, Args)]
pub(crate) struct ContractExportArgs {
    /// Write to this file (mode 0600, must not exist)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// `entente contract verify`.
#[derive(Debug, Args)]
pub(crate) struct ContractVerifyArgs {
    /// The contract file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A list of trusted keys, as `entente keys trust` makes it: the parties' keys must be those
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Change every value, one after the other: each change must be found
    #[arg(long)]
    pub(crate) tamper_all: bool,
}

/// `entente evidence`.
#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Write the evidence of a completed job to one file: contract, approvals, plan, receipts and logs of all parties
    #[command(after_help = "Example:\n  entente evidence export 3f2a… --out evidence.json")]
    Export(EvidenceExportArgs),
    /// Verify an evidence file: from its bytes alone, without a network, a configuration or a running agent
    #[command(
        after_help = "Example:\n  entente evidence verify evidence.json --trust trusted.toml\n\n\
                            Exit code 0 if every check holds; otherwise the code of the first that does not:\n\
                            \x20 20 form, 21 contract, 22 trust, 23 approvals, 24 approval, 25 page, 26 plan, 27 opened,\n\
                            \x20 28 receipts, 29 receipt, 30 traffic, 31 output, 32 checkpoint, 33 witness, 34 inclusion,\n\
                            \x20 35 entries, 36 growth, 37 provenance, 39 attested, 38 seal"
    )]
    Verify(EvidenceVerifyArgs),
    /// Verify an evidence file and print its certificate of performance (履约证明): the message fulfillmentProof of TC609-6-2025-15
    #[command(
        after_help = "Example:\n  entente evidence certificate evidence.json > certificate.json\n\n\
                            Ids are those of this system; the signature is the exporter's, over the other fields in canonical JSON."
    )]
    Certificate(EvidenceCertificateArgs),
}

/// `entente evidence certificate`.
#[derive(Debug, Args)]
pub(crate) struct EvidenceCertificateArgs {
    /// The evidence file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A list of trusted keys, as `entente keys trust` makes it: the parties' keys must be those
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

/// `entente evidence export`.
#[derive(Debug, Args)]
pub(crate) struct EvidenceExportArgs {
    /// Write to this file (mode 0600, must not exist)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// `entente evidence verify`.
#[derive(Debug, Args)]
pub(crate) struct EvidenceVerifyArgs {
    /// The evidence file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A list of trusted keys, as `entente keys trust` makes it: the parties' keys must be those
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// The result's file: must be the one that the exporter received
    #[arg(long, value_name = "result.json")]
    pub(crate) result: Option<PathBuf>,
}
