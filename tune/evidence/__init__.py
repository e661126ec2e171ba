"""What may be claimed: runs paired, compared, judged, and said in sentences.

Reads tables only; draws nothing.
"""
