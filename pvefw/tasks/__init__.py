"""Work that takes time: a UPID, a log that grows while it runs, an end that is told."""
