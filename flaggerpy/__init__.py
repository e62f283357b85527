"""Progressive delivery for Kubernetes: Canary resources of flagger.app/v1beta1, in Python."""

__version__ = "0.1.0"
