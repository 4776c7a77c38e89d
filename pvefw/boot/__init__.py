"""A host that always boots: kernels, EFI system partitions, and what keeps them up to date."""
