"""StoryBoard's functions over its tables, each within the session that it is given."""
