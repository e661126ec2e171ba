"""What may be claimed: runs paired, compared, judged, and said in sentences.

Reads the fold of the tables; draws nothing.
"""
