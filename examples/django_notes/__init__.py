"""A notebook with Django: notes are captured in its transactions, labels after the fact."""
