"""One trial on a worker: its order, training, files, messages, and the watchdog over it.

Knows neither planner nor engine.
"""
