"""Constants and errors that plugins share with StoryBoard."""
