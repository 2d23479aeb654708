//! What a receiver gets: exact totals turned into the table that was asked for.
