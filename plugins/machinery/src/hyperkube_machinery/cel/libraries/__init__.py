"""The standard library, and the extensions that cel-go offers beside it."""
