"""The file formats in the wild, told by content and read into the Arrow layout's columns.

Nothing is unpickled outside `safe_pickle`, and nothing here knows of splits or models.
"""
