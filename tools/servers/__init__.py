"""Makes the RabbitMQ, PostgreSQL and MariaDB programs that the tests start available.

Standard library only: it runs before there is a virtual environment.
"""
