"""What keeps time and gives pulses: delay generators, references, controllers."""
