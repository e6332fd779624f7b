"""The network on a terminal: the same view of it as the dashboard has, in text."""
