"""Equilibria: Poisson, Helmholtz, the biharmonic plate, heat conduction with mixed boundary conditions."""
