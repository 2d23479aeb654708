//! Following a job until it ends. The agent knows everything; whoever watches can stop and start again.

use crate::client::Client;
use crate::outcome::{Exit, Failure, Outcome, Output, Reply};
use crate::table::bytes;
use indicatif::{ProgressBar, ProgressStyle};
use party_agent::api::types::JobDetail;
use party_agent::execute::{Moment, Steps};
use party_agent::ledger::{Ending, JobState};
use std::io::IsTerminal as _;
use std::time::Duration;

/// How often the agent is asked.
const PACE: Duration = Duration::from_millis(50);

pub(crate) async fn run(client: &Client, id: &str, output: &Output) -> Outcome<Reply> {
    let detail = follow(client, id, output).await?;
    ended_well(&detail)?;
    let short = &id[..8.min(id.len())];
    let next = if detail.has_result {
        format!("fetch it with: entente job result {short}")
    } else {
        "its receivers have the result".to_owned()
    };
    let text = format!("{} is complete; {next}\n", detail.job.job);
    Ok(Reply::new(&detail, text))
}

/// Shows how far the job has come until nothing more can happen to it.
pub(crate) async fn follow(client: &Client, id: &str, output: &Output) -> Outcome<JobDetail> {
    let mut display = Display::new(output);
    let detail = until_final(client, id, |detail| display.show(detail)).await;
    display.end();
    detail
}

/// Asks the agent until nothing more can happen to the job.
pub(crate) async fn until_final(
    client: &Client,
    id: &str,
    mut seen: impl FnMut(&JobDetail),
) -> Outcome<JobDetail> {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        let detail: JobDetail = client.get(&format!("/v1/jobs/{id}")).await?;
        seen(&detail);
        if detail.job.state.is_final() {
            return Ok(detail);
        }
    }
}

/// The failure of a job that did not end well.
pub(crate) fn ended_well(detail: &JobDetail) -> Outcome<()> {
    if detail.job.state == JobState::Completed {
        return Ok(());
    }
    Err(match &detail.job.ending {
        Some(ending) => ending_failure(ending).at(format!("job {}", detail.job.job)),
        None => Failure::runtime("ended", format!("the job is {}", detail.job.state.as_str())),
    })
}

fn ending_failure(ending: &Ending) -> Failure {
    Failure::new(
        Exit::from_code(ending.exit.into()),
        &ending.class,
        &ending.what,
    )
    .advice(&ending.what_to_do)
}

/// A bar on a terminal; elsewhere a line for each change of stage.
struct Display<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    last: String,
}

impl<'a> Display<'a> {
    fn new(output: &'a Output) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos:>3} % {msg}")
                .expect("the template is fixed");
            ProgressBar::new(100).with_style(style)
        });
        Self {
            output,
            bar,
            last: String::new(),
        }
    }

    fn show(&mut self, detail: &JobDetail) {
        let what = match (&detail.job.progress, detail.job.state) {
            (Some(moment), JobState::Running) => {
                let steps = moment.steps.as_ref().map(counted).unwrap_or_default();
                format!(
                    "stage {}/{} {}{steps}",
                    moment.number, moment.of, moment.stage
                )
            }
            (_, JobState::Waiting | JobState::Accepted) => waiting(detail),
            (_, state) => state.as_str().to_owned(),
        };
        let moment = detail.job.progress.as_ref();
        match &self.bar {
            Some(bar) => {
                bar.set_position(
                    moment.map_or(0, |moment| moment.percent.clamp(0.0, 100.0) as u64),
                );
                bar.set_message(format!("{what}{}", moment.map(figures).unwrap_or_default()));
            }
            None if what != self.last => {
                self.output.progress(&format!(
                    "{what}{}",
                    moment.map(figures).unwrap_or_default()
                ));
            }
            None => {}
        }
        self.last = what;
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn waiting(detail: &JobDetail) -> String {
    let names: Vec<String> = detail.waiting_for.iter().map(ToString::to_string).collect();
    match (detail.job.state, names.is_empty()) {
        (JobState::Waiting, _) => {
            "waiting for approval by this party: entente job approve".to_owned()
        }
        (_, true) => "waiting for the start".to_owned(),
        (_, false) => format!("waiting for approval by {}", names.join(", ")),
    }
}

/// `, step 3 of at most 51, loss 0.4471`
fn counted(steps: &Steps) -> String {
    let mut text = format!(
        ", {} {} of at most {}",
        steps.what, steps.done, steps.at_most
    );
    if let Some(loss) = steps.loss {
        text += &format!(", loss {loss:.4}");
    }
    text
}

/// `, 42 %, 1.2 MB, 3 s to go`
fn figures(moment: &Moment) -> String {
    let mut text = format!(", {:.0} %, {}", moment.percent, bytes(moment.bytes));
    if let Some(steps) = &moment.steps {
        text += &format!(", {:.0} s so far", steps.elapsed_s);
        if let Some(eta_s) = steps.at_most_eta_s {
            text += &format!(", at most {eta_s:.0} s to go");
        }
    } else if let Some(eta_s) = moment.eta_s {
        text += &format!(", {eta_s:.0} s to go");
    }
    text
}
