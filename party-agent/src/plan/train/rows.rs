//! The rows of a model: which columns of the job's SELECT there are, and what every holder makes of them.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Query, Select, SelectItem};

use super::{ColumnRole, TrainColumn};
use crate::plan::part::{Convert, Part, one};
use crate::plan::sql::align::align;
use crate::plan::sql::functions::expand_histograms;
use crate::plan::sql::holders::{Catalogues, resolve_tables};
use crate::plan::sql::inline::inline;
use crate::plan::sql::outer::Arg;
use crate::plan::sql::{self, Site};
use crate::plan::{PlanFault, compile, types};
use crate::spec::{self, Offset};

/// The columns of the rows, and what each is for.
pub(super) fn columns(job: &spec::Train) -> Vec<TrainColumn> {
    let column = |name: &str, role| TrainColumn {
        name: name.to_owned(),
        role,
        missing: None,
        special: Vec::new(),
        indicator: false,
    };
    let label = column(&job.label, ColumnRole::Label);
    let features = job.features.iter().map(|feature| {
        let role = match feature.levels.as_slice() {
            [] if !feature.cuts.is_empty() => ColumnRole::Cuts(feature.cuts.clone()),
            [] => ColumnRole::Number,
            levels => ColumnRole::Levels(levels.to_vec()),
        };
        TrainColumn {
            missing: feature.missing.clone(),
            special: feature.special.clone(),
            indicator: feature.indicator,
            ..column(&feature.name, role)
        }
    });
    let offset = job.offset.iter().map(|offset| {
        let role = match offset {
            Offset::Plain(_) => ColumnRole::Offset,
            Offset::Exposure(_) => ColumnRole::Exposure,
        };
        column(offset.column(), role)
    });
    let sample = job.sample.iter();
    let sample = sample.map(|s| column(&s.column, ColumnRole::Sample(s.train.clone())));
    [label]
        .into_iter()
        .chain(features)
        .chain(offset)
        .chain(sample)
        .collect()
}

/// The job's SELECT, with the columns that the model takes of it.
pub(super) fn select(
    job: &spec::Train,
    columns: &[TrainColumn],
    catalogues: &Catalogues,
    site: Site,
) -> Result<(Select, Vec<Arg>), Vec<PlanFault>> {
    let names: Vec<String> = columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
    // On one line with the job's own text, so that lines in messages are those of the job.
    let text = format!(
        "SELECT {} FROM ({}\n) AS \"rows\"",
        names.join(", "),
        job.rows
    );
    let mut query: Query = sql::parse(&text, site).map_err(compile::one)?;
    inline(&mut query, site).map_err(compile::one)?;
    resolve_tables(&mut query, catalogues, site)?;
    compile::none(align(&mut query, catalogues, site))?;
    let (_, mut select) = compile::outermost(query, site).map_err(compile::one)?;
    compile::none(expand_histograms(&mut select.from, site))?;
    let args = select.projection.iter().zip(columns).map(|(item, column)| {
        let expr = match item {
            SelectItem::UnnamedExpr(expr) => expr.clone(),
            // Every item was written above.
            _ => one(),
        };
        Arg {
            expr,
            label: column.name.clone(),
            asked: BTreeSet::new(),
            sum: false,
            sum_sq: false,
            days: false,
            ordered: false,
            distinct: false,
        }
    });
    let args = args.collect();
    Ok((select, args))
}

/// What every holder does with every column: numbers to doubles, levels to text.
pub(super) fn conversions(
    columns: &[TrainColumn],
    parts: &[Part],
) -> Result<Vec<Vec<Convert>>, Vec<PlanFault>> {
    let mut faults = Vec::new();
    let mut convert = vec![Vec::new(); parts.len()];
    for (part, convert) in parts.iter().zip(&mut convert) {
        for (i, column) in columns.iter().enumerate() {
            let kind = &part.types[i];
            let is_text = matches!(column.role, ColumnRole::Levels(_) | ColumnRole::Sample(_));
            let found = match is_text {
                true => types::groupable(kind).map(types::as_text),
                false => as_double(kind),
            };
            match found {
                Some(found) => convert.push(found),
                None if *kind == DataType::Null => convert.push(Convert::Double),
                None => faults.push(PlanFault {
                    place: types::origin(part, i),
                    what: format!("{} is {}", column.name, types::in_words(kind)),
                    fix: remedy(is_text, kind).to_owned(),
                }),
            }
        }
    }
    compile::none(faults)?;
    Ok(convert)
}

fn as_double(kind: &DataType) -> Option<Convert> {
    match kind {
        DataType::Float64 => Some(Convert::Keep),
        kind if kind.is_numeric() => Some(Convert::Double),
        _ => None,
    }
}

fn remedy(is_text: bool, kind: &DataType) -> &'static str {
    match kind {
        _ if is_text => "levels are texts, whole numbers or days: CAST it in rows",
        DataType::Boolean => "write CASE WHEN … THEN 1 ELSE 0 END in rows",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            "CAST it to DOUBLE in rows, or list its levels under compute.train.categorical"
        }
        _ => "make a number of it in rows",
    }
}
