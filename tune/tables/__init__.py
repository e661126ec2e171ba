"""What has happened: the tables' columns, their storage and lock, and their one fold.

Decides nothing and draws nothing.
"""
