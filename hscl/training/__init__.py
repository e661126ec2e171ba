"""One training: prepared data, batches, optimiser, the epoch loop, checkpoints.

Yields reports and knows no listener; never opens test.
"""
