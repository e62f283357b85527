"""A real Kubernetes on this machine, for tests and the demo, without Docker.

Here live the pinned parts, their cache, the supervisor that runs them in namespaces of their own, and the
add-ons. Nothing here imports flaggerpy: the cluster knows nothing of what is tested on it.
"""
