//! The `entente` command: it parses, calls a package, and prints. What another program would want to
//! call is in the packages, not here.

mod cli;
mod outcome;
mod table;
mod locate;
mod process;
mod client;
mod init;
mod keys;
mod enrol;
mod serve;
mod doctor;
mod party;
mod catalogue;
mod dataset;
mod job;
mod contract;
mod evidence;
mod egress;
mod settle;
mod log;
mod halt;
mod negative;
mod algo;
mod rehearse;
mod simulate;
mod demo;
mod bench;

use clap::Parser;
use cli::{Cli, Command, DemoName};
use outcome::{Failure, Outcome, Output, Reply};
use std::process::ExitCode;

fn main() -> ExitCode {
    engine::memory::share_pools();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage_error(&error),
    };
    let output = Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::runtime("start", format!("cannot start threads: {error}"))
                .advice("raise the limits on processes and memory for this user");
            return output.finish(&Err(failure));
        }
    };
    let outcome = runtime.block_on(run(cli.command, &output));
    output.finish(&outcome)
}

/// Help and version go to stdout and are no error; everything else is usage, and JSON if asked for.
fn usage_error(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !wants_json {
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() {
            outcome::Exit::Usage.code()
        } else {
            0
        });
    }
    let text = error.render().to_string();
    // The first paragraph says what is wrong; the next ones repeat the usage.
    let what: Vec<&str> = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    let what = what.join(" ").trim_start_matches("error: ").to_owned();
    let failure = Failure::usage("usage", what).advice("see `entente --help`");
    Output::new(true).finish(&Err(failure))
}

async fn run(command: Command, output: &Output) -> Outcome<Option<Reply>> {
    match command {
        Command::Demo(arguments) => match arguments.name {
            DemoName::Claims => demo::claims(&arguments, output).await.map(Some),
            DemoName::Overlap => demo::overlap(&arguments, output).await.map(Some),
            DemoName::Credit => demo::credit(&arguments, output).await.map(Some),
        },
        Command::Init { what } => init::run(what).await.map(Some),
        Command::Keys { what } => keys::run(what).map(Some),
        Command::Doctor(argument) => doctor::run(&argument).await.map(Some),
        Command::Coordinator(arguments) => {
            serve::coordinator(&arguments, output).await.map(|()| None)
        }
        Command::Contract { what } => contract::run(what).await.map(Some),
        Command::EgressReport(arguments) => egress::run(&arguments).await.map(Some),
        Command::Evidence { what } => evidence::run(what).await.map(Some),
        Command::Settle(arguments) => settle::run(&arguments).map(Some),
        Command::Algo { what } => algo::run(what).map(Some),
        Command::NegativeList { what } => negative::run(what).map(Some),
        Command::Halt(arguments) => halt::run(&arguments).await.map(Some),
        Command::Revoke(arguments) => job::revoke(&arguments).await.map(Some),
        Command::Log { what } => log::run(what).await.map(Some),
        Command::Bench(arguments) => bench::run(&arguments, output).await.map(Some),
        Command::Simulate(arguments) => simulate::run(&arguments, output).await.map(Some),
        Command::Agent(arguments) => serve::agent(&arguments, output).await.map(|()| None),
        Command::Party { what } => party::run(what).await.map(Some),
        Command::Dataset { what } => dataset::run(what).await.map(Some),
        Command::Catalogue { what } => catalogue::run(what).await.map(Some),
        Command::Job { what } => job::run(what, output).await.map(Some),
    }
}
