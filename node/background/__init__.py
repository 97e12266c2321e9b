"""Threads that repeat work for as long as a process runs.

repeated_work   a thread that no error ends, and which of them fail now
"""
