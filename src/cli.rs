//! The command line as typed: names, arguments and help. Nothing here touches a file or the network;
//! each command module turns its arguments into checked values first.

mod algo;
mod evidence;
mod keys;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(crate) use algo::{AlgoCommand, AlgoDescribeArgs, AlgoLintArgs, AlgoReviewArgs};
pub(crate) use evidence::{
    ContractCommand, ContractExportArgs, ContractVerifyArgs, EvidenceCertificateArgs,
    EvidenceCommand, EvidenceExportArgs, EvidenceVerifyArgs, ExplainArgs, PageLanguage,
};
pub(crate) use keys::{
    InviteArgs, KeysCommand, PersonArgs, RotateArgs, TakeArgs, TrustArgs, VouchedArgs,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "entente",
    version,
    about = "Compute a joint answer with other organisations without pooling the data",
    long_about = "Compute a joint answer with other organisations without pooling the data.\n\n\
                  Every organisation keeps its rows on its own machine and runs an agent there. The agents \
                  compute the agreed result together; only that result leaves, and only to the receivers \
                  named in the job.",
    after_help = "First steps:\n  entente demo                 three hospitals on this machine, with bundled data\n  \
                  entente simulate JOB.toml --party a=DIR_A --party b=DIR_B\n                               \
                  rehearse your own job on local files\n\n\
                  Exit codes: 0 ok, 1 run-time failure, 2 usage or a faulty file, 3 refused by policy,\n            \
                  4 rejected by a party, 5 a party was lost or did not answer in time",
    disable_help_subcommand = true,
    propagate_version = true
)]
pub(crate) struct Cli {
    /// Print exactly one JSON document on stdout (errors too); progress and logs stay on stderr.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which a new user meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a whole collaboration run on this machine, with bundled data
    #[command(after_help = "Example:\n  entente demo claims")]
    Demo(DemoArgs),
    /// Rehearse a job on local data: the real code, one process per party, nothing leaves this machine
    #[command(
        after_help = "Example:\n  entente simulate job.toml --party clinic_a=data/a --party clinic_b=data/b --out rehearsal\n\n\
                            DIR holds one file per table: DIR/visits.csv is the table clinic_a.visits. An empty DIR is a\n\
                            party without data. DIR/policy.toml, if there, is that party's policy; without it a\n\
                            rehearsal policy allows what the job asks for, and the output says so."
    )]
    Simulate(SimulateArgs),
    /// Make the key and the configuration file of an agent or a coordinator
    Init {
        #[command(subcommand)]
        what: InitCommand,
    },
    /// Show this party's fingerprint, or trust that of another party
    Keys {
        #[command(subcommand)]
        what: KeysCommand,
    },
    /// Run the coordinator: it introduces the agents and keeps the job book; it never sees data
    #[command(after_help = "Example:\n  entente coordinator --config coordinator.toml")]
    Coordinator(ServeArgs),
    /// Run this organisation's agent: the process that holds the data connection and the policy
    #[command(after_help = "Example:\n  entente agent --config agent.toml")]
    Agent(ServeArgs),
    /// See which other parties are known and reachable
    Party {
        #[command(subcommand)]
        what: PartyCommand,
    },
    /// Register tables with this agent and see what the parties publish about theirs
    Dataset {
        #[command(subcommand)]
        what: DatasetCommand,
    },
    /// Look for tables in the catalogues of all parties, and hand catalogues on
    Catalogue {
        #[command(subcommand)]
        what: CatalogueCommand,
    },
    /// Check, submit, approve and follow jobs, and fetch results
    Job {
        #[command(subcommand)]
        what: JobCommand,
    },
    /// Withdraw this party's approval of a job, before or during its run; works without the coordinator
    #[command(
        after_help = "Example:\n  entente revoke 3f2a… --reason \"a consent is in doubt\"\n\n\
                            Nothing is opened here afterwards. What was released before cannot be taken back."
    )]
    Revoke(RejectArgs),
    /// Stop everything at this agent, running jobs included, until the halt is lifted
    #[command(
        after_help = "Example:\n  entente halt --reason \"an incident\"\n  entente halt --lift\n\n\
                            The agent goes on running and answers; it accepts, starts and completes no job. A restart changes nothing."
    )]
    Halt(HaltArgs),
    /// Read the page that approvers of a job sign; export and verify what was agreed
    Contract {
        #[command(subcommand)]
        what: ContractCommand,
    },
    /// See what each procedure takes, opens, leaks and sends, and its digest for policies
    Algo {
        #[command(subcommand)]
        what: AlgoCommand,
    },
    /// Sign a negative list: what no holder that keeps to it allows, whatever its own policy says
    NegativeList {
        #[command(subcommand)]
        what: NegativeListCommand,
    },
    /// Show what left this machine in a finished job: bytes by kind and by peer, what was opened, and to whom
    #[command(
        name = "egress-report",
        after_help = "Example:\n  entente egress-report 3f2a…"
    )]
    EgressReport(JobIdArgs),
    /// Export the evidence of a finished job to one file, or verify such a file without a network
    Evidence {
        #[command(subcommand)]
        what: EvidenceCommand,
    },
    /// Compute who owes whom how much for finished jobs, from their evidence files alone
    #[command(
        after_help = "Example:\n  entente settle march-1.json march-2.json --out march.statement.json\n\n\
                            Every party that gives the evidence of the same jobs makes the same bytes. Exit codes 20 to 39 as of `evidence verify`."
    )]
    Settle(SettleArgs),
    /// Verify this agent's log of what it agreed to and ran
    Log {
        #[command(subcommand)]
        what: LogCommand,
    },
    /// Measure this machine: kernels, protocols, loopback, and a whole job; every result is checked
    #[command(
        after_help = "Example:\n  entente bench --out report\n  entente bench kernels --compare report/bench.json\n\n\
                            Exit code 1 if a result is wrong, or if a figure is more than 10 % worse than the baseline's."
    )]
    Bench(BenchArgs),
    /// Look for what usually goes wrong: clock, keys, configuration, network, disk, processor, data files
    #[command(after_help = "Example:\n  entente doctor --config agent.toml")]
    Doctor(ConfigArg),
}

