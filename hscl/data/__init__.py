"""Feature files of all kinds to one Arrow layout, splits, and batches."""
