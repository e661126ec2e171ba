"""Studies without training: what so many seeds and videos show, whole studies in memory.

Drives the engine with pretend workers; needs neither Ray nor data.
"""
