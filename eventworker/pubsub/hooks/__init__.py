"""Hooks: code of the operator's that runs when something happens at a node.

A hook is called once for each item, in a process of its own that can do nothing but compute and ask
the service, in the name of the hook's owner. See ``docs/howto/hooks.rst``.
"""
