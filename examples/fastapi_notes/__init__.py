"""A notebook with FastAPI, captured in the transactions of an AsyncSession."""
