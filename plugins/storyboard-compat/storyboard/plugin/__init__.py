"""The contract of StoryBoard's plugins, as eventworker keeps it."""
