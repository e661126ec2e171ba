"""Carries out what the planner says, on Ray Tune or in memory; the one writer of the tables.

Decides nothing by itself.
"""
