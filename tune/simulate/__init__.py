"""Studies without training: what so many seeds and videos show, whole studies in memory.

Needs neither Ray nor data.
"""
