"""What goes wrong in the simulated lab, on purpose: by a script, by a seed, or by hand.

script    the `[[faults]]` tables of a file
chance    the same, drawn from a seed
kinds     what can go wrong with what, and in which unit
shapes    how strong it is at which instant
physics, lines, network    how it is done, at the three places
director  brings each on and takes it back, and writes down the truth
"""
