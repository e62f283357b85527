"""The load tester: a program of its own that answers rollout hooks.

It runs commands on behalf of whoever can reach it. Nothing here imports the controller's rooms.
"""
