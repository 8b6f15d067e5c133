"""What runs inside the sandbox, before a hook and beside it.

Only the standard library is there, and this folder under another name; so these modules import one
another relatively, and nothing else of eventworker.
"""
