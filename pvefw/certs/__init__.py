"""Use cases around certificates: accounts, orders, installation, information."""
