"""Pod specs, wherever they stand: in pods and in the templates of what makes pods."""
