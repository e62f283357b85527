"""Container images without a builder: Debian packages, locked wheels and ours, written as reproducible OCI archives."""
