"""Processes: the application of one worker, the servers that it runs on, and how a supervisor has
it started.
"""
