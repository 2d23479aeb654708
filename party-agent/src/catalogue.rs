//! What a holder publishes about its tables: schema, types, categories, bounds; never rows.
