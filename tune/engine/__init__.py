"""Carries out what the planner says, on Ray Tune; the one writer of the tables.

Decides nothing by itself.
"""
