"""One trial on a worker: its order, its training, its files, its messages.

Knows neither the planner nor the engine.
"""
