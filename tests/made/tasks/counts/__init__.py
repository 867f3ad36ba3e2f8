"""A task of its own, as small as one can be: how often words occur. It is known by its record alone."""
