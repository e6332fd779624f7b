"""The node operating system of a quantum network."""
