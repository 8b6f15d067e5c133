"""The base of all plugins.

StoryBoard's loader is not here: plugins are loaded by eventworker's daemon.
"""

from eventworker.plugin import PluginBase

__all__ = ["PluginBase"]
