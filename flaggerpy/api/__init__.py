"""What users write: the kinds of flagger.app/v1beta1 as frozen models, and nothing that acts on them."""
