"""Makes the RabbitMQ, PostgreSQL, MariaDB and Prosody programs that the tests start available.

Standard library only: it runs before there is a virtual environment.
"""
