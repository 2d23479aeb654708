//! `entente dataset`: which tables there are, and what may be done with them.

use crate::cli::{ConfigArg, DatasetAddArgs, DatasetCommand, NamedArgs};
use crate::locate::ConfigFile;
use crate::outcome::{Failure, Outcome, Reply};
use crate::table::{grid, grouped};
use party_agent::api::types::{Dataset, DatasetRequest};
use party_agent::catalogue::{ColumnKind, TableEntry};
use serde_json::json;
use std::path::{Path, PathBuf};

pub(crate) async fn run(what: DatasetCommand) -> Outcome<Reply> {
    match what {
        DatasetCommand::Add(arguments) => add(&arguments).await,
        DatasetCommand::List(argument) => list(&argument).await,
        DatasetCommand::Show(arguments) => show(&arguments).await,
    }
}

async fn add(arguments: &DatasetAddArgs) -> Outcome<Reply> {
    let config = ConfigFile::locate_agent(&arguments.config)?;
    let request = request(
        &arguments.name,
        &arguments.source,
        arguments.table.as_deref(),
    )?;
    let added: Dataset = config.client()?.post("/v1/datasets", &request).await?;
    let mut text = format!(
        "{}.{} is registered, with {} columns\n",
        added.party, added.table, added.columns
    );
    if !added.published {
        text += &format!(
            "No other party sees it until the policy lists [tables.{}]; jobs over it are refused until then\n",
            added.table
        );
    }
    Ok(Reply::new(&added, text))
}

/// A file by its ending, or, with `--table`, a file that holds the connection string of a PostgreSQL server.
fn request(name: &str, source: &Path, table: Option<&str>) -> Outcome<DatasetRequest> {
    let path = source.canonicalize().map_err(|error| {
        Failure::usage("file", format!("the file cannot be read: {error}"))
            .at(source.display().to_string())
            .advice("check the name")
    })?;
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .map(str::to_ascii_lowercase);
    let kind = match (table, extension.as_deref()) {
        (Some(_), _) => "postgres",
        (None, Some("csv")) => "csv",
        (None, Some("parquet")) => "parquet",
        (None, _) => {
            return Err(Failure::usage("file", "the file's name ends neither in .csv nor in .parquet")
                .at(source.display().to_string())
                .advice("rename it; for PostgreSQL name the file with the connection string and give --table"));
        }
    };
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (path, connection) = if table.is_some() {
        (None, Some(text(path)))
    } else {
        (Some(text(path)), None)
    };
    Ok(DatasetRequest {
        name: name.to_owned(),
        kind: kind.to_owned(),
        path,
        connection,
        table: table.map(str::to_owned),
    })
}

async fn list(argument: &ConfigArg) -> Outcome<Reply> {
    let datasets: Vec<Dataset> = ConfigFile::locate_agent(argument)?
        .client()?
        .get("/v1/datasets")
        .await?;
    let rows = datasets.iter().map(|dataset| {
        vec![
            format!("{}.{}", dataset.party, dataset.table),
            dataset
                .rows_at_most
                .map_or_else(|| "?".to_owned(), |rows| grouped(&rows.to_string())),
            dataset.columns.to_string(),
            if dataset.published {
                String::new()
            } else {
                "not published".to_owned()
            },
            dataset.note.clone().unwrap_or_default(),
        ]
    });
    let header = ["table", "rows, at most", "columns", "", "note"]
        .map(str::to_owned)
        .to_vec();
    let text = if datasets.is_empty() {
        "no tables yet\n".to_owned()
    } else {
        grid(header, rows.collect())
    };
    Ok(Reply::new(&json!({ "datasets": datasets }), text))
}

async fn show(arguments: &NamedArgs) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let name = &arguments.name;
    if !name
        .chars()
        .all(|c| c.is_alphanumeric() || "._-".contains(c))
    {
        return Err(
            Failure::usage("argument", format!("\"{name}\" is not a table"))
                .advice("write PARTY.TABLE; see `entente dataset list`"),
        );
    }
    let entry: TableEntry = client
        .get(&format!("/v1/datasets/{}", crate::client::escaped(name)))
        .await?;
    let text = columns_text(&entry) + &audience(&entry);
    Ok(Reply::new(&entry, text))
}

/// For whom a table is, if not for all.
fn audience(entry: &TableEntry) -> String {
    entry.visible_to.as_ref().map_or_else(String::new, |names| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        match names.is_empty() {
            true => "seen by no other party\n".to_owned(),
            false => format!("seen by no other party than {}\n", names.join(", ")),
        }
    })
}

/// Columns with types and uses.
fn columns_text(entry: &TableEntry) -> String {
    let rows = entry.columns.iter().map(|column| {
        let categories = column.categories.as_ref().map(|c| match c.len() {
            1 => "1 group".to_owned(),
            n => format!("{n} groups"),
        });
        let range = column.range.as_ref();
        let uses = column.uses_in_words().join(", ");
        vec![
            column.name.clone(),
            kind(&column.kind),
            column.unit.clone().unwrap_or_default(),
            range.map_or_else(String::new, |(least, most)| format!("{least} to {most}")),
            categories.unwrap_or_default(),
            match uses.is_empty() {
                true => "nothing".to_owned(),
                false => uses,
            },
        ]
    });
    let header = [
        "column",
        "type",
        "unit",
        "range",
        "categories",
        "allowed uses",
    ]
    .map(str::to_owned)
    .to_vec();
    grid(header, rows.collect())
}

fn kind(kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::Bool => "bool".to_owned(),
        ColumnKind::Int { .. } => "whole number".to_owned(),
        ColumnKind::Decimal { precision, scale } => format!("decimal({precision}, {scale})"),
        ColumnKind::Float => "float".to_owned(),
        ColumnKind::Text => "text".to_owned(),
        ColumnKind::Date => "date".to_owned(),
        ColumnKind::Timestamp => "timestamp".to_owned(),
        ColumnKind::Empty => "empty".to_owned(),
        ColumnKind::Other(name) => name.clone(),
    }
}
