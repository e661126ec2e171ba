"""A Gaussian process over a search space: what all runs say of every configuration.

Knows distributions and runs as numbers, neither studies nor Optuna.
"""
