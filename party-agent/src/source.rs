//! Where rows come from: CSV, Parquet and PostgreSQL behind one trait.
