"""Seed-robust search: a study is a function from a specification to append-only tables."""
