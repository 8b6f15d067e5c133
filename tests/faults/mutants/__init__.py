"""Builds of eventworker that are broken on purpose, to see whether the faults find them out."""
