"""Mutated files for every reader: a clean error or a correct load, and nothing else."""
