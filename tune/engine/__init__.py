"""Carries out what the planner says, on Ray Tune, and alone writes the tables.

Decides nothing by itself.
"""
