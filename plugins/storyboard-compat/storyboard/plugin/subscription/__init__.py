"""StoryBoard's own subscriptions: who is told of what, in ``subscription_events``."""
