"""Makes the RabbitMQ and PostgreSQL programs that the tests start available.

Standard library only: it runs before there is a virtual environment.
"""
