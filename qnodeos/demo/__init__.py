"""The two-node example as one run: processes, progress, and a report held against the truth."""
