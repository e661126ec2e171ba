"""What a search has taught about its configurations, and which of them to use.

Knows verdicts as they were given, never how they are made.
"""
