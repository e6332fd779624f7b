"""acme.dimmer for qnodeos."""
