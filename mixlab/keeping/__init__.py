"""Runs that are kept: named by what determines them, stored whole or not at all, and swept over a grid."""
