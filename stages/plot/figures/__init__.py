"""The figures, each in two layouts, as SVG with real text and as PNG."""
