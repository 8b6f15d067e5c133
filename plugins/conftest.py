"""The tests of all plugins; servers start when the first test asks for one."""

pytest_plugins = ["tests.servers.fixtures"]
