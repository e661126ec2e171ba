"""The loss terms, each by itself, and their weighted sum.

Tensors only: no data set, no optimiser.
"""