/// `entente settle`.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// The evidence of the jobs, a file each
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A list of trusted keys, as `entente keys trust` makes it: the parties' keys must be those
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Leave out jobs that ended before this day (YYYY-MM-DD, UTC)
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<NaiveDate>,
    /// Leave out jobs that ended after this day
    #[arg(long, value_name = "DAY")]
    pub(crate) until: Option<NaiveDate>,
    /// Where the statement is written, as canonical JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `entente demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Which demo to run
    #[arg(value_enum, default_value_t = DemoName::Claims)]
    pub(crate) name: DemoName,
    /// Keep result.json, result.csv, receipt.json, contract.json and evidence.json in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Flip one byte of the evidence before it is verified: ends with the exit code of the check that finds it
    #[arg(long)]
    pub(crate) tamper: bool,
}

/// The demos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoName {
    /// Three hospitals compute joint statistics of their admissions
    Claims,
    /// A hospital's patients and an insurer's members: how many are both, and not which
    Overlap,
    /// Two banks and a bureau make a scorecard of the customers that they have in common
    Credit,
}

/// `entente simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub(crate) job: PathBuf,
    /// A party and the directory that holds its tables; once for each party
    #[arg(long = "party", value_name = "NAME=DIR", required = true)]
    pub(crate) parties: Vec<String>,
    /// Write result.json, result.csv, receipt.json, contract.json and evidence.json into this directory (made if it is not there)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also predict the time on a network of this kind
    #[arg(long, value_enum, default_value_t = NetProfile::Loopback)]
    pub(crate) net: NetProfile,
    /// Send everything between agents through the coordinator's relay, as behind closed firewalls
    #[arg(long)]
    pub(crate) relay: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
}

/// Networks for which a job's time is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetProfile {
    /// This machine
    Loopback,
    /// 10 Gbit/s, 0.25 ms
    Lan,
    /// 1 Gbit/s, 5 ms
    Metro,
    /// 100 Mbit/s, 40 ms
    Wan,
}

