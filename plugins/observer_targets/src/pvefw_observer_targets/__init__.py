"""Targets for certificates: files, another host, and services that read them, each by its name.

All follow one rule: the files take their places together, the service checks them and loads them, and
where any of that fails the old ones are back. Which certificate is served then is core's to look at.
"""
