"""From a run of a task, or a module, and data to cases; a file a task."""
