"""One partial differential equation a file: what is to be solved, its conditions and its exact solution."""
