"""Who is in the federation: the roster in use, where it is kept, how nodes follow it."""
