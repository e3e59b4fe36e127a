"""The report: what models wrote, read from files and judged, as tables, pictures and a page."""