/// `entente init`.
#[derive(Debug, Subcommand)]
pub(crate) enum InitCommand {
    /// Prepare a coordinator: key, configuration file, list of members
    #[command(
        after_help = "Example:\n  entente init coordinator --name hub --dir hub --listen 0.0.0.0:7400"
    )]
    Coordinator(InitCoordinatorArgs),
    /// Prepare an agent: key, configuration file, policy file
    #[command(
        after_help = "Example:\n  entente init agent --name clinic_a --dir clinic_a --coordinator hub=hub.example.org:7400 --data /srv/clinic_a"
    )]
    Agent(InitAgentArgs),
}

/// `entente init coordinator`.
#[derive(Debug, Args)]
pub(crate) struct InitCoordinatorArgs {
    /// The coordinator's name: a-z, 0-9 and _, at most 32
    #[arg(long)]
    pub(crate) name: String,
    /// Where to put the key and coordinator.toml (made if it is not there; nothing is overwritten)
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The UDP address and port on which agents reach it
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:7400")]
    pub(crate) listen: String,
}

/// `entente init agent`.
#[derive(Debug, Args)]
pub(crate) struct InitAgentArgs {
    /// This organisation's name, the one that jobs use: a-z, 0-9 and _, at most 32
    #[arg(long)]
    pub(crate) name: String,
    /// Where to put the key, agent.toml and policy.toml (made if it is not there; nothing is overwritten)
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The coordinator's name and where it listens
    #[arg(long, value_name = "NAME=HOST:PORT")]
    pub(crate) coordinator: String,
    /// The coordinator's fingerprint, as its operator read it to you; or later: entente keys trust NAME SHA256:…
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) coordinator_key: Option<String>,
    /// A directory whose .csv and .parquet files are this party's tables: visits.csv becomes NAME.visits
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A UDP address on which other agents may reach this one; without it everything goes through the relay
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// What the others are told to dial, where that is not the address of --listen
    #[arg(long, value_name = "HOST:PORT", requires = "listen")]
    pub(crate) advertise: Option<String>,
}

/// Which configuration file to use.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArg {
    /// The configuration file; without it ENTENTE_CONFIG, then agent.toml in this directory
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `entente coordinator` and `entente agent`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Stop when standard input ends: for a process that is started by another one
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
    /// Approve whatever the policy passes, and without a policy everything: for rehearsals on local data
    #[arg(long, hide = true)]
    pub(crate) rehearsal: bool,
}

/// `entente party`.
#[derive(Debug, Subcommand)]
pub(crate) enum PartyCommand {
    /// List the parties that the coordinator knows, and which are connected
    #[command(after_help = "Example:\n  entente party list")]
    List(ConfigArg),
    /// Is a party's agent connected, and does it answer at its own address?
    #[command(after_help = "Example:\n  entente party ping clinic_b")]
    Ping(PingArgs),
}

/// `entente party ping`.
#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// The party; all known parties without it
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente catalogue`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogueCommand {
    /// List the published tables of all trusted parties in which every word stands: names, notes, columns, units, classes, uses
    #[command(after_help = "Example:\n  entente catalogue search diagnosis L4")]
    Search(CatalogueSearchArgs),
    /// Write what `search` finds as DCAT 3 (JSON-LD), for the catalogue systems of others
    #[command(after_help = "Example:\n  entente catalogue export --out catalogue.jsonld")]
    Export(CatalogueExportArgs),
    /// Print what opens this party's commitment to one of its tables: for an auditor who is to compare the file
    #[command(after_help = "Example:\n  entente catalogue commitment visits")]
    Commitment(NamedArgs),
}

/// `entente catalogue search`.
#[derive(Debug, Args)]
pub(crate) struct CatalogueSearchArgs {
    /// Words, or parts of words; all tables without any
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente catalogue export`.
#[derive(Debug, Args)]
pub(crate) struct CatalogueExportArgs {
    /// Write to this file (must not exist)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) search: CatalogueSearchArgs,
}

