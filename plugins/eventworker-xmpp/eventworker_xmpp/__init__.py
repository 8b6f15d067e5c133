"""eventworker's publish-subscribe service for XMPP clients: an external component (XEP-0114)."""
