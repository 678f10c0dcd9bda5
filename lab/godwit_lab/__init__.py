"""Hosts, guests and a witness on one machine, for the tests of everything else."""
