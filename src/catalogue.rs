//! `entente catalogue`: what tables there are at all parties, for people and for other systems.

use crate::cli::{CatalogueCommand, CatalogueExportArgs, CatalogueSearchArgs, NamedArgs};
use crate::client::escaped;
use crate::init::write_new;
use crate::locate::ConfigFile;
use crate::outcome::{Outcome, Reply};
use crate::table::{grid, grouped};
use party_agent::api::types::{Committed, Listed};
use serde_json::{Value, json};

pub(crate) async fn run(what: CatalogueCommand) -> Outcome<Reply> {
    match what {
        CatalogueCommand::Search(arguments) => search(&arguments).await,
        CatalogueCommand::Export(arguments) => export(&arguments).await,
        CatalogueCommand::Commitment(arguments) => commitment(&arguments).await,
    }
}

fn query(arguments: &CatalogueSearchArgs) -> String {
    format!("words={}", escaped(&arguments.words.join(" ")))
}

async fn search(arguments: &CatalogueSearchArgs) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let found: Vec<Listed> = client
        .get(&format!("/v1/catalogue?{}", query(arguments)))
        .await?;
    let rows = found.iter().map(|listed| {
        let columns = listed.entry.columns.iter();
        let class = columns.clone().filter_map(|column| column.class).max();
        let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        vec![
            format!("{}.{}", listed.party, listed.table),
            listed.version.to_string(),
            grouped(&listed.entry.rows_at_most.to_string()),
            class.map_or("", |class| class.as_str()).to_owned(),
            names.join(", "),
            listed.entry.note.clone().unwrap_or_default(),
        ]
    });
    let header = [
        "table",
        "version",
        "rows, at most",
        "class",
        "columns",
        "note",
    ]
    .map(str::to_owned)
    .to_vec();
    let text = match found.is_empty() {
        true => "no published table answers to that\n".to_owned(),
        false => grid(header, rows.collect()),
    };
    Ok(Reply::new(&json!({ "tables": found }), text))
}

async fn export(arguments: &CatalogueExportArgs) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(&arguments.search.config)?.client()?;
    let path = format!("/v1/catalogue/dcat?{}", query(&arguments.search));
    let document: Value = client.get(&path).await?;
    let text = serde_json::to_string_pretty(&document).expect("JSON that was read");
    write_new(&arguments.out, text.as_bytes(), 0o644)?;
    let n_datasets = document["dcat:dataset"].as_array().map_or(0, Vec::len);
    let text = format!("{n_datasets} tables: {}\n", arguments.out.display());
    let document = json!({ "file": arguments.out, "datasets": n_datasets });
    Ok(Reply::new(&document, text))
}

async fn commitment(arguments: &NamedArgs) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let path = format!("/v1/datasets/{}/commitment", escaped(&arguments.name));
    let opened: Committed = client.get(&path).await?;
    let text = format!(
        "commitment {}\nsalt       {}\ncontent    {}\n\
         The content is SHA-256 of the file, and the commitment SHA-256 of salt and content. Whoever has the salt can tell any file from this one.\n",
        opened.commitment, opened.salt, opened.content
    );
    Ok(Reply::new(&opened, text))
}
