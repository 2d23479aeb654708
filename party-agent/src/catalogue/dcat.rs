//! Catalogues as linked data: DCAT 3 in JSON-LD, for the catalogue systems of others.
//!
//! Columns are described in the words of CSV on the Web, and what neither vocabulary has (uses, classes, bounds, commitments) in
//! our own, whose names all begin with `entente:`.

use serde_json::{Value, json};

use super::{ColumnEntry, ColumnKind};
use crate::api::types::Listed;

/// These tables as one `dcat:Catalog`.
#[must_use]
pub fn dcat(tables: &[Listed]) -> Value {
    json!({
        "@context": {
            "dcat": "http://www.w3.org/ns/dcat#",
            "dct": "http://purl.org/dc/terms/",
            "foaf": "http://xmlns.com/foaf/0.1/",
            "csvw": "http://www.w3.org/ns/csvw#",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
            "entente": "urn:entente:v1:",
        },
        "@id": "urn:entente:catalogue",
        "@type": "dcat:Catalog",
        "dct:title": "Tables for joint computations",
        "dcat:dataset": tables.iter().map(dataset).collect::<Vec<_>>(),
    })
}

fn dataset(listed: &Listed) -> Value {
    let entry = &listed.entry;
    let name = format!("{}.{}", listed.party, listed.table);
    let class = entry.columns.iter().filter_map(|c| c.class).max();
    let known = json!({
        "@id": format!("urn:entente:dataset:{name}"),
        "@type": "dcat:Dataset",
        "dct:identifier": name,
        "dct:title": listed.table,
        "dct:description": entry.note,
        "dct:publisher": { "@type": "foaf:Organization", "foaf:name": listed.party },
        "dcat:version": listed.version.to_string(),
        "entente:catalogue": format!("sha256:{}", listed.catalogue),
        "entente:commitment": entry.commitment.map(|c| format!("sha256:{c}")),
        "entente:rowsAtMost": entry.rows_at_most,
        "entente:consent": entry.consent,
        "entente:visibleTo": entry.visible_to,
        "entente:class": class.map(super::Class::as_str),
        "csvw:tableSchema": {
            "@type": "csvw:Schema",
            "csvw:column": { "@list": entry.columns.iter().map(column).collect::<Vec<_>>() },
        },
    });
    without_nothing(known)
}

fn column(entry: &ColumnEntry) -> Value {
    let (least, most) = entry.range.clone().unzip();
    without_nothing(json!({
        "@type": "csvw:Column",
        "csvw:name": entry.name,
        "csvw:datatype": datatype(&entry.kind),
        "csvw:required": !entry.nullable,
        "entente:unit": entry.unit,
        "entente:class": entry.class.map(super::Class::as_str),
        "entente:least": least,
        "entente:most": most,
        "entente:nCategories": entry.categories.as_ref().map(Vec::len),
        "entente:use": entry.uses_in_words(),
    }))
}

/// Of the types of XML Schema, which CSV on the Web uses.
fn datatype(kind: &ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Bool => "xsd:boolean",
        ColumnKind::Int { .. } => "xsd:integer",
        ColumnKind::Decimal { .. } => "xsd:decimal",
        ColumnKind::Float => "xsd:double",
        ColumnKind::Text | ColumnKind::Empty => "xsd:string",
        ColumnKind::Date => "xsd:date",
        ColumnKind::Timestamp => "xsd:dateTime",
        ColumnKind::Other(_) => "xsd:anyAtomicType",
    }
}

/// What holders do not say is left out.
fn without_nothing(mut node: Value) -> Value {
    if let Some(fields) = node.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    node
}
