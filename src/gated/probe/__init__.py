"""Look inside: gates, memory, gradient flow; numbers first, plots second."""
