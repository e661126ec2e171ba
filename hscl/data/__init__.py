"""Feature files become one Arrow file; its splits, test among them, are opened here.

No torch, no model, and nothing that trains.
"""
