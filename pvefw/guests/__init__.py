"""Bulk guest power: which guests start, stop and move, in what order, and how many at once."""
