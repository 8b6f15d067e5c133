"""A notebook with Pecan, captured after the fact by a hook, as StoryBoard does it."""
