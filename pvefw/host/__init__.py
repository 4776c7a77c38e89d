"""The operating system, in one place: programs, time, files, threads."""
