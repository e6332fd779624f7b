"""An ARTIQ core device as a quantum device of a qnodeos node, over the open device protocol."""
