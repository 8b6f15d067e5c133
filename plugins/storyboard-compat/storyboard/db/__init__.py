"""StoryBoard's tables and the functions that plugins reach them with."""
