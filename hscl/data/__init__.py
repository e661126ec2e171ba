"""Feature files of all kinds become one Arrow file, and that file's splits.

No torch beyond here, and nothing that trains.
"""
