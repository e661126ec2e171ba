"""The commands of `tune`: search, status, table, compare, export, report and theirs.

Arguments and messages only.
"""
