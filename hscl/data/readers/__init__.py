"""The formats in the wild, each read into the columns of the Arrow layout.

Nothing is unpickled outside `safe_pickle`, and nothing here knows of splits or models.
"""
