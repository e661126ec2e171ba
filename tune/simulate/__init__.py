"""Studies without training: what so many seeds and videos can show, whole studies in memory.

Drives the planner itself; needs neither Ray nor data.
"""
