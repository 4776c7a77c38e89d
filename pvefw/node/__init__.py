"""Use cases of the node itself: waking others, kernel samepage merging, how it is."""
