"""A batch goes in, a model's output comes out: encoders, fusion, network.

No data sets, no losses, no optimiser.
"""
