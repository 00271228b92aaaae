"""Copies from one device to another."""