/// `entente dataset`.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Register a table with this agent (no row leaves; what others see of it is the policy's decision)
    #[command(after_help = "Example:\n  entente dataset add visits /srv/data/visits.parquet")]
    Add(DatasetAddArgs),
    /// List tables: this agent's own, and what the other parties publish
    #[command(after_help = "Example:\n  entente dataset list")]
    List(ConfigArg),
    /// Show a table's columns, types, categories and allowed uses (never values)
    #[command(after_help = "Example:\n  entente dataset show clinic_b.visits")]
    Show(NamedArgs),
}

/// `entente dataset add`.
#[derive(Debug, Args)]
pub(crate) struct DatasetAddArgs {
    /// The table's name in jobs
    pub(crate) name: String,
    /// A .csv or .parquet file; with --table a file that holds the connection string of a PostgreSQL server
    #[arg(value_name = "FILE")]
    pub(crate) source: PathBuf,
    /// The table on the PostgreSQL server
    #[arg(long, value_name = "SCHEMA.TABLE")]
    pub(crate) table: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// A command about one thing with a name or an id.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// Its name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente job`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Report every fault of a job file, with line and field; with a running agent also against the published tables
    #[command(after_help = "Example:\n  entente job check job.toml")]
    Check(JobFileArgs),
    /// Show what would run: each party's part, what each party learns, rounds, bytes and time
    #[command(after_help = "Example:\n  entente job plan job.toml")]
    Plan(JobFileArgs),
    /// Propose a job to its parties; prints the job's id
    #[command(after_help = "Example:\n  entente job submit job.toml --watch")]
    Submit(SubmitArgs),
    /// List the jobs that this party takes part in
    #[command(after_help = "Example:\n  entente job list")]
    List(ConfigArg),
    /// Show a job: who asks, for what purpose, the plan, who has approved
    #[command(after_help = "Example:\n  entente job show 3f2a…")]
    Show(JobIdArgs),
    /// Follow a job until it ends; ends with the job's exit code and can be started again at any time
    #[command(after_help = "Example:\n  entente job watch 3f2a…")]
    Watch(JobIdArgs),
    /// Approve a job for this party: a signature over the contract and the plan
    #[command(after_help = "Example:\n  entente job approve 3f2a…")]
    Approve(ApproveArgs),
    /// Reject a job for this party
    #[command(
        after_help = "Example:\n  entente job reject 3f2a… --reason \"purpose is not covered by our agreement\""
    )]
    Reject(RejectArgs),
    /// Stop a job; works at any party, before and during the run
    #[command(after_help = "Example:\n  entente job cancel 3f2a…")]
    Cancel(JobIdArgs),
    /// Go on with a training job of this party that broke off, from its last checkpoint, once all parties approve
    #[command(after_help = "Example:\n  entente job resume 3f2a… --watch\n\n\
                            It is a new job with the same file, approved, counted and signed like any other. `entente job show` says whether there is a checkpoint.")]
    Resume(ResumeArgs),
    /// Fetch the result (receivers only)
    #[command(after_help = "Example:\n  entente job result 3f2a… --format csv --out result.csv")]
    Result(ResultArgs),
    /// Make a page of a model's result for those who validate it: tables, and charts as SVG
    #[command(
        after_help = "Example:\n  entente job result 3f2a… --format json --out result.json\n  entente job report result.json --out report.html"
    )]
    Report(ReportArgs),
}

/// `entente job report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The result as JSON
    #[arg(value_name = "RESULT.json")]
    pub(crate) result: PathBuf,
    /// Write to this file (mode 0600, must not exist)
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// A command about a job file.
#[derive(Debug, Args)]
pub(crate) struct JobFileArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub(crate) job: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente job submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub(crate) job: PathBuf,
    /// Follow the job until it ends
    #[arg(long)]
    pub(crate) watch: bool,
    /// An earlier job of this party whose place this one takes: its id, or the first characters of it
    #[arg(long, value_name = "ID")]
    pub(crate) supersedes: Option<String>,
    /// Who submits, which is this party's approval; without it the user of this terminal
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) approver: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// A command about one job.
#[derive(Debug, Args)]
pub(crate) struct JobIdArgs {
    /// The job's id, or the first characters of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente job resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Follow the job until it ends
    #[arg(long)]
    pub(crate) watch: bool,
    /// Who submits, which is this party's approval; without it the user of this terminal
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) approver: Option<String>,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// `entente job approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Who approves, recorded in the signed approval; without it the user of this terminal
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) approver: Option<String>,
    /// The directory of the key of the person who approves (`entente keys person`), where the policy lists persons
    #[arg(long, value_name = "DIR", conflicts_with = "approver")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// `entente job reject`.
