"""The commands search, confirm, status, table, compare, report, export and theirs.

Arguments and messages only.
"""
