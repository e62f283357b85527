"""Faults in manifests, found without a cluster: files go in as bytes, faults come out as data."""
