"""Traffic as pure translators of JSON, one module a provider."""
