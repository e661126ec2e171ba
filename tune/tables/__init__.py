"""What has happened: the study's tables, their folder and lock, and their one fold.

Decides nothing and draws nothing.
"""
