"""The comparison of ``python -m benchmarks``: who is measured, at what, and how."""
