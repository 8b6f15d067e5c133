"""The history of the plugin's table, for alembic."""
