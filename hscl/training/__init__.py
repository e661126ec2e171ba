"""One training: prepared data, batches, optimiser, epoch loop, resuming, checkpoints.

Yields reports and knows no listener; never opens test.
"""
