"""Neighbouring ops computed in one pass over memory: something, then relu."""
