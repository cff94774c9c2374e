"""All the other formats of models, family by family."""
