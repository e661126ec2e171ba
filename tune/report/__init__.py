"""What a person reads: headline, sections, page, Markdown, LaTeX, terminal, export.

No statistics: every number comes from `evidence`.
"""
