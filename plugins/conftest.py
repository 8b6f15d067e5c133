"""The tests of all plugins; servers start when the first test asks for one."""

from tests.helpers.examples import take_time

take_time()

pytest_plugins = ["tests.servers.fixtures"]
