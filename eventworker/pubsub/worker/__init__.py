"""The plugin ``pubsub-publish``: each event of the API becomes an item of its resource's node.

::

    naming      which node, and in which collection, by templates
    rendering   what the item says: CloudEvents in JSON, or an Atom entry
    erasing     what is kept of an author, a resource or an event
    options     the group ``[plugin:pubsub-publish]``
    plugin      the plugin itself
"""

from eventworker.pubsub.worker.plugin import PubSubPublishWorker

__all__ = ["PubSubPublishWorker"]
