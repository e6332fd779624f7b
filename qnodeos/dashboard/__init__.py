"""The operator's view in a browser: a process of its own, which only asks the nodes."""
