"""What an operator does to the inbox: look, replay, discard, backfill.

Every change keeps the two rows of a pair together: the delivery's and, beside it, the inbox's.
"""