#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    /// Why; the other parties see it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// `entente negative-list`.
#[derive(Debug, Subcommand)]
pub(crate) enum NegativeListCommand {
    /// Sign a list with this party's key; holders refuse one that is not signed, or older than one they have seen
    #[command(
        after_help = "Example:\n  entente negative-list sign negative-list.toml --out negative-list.json"
    )]
    Sign(NegativeListSignArgs),
}

/// `entente negative-list sign`.
#[derive(Debug, Args)]
pub(crate) struct NegativeListSignArgs {
    /// The list: a version, and for each rule a table `rule` with id, columns and reason
    #[arg(value_name = "LIST.toml")]
    pub(crate) list: PathBuf,
    /// Write the signed list to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente halt`.
#[derive(Debug, Args)]
pub(crate) struct HaltArgs {
    /// Why; kept in the ledger, and told to nobody else
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["lift", "show"])]
    pub(crate) reason: Option<String>,
    /// Let jobs run again
    #[arg(long, conflicts_with_all = ["reason", "show"])]
    pub(crate) lift: bool,
    /// Only say whether everything is halted
    #[arg(long, conflicts_with = "reason")]
    pub(crate) show: bool,
    /// Who halts; without it the user of this terminal
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// `entente job result`.
#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    /// How to write it
    #[arg(long, value_enum, default_value_t = ResultFormat::Table)]
    pub(crate) format: ResultFormat,
    /// Write to this file (mode 0600, must not exist) instead of the terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) job: JobIdArgs,
}

/// Formats of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultFormat {
    /// For reading
    Table,
    /// For Excel, R and pandas: UTF-8, decimal point, NULL is empty
    Csv,
    /// Everything: columns with types, rows, suppressed groups, notes
    Json,
    /// Of a job with `join = "keys"`: which of this party's own keys match, as CSV
    MatchedKeys,
}

/// `entente log`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Verify that no entry of the log was changed, removed or put in, and that the ledger is what it tells
    #[command(
        after_help = "Example:\n  entente log verify\n  entente log verify --known checkpoint-of-march.txt\n\n\
                            Exit code 1 if something was changed. The agent may run meanwhile."
    )]
    Verify(LogVerifyArgs),
}

/// `entente log verify`.
#[derive(Debug, Args)]
pub(crate) struct LogVerifyArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// A checkpoint of this log that a partner has kept: an older state that was restored is found with it
    #[arg(long, value_name = "FILE")]
    pub(crate) known: Vec<PathBuf>,
}

/// `entente bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The area to measure; all without it
    #[arg(value_enum)]
    pub(crate) area: Option<BenchArea>,
    /// Small inputs: does everything run here, and is it right? The figures say little
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each measurement is repeated
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub(crate) repetitions: Option<usize>,
    /// Rows of each of the three holders of the job; it is run with four times as many as well
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000_000))]
    pub(crate) rows: Option<usize>,
    /// Write bench.json and bench.md into this directory (made if it is not there)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Compare with a saved bench.json, and list what is more than 10 % worse
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
}

/// What `entente bench` can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchArea {
    /// The engine on all cores: rings, generator, oblivious transfer, matrices
    Kernels,
    /// Protocols between two seats, in memory and over loopback, preprocessing and online work apart
    Protocols,
    /// Bulk messages on loopback: a session beside a bare QUIC stream
    Network,
    /// A job over three agents in processes of their own
    Job,
    /// Intersections of two files of ids, two agents in processes of their own
    Intersect,
    /// Keys looked up in lists of other parties, each an agent in a process of its own
    Lookup,
    /// Intersections of 2^23 ids, and of 10^7 in bounded memory: minutes each, and only if asked for
    Large,
}
