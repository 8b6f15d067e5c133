"""What several test modules need; each module here is about one thing."""
