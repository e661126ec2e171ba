"""A study while it runs or afterwards: summary, progress, TensorBoard, `open_study`.

Reads tables, and keeps no truth of its own.
"""
