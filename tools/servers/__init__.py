"""Makes the servers that the tests start, and three programs more, available.

Standard library only: it runs before there is a virtual environment.
"""
