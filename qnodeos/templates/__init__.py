"""Files that commands write for their users, with `@name@` where something is filled in."""
