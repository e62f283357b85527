"""Commands a person or a Pod starts."""
