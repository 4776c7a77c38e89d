"""The management API over HTTPS: a front without rights, and root's helper, which decides everything."""
