//! `entente keys`.

use super::ConfigArg;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `entente keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Print this party's name and fingerprint, to be read to the others over the phone
    #[command(after_help = "Example:\n  entente keys show --config agent.toml")]
    Show(ConfigArg),
    /// Trust a party by the fingerprint that it read to you (not one that came by mail or by the network)
    #[command(
        after_help = "Example:\n  entente keys trust clinic_b SHA256:mJ3u… --config agent.toml"
    )]
    Trust(TrustArgs),
    /// Make a key for a person who approves jobs; its fingerprint goes into the policy
    #[command(after_help = "Example:\n  entente keys person jonas --dir jonas.key")]
    Person(PersonArgs),
    /// Invite a party to prove its key: once, and for some days. Hand it the file
    #[command(after_help = "Example:\n  entente keys invite clinic_c --out invite.json")]
    Invite(InviteArgs),
    /// Answer an invite of a party that is trusted here, by a signature with this party's key
    #[command(after_help = "Example:\n  entente keys apply invite.json --out application.json")]
    Apply(TakeArgs),
    /// Take in the answer to an invite of this party: its key is trusted from now on, and a signed word for it is written for the others
    #[command(after_help = "Example:\n  entente keys admit application.json --out membership.json")]
    Admit(TakeArgs),
    /// Trust a party on the word of another one that is trusted here, or take in that a trusted party changes over to a new key
    #[command(after_help = "Example:\n  entente keys accept membership.json")]
    Accept(VouchedArgs),
    /// Change this party's key, in two steps between which all partners take the new one in; both count for some days
    #[command(
        after_help = "Example:\n  entente keys rotate --out rotation.json     (hand it to the coordinator and all partners: keys accept)\n  \
                            entente keys rotate --finish                 (when all have; then start the agent again)"
    )]
    Rotate(RotateArgs),
}

/// `entente keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Make the next key, and write what both keys have signed to this file (mode 0600, must not exist)
    #[arg(long, value_name = "FILE", required_unless_present = "finish")]
    pub(crate) out: Option<PathBuf>,
    /// For how many days the old key counts beside the new one; at most 90
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=90))]
    pub(crate) days: u32,
    /// Use the next key from now on
    #[arg(long, conflicts_with_all = ["out", "days"])]
    pub(crate) finish: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente keys person`.
#[derive(Debug, Args)]
pub(crate) struct PersonArgs {
    /// The person's name, as approvals show it: a-z, 0-9 and _
    pub(crate) name: String,
    /// Where to put the key (must not be there yet); for this person's eyes only, not the agent's
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// `entente keys invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// The party's name
    pub(crate) name: String,
    /// For how many days; at most 30
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub(crate) days: u32,
    /// Write the invite to this file (mode 0600, must not exist)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente keys apply` and `admit`.
#[derive(Debug, Args)]
pub(crate) struct TakeArgs {
    /// What the other party has sent
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the answer to this file (mode 0600, must not exist)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente keys accept`.
#[derive(Debug, Args)]
pub(crate) struct VouchedArgs {
    /// What the sponsor has written
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente keys trust`.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// The party's name
    pub(crate) name: String,
    /// Its fingerprint: SHA256: and 43 characters
    #[arg(value_name = "SHA256:…")]
    pub(crate) fingerprint: String,
    /// Who confirmed it, and how; kept beside the fingerprint
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}
