"""StoryBoard's import paths, as far as event worker plugins use them, over eventworker.

This is not StoryBoard and cannot be installed beside it.
"""

from storyboard.company import refuse_company

refuse_company()
