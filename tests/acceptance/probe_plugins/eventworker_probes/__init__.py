"""Worker plugins for the acceptance tests, found like everybody's: through entry points."""
